"""The upload page: what its signature allows, the options the worker takes, and where one lands."""

import base64
import json
import urllib.parse
from typing import Any

import boto3
import requests
from django.contrib.admin.models import LogEntry
from django.test import Client as Browser
from django.urls import reverse
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from clients.models import Client, ImportRun
from clients.models.states import Mode, State, Trigger
from tests.admin.conftest import Upload, Worker

UPLOAD = "/admin/clients/importrun/upload/"
UPLOADED = "/admin/clients/importrun/uploaded/"
FILE = "Name,Email,Company,Phone,Status\nAda,ada@example.com,Acme,,Active\nBob,bob@example.com,Acme,,Active\n"


def policy_of(fields: dict[str, str]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(base64.b64decode(fields["policy"]))
    return document


def send(browser: Browser, text: str, name: str = "clients.csv", **options: str) -> dict[str, list[str]]:
    """Fill in the form as a browser does, send it to S3; returns the query it is sent back with."""
    form = browser.get(UPLOAD).context["form"]
    data = {**form.fields, **{f"x-amz-meta-import-{key}": value for key, value in options.items()}}
    answer = requests.post(
        form.url, data=data, files={"file": (name, text)}, allow_redirects=False, timeout=10
    )
    assert answer.status_code == 303
    place = urllib.parse.urlsplit(answer.headers["Location"])
    assert place.path == UPLOADED
    return urllib.parse.parse_qs(place.query)


def test_the_policy_limits_place_size_time_and_name(operator: Browser, settings: Settings) -> None:
    form = operator.get(UPLOAD).context["form"]
    conditions = policy_of(form.fields)["conditions"]
    folder = form.fields["key"].removesuffix("${filename}")
    assert folder.startswith(settings.IMPORT_PREFIX)
    assert ["starts-with", "$key", folder] in conditions
    assert ["content-length-range", 0, settings.IMPORT_MAX_BYTES] in conditions
    assert {"x-amz-meta-import-uploader": "olivia"} in conditions
    assert {"success_action_redirect": f"http://testserver{UPLOADED}"} in conditions
    allowed = [c[1] for c in conditions if isinstance(c, list) and c[0] == "starts-with"]
    assert sorted(allowed) == sorted(
        [
            "$key",
            "$x-amz-meta-import-mode",
            "$x-amz-meta-import-on-conflict",
            "$x-amz-meta-import-max-rejected-percent",
        ]
    )


def test_no_two_forms_write_to_the_same_place(operator: Browser) -> None:
    keys = {operator.get(UPLOAD).context["form"].fields["key"] for _ in range(2)}
    assert len(keys) == 2


def test_an_upload_lands_on_its_run_with_uploader_and_options(operator: Browser, worker: Worker) -> None:
    options = {"mode": "preview", "on-conflict": "update", "max-rejected-percent": "30"}
    query = send(operator, FILE, "Kunden März.csv", **options)
    assert operator.get(UPLOADED, query).status_code == 200  # the event has not come yet
    worker()
    run = ImportRun.objects.get()
    assert operator.get(UPLOADED, query)["Location"] == run.get_absolute_url()
    json_answer = operator.get(UPLOADED, query, headers={"Accept": "application/json"})
    assert json_answer.json() == {"url": run.get_absolute_url()}
    assert run.file_name == "Kunden März.csv"
    assert (run.trigger, run.uploader) == (Trigger.UPLOAD_PAGE, "olivia")
    assert (run.mode, run.conflict_policy, run.max_rejected_percent) == ("preview", "update", 30)
    assert [entry.change_message for entry in LogEntry.objects.all()] == ["Uploaded Kunden März.csv."]


def test_unknown_metadata_is_no_option(upload: Upload) -> None:
    run = upload(
        FILE,
        Metadata={
            "import-mode": "delete",
            "import-on-conflict": "ignore",
            "import-max-rejected-percent": "-5",
            "import-uploader": "Zo%C3%AB%0A%3Cb%3E",
        },
    )
    assert (run.state, run.mode, run.conflict_policy, run.max_rejected_percent) == (
        State.SUCCEEDED, Mode.IMPORT, "reject", 0,
    )  # fmt: skip
    assert run.uploader == "Zoë<b>"


def test_the_landing_page_goes_to_no_run_outside_the_upload_prefix(operator: Browser, upload: Upload) -> None:
    upload(FILE)
    for key in ("", "elsewhere/clients.csv", "https://example.com/"):
        page = operator.get(UPLOADED, {"bucket": "client-data-import-bucket", "key": key})
        assert page.status_code == 200
        assert "File received." in page.content.decode()


def test_a_preview_shows_what_would_be_and_import_now_does_exactly_that(
    operator: Browser,
    upload: Upload,
    worker: Worker,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    upload("Name,Email,Company,Phone,Status\nAda,ada@example.com,Initech,12345,Active\n")
    preview = upload(
        FILE + "Cyd,bad,Acme,,Active\n",
        "new.csv",
        Metadata={"import-mode": "preview", "import-on-conflict": "update"},
    )
    assert Client.objects.count() == 1
    assert (preview.inserted, preview.updated, preview.rejected) == (1, 1, 1)
    page = operator.get(preview.get_absolute_url()).content.decode()
    assert "<del>Initech</del>" in page
    assert "<ins>Acme</ins>" in page
    assert "12345" not in page  # an empty phone keeps what is stored
    assert "bob@example.com" in page
    with django_capture_on_commit_callbacks(execute=True):
        operator.post(reverse("admin:clients_importrun_import_now", args=[preview.pk]))
    worker()
    run = ImportRun.objects.latest()
    assert (run.mode, run.parent, run.conflict_policy) == (Mode.IMPORT, preview, "update")
    assert (run.inserted, run.updated, run.rejected) == (1, 1, 1)
    ada = Client.objects.get(email="ada@example.com")
    assert (ada.company, ada.phone) == ("Acme", "12345")


def test_progress_is_told_until_the_run_is_finished(operator: Browser, upload: Upload) -> None:
    run = ImportRun.objects.create(
        bucket="b", key="k", state=State.RUNNING, size=1000, bytes_read=250, read=7
    )
    url = reverse("admin:clients_importrun_progress", args=[run.pk])
    assert operator.get(url).json() == {"working": True, "percent": 25, "text": "7 rows checked so far."}
    done = reverse("admin:clients_importrun_progress", args=[upload(FILE).pk])
    assert operator.get(done).json()["working"] is False


def test_without_s3_the_page_says_so(operator: Browser, bucket: str) -> None:
    s3 = boto3.client("s3")
    configuration: Any = s3.get_bucket_notification_configuration(Bucket=bucket)
    s3.delete_bucket(Bucket=bucket)
    try:
        page = operator.get(UPLOAD).content.decode()
    finally:
        s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        del configuration["ResponseMetadata"]
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=configuration)
    assert "can’t be reached" in page
    assert '<form method="post" action="http' not in page


def test_uploading_is_a_right_of_its_own(viewer: Browser, nobody: Browser) -> None:
    assert viewer.get(UPLOAD).status_code == 403
    assert nobody.get(UPLOADED).status_code == 403
    assert UPLOAD not in viewer.get("/admin/clients/importrun/").content.decode()
