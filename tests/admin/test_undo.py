"""Undo through the admin: previewed, confirmed, done by the worker, and what it leaves alone."""

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client as Browser
from django.urls import reverse
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from clients.models import Client, ImportRun
from clients.models.states import State
from tests.admin.conftest import Upload, Worker

HEADER = "Name,Email,Company,Phone,Status\n"
FIRST = HEADER + "Ada,ada@example.com,Acme,,Active\nBob,bob@example.com,Acme,,Active\n"
UPDATE = {"Metadata": {"import-on-conflict": "update"}}


@pytest.fixture
def undo(
    operator: Browser,
    worker: Worker,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> Upload:
    """Confirm the undo of a run, let the worker do it, return the run."""

    def confirm(run: ImportRun) -> ImportRun:
        with django_capture_on_commit_callbacks(execute=True):
            operator.post(undo_url(run))
        worker()
        run.refresh_from_db()
        return run

    return confirm


def undo_url(run: ImportRun) -> str:
    return reverse("admin:clients_importrun_undo", args=[run.pk])


def data() -> list[tuple[str, str]]:
    return list(Client.objects.order_by("email").values_list("email", "company"))


def test_it_is_previewed_with_counts_and_changes_nothing_before_it_is_confirmed(
    operator: Browser, upload: Upload
) -> None:
    run = upload(FIRST)
    page = operator.get(undo_url(run))
    assert page.context["effect"]["removed"] == 2
    assert Client.objects.count() == 2


def test_inserted_clients_are_removed_and_updated_ones_put_back(upload: Upload, undo: Upload) -> None:
    first = upload(FIRST)
    second = upload(
        HEADER + "Ada,ada@example.com,Initech,123456,Inactive\nCyd,cyd@example.com,Acme,,Active\n", **UPDATE
    )
    assert (second.inserted, second.updated) == (1, 1)
    undo(second)
    assert second.state == State.UNDONE
    assert second.undo_result["removed"] == second.undo_result["restored"] == 1
    ada = Client.objects.get(email="ada@example.com")
    assert (ada.company, ada.phone, ada.status, ada.changed_by_run) == ("Acme", "", "Active", first)
    assert not Client.objects.filter(email="cyd@example.com").exists()
    undo(first)
    assert data() == []


def test_what_a_person_edited_since_is_left_alone_and_listed(
    operator: Browser, upload: Upload, undo: Upload
) -> None:
    run = upload(FIRST)
    ada = Client.objects.get(email="ada@example.com")
    form = {"name": "Ada L.", "email": ada.email, "company": "Acme", "phone": "", "status": "Active"}
    operator.post(f"/admin/clients/client/{ada.pk}/change/", form)
    assert "edited by a person since" in operator.get(undo_url(run)).content.decode()
    undo(run)
    assert data() == [("ada@example.com", "Acme")]
    page = operator.get(run.get_absolute_url()).content.decode()
    assert "1 was left as is" in page
    assert "Ada L.</a>, edited by a person since" in page


def test_what_a_later_run_changed_is_left_alone_and_its_undo_brings_nothing_back(
    upload: Upload, undo: Upload
) -> None:
    first = upload(FIRST)
    later = upload(HEADER + "Ada,ada@example.com,Initech,,Active\n", **UPDATE)
    undo(first)
    assert data() == [("ada@example.com", "Initech")]
    undo(later)
    assert data() == [("ada@example.com", "Initech")]
    assert later.undo_result["left_alone"] == 1


def test_it_is_refused_while_a_later_run_rests_on_its_clients(
    operator: Browser, upload: Upload, undo: Upload
) -> None:
    first = upload(FIRST)
    later = upload(FIRST, "again.csv")
    assert later.unchanged == 2
    assert f"Undo run {later.pk} first" in operator.get(undo_url(first)).content.decode()
    undo(first)
    assert first.state == State.SUCCEEDED
    assert len(data()) == 2
    undo(later)
    undo(first)
    assert data() == []


def test_a_refusal_of_the_worker_is_shown_on_the_run(
    operator: Browser,
    upload: Upload,
    worker: Worker,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    run = upload(FIRST)
    with django_capture_on_commit_callbacks() as asked:
        operator.post(undo_url(run))
    upload(FIRST, "again.csv")  # comes in between
    for ask in asked:
        ask()
    worker()
    assert Client.objects.count() == 2
    assert "The undo was not done" in operator.get(run.get_absolute_url()).content.decode()


def test_asking_twice_is_refused_and_undoing_twice_does_nothing(
    operator: Browser, upload: Upload, undo: Upload
) -> None:
    run = upload(FIRST)
    operator.post(undo_url(run))
    answer = operator.post(undo_url(run), follow=True)
    assert "This run is being undone already." in answer.content.decode()
    assert "The undo is under way." in answer.content.decode()


@pytest.mark.parametrize(
    ("text", "metadata", "reason"),
    [
        (FIRST, {"import-mode": "preview"}, "A preview changed nothing"),
        ("Name\nAda\n", {}, "This run changed nothing"),
    ],
)
def test_it_is_refused_with_the_reason(
    text: str, metadata: dict[str, str], reason: str, operator: Browser, upload: Upload
) -> None:
    run = upload(text, Metadata=metadata)
    assert reason in operator.get(undo_url(run)).content.decode()
    assert reason in operator.post(undo_url(run), follow=True).content.decode()


def test_it_is_a_right_of_its_own_and_lands_in_the_admin_log(
    operator: Browser, viewer: Browser, upload: Upload, undo: Upload
) -> None:
    run = upload(FIRST)
    assert viewer.get(undo_url(run)).status_code == 403
    assert viewer.post(undo_url(run)).status_code == 403
    undo(run)
    said = list(LogEntry.objects.order_by("pk").values_list("user__username", "change_message"))
    assert said == [
        ("olivia", f"Asked for run {run.pk} to be undone."),
        (
            "olivia",
            f"Undid run {run.pk}: 2 clients removed, 0 put back as they were, "
            "0 left alone because they were changed since.",
        ),
    ]


def test_a_run_that_was_undone_can_be_run_again(
    operator: Browser,
    upload: Upload,
    undo: Upload,
    worker: Worker,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    run = undo(upload(FIRST))
    with django_capture_on_commit_callbacks(execute=True):
        operator.post(reverse("admin:clients_importrun_rerun", args=[run.pk]))
    worker()
    assert len(data()) == 2


def test_an_undo_that_reaches_no_worker_says_so_and_can_be_asked_for_again(
    operator: Browser,
    upload: Upload,
    settings: Settings,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    run = upload(FIRST)
    settings.IMPORT_QUEUE = "no-such-queue"
    with django_capture_on_commit_callbacks(execute=True):
        answer = operator.post(undo_url(run), follow=True)
    page = operator.get(run.get_absolute_url()).content.decode()
    assert answer.status_code == 200
    assert "The worker could not be reached." in page
    assert undo_url(run) in page
