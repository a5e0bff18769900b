"""What `zappa invoke` offers: each line does what its docstring says, and a wrong request gets a sentence."""

from typing import Any

import boto3
import pytest
from django.conf import settings as project
from django.contrib.auth.models import User
from django.core import mail
from pytest_django import Settings

from clients.models import ImportRun
from clients.models.states import Notification, State
from workers import maintenance

pytestmark = pytest.mark.django_db(transaction=True)


class Context:
    def get_remaining_time_in_millis(self) -> int:
        return 300_000


def call(task: maintenance.Task, **payload: Any) -> dict[str, Any]:
    return task(payload, Context())


def finished(**fields: Any) -> ImportRun:
    return ImportRun.objects.create(
        bucket=project.IMPORT_BUCKET, key="client-data/uploads/a.csv", state=State.SUCCEEDED, **fields
    )


def test_statistics_count_runs_by_state_and_rows_by_outcome() -> None:
    finished(read=3, inserted=2, unchanged=1)
    finished(read=1, inserted=1)
    answer = call(maintenance.statistics)
    assert answer["runs"] == {"succeeded": 2}
    assert answer["rows"] == {"read": 4, "inserted": 3, "updated": 0, "unchanged": 1, "rejected": 0}
    assert answer["clients"] == 0


def test_a_mail_is_sent_once_more(settings: Settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    run = finished(notification=Notification.SENT)
    assert call(maintenance.resend_mail, run=run.pk) == {"run": run.pk, "sent": True, "error": ""}
    assert len(mail.outbox) == 1


def test_a_run_is_imported_again_in_somebodys_name(bucket: str, queues: None) -> None:
    User.objects.create_user("ann")
    stored = boto3.client("s3").put_object(Bucket=bucket, Key="client-data/uploads/a.csv", Body=b"x")
    run = finished(version_id=stored["VersionId"])
    new = ImportRun.objects.get(pk=call(maintenance.rerun, run=run.pk, by="ann")["queued"])
    assert (new.parent, new.uploader, new.state) == (run, "ann", State.QUEUED)


@pytest.mark.parametrize(
    ("payload", "said"),
    [({}, "lacks 'by'"), ({"by": "nobody", "run": 1}, "User matching query does not exist")],
)
def test_a_wrong_request_gets_a_sentence_and_no_traceback(payload: dict[str, Any], said: str) -> None:
    assert said in call(maintenance.rerun, **payload)["refused"]


def test_the_first_administrator_is_made_once_from_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = boto3.client("secretsmanager").create_secret(
        Name="first-admin", SecretString='{"username": "admin", "password": "from-the-stack"}'
    )
    monkeypatch.setenv("FIRST_ADMIN_SECRET", secret["ARN"])
    assert call(maintenance.create_first_admin)["created"] is True
    user = User.objects.get()
    assert user.check_password("from-the-stack")
    assert user.is_superuser
    user.set_password("changed since")
    user.save()
    assert call(maintenance.create_first_admin)["created"] is False
    user.refresh_from_db()
    assert user.check_password("changed since")


def test_the_doctor_reports_lines(bucket: str) -> None:
    answer = call(maintenance.doctor)
    assert answer["healthy"] is True
    assert any(line.startswith("ok       database: PostgreSQL") for line in answer["findings"])


def test_reconciling_cleaning_purging_and_redriving_report_what_they_did(bucket: str, queues: None) -> None:
    assert call(maintenance.reconcile)["complete"] is True
    assert call(maintenance.clean)["deleted"] == 0
    assert call(maintenance.purge) == {"purged_rows": 0, "complete": True}
    assert call(maintenance.redrive) == {"redriven": 0, "unknown": 0}
