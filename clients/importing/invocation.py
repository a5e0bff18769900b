"""Who asks for an import, how long they have, and how the database is held to it."""

import time
import uuid
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from psycopg2.extensions import TRANSACTION_STATUS_INERROR, TRANSACTION_STATUS_INTRANS

from clients.errors import OutOfTime

_TIME_TO_STOP = 8.0  # seconds kept back to roll back and say so
_WAIT_WITHOUT_DEADLINE = 600  # seconds
_LIMIT_GOOD_FOR = 0.5  # seconds, out of those kept back


@dataclass(frozen=True, slots=True)
class Invocation:
    """Who is asking: identifies retries of one delivery, and says how much time there is."""

    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    log_stream: str = ""
    deadline: float | None = None  # on time.monotonic()'s clock
    redelivered: bool = False  # whether a failure is followed by another delivery

    @property
    def is_out_of_time(self) -> bool:
        """Whether too little is left to go on; a statement may be cancelled a moment before."""
        return self.deadline is not None and time.monotonic() > self.deadline - _TIME_TO_STOP - 0.1

    def check_time(self) -> None:
        """Raises OutOfTime when too little is left to go on."""
        if self.is_out_of_time:
            raise OutOfTime

    @property
    def milliseconds_for_a_statement(self) -> int:
        """PostgreSQL's statement_timeout; 0, for no limit, without a deadline."""
        if self.deadline is None:
            return 0
        return max(1, int((self.deadline - _TIME_TO_STOP - time.monotonic()) * 1000))

    @property
    def seconds_for_a_lock(self) -> int:
        """How long to wait until other imports have written their clients: half of what is left."""
        if self.deadline is None:
            return _WAIT_WITHOUT_DEADLINE
        return max(settings.LOCK_TIMEOUT_SECONDS, self.milliseconds_for_a_statement // 2_000)


def in_time(invocation: Invocation) -> AbstractContextManager[None]:
    """No statement in the block outlives the invocation: the server cancels it in time for us to say so.

    The limit counts from the statement's start, so it is set again before a statement once the last one
    is old; small files spend no time on it. In a transaction always, whose rollback would take it back.
    """
    limits_set: dict[int, float] = {}  # by session: when

    def limited(execute: Any, sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
        session = context["connection"].connection
        status = session.info.transaction_status
        is_old = time.monotonic() > limits_set.get(id(session), 0) + _LIMIT_GOOD_FOR
        # An aborted transaction takes nothing but its end, be it a savepoint's.
        if status == TRANSACTION_STATUS_INTRANS or (is_old and status != TRANSACTION_STATUS_INERROR):
            with session.cursor() as cursor:
                cursor.execute("SET statement_timeout = %s", [invocation.milliseconds_for_a_statement])
            limits_set[id(session)] = time.monotonic()
        return execute(sql, params, many, context)

    return connection.execute_wrapper(limited)


def lift_limits() -> None:
    """Leave the connection as others, who share a warm function, expect it."""
    if connection.connection is None or connection.connection.closed:
        return
    try:
        with connection.cursor() as cursor:
            cursor.execute("RESET statement_timeout")
    except (DatabaseError, InterfaceError):
        connection.close()
