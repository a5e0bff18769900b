"""The list of runs and a run's page, for people with and without rights."""

import boto3
import pytest
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client as Browser
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries, DjangoCaptureOnCommitCallbacks

from clients.models import Client, ImportRun
from clients.models.states import State, Trigger
from clients.reporting.reports import report
from clients.upkeep import dead_letters
from tests.admin.conftest import Upload, Worker

HEADER = "Name,Email,Company,Phone,Status\n"
MIXED = (
    HEADER
    + "Ada,ada@example.com,Acme,,Active\n"
    + "Bob,not an address,Acme,12,Active\n"
    + "Cyd,cyd@example.com,,,Sleeping\n"
)
LIST = "/admin/clients/importrun/"
DEAD_LETTERS = f"{LIST}dead-letters/"


def action(run: ImportRun, name: str) -> str:
    return reverse(f"admin:clients_importrun_{name}", args=[run.pk])


def test_the_list_shows_each_run_with_its_state_and_counts(operator: Browser, upload: Upload) -> None:
    upload(MIXED, "spring.csv")
    page = operator.get(LIST).content.decode()
    assert "spring.csv" in page
    assert "badge-warn" in page
    assert "Partly imported" in page
    assert "3 rows: 1 new, 2 rejected" in page
    assert f'<td class="field-number">{ImportRun.objects.get().pk}</td>' in page
    assert "field-uploader" in page


def test_the_list_is_filtered_searched_and_browsed_by_date(operator: Browser, upload: Upload) -> None:
    upload(MIXED, "spring.csv")
    upload("no header here\n", "summer.csv")
    assert "summer.csv" not in operator.get(LIST, {"state__exact": "partial"}).content.decode()
    assert "spring.csv" not in operator.get(LIST, {"q": "summer"}).content.decode()
    year = ImportRun.objects.latest().created_at.year
    assert "spring.csv" in operator.get(LIST, {"created_at__year": year}).content.decode()
    assert "spring.csv" not in operator.get(LIST, {"created_at__year": year - 1}).content.decode()


def test_a_run_names_each_rejected_row_with_its_line_its_problems_and_its_cells(
    operator: Browser, upload: Upload
) -> None:
    run = upload(MIXED)
    page = operator.get(run.get_absolute_url()).content.decode()
    assert "3 rows: 1 new, 2 rejected" in page
    assert '<th scope="row" class="number">3</th>' in page
    assert "Email is not a valid address." in page
    assert "Phone is not a phone number." in page
    assert "not an address" in page
    assert "Sleeping" in page


def test_a_file_fault_is_one_sentence_with_what_to_do(operator: Browser, upload: Upload) -> None:
    page = operator.get(upload("Name,Company,Status\nAda,Acme,Active\n").get_absolute_url()).content.decode()
    assert "The required column Email can&#x27;t be found." in page


def test_html_in_a_key_and_in_cells_is_escaped(operator: Browser, upload: Upload) -> None:
    run = upload(HEADER + "<script>x</script>,bad,Acme,,Active\n", "<img src=x>.csv")
    for url in (LIST, run.get_absolute_url()):
        page = operator.get(url).content.decode()
        assert "<img src=x>" not in page
        assert "<script>x" not in page


def test_rows_are_found_by_line_by_text_and_by_kind_of_problem(operator: Browser, upload: Upload) -> None:
    url = upload(MIXED).get_absolute_url()
    assert "Sleeping" not in operator.get(url, {"q": "3"}).content.decode()
    assert "not an address" not in operator.get(url, {"q": "sleep"}).content.decode()
    by_kind = operator.get(url, {"problem": "Company: missing"}).content.decode()
    assert "Sleeping" in by_kind
    assert "not an address" not in by_kind
    assert "No rejected row matches" in operator.get(url, {"q": "nowhere"}).content.decode()


