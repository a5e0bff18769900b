"""Django's PostgreSQL backend on the embedded server, which starts with the first connection.

So every command (`migrate`, `import_clients`, `shell`, the tests) finds a real PostgreSQL without
knowing about it. Several processes share one server; it stops when the last of them ends.
"""

from typing import Any

from django.db.backends.postgresql import base

from local.postgres import start


class DatabaseWrapper(base.DatabaseWrapper):
    def get_connection_params(self) -> dict[str, Any]:
        self.settings_dict["HOST"] = start(create=self.settings_dict["NAME"])
        return super().get_connection_params()
