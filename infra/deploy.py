"""`make deploy` and `make destroy`: the stack, the three functions, the database's tables, the first login.

    python -m infra.deploy production --email clients@example.com
    python -m infra.deploy staging --destroy

Every step may be repeated: what is there is updated, what is missing is made.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError, NoCredentialsError, NoRegionError, WaiterError

from infra import package

ROOT = Path(__file__).resolve().parent.parent
STAGES = json.loads((ROOT / "zappa_settings.json").read_text())
# Options of this command → parameters of the template; what isn't given stays as it is.
PARAMETERS = {
    "email": "NotificationEmail",
    "sender": "NotificationSender",
    "bucket": "BucketName",
    "no_import_for_hours": "NoImportForHours",
    "high_availability": "HighAvailability",
    "database_class": "DatabaseClass",
    "deletion_protection": "DeletionProtection",
}


class Stop(Exception):
    """Something that the person in front of the terminal has to do first."""


def deploy(stage: str, given: dict[str, str]) -> None:
    """From nothing, or from an earlier version, to a running stage."""
    step("The stack (a quarter of an hour the first time: it makes a database)")
    apply_stack(stage, given)
    step("The package")
    package.prebuild()
    os.environ[package.PREPARED] = "1"
    for function in functions_of(stage):
        step(f"The function {STAGES[function]['function_name']}")
        zappa("update" if exists(STAGES[function]["function_name"]) else "deploy", function)
    worker = f"{stage}_import"
    step("The database's tables")
    zappa("invoke", worker, "workers.maintenance.migrate", "--no-color")
    step("The first administrator")
    zappa("invoke", stage, "workers.maintenance.create_first_admin", "--no-color")
    step("The doctor")
    zappa("invoke", worker, "workers.maintenance.doctor", "--no-color")
    print(_done(stage))


def destroy(stage: str) -> None:
    """Remove functions and stack; says what is left, because it holds data."""
    for function in reversed(functions_of(stage)):
        if exists(STAGES[function]["function_name"]):
            step(f"The function {STAGES[function]['function_name']}")
            zappa("undeploy", function, "--yes")
    step("The stack (the database leaves a snapshot)")
    outputs = stack_outputs(STAGES[stage]["stack"])
    cloudformation = boto3.client("cloudformation")
    try:
        cloudformation.delete_stack(StackName=STAGES[stage]["stack"])
        cloudformation.get_waiter("stack_delete_complete").wait(StackName=STAGES[stage]["stack"])
    except (ClientError, WaiterError) as error:
        raise Stop(
            f"AWS did not delete the stack: {error}\n"
            f"The database's protection is lifted with: make deploy STAGE={stage} DELETION_PROTECTION=false\n"
            "Network interfaces of deleted functions go after some 20 minutes: then run make destroy again."
        ) from None
    print(
        f"\nGone. Left, because it holds data or history, and cheap:\n"
        f"  - the bucket {outputs.get('UploadBucket', '?')} with its files (S3 console → Empty, Delete)\n"
        f"  - a snapshot of the database: RDS → Snapshots\n"
        f"  - the functions' logs until their time is over: CloudWatch → Log groups /aws/lambda/ClientData*\n"
        "A new deployment needs the bucket's name: delete the bucket, or give another name with BUCKET=…"
    )


def functions_of(stage: str) -> list[str]:
    """Zappa's stages of one of ours. The admin first: the others' mails link to its address."""
    return [stage, f"{stage}_import", f"{stage}_clean"]


def apply_stack(stage: str, given: dict[str, str]) -> None:
    """Create or update the stack and wait; raises Stop with the first reason when it fails."""
    name = STAGES[stage]["stack"]
    cloudformation = boto3.client("cloudformation")
    before = _stack(name)
    if before is None and "NotificationEmail" not in given:
        raise Stop("Who shall be told about imports? Run: make deploy STAGE=… EMAIL=clients@example.com")
    if before is None:
        given = {
            "CreateSenderIdentity": str(not _sender_known(given)).lower(),
            **_stage_defaults(stage),
            **given,
        }
        known: set[str] = set()
    else:
        known = {parameter["ParameterKey"] for parameter in before["Parameters"]}
    parameters: list[Any] = [{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()]
    parameters += [{"ParameterKey": key, "UsePreviousValue": True} for key in sorted(known - given.keys())]
    call = cloudformation.create_stack if before is None else cloudformation.update_stack
    try:
        call(
            StackName=name,
            TemplateBody=(ROOT / "infra" / "template.yaml").read_text(),
            Parameters=parameters,
            Capabilities=["CAPABILITY_IAM"],
        )
    except ClientError as error:
        if "No updates are to be performed" in str(error):
            return
        raise
    waiter = (
        cloudformation.get_waiter("stack_create_complete")
        if before is None
        else cloudformation.get_waiter("stack_update_complete")
    )
    try:
        waiter.wait(StackName=name, WaiterConfig={"Delay": 15, "MaxAttempts": 160})
    except WaiterError:
        raise Stop(_why_it_failed(name)) from None


def stack_outputs(name: str) -> dict[str, str]:
    stack = _stack(name) or {}
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def exists(function: str) -> bool:
    client = boto3.client("lambda")
    try:
        client.get_function_configuration(FunctionName=function)
    except client.exceptions.ResourceNotFoundException:
        return False
    return True


def zappa(*arguments: str) -> None:
    """Run Zappa as its own command; raises Stop when it fails (it has said why)."""
    # Zappa insists on an activated environment; the package's own is made by infra.package.
    environment = {**os.environ, "VIRTUAL_ENV": os.environ.get("VIRTUAL_ENV", sys.prefix)}
    command = [sys.executable, "-m", "zappa.cli", *arguments]
    if subprocess.run(command, cwd=ROOT, env=environment).returncode:
        raise Stop(f"zappa {' '.join(arguments)} failed; fix what it says above and run make deploy again.")


def step(what: str) -> None:
    print(f"\n=== {what}", flush=True)


def _stage_defaults(stage: str) -> dict[str, str]:
    if stage == "production":
        return {"Stage": stage}
    # Staging holds nothing that is worth protecting, and nobody uploads there every day.
    return {
        "Stage": stage,
        "BucketName": f"client-data-import-bucket-{stage}",
        "NoImportForHours": "0",
        "DeletionProtection": "false",
    }


def _stack(name: str) -> dict[str, Any] | None:
    try:
        stack: Any = boto3.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        return None
    return dict(stack)


def _sender_known(given: dict[str, str]) -> bool:
    """Whether SES has the sender already: an identity belongs to the account, not to a stack."""
    ses = boto3.client("sesv2")
    sender = given.get("NotificationSender") or given["NotificationEmail"]
    for identity in (sender, sender.split("@")[-1]):
        try:
            ses.get_email_identity(EmailIdentity=identity)
        except ses.exceptions.NotFoundException:
            continue
        return True
    return False


def _why_it_failed(name: str) -> str:
    events = boto3.client("cloudformation").describe_stack_events(StackName=name)["StackEvents"]
    reasons = [
        f"{event['LogicalResourceId']}: {event['ResourceStatusReason']}"
        for event in events
        if event["ResourceStatus"].endswith("_FAILED") and event.get("ResourceStatusReason")
    ]
    reason = reasons[-1] if reasons else "CloudFormation gave no reason"
    hint = ""
    if "already exists" in reason and "Bucket" in reason:
        hint = " Bucket names are unique in the whole world: choose another one with BUCKET=my-client-data."
    return (
        f"The stack {name} failed. {reason}.{hint} If its state is ROLLBACK_COMPLETE, delete it first: "
        f"aws cloudformation delete-stack --stack-name {name}"
    )


def _done(stage: str) -> str:
    outputs = stack_outputs(STAGES[stage]["stack"])
    variables = boto3.client("lambda").get_function_configuration(FunctionName=STAGES[stage]["function_name"])
    url = variables["Environment"]["Variables"]["ADMIN_URL"]
    return f"""
