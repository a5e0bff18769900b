"""Django's PostgreSQL backend, with the password read from Secrets Manager and rotation survived."""

from typing import Any

import psycopg2
from botocore.exceptions import BotoCoreError, ClientError
from django.db.backends.postgresql import base

from clients.aws.secrets import resolve_secret

# What the server says when the password, and nothing else, is wrong (its sqlstate is lost at connect).
_LOGIN_FAILED = "authentication failed"


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Connect; after a failed login ask for the secret once more, in case it was rotated."""
        reference = conn_params.get("password", "")
        try:
            return super().get_new_connection({**conn_params, "password": _password(reference)})
        except psycopg2.OperationalError as error:
            if not reference.startswith("arn:") or _LOGIN_FAILED not in str(error):
                raise
            return super().get_new_connection({**conn_params, "password": _password(reference, refetch=True)})


def _password(reference: str, *, refetch: bool = False) -> str:
    """The password. One that can't be read just now is a connection that can't be made just now."""
    try:
        return resolve_secret(reference, refetch=refetch)
    except (BotoCoreError, ClientError) as error:
        raise psycopg2.OperationalError(f"the password's secret can't be read: {error}") from error
