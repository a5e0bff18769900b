"""A run's page follows the run; without JavaScript a link does."""

from django.utils import timezone

from clients.models import ImportRun
from clients.models.states import State
from tests.browser.conftest import Page
from tests.browser.test_story import MISTAKES


def test_the_page_follows_a_run_to_its_end_without_a_reload(page: Page) -> None:
    run = ImportRun.objects.create(key="big.csv", state=State.RUNNING, size=1000, bytes_read=250, read=5)
    page.open(run.get_absolute_url())
    page.driver.execute_script("window.notReloaded = true")
    page.wait_for_text("5 rows checked so far.")
    assert page.find("progress").get_attribute("value") == "25"
    ImportRun.objects.filter(pk=run.pk).update(bytes_read=750, read=12)
    page.wait_for_text("12 rows checked so far.")
    assert page.find("progress").get_attribute("value") == "75"
    ImportRun.objects.filter(pk=run.pk).update(
        state=State.SUCCEEDED, read=16, inserted=16, finished_at=timezone.now()
    )
    page.wait_for_text("16 rows: 16 new")
    assert "checked so far" not in page.text
    assert page.driver.execute_script("return window.notReloaded") is True
    assert page.errors() == []


def test_an_upload_works_without_javascript(page: Page) -> None:
    page.scripts(on=False)
    try:
        page.upload(MISTAKES)
        # From whichever page: the import may be quicker than the way back from S3.
        page.click_until("Refresh", "Partly imported")
    finally:
        page.scripts(on=True)
    assert page.driver.current_url.endswith(ImportRun.objects.get().get_absolute_url())
