"""Log lines: one JSON object each, with what was given along."""

import json
import logging
import sys

from clientimport.logs import JsonFormatter


def line(message: str, *arguments: object, **fields: object) -> dict[str, object]:
    record = logging.LogRecord("clients", logging.WARNING, __file__, 7, message, arguments, None, "there")
    vars(record).update(fields)
    said: dict[str, object] = json.loads(JsonFormatter().format(record))
    return said


def test_a_line_says_what_where_and_how_bad() -> None:
    said = line("%s of %s", 1, 2)
    assert (said["message"], said["level"], said["location"]) == ("1 of 2", "WARNING", "there:7")
    assert str(said["timestamp"]).endswith("+00:00")


def test_what_is_given_along_is_there_by_its_name_and_nothing_else_is() -> None:
    said = line("claimed", run=5, key="a\nb")
    assert (said["run"], said["key"]) == (5, "a\nb")
    assert said.keys() == {"message", "level", "location", "timestamp", "service", "run", "key"}


def test_what_json_does_not_know_is_written_as_text() -> None:
    assert line("x", run={1}.__class__)["run"] == "<class 'set'>"


def test_an_exception_is_there_with_its_traceback() -> None:
    try:
        raise ValueError("bad")
    except ValueError:
        said = line("failed", exc_info=sys.exc_info())
    assert said["exception_name"] == "ValueError"
    assert "Traceback" in str(said["exception"])
