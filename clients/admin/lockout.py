"""The page that stands in place of the login after too many failed ones."""

from http import HTTPStatus
from typing import Any

from axes.helpers import get_cool_off
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone


def locked_out(request: HttpRequest, _answer: Any = None, _credentials: Any = None) -> HttpResponse:
    """Says how long it lasts: the pause runs from the last try."""
    pause = get_cool_off(request)
    context = {"minutes": int(pause.total_seconds() / 60), "until": timezone.now() + pause} if pause else {}
    return render(request, "clients/locked_out.html", context, status=HTTPStatus.TOO_MANY_REQUESTS)
