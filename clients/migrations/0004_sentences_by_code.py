"""Faults and notices as codes with parameters: the sentences themselves stand in clients.contract.sentences.

What earlier versions stored as whole sentences is kept, as the parameter `text`.
"""

from django.db import migrations, models

_FAULTS = """
    UPDATE import_runs SET fault_params = jsonb_build_object('text', fault) WHERE fault <> ''
"""
_NOTICES = """
    UPDATE import_runs SET notices = (
        SELECT jsonb_agg(jsonb_build_object('code', 'earlier', 'params', jsonb_build_object('text', notice)))
        FROM jsonb_array_elements_text(notices) notice
    ) WHERE notices <> '[]'
"""
_COUNTS = """
    UPDATE import_runs SET problem_counts = (
        SELECT jsonb_object_agg(regexp_replace(key, ': ([a-z-]+)$', ':\\1'), value)
        FROM jsonb_each(problem_counts)
    ) WHERE problem_counts <> '{}'
"""


class Migration(migrations.Migration):
    dependencies = [("clients", "0003_room_to_update")]

    operations = [
        migrations.AddField(
            "importrun",
            "fault_params",
            models.JSONField(default=dict, help_text="What the sentence of the fault needs."),
        ),
        migrations.RunSQL([_FAULTS, _NOTICES, _COUNTS], migrations.RunSQL.noop),
        migrations.RemoveField("importrun", "fault"),
        migrations.RenameField("importrun", "notices", "stored_notices"),
        migrations.AlterField(
            "importrun",
            "stored_notices",
            models.JSONField(
                "notices", db_column="notices", default=list, help_text="What to know of how the file was read."
            ),
        ),
        migrations.AlterField(
            "importrun",
            "problem_counts",
            models.JSONField(default=dict, help_text="Rejected rows by ProblemKind.key."),
        ),
        migrations.AlterField(
            "rejectedrow", "problems", models.JSONField(help_text="A list of Problem.as_stored().")
        ),
    ]
