"""Promise 24 and what guards every page: locked logins, hosts, CSRF, cookies, Content-Security-Policy."""

import os
import re
import subprocess
import sys
from typing import Any

import pytest
from axes.utils import reset
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from django.urls import reverse
from pytest_django import Settings

from clientimport.security import client_address

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery staple"
LOGIN = "/admin/login/"


@pytest.fixture(autouse=True)
def few_attempts(settings: Settings) -> Any:
    settings.AXES_FAILURE_LIMIT = 3
    reset()


@pytest.fixture
def user() -> User:
    return User.objects.create_superuser("admin", "admin@example.com", PASSWORD)


def gateway(address: str, forwarded: str = "", *, http_api: bool = False) -> dict[str, Any]:
    """What Zappa makes of a request that reached API Gateway from this address."""
    seen = {"sourceIp": address}
    headers = {"HTTP_X_FORWARDED_FOR": f"{forwarded}, {address}" if forwarded else address}
    guess = [*forwarded.split(", "), address][-2] if forwarded else address
    context = {"http": seen} if http_api else {"identity": seen}
    return {**headers, "REMOTE_ADDR": guess, "lambda.event": {"requestContext": context}}


def log_in(client: Client, password: str, **extra: Any) -> int:
    answer = client.post(LOGIN, {"username": "admin", "password": password}, **extra)
    return answer.status_code


def test_promise_24_a_login_is_locked_after_a_few_failures_even_for_the_right_password(
    client: Client, user: User
) -> None:
    assert [log_in(client, "wrong") for _ in range(4)] == [200, 200, 429, 429]
    assert log_in(client, PASSWORD) == 429
    assert "_auth_user_id" not in client.session


def test_promise_24_another_address_can_still_log_in(client: Client, user: User) -> None:
    for _ in range(3):
        log_in(client, "wrong", **gateway("203.0.113.7"))

    assert log_in(client, PASSWORD, **gateway("203.0.113.7")) == 429
    assert log_in(client, PASSWORD, **gateway("198.51.100.1")) == 302


@pytest.mark.parametrize("http_api", [False, True])
def test_promise_24_forged_addresses_do_not_get_around_the_lock(
    http_api: bool, client: Client, user: User
) -> None:
    answers = [
        log_in(client, "wrong", **gateway("203.0.113.7", f"10.0.0.{n}, 10.1.1.{n}", http_api=http_api))
        for n in range(4)
    ]

    assert answers == [200, 200, 429, 429]


def test_promise_24_forged_addresses_do_not_lock_out_somebody_else(client: Client, user: User) -> None:
    for _ in range(4):
        log_in(client, "wrong", **gateway("203.0.113.7", "198.51.100.1"))

    assert log_in(client, PASSWORD, **gateway("198.51.100.1")) == 302


def test_without_api_gateway_the_connection_tells_the_address() -> None:
    request = RequestFactory().get("/", REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR="10.0.0.1")

    assert client_address(request) == "192.0.2.1"


def test_promise_24_a_header_can_not_pose_as_zappas_event() -> None:
    request = RequestFactory().get(
        "/", REMOTE_ADDR="192.0.2.1", headers={"lambda.event": "{}", "lambda-event": "{}"}
    )

    assert client_address(request) == "192.0.2.1"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost:8000@evil.example"])
def test_promise_24_a_forged_host_is_refused(host: str, client: Client) -> None:
    assert client.get(LOGIN, headers={"host": host}).status_code == 400


def test_promise_24_a_forged_forwarded_host_is_not_believed(client: Client) -> None:
    answer = client.get("/admin/", headers={"x-forwarded-host": "evil.example"})

    assert answer["Location"].startswith("/admin/login/")


def test_promise_24_a_form_without_csrf_token_is_refused(user: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    assert strict.post(LOGIN, {"username": "admin", "password": PASSWORD}).status_code == 403

    strict.force_login(user)
    for page in ("admin:clients_client_add", "admin:logout", "admin:password_change"):
        assert strict.post(reverse(page), {}).status_code == 403, page


@pytest.mark.parametrize(
    "page",
    ["admin:login", "admin:index", "admin:clients_client_changelist", "admin:clients_importrun_changelist"],
)
def test_every_page_has_a_strict_content_security_policy(page: str, client: Client, user: User) -> None:
    if page != "admin:login":
        client.force_login(user)

    answer = client.get(reverse(page))

    assert answer.status_code == 200
    policy = dict(part.strip().split(" ", 1) for part in answer["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in answer["Content-Security-Policy"]
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"
    # Nothing on the page needs what the policy forbids.
    html = answer.content.decode()
    assert not re.search(r"<script(?![^>]*(\ssrc=|application/json))", html)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", html)


PRODUCTION = {
    "RDS_HOST": "db.example",
    "RDS_USER": "u",
    "RDS_PASS": "p",
    "RDS_DB": "d",
    "NOTIFICATION_EMAIL": "admin@clientdomain.com",
    "DJANGO_SECRET_KEY": "Gm4!kd93jfDq0Zl2xVb7-Nc8sYtWpRuEoIaHe6L5Bv1XyQ3zTn",
    "ALLOWED_HOSTS": "admin.example.com",
}


def manage(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Django's command line with the environment of a deployment."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        env={"PATH": os.environ["PATH"], **PRODUCTION},
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )


def test_djangos_deployment_checks_are_silent() -> None:
    done = manage("check", "--deploy", "--fail-level", "INFO")

    assert done.returncode == 0, done.stderr
    assert "no issues (0 silenced)" in done.stdout


def test_deployed_cookies_go_over_https_only_and_the_form_may_post_to_the_bucket() -> None:
    code = (
        "from django.conf import settings as s;"
        "print(s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE, s.SESSION_COOKIE_HTTPONLY,"
        " s.CSRF_COOKIE_HTTPONLY, s.SECURE_HSTS_SECONDS > 0, s.DEBUG,"
        " s.CONTENT_SECURITY_POLICY['DIRECTIVES']['form-action'])"
    )

    assert manage("shell", "--no-imports", "-c", code).stdout.strip() == (
        "True True True True True False [\"'self'\", 'https://client-data-import-bucket.s3.amazonaws.com', "
        "'https://client-data-import-bucket.s3.us-east-1.amazonaws.com']"
    )
