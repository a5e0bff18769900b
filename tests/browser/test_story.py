"""The story of a client admin, from a file with mistakes to an undo; and a look at every page on its way.

With SCREENSHOTS set to a folder, each page is saved there at both widths, light and dark.
"""

import csv
import os
from pathlib import Path

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from clients.models import Client, ImportRun
from tests.browser.conftest import WIDTHS, Page

MISTAKES = Path(__file__).parent / "spring-fair.csv"
ROW_7 = "Phone is not a phone number."


def look_at(page: Page, name: str) -> None:
    """No page may have an accessibility fault or be wider than the window, at any width, in any light."""
    assert page.errors() == []
    for width in WIDTHS:
        for dark in (False, True):
            page.look(width=width, dark=dark)
            found = page.violations()
            assert not found, f"{name} at {width}, {'dark' if dark else 'light'}:\n" + "\n".join(found)
        inner = page.driver.execute_script("return document.documentElement.scrollWidth")
        assert inner <= width, f"{name} is {inner} wide in a window of {width}"
    if folder := os.environ.get("SCREENSHOTS"):
        for width in WIDTHS:
            for dark in (False, True):
                file = f"{name}-{width}-{'dark' if dark else 'light'}.png"
                page.picture(Path(folder) / file, width=width, dark=dark)
    page.look(width=1280, dark=False)
    page.errors()  # axe-core tries styles of its own, which the Content-Security-Policy refuses


def correct(path: Path) -> None:
    """What a person does to the downloaded rows: all of them but one."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    title = {name: position for position, name in enumerate(rows[0])}
    for row in rows[1:]:
        match row[title["Name"]]:
            case "Grace Hopper":
                row[title["Email"]] = "grace.hopper@example.com"
            case "Alan Turing":
                row[title["Phone"]] = "+44 1908 640404"
            case "Katherine Johnson":
                row[title["Company"]] = "Langley Research"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows(rows)


def test_the_whole_story(page: Page) -> None:
    look_at(page, "overview-empty")

    # Upload a file with mistakes and watch it finish.
    page.open("/admin/clients/importrun/upload/")
    look_at(page, "upload")
    page.upload(MISTAKES)
    page.wait_for_text("Rejected rows")
    first = ImportRun.objects.get()
    assert page.driver.current_url.endswith(first.get_absolute_url())
    assert first.uploader == "olivia"
    page.wait_for_text("Partly imported")
    look_at(page, "run")

    # Why was row 7 rejected?
    row = page.driver.find_element(By.XPATH, "//tr[th[text()='7']]")
    assert ROW_7 in row.text

    # Download the rejected rows, correct them, upload them, see the lineage.
    page.click("Download as CSV")
    rejected = page.downloaded(f"spring-fair-rejected-rows-of-run-{first.pk}.csv")
    correct(rejected)
    page.upload(rejected)
    page.wait_for_text("It corrects run")
    page.wait_for_text("3 of 5 fixed")
    look_at(page, "run-corrected")
    page.open(first.get_absolute_url())
    assert "3 of 5 fixed" in page.text

    # Preview an update, then import it.
    update = rejected.with_name("new-companies.csv")
    update.write_text(
        "Name,Email,Company,Phone,Status\n"
        "Ada Lovelace,ada.lovelace@example.com,Analytical Engines Ltd,,Inactive\n"
        "Tim Berners-Lee,tim@example.com,CERN,,Active\n"
    )
    page.upload(update, choose=("preview", "update"))
    page.wait_for_text("Would be updated")
    look_at(page, "preview")
    assert Client.objects.get(email="ada.lovelace@example.com").company == "Analytical Engines"
    page.click("Import now")
    page.wait_for_text("2 rows: 1 new, 1 updated")
    assert Client.objects.get(email="ada.lovelace@example.com").company == "Analytical Engines Ltd"

    # What happened to Ada?
    ada = Client.objects.get(email="ada.lovelace@example.com")
    page.open(f"/admin/clients/client/{ada.pk}/change/")
    assert "What happened to this client" in page.text
    look_at(page, "client")

    # Undo.
    page.open(ImportRun.objects.latest().get_absolute_url())
    page.click("Undo …")
    assert "Clients removed" in page.text
    look_at(page, "undo")
    page.click("Undo the run")
    page.wait_for_text("1 client was removed, 1 put back as before")
    look_at(page, "run-undone")
    ada.refresh_from_db()
    assert (ada.company, ada.status) == ("Analytical Engines", "Active")
    assert not Client.objects.filter(email="tim@example.com").exists()

    for path, name in (
        ("/admin/", "overview"),
        ("/admin/clients/importrun/", "runs"),
        ("/admin/clients/importrun/dead-letters/", "failed-deliveries"),
        ("/admin/clients/client/", "clients"),
        ("/admin/clients/client/export/", "export"),
    ):
        page.open(path)
        look_at(page, name)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_story_is_told_to_the_keyboard_too(page: Page, width: int) -> None:
    page.look(width=width, dark=False)
    page.open("/admin/clients/importrun/upload/")
    reached = []
    for _ in range(40):
        ActionChains(page.driver).send_keys(Keys.TAB).perform()
        element = page.driver.switch_to.active_element
        reached.append(element.get_attribute("id") or element.get_attribute("name") or element.text)
        if element.text == "Upload":
            break
    assert {"x-amz-meta-import-mode", "percent", "file", "Upload"} <= set(reached)