def test_a_number_is_a_line_or_stands_in_a_cell(operator: Browser, viewer: Browser, upload: Upload) -> None:
    rows = "Ada,bad,Acme,,Active\n" + "Bob,worse,Acme,030 12345,Active\n"
    url = upload(HEADER + rows).get_absolute_url()
    assert [row["line"] for row in operator.get(url, {"q": "030"}).context["rejected"]] == [3]
    assert [row["line"] for row in operator.get(url, {"q": "2"}).context["rejected"]] == [2, 3]
    assert not operator.get(url, {"q": "99"}).context["rejected"]
    assert not viewer.get(url, {"q": "030"}).context["rejected"]


def test_a_run_that_imported_nothing_does_not_say_partly(operator: Browser, upload: Upload) -> None:
    upload(HEADER + "Ada,bad,Acme,,Active\n")
    page = operator.get(LIST).content.decode()
    assert "Nothing imported</span>" in page
    assert "Partly imported</span>" not in page


def test_who_may_not_see_cells_sees_lines_and_problems_and_cannot_search_cells(
    viewer: Browser, upload: Upload
) -> None:
    url = upload(MIXED).get_absolute_url()
    page = viewer.get(url).content.decode()
    assert "Email is not a valid address." in page
    assert "not an address" not in page
    assert "Email is not a valid address." not in viewer.get(url, {"q": "not an address"}).content.decode()


def test_pages_follow_each_other_by_line_without_gap_or_overlap(operator: Browser, upload: Upload) -> None:
    url = upload(HEADER + "Ada,bad,Acme,,Active\n" * 120).get_absolute_url()
    seen, query = [], ""
    for _ in range(3):
        rejected = operator.get(url + query).context["rejected"]
        seen += [row["line"] for row in rejected]
        query = rejected.next
    assert seen == list(range(2, 122))
    assert query == ""
    back = operator.get(url + rejected.previous).context["rejected"]
    assert [row["line"] for row in back] == seen[50:100]


def test_a_hundred_thousand_rejected_rows_cost_no_more_queries_than_one(
    operator: Browser, upload: Upload, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    run = upload(HEADER + "Ada,bad,Acme,,Active\n")
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO rejected_rows (run_id, line, cells, problems)"
            " SELECT %s, n, '[\"Ada\"]', '[]' FROM generate_series(3, 100002) n",
            [run.pk],
        )
    with django_assert_max_num_queries(12) as queries:
        operator.get(run.get_absolute_url())
    assert not any("COUNT" in query["sql"] for query in queries)


