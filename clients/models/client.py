from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Lower, Now

from clients.contract.columns import BY_FIELD
from clients.contract.rules import Rules


class ClientField(models.CharField):  # type: ignore[type-arg]
    """A column of the CSV contract: the admin's form and the import share one rule for it."""

    def clean(self, value: Any, model_instance: models.Model | None) -> str:
        """The canonical value; raises ValidationError with the import's own sentence."""
        checked = Rules(settings.IMPORT_STATUSES).check(BY_FIELD[self.name], str(value or ""), exported=False)
        if checked.problem:
            raise ValidationError(checked.problem.message, code=checked.problem.code)
        return checked.value or ""


def _of_contract(field: str) -> dict[str, Any]:
    """A column's options in the table, as the contract has them."""
    column = BY_FIELD[field]
    optional = {} if column.required else {"blank": True, "db_default": ""}
    return {"max_length": column.max_length, **optional}


class ClientData(models.Model):
    """What an import may change of a client."""

    name = ClientField(**_of_contract("name"))
    company = ClientField(**_of_contract("company"))
    phone = ClientField(**_of_contract("phone"))
    status = ClientField(**_of_contract("status"))

    class Meta:
        abstract = True


class Client(ClientData):
    """A client, as the specification lays the table out, and where its row came from.

    Uniqueness is a constraint rather than `unique=True`, which would add a second index
    (`varchar_pattern_ops`) to pay for on every insert; the "C" collation compares bytes.
    """

    id = models.AutoField(primary_key=True)
    email = ClientField(db_collation="C", **_of_contract("email"))

    # Without database constraints: a million inserts would pay for a million look-ups of one run.
    created_by_run = models.ForeignKey(
        "ImportRun",
        models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        null=True,
        editable=False,
        related_name="created_clients",
        help_text="The import run that inserted this client; empty when a person did.",
    )
    created_from_line = models.IntegerField(null=True, editable=False, help_text="Line of that run's file.")
    changed_by_run = models.ForeignKey(
        "ImportRun",
        models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        null=True,
        editable=False,
        related_name="changed_clients",
        help_text="The import run that last wrote this client; empty when a person did.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "clients"
        ordering = ["-id"]
        permissions = [("export_client", "Can export clients")]
        constraints = [
            models.UniqueConstraint(
                fields=["email"],
                name="clients_email_unique",
                violation_error_message="A client with this email already exists.",
            ),
            models.CheckConstraint(condition=models.Q(email=Lower("email")), name="clients_email_lower_case"),
        ]

    def __str__(self) -> str:
        return str(self.name)
