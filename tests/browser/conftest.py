"""A real Chromium before the whole system: live server, local AWS, PostgreSQL, and a worker that delivers.

Skipped, with the reason, where no Chromium is installed (Debian: `apt-get install chromium chromium-driver`).
"""

import importlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.db import connection, connections
from pytest_django.live_server_helper import LiveServer
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from local.delivery import Delivery

AXE = Path(__file__).parent / "axe" / "axe.min.js"
PASSWORD = "correct horse battery staple"
WIDTHS = (1280, 390)
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
)
_SECONDS = 20
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


class Page:
    """The browser, in the words of these tests."""

    def __init__(self, driver: webdriver.Chrome, url: str, downloads: Path) -> None:
        self.driver = driver
        self.url = url
        self.downloads = downloads
        self._kept: list[str] = []

    def open(self, path: str) -> None:
        self.driver.get(f"{self.url}{path}")

    def find(self, selector: str) -> WebElement:
        """The first element, once it is there."""
        found: WebElement = self._wait(lambda: self.driver.find_element(By.CSS_SELECTOR, selector))
        return found

    def wait_for_text(self, text: str) -> None:
        self._wait(lambda: text in self.text, f"“{text}” does not appear; the page says:")

    def click(self, text: str) -> None:
        """Click the link or button with this text, once it is there."""

        def try_it() -> bool:
            for element in self.driver.find_elements(By.CSS_SELECTOR, "a, button, input[type=submit]"):
                if text in (element.text.strip(), element.get_attribute("value")):
                    element.click()
                    return True
            return False

        self._wait(try_it, f"nothing to click says “{text}”; the page says:")

    def click_until(self, text: str, wanted: str) -> None:
        """Click as often as it takes until the page says what is wanted."""

        def try_it() -> bool:
            if wanted not in self.text:
                self.click(text)
            return wanted in self.text

        self._wait(try_it, f"“{wanted}” does not appear; the page says:")

    def scripts(self, *, on: bool) -> None:
        self.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not on})

    @property
    def text(self) -> str:
        return self.driver.find_element(By.TAG_NAME, "body").text

    def log_in(self, name: str) -> None:
        self.open("/admin/")
        self.find("#id_username").send_keys(name)
        self.find("#id_password").send_keys(PASSWORD)
        self.click("Log in")

    def upload(self, path: Path, *, choose: tuple[str, ...] = ("import",)) -> None:
        self.open("/admin/clients/importrun/upload/")
        for value in choose:
            self.find(f"input[value={value}]").click()
        self.find("#file").send_keys(str(path))
        self.click("Upload")

    def downloaded(self, pattern: str) -> Path:
        """The file that was just downloaded, once it is complete."""
        path: Path = self._wait(lambda: next(iter(self.downloads.glob(pattern)), None))
        return path

    def errors(self) -> list[str]:
        """What the browser's console complains about since last asked: broken links, scripts, the CSP."""
        log: list[dict[str, str]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        errors = self._kept + [entry["message"] for entry in log if entry["level"] == "SEVERE"]
        self._kept = []
        return errors

    def violations(self) -> list[str]:
        """What axe-core finds against WCAG 2.2 A and AA on this page."""
        kept = self.errors()
        self.driver.execute_script(AXE.read_text())
        found = self.driver.execute_async_script(
            "axe.run({runOnly: arguments[0]}).then(arguments[arguments.length - 1])", _RULES
        )
        self.errors()  # the policy refuses the styles that axe itself brings along
        self._kept = kept
        return [
            f"{violation['id']}: {node['html'][:200]} {node['any'][:1] and node['any'][0]['message']}"
            for violation in found["violations"]
            for node in violation["nodes"]
        ]

    def picture(self, path: Path, *, width: int, dark: bool) -> None:
        """The whole page as PNG at this width, in CSS pixels."""
        self.look(width=width, dark=dark)
        height = self.driver.execute_script("return document.documentElement.scrollHeight")
        self._metrics(width, max(600, height))
        self.driver.save_screenshot(str(path))
        self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    def look(self, *, width: int, dark: bool) -> None:
        """See the page at this width in this light, once colours that change gradually have changed."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self._metrics(width, 800)
        self.driver.execute_async_script(
            "const done = arguments[0], settled = () => Promise.allSettled("
            "document.getAnimations().filter(animation => Number.isFinite("
            "animation.effect.getComputedTiming().endTime) && animation.playState === 'running')"
            ".map(animation => animation.finished)).then(() => done());"
            "requestAnimationFrame(() => requestAnimationFrame(settled));"
            # A page that Chromium doesn't draw just now, behind a download, gets no frames.
            "setTimeout(settled, 1000)"
        )

    def _metrics(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def _wait(self, condition: Any, message: str = "") -> Any:
        def ready(driver: Any) -> Any:
            try:
                return condition()
            except Exception:  # noqa: BLE001 - not there yet, or just being replaced
                return None

        try:
            return WebDriverWait(self.driver, _SECONDS, 0.1).until(ready)
        except Exception:
            if message:
                raise AssertionError(f"{message}\n{self.text}") from None
            raise


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory, live_server: LiveServer) -> Iterator[webdriver.Chrome]:
    """One for all tests; it quits before the live server, whose threads it keeps busy."""
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and chromedriver):
        pytest.skip("no Chromium here: apt-get install chromium chromium-driver")
    # A thread that keeps its connection would keep the test database from being dropped.
    connections["default"].settings_dict["CONN_MAX_AGE"] = 0
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in _FLAGS:
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    downloads = str(tmp_path_factory.mktemp("downloads"))
    options.add_experimental_option("prefs", {"download.default_directory": downloads})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options, webdriver.ChromeService(chromedriver))
    started.downloads = Path(downloads)  # type: ignore[attr-defined]
    yield started
    started.quit()


@pytest.fixture
def worker(bucket: str) -> Iterator[Delivery]:
    """The worker, fed by the bucket's events."""
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName=settings.IMPORT_QUEUE)["QueueUrl"]
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        for message in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    with Delivery(pause=1) as delivery:
        yield delivery


@pytest.fixture
def operator(transactional_db: None) -> User:
    """Somebody of the ready-made group, which a test that empties the tables takes with it."""
    importlib.import_module("clients.migrations.0002_groups").create_groups(apps, connection.schema_editor())
    user = User.objects.create_user("olivia", password=PASSWORD, first_name="Olivia", is_staff=True)
    user.groups.add(Group.objects.get(name="Import operator"))
    return user


@pytest.fixture
def page(driver: webdriver.Chrome, live_server: LiveServer, operator: User, worker: Delivery) -> Page:
    driver.delete_all_cookies()
    browser = Page(driver, live_server.url, driver.downloads)  # type: ignore[attr-defined]
    browser.log_in(operator.get_username())
    return browser
