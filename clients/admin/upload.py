"""The upload page: a form that sends the file from the browser to S3, and where the browser lands then.

API Gateway passes 10 MB and Lambda 6, so the file never comes through us. Its options travel as metadata
that the worker reads; the uploader's name is fixed by the form's signature.
"""

import uuid
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from clients import actions
from clients.aws import storage
from clients.errors import describe
from clients.importing import upload_options
from clients.models import ImportRun
from clients.models.states import ConflictPolicy


def context(request: HttpRequest) -> dict[str, Any]:
    """The form, signed for this person; or why there is none."""
    shared = {"policies": ConflictPolicy.choices, "policy": settings.IMPORT_ON_CONFLICT}
    try:
        form = storage.upload_form(
            folder=f"{timezone.now():%Y-%m-%d}/{uuid.uuid4().hex[:12]}",
            metadata=upload_options.uploaded_by(request.user.get_username()),
            free_metadata=upload_options.OPTIONS,
            redirect=request.build_absolute_uri(reverse("admin:clients_importrun_uploaded")),
        )
    except (BotoCoreError, ClientError) as error:
        return {**shared, "form": None, "error": describe(error), "bucket": settings.IMPORT_BUCKET}
    return {
        **shared,
        "form": form,
        "max_bytes": settings.IMPORT_MAX_BYTES,
        "max_rejected_percent": settings.IMPORT_MAX_REJECTED_PERCENT or "",
    }


def uploaded_run(request: HttpRequest) -> ImportRun | None:
    """The run of the upload that S3 has sent the browser back from, once its event has come."""
    key = request.GET.get("key", "")
    if not storage.is_upload(request.GET.get("bucket", ""), key):
        return None
    run = ImportRun.objects.filter(bucket=settings.IMPORT_BUCKET, key=key).first()
    if run and run.uploader == request.user.get_username():
        _log_once(request, run)
    return run


def _log_once(request: HttpRequest, run: ImportRun) -> None:
    kind = ContentType.objects.get_for_model(ImportRun)
    if not LogEntry.objects.filter(content_type=kind, object_id=str(run.pk)).exists():
        actions.log(request.user, run, f"Uploaded {run.file_name}.")
