from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import pre_migrate


class ClientsConfig(AppConfig):
    name = "clients"
    verbose_name = "Client import"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        pre_migrate.connect(_take_the_time_it_takes, dispatch_uid="clients.statement_timeout")


def _take_the_time_it_takes(using: str, **_: Any) -> None:
    """A migration may rewrite a large table; the limit for statements is meant for requests."""
    with connections[using].cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
