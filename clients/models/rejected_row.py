from django.db import models

from clients.contract.problems import Problem


class RejectedRow(models.Model):
    """A data row that was not imported: where it stands in the file, its cells, and why."""

    # One index instead of two: a file of a million rejected rows pays for each.
    pk = models.CompositePrimaryKey("run", "line")
    run = models.ForeignKey(
        "ImportRun",
        models.CASCADE,
        db_constraint=False,
        db_index=False,
        related_name="rejected_rows",
    )
    line = models.IntegerField(help_text="Line on which the row begins, as an editor counts.")
    cells = models.JSONField(help_text="The row's cells as they came; null once purged.", null=True)
    problems = models.JSONField(help_text="A list of Problem.as_stored().")

    class Meta:
        db_table = "rejected_rows"
        ordering = ["run", "line"]
        # Viewing them means seeing their cells; lines and problems come with the run.
        default_permissions = ("view",)

    def read_problems(self) -> list[Problem]:
        """What is wrong with the row."""
        return [Problem.from_stored(stored) for stored in self.problems]

    def __str__(self) -> str:
        return f"line {self.line}"
