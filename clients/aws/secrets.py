"""Settings that name a secret in Secrets Manager instead of holding it."""

import json
import time

import boto3
from botocore.config import Config

_QUICKLY = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "max_attempts": 3})
_SECRETS_ARE_KEPT = 300  # seconds
_secrets: dict[str, tuple[float, str]] = {}  # by ARN: until when it is good, and the text


def resolve_secret(value: str, *, refetch: bool = False) -> str:
    """The value itself, or what Secrets Manager holds under it when it is an ARN.

    A secret as RDS writes it (a JSON object) yields its `password`. Secrets are cached for five
    minutes; `refetch` asks again at once, for a password that was rotated meanwhile.
    Raises botocore's errors when the secret can't be read.
    """
    if not value.startswith("arn:"):
        return value
    good_until, text = _secrets.get(value, (0.0, ""))
    if refetch or time.monotonic() > good_until:
        client = boto3.client("secretsmanager", config=_QUICKLY)
        text = client.get_secret_value(SecretId=value)["SecretString"]
        _secrets[value] = time.monotonic() + _SECRETS_ARE_KEPT, text
    if text.startswith("{"):
        return str(json.loads(text)["password"])
    return text
