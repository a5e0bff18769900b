"""Cancel ends a run that is not finished, and nothing of it is kept, whatever the worker was at."""

from typing import Any

import boto3
import pytest
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.test import Client as Browser
from django.urls import reverse

from clients.importing import job
from clients.models import Client, ImportRun, RejectedRow
from clients.models.states import Notification, State
from tests.admin.conftest import Upload, Worker

FILE = "Name,Email,Company,Phone,Status\nAda,ada@example.com,Acme,,Active\nBob,bad,Acme,,Active\n"


def url(run: ImportRun) -> str:
    return reverse("admin:clients_importrun_cancel", args=[run.pk])


def test_a_run_cancelled_before_it_starts_is_never_done(
    operator: Browser, upload: Upload, worker: Worker
) -> None:
    done = upload(FILE)
    Client.objects.all().delete()
    operator.post(reverse("admin:clients_importrun_rerun", args=[done.pk]))
    run = ImportRun.objects.latest()
    assert url(run) in operator.get(run.get_absolute_url()).content.decode()
    assert operator.post(url(run))["Location"] == run.get_absolute_url()
    worker()
    run.refresh_from_db()
    assert (run.state, run.fault_code, run.notification) == (State.REJECTED, "cancelled", Notification.NONE)
    assert not Client.objects.exists()
    assert (
        "The import was cancelled. Nothing was changed."
        in operator.get(run.get_absolute_url()).content.decode()
    )
    assert LogEntry.objects.filter(change_message=f"Cancelled run {run.pk}.").exists()


@pytest.mark.parametrize("step", ["_stage", "_merge"])
def test_a_worker_keeps_nothing_of_a_run_cancelled_while_it_is_at_it(
    step: str, operator: Browser, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = getattr(job.ImportJob, step)

    def cancelled_before(self: job.ImportJob, *args: Any) -> None:
        operator.post(url(self.run))
        real(self, *args)

    monkeypatch.setattr(job.ImportJob, step, cancelled_before)
    run = upload(FILE)
    assert (run.state, run.fault_code) == (State.REJECTED, "cancelled")
    assert (run.read, run.inserted) == (0, 0)
    assert not Client.objects.exists()
    assert not RejectedRow.objects.exists()


def test_a_cancelled_run_can_be_repeated(operator: Browser, upload: Upload, worker: Worker) -> None:
    operator.post(reverse("admin:clients_importrun_rerun", args=[upload(FILE).pk]))
    cancelled = ImportRun.objects.latest()
    operator.post(url(cancelled))
    operator.post(reverse("admin:clients_importrun_rerun", args=[cancelled.pk]))
    assert ImportRun.objects.latest().parent == cancelled
    assert boto3.client("s3").list_objects_v2(Bucket=settings.IMPORT_BUCKET)["KeyCount"] >= 1


def test_what_is_finished_is_not_cancelled(operator: Browser, upload: Upload) -> None:
    run = upload(FILE)
    assert url(run) not in operator.get(run.get_absolute_url()).content.decode()
    page = operator.post(url(run), follow=True).content.decode()
    assert "This run is finished already. To take back what it did, undo it." in page
    run.refresh_from_db()
    assert run.state == State.PARTIAL


def test_cancelling_needs_the_right(viewer: Browser) -> None:
    run = ImportRun.objects.create(key="a.csv")
    assert url(run) not in viewer.get(run.get_absolute_url()).content.decode()
    assert viewer.post(url(run)).status_code == 403
    run.refresh_from_db()
    assert run.state == State.QUEUED
