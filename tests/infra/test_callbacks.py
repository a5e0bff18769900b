"""Settings that Zappa would take and that do harm."""

from typing import Any

import click
import pytest

from infra.callbacks import refuse_dangerous

UPLOADS = {"arn": "arn:aws:s3:::client-data-import-bucket", "events": ["s3:ObjectCreated:*"]}


def settings(**changes: Any) -> dict[str, Any]:
    event = {"function": "workers.import_processor.handler", "event_source": {**UPLOADS, "prefix": "a/"}}
    return {"debug": False, "keep_warm": False, "events": [event], **changes}


def test_sound_settings_pass() -> None:
    refuse_dangerous(settings(), "production_import")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"events": [{"function": "f", "event_source": UPLOADS}]}, "has no `prefix`"),
        (
            {"events": [{"function": "f", "event_source": {**UPLOADS, "prefix": "uploads"}}]},
            "has no `prefix`",
        ),
        (
            {"events": [{"function": "f", "event_source": {**UPLOADS, "key_filters": [{"type": "prefix"}]}}]},
            "`key_filters` is ignored",
        ),
        ({"debug": True}, '"debug": false'),
        ({"keep_warm": True}, '"keep_warm": false'),
        ({"environment_variables": {"RDS_PASS": "secret"}}, "plain text"),
    ],
)
def test_dangerous_settings_are_refused_with_what_to_write(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(click.ClickException) as refusal:
        refuse_dangerous(settings(**changes), "production_import")
    assert said in refusal.value.message


@pytest.mark.parametrize("name", ["debug", "keep_warm"])
def test_what_zappa_takes_for_granted_must_be_written_down(name: str) -> None:
    config = settings()
    del config[name]
    with pytest.raises(click.ClickException):
        refuse_dangerous(config, "production")
