"""ClientDataFileCleaner: deletes uploads that are done with; runs on a schedule."""

import logging
import time
from typing import Any

from django.db import close_old_connections

from clients.errors import ImportFailed, describe
from clients.upkeep import cleanup

logger = logging.getLogger(__name__)

_TIME_TO_REPORT = 10.0  # seconds


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Clean once, whatever the event; returns what was deleted and what was kept, with reasons."""
    close_old_connections()
    deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - _TIME_TO_REPORT
    try:
        return cleanup.clean_up(deadline=deadline).as_dict()
    except Exception as error:  # noqa: BLE001 - Lambda gets no message that may quote data
        logger.error("cleaning failed", extra={"error": describe(error)})
        raise ImportFailed(f"cleaning failed: {describe(error)}") from None