def test_a_rerun_is_a_new_run_of_the_same_version_done_by_the_worker(
    operator: Browser,
    upload: Upload,
    worker: Worker,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    old = upload(MIXED)
    Client.objects.all().delete()
    with django_capture_on_commit_callbacks(execute=True):
        answer = operator.post(action(old, "rerun"))
    new = ImportRun.objects.latest()
    assert answer["Location"] == new.get_absolute_url()
    assert (new.state, new.parent, new.trigger, new.uploader) == (State.QUEUED, old, Trigger.RERUN, "olivia")
    assert new.version_id == old.version_id
    worker()
    new.refresh_from_db()
    assert new.state == State.PARTIAL
    assert Client.objects.get().email == "ada@example.com"
    assert LogEntry.objects.get().change_message == f"Re-ran run {old.pk}."


def test_a_rerun_is_refused_while_one_is_at_work(operator: Browser, upload: Upload) -> None:
    run = upload(MIXED)
    operator.post(action(run, "rerun"))
    answer = operator.post(action(run, "rerun"), follow=True)
    assert ImportRun.objects.count() == 2
    assert "is at work on this file" in answer.content.decode()


def test_a_rerun_is_refused_when_the_file_is_gone(operator: Browser, upload: Upload, bucket: str) -> None:
    run = upload(MIXED)
    boto3.resource("s3").Bucket(bucket).object_versions.delete()
    answer = operator.post(action(run, "rerun"), follow=True)
    assert ImportRun.objects.count() == 1
    assert "The file is no longer in S3" in answer.content.decode()


def test_a_rerun_of_a_local_file_is_refused(operator: Browser) -> None:
    run = ImportRun.objects.create(key="/tmp/clients.csv", trigger=Trigger.COMMAND, state=State.SUCCEEDED)
    answer = operator.post(action(run, "rerun"), follow=True)
    assert "imported from a local disk" in answer.content.decode()


@pytest.mark.parametrize("name", ["rerun", "import_now"])
def test_actions_need_their_right_a_post_and_a_csrf_token(
    name: str, operator: Browser, viewer: Browser, upload: Upload
) -> None:
    run = upload(MIXED)
    assert viewer.post(action(run, name)).status_code == 403
    assert operator.get(action(run, name))["Location"] == run.get_absolute_url()
    strict = Browser(enforce_csrf_checks=True)
    strict.cookies = operator.cookies
    assert strict.post(action(run, name)).status_code == 403
    assert ImportRun.objects.count() == 1
    assert action(run, name) not in viewer.get(run.get_absolute_url()).content.decode()


def test_staff_without_rights_sees_no_run(nobody: Browser, upload: Upload) -> None:
    run = upload(MIXED)
    assert nobody.get(LIST).status_code == 403
    assert nobody.get(run.get_absolute_url()).status_code == 403


def test_nobody_adds_changes_or_deletes_runs_by_hand(admin_client: Browser, upload: Upload) -> None:
    run = upload(MIXED)
    assert admin_client.get(f"{LIST}add/").status_code == 403
    assert admin_client.post(f"{LIST}{run.pk}/delete/", {"post": "yes"}).status_code == 403
    assert ImportRun.objects.count() == 1


@pytest.mark.usefixtures("queues")
def test_a_delivery_that_no_worker_knows_can_be_discarded_and_others_not(operator: Browser) -> None:
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName=settings.IMPORT_DEAD_LETTER_QUEUE)["QueueUrl"]
    for body in ('{"hello": 1}', '{"command": "workers.import_processor.run_queued", "run": 1}'):
        sqs.send_message(QueueUrl=url, MessageBody=body)
    page = operator.get(DEAD_LETTERS).content.decode()
    assert page.count('name="discard"') == 1
    for letter in dead_letters.dead_letters():
        operator.post(DEAD_LETTERS, {"discard": letter.message_id})
    [left] = dead_letters.dead_letters()
    assert left.can_be_redriven
    assert LogEntry.objects.filter(change_message="Discarded one that no worker knows.").count() == 1


def test_discarding_needs_the_right(viewer: Browser) -> None:
    assert viewer.post(DEAD_LETTERS, {"discard": "x"}).status_code == 403


def test_a_script_reads_a_run_as_json(operator: Browser, nobody: Browser, upload: Upload) -> None:
    run = upload(MIXED)
    url = f"{LIST}{run.pk}/report.json"
    assert operator.get(url).json() == report(run)
    assert nobody.get(url).status_code == 403
    assert operator.get(f"{LIST}0/report.json").status_code == 404


def test_a_preview_is_imported_once_and_says_by_which_run(
    operator: Browser,
    upload: Upload,
    worker: Worker,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    preview = upload(MIXED, Metadata={"import-mode": "preview"})
    with django_capture_on_commit_callbacks(execute=True):
        operator.post(action(preview, "import_now"))
    worker()
    run = ImportRun.objects.latest()
    page = operator.get(preview.get_absolute_url()).content.decode()
    assert f'Imported by <a href="{run.get_absolute_url()}">run {run.pk}</a>' in page
    assert action(preview, "import_now") not in page
    answer = operator.post(action(preview, "import_now"), follow=True)
    assert f"Run {run.pk} has imported this already." in answer.content.decode()
    assert ImportRun.objects.count() == 2


def test_a_run_that_changed_nothing_offers_no_undo(operator: Browser, upload: Upload) -> None:
    run = upload(HEADER + "Ada,bad,Acme,,Active\n")
    assert action(run, "undo") not in operator.get(run.get_absolute_url()).content.decode()
    assert "This run changed nothing" in operator.get(action(run, "undo")).content.decode()


def test_the_tab_says_how_it_went(operator: Browser, upload: Upload) -> None:
    page = operator.get(upload(MIXED, "spring.csv").get_absolute_url()).content.decode()
    assert "<title>! Rows need correction: spring.csv | Client import</title>" in page