Deployed. What is left to do, once:
  1. {outputs["NotificationSender"]} has got two mails from AWS: click the link in "Email Address
     Verification", and the one in "Subscription Confirmation" (alarms).
  2. Leave SES's sandbox if others are to get mails too: SES console → Account dashboard.
  3. Log in at {url}
     as admin; the password:
     aws secretsmanager get-secret-value --query SecretString --output text \\
         --secret-id {outputs["FirstAdmin"]}
  4. Upload a file:
     aws s3 cp samples/clients.csv s3://{outputs["UploadBucket"]}/{outputs["Prefix"]}
The doctor looks again with: zappa invoke {stage}_import workers.maintenance.doctor"""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="infra.deploy", description=__doc__.split("\n")[0])
    parser.add_argument("stage", choices=[name for name in STAGES if "_" not in name])
    parser.add_argument("--destroy", action="store_true")
    for option, parameter in PARAMETERS.items():
        parser.add_argument(f"--{option.replace('_', '-')}", metavar=parameter, default="")
    options = vars(parser.parse_args(arguments))
    given = {parameter: options[option] for option, parameter in PARAMETERS.items() if options[option]}
    try:
        who = boto3.client("sts").get_caller_identity()
        region = boto3.session.Session().region_name
        print(f"Account {who['Account']}, region {region}, stage {options['stage']}")
        if options["destroy"]:
            destroy(options["stage"])
        else:
            deploy(options["stage"], given)
    except (NoCredentialsError, NoRegionError):
        print(
            "AWS doesn't know who you are, or where: run `aws configure` (access key, region).",
            file=sys.stderr,
        )
        return 2
    except Stop as stop:
        print(f"\n{stop}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
