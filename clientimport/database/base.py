"""Django's PostgreSQL backend, with the password read from Secrets Manager and rotation survived."""

from typing import Any

import psycopg2
from django.db.backends.postgresql import base

from clientimport.env import resolve_secret

# What the server says when the password, and nothing else, is wrong (its sqlstate is lost at connect).
_LOGIN_FAILED = "authentication failed"


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Connect; after a failed login ask for the secret once more, in case it was rotated."""
        reference = conn_params.get("password", "")
        try:
            return super().get_new_connection({**conn_params, "password": resolve_secret(reference)})
        except psycopg2.OperationalError as error:
            if not reference.startswith("arn:") or _LOGIN_FAILED not in str(error):
                raise
            return super().get_new_connection(
                {**conn_params, "password": resolve_secret(reference, refetch=True)}
            )
