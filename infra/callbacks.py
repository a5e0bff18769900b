"""What Zappa leaves out, as its own callbacks; they run where one deploys and are not part of the package.

`settings` comes before anything is deployed: it refuses dangerous settings, gives the function its exact
name and puts the stack's outputs where zappa_settings.json says `${Output}`. `post` comes after: it sets,
as often as one likes, what Zappa sets never or only once.
"""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

import click
from botocore.exceptions import ClientError

_OUTPUT = re.compile(r"\$\{(\w+)\}")
# Commands that need no account: they only build.
_OFFLINE = ("package", "template", "save-python-settings-file")
# Lambda keeps so many concurrent executions of an account free for functions without a reservation.
_UNRESERVED = 100
# Stands in the admin's environment until its address is known, for the minute of its first deployment.
_NOT_YET = "https://not-deployed-yet.invalid/"


def settings(cli: Any) -> None:
    """Zappa's `settings` callback, after it has read its settings and before it does anything."""
    config = cli.stage_config
    refuse_dangerous(config, cli.api_stage)
    cli.lambda_name = config["function_name"]
    if cli.command in _OFFLINE:
        return
    outputs = stack_outputs(cli, config["stack"])
    outputs |= _admin_address(cli)
    _fill_in(cli, config, outputs)
    _let_callers_have_their_own_role(cli.zappa, outputs["CallerRole"])
    cli.lambda_concurrency = _affordable(cli, config.get("lambda_concurrency"))


def post(cli: Any) -> None:
    """Zappa's `post` callback, after `deploy` and `update`. Every step may be repeated."""
    config = cli.stage_config
    _wait(cli)
    if cli.use_apigateway:
        _tell_own_address(cli)
    if "retry_attempts" in config:
        cli.zappa.lambda_client.put_function_event_invoke_config(
            FunctionName=cli.lambda_name,
            MaximumRetryAttempts=config["retry_attempts"],
            MaximumEventAgeInSeconds=config["event_age_seconds"],
        )
    if cli.dead_letter_config:
        cli.zappa.lambda_client.update_function_configuration(
            FunctionName=cli.lambda_name, DeadLetterConfig=cli.dead_letter_config
        )
        _wait(cli)
    _keep_logs(cli, config["log_retention_days"])
    _keep_one_permission_per_source(cli)


def refuse_dangerous(config: dict[str, Any], stage: str) -> None:
    """Raises ClickException for settings that Zappa would accept and that do harm."""
    for event in config.get("events", []):
        source = event.get("event_source")
        if source is None or ":s3:" not in source.get("arn", ""):
            continue
        if not source.get("prefix", "").endswith("/"):
            raise click.ClickException(
                f"zappa_settings.json, {stage}: the S3 event of {event['function']} has no `prefix` that "
                "ends with a slash, so it would fire for every object of the bucket. Write it directly into "
                '`event_source`, for example "prefix": "client-data/uploads/" (`key_filters` is ignored).'
            )
    for name in ("debug", "keep_warm"):
        if config.get(name, True):
            raise click.ClickException(
                f'zappa_settings.json, {stage}: write "{name}": false; Zappa takes true for granted.'
            )
    if config.get("environment_variables"):
        raise click.ClickException(
            f"zappa_settings.json, {stage}: `environment_variables` end up in plain text in the package. "
            "Use `aws_environment_variables`, and a Secrets Manager ARN for what is secret."
        )


def stack_outputs(cli: Any, name: str) -> dict[str, str]:
    """Outputs of the stack; raises ClickException when it isn't there."""
    try:
        stack = cli.zappa.cf_client.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        stage = name.rsplit("-", 1)[-1]
        raise click.ClickException(
            f"The stack {name} does not exist in this account and region. "
            f"Create it with: make deploy STAGE={stage}"
        ) from None
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def _admin_address(cli: Any) -> dict[str, str]:
    """Where the stage's admin site answers; every function needs it for the links in its mails."""
    admin = cli.zappa_settings[cli.api_stage.split("_")[0]]["function_name"]
    url = _api_url(cli, admin)
    return {
        "AdminUrl": f"{url}/admin/" if url else _NOT_YET,
        "AdminHost": urlsplit(url or _NOT_YET).hostname or "",
    }


def _api_url(cli: Any, admin: str) -> str:
    """The API's URL with its stage, without a slash at its end; empty before the first deployment."""
    try:
        cli.zappa.cf_client.describe_stacks(StackName=admin)
    except ClientError:
        return ""
    api = cli.zappa.get_api_id(admin)
    stage = cli.api_stage.split("_")[0]
    return f"https://{api}.execute-api.{cli.zappa.aws_region}.amazonaws.com/{stage}" if api else ""


