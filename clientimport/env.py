"""Typed readers of environment variables.

Values are read plainly from `os.environ`: readers that interpolate `$` break passwords.
"""

import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key

ON_LAMBDA = "AWS_LAMBDA_FUNCTION_NAME" in os.environ

_WHERE = (
    "Set it in `aws_environment_variables` of zappa_settings.json (on Lambda) "
    "or in your shell (everywhere else); README.md lists every variable under Configuration."
)
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off", ""}


def env_str(name: str, default: str = "") -> str:
    """The variable's text, or the default where it is unset or empty."""
    return os.environ.get(name) or default


def env_required(name: str) -> str:
    """The variable's text; raises ImproperlyConfigured, saying where to set it, when it is missing."""
    value = os.environ.get(name)
    if not value:
        raise ImproperlyConfigured(f"The environment variable {name} is not set. {_WHERE}")
    return value


def env_bool(name: str, default: bool) -> bool:
    """True for 1, true, yes, on; False for 0, false, no, off; raises ImproperlyConfigured otherwise."""
    value = os.environ.get(name)
    if value is None:
        return default
    if value.strip().lower() in _TRUE | _FALSE:
        return value.strip().lower() in _TRUE
    raise ImproperlyConfigured(f"{name} is {value!r}; write true or false. {_WHERE}")


def env_int(name: str, default: int, minimum: int = 0) -> int:
    """A whole number of at least `minimum`; raises ImproperlyConfigured otherwise."""
    value = os.environ.get(name)
    if not value:
        return default
    try:
        number = int(value)
    except ValueError:
        number = minimum - 1
    if number < minimum:
        raise ImproperlyConfigured(
            f"{name} is {value!r}; write a whole number of at least {minimum}. {_WHERE}"
        )
    return number


def env_list(name: str, default: tuple[str, ...]) -> tuple[str, ...]:
    """A comma-separated list, its items trimmed; empty items are dropped."""
    value = os.environ.get(name)
    if not value:
        return default
    return tuple(item.strip() for item in value.split(",") if item.strip())


def local_secret_key(folder: Path) -> str:
    """The local platform's own Django key: made once, kept beside its data, never committed."""
    path = folder / "secret_key"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(get_random_secret_key())
    return path.read_text()
