"""Pages for what went wrong: in the house's style, with what to do."""

import re

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.test import Client as Browser
from django.urls import path
from pytest_django import Settings

from clientimport import urls

LOGIN = "/admin/login/"


def broken(request: HttpRequest) -> HttpResponse:
    raise ValueError("broken")


urlpatterns = [*urls.urlpatterns, path("broken/", broken)]


def heading(page: str) -> str:
    assert 'href="/static/clients/admin.css"' in page
    assert 'href="/admin/"' in page
    [found] = re.findall("<h1>(.*?)</h1>", page)
    return str(found)


def test_a_missing_right(nobody: Browser) -> None:
    answer = nobody.get("/admin/clients/importrun/")
    assert answer.status_code == 403
    assert heading(answer.content.decode()) == "You don’t have the right to do this"


def test_a_missing_page(nobody: Browser) -> None:
    answer = nobody.get("/nothing/here/")
    assert answer.status_code == 404
    assert heading(answer.content.decode()) == "There is no such page"


def test_a_stale_page(operator: Browser) -> None:
    strict = Browser(enforce_csrf_checks=True)
    strict.cookies = operator.cookies
    answer = strict.post("/admin/clients/importrun/1/rerun/")
    assert answer.status_code == 403
    assert heading(answer.content.decode()) == "This page was too old"


@pytest.mark.urls(__name__)
def test_a_fault_of_ours() -> None:
    answer = Browser(raise_request_exception=False).get("/broken/")
    assert answer.status_code == 500
    assert heading(answer.content.decode()) == "Something went wrong on our side"
    assert "ValueError" not in answer.content.decode()


@pytest.mark.usefixtures("db")
def test_too_many_failed_logins_say_until_when(settings: Settings) -> None:
    settings.AXES_FAILURE_LIMIT = 2
    User.objects.create_user("olivia", password="right", is_staff=True)
    for _ in range(2):
        answer = Browser().post(LOGIN, {"username": "olivia", "password": "wrong"})
    assert answer.status_code == 429
    page = answer.content.decode()
    assert heading(page) == "Too many failed logins"
    assert "paused for 15 minutes" in page
    assert re.search(r"until <time [^>]*>\d\d:\d\d UTC</time>", page)