def _fill_in(cli: Any, config: dict[str, Any], outputs: dict[str, str]) -> None:
    """Put outputs into the settings that Zappa has taken over already."""

    def filled(value: Any) -> Any:
        if isinstance(value, str):
            return _OUTPUT.sub(lambda match: outputs[match[1]], value)
        if isinstance(value, dict):
            return {key: filled(item) for key, item in value.items()}
        return value

    cli.aws_environment_variables = filled(config["aws_environment_variables"])
    queue = cli.aws_environment_variables["IMPORT_DEAD_LETTER_QUEUE"]
    cli.aws_environment_variables["IMPORT_DEAD_LETTER_QUEUE"] = queue.rsplit(":", 1)[-1]
    cli.vpc_config = {key: value.split(",") for key, value in filled(config["vpc_config"]).items()}
    cli.s3_bucket_name = filled(config["s3_bucket"])
    cli.zappa.credentials_arn = filled(config["role_arn"])
    dead_letters = filled(config.get("dead_letter_arn", ""))
    cli.dead_letter_config = {"TargetArn": dead_letters} if dead_letters else {}
    # Bucket and folder are the stack's: an owner who had to take another bucket name gave it there.
    events = [
        {
            **event,
            "event_source": {
                **event["event_source"],
                "arn": f"arn:aws:s3:::{outputs['UploadBucket']}",
                "prefix": outputs["Prefix"],
            },
        }
        if ":s3:" in event.get("event_source", {}).get("arn", "")
        else event
        for event in config.get("events", [])
    ]
    cli.override_stage_config_setting("events", events)


def _let_callers_have_their_own_role(zappa: Any, caller: str) -> None:
    """Zappa passes the function's own role to EventBridge's rules and to API Gateway. AWS refuses a rule with
    a role that EventBridge can't assume (zappa/Zappa#906), and a role that trusts only Lambda makes every
    page a 500 without a log (zappa/Zappa#63)."""
    for name in ("schedule_events", "create_stack_template"):
        setattr(zappa, name, _as_caller(zappa, getattr(zappa, name), caller))


def _as_caller(zappa: Any, call: Callable[..., Any], caller: str) -> Callable[..., Any]:
    @wraps(call)
    def wrapped(*args: Any, **options: Any) -> Any:
        own, zappa.credentials_arn = zappa.credentials_arn, caller
        try:
            return call(*args, **options)
        finally:
            zappa.credentials_arn = own

    return wrapped


def _affordable(cli: Any, wanted: int | None) -> int | None:
    """The reservation, or none when the account's limit (10 in a new account) leaves nothing to reserve."""
    if wanted is None:
        return None
    limits = cli.zappa.lambda_client.get_account_settings()["AccountLimit"]
    current = _reserved(cli)
    if limits["UnreservedConcurrentExecutions"] + current - wanted >= _UNRESERVED:
        return wanted
    click.echo(
        f"Warning: this account allows {limits['ConcurrentExecutions']} executions at once, too few "
        f"to reserve {wanted} for {cli.lambda_name}; it is deployed without a reservation. Ask AWS for more "
        "under Service Quotas → Lambda → Concurrent executions, and deploy again."
    )
    return None


def _reserved(cli: Any) -> int:
    try:
        answer = cli.zappa.lambda_client.get_function_concurrency(FunctionName=cli.lambda_name)
    except ClientError:  # not deployed yet
        return 0
    return int(answer.get("ReservedConcurrentExecutions", 0))


def _tell_own_address(cli: Any) -> None:
    """The admin's address is known only after its first deployment."""
    client = cli.zappa.lambda_client
    address = _admin_address(cli)
    variables = client.get_function_configuration(FunctionName=cli.lambda_name)["Environment"]["Variables"]
    known = {"ADMIN_URL": address["AdminUrl"], "ALLOWED_HOSTS": address["AdminHost"]}
    if any(variables.get(name) == _NOT_YET or not variables.get(name) for name in known):
        client.update_function_configuration(
            FunctionName=cli.lambda_name, Environment={"Variables": variables | known}
        )
        _wait(cli)


def _keep_logs(cli: Any, days: int) -> None:
    """Make the log group, so that its retention holds from the first line on."""
    group = f"/aws/lambda/{cli.lambda_name}"
    logs = cli.zappa.logs_client
    with suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName=group)
    logs.put_retention_policy(logGroupName=group, retentionInDays=days)


def _keep_one_permission_per_source(cli: Any) -> None:
    """Zappa adds a statement for S3 with each update until the policy is full (20 KB), one of them without
    the owner's account: the next owner of the bucket's name could invoke the function."""
    client = cli.zappa.lambda_client
    try:
        policy = json.loads(client.get_policy(FunctionName=cli.lambda_name)["Policy"])
    except client.exceptions.ResourceNotFoundException:
        return
    seen: set[str] = set()
    # Statements that name the account come first, so that one of them is the one that stays.
    for statement in sorted(policy["Statement"], key=lambda s: "aws:SourceAccount" not in json.dumps(s)):
        if statement.get("Principal", {}).get("Service") != "s3.amazonaws.com":
            continue
        source = str(statement.get("Condition", {}).get("ArnLike", {}).get("AWS:SourceArn"))
        if source in seen:
            client.remove_permission(FunctionName=cli.lambda_name, StatementId=statement["Sid"])
        seen.add(source)


def _wait(cli: Any) -> None:
    cli.zappa.lambda_client.get_waiter("function_updated_v2").wait(FunctionName=cli.lambda_name)
