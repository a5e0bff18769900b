from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models.functions import Now

from clients.models.client import ClientData


class ClientChange(ClientData):
    """What a client looked like before an import changed it: its history, and what undo puts back."""

    # The key's index serves a client's history; a run's changes lie side by side, which a BRIN index
    # finds again at next to no cost. An import that changes a million clients writes both.
    pk = models.CompositePrimaryKey("client", "run")
    client = models.ForeignKey(
        "Client", models.DO_NOTHING, db_constraint=False, related_name="changes", db_index=False
    )
    run = models.ForeignKey(
        "ImportRun", models.DO_NOTHING, db_constraint=False, related_name="changes", db_index=False
    )
    line = models.IntegerField(help_text="Line of the run's file that brought the new data.")
    # The run that had written these values, so that an undo restores that too.
    changed_by_run_id = models.IntegerField(null=True)
    updated_at = models.DateTimeField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "client_changes"
        ordering = ["-run"]
        indexes = [BrinIndex(fields=["run"], name="client_changes_by_run")]
        verbose_name = "client change"
        default_permissions = ()  # shown with the client

    def __str__(self) -> str:
        return f"client {self.client_id} before run {self.run_id}"
