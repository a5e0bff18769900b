"""moto's server, patched where a deployment needs more of AWS than it gives, and with functions that run.

    python -m tests.infra.moto_aws PORT         serve until standard input closes, as local.aws_server does

What is patched: resource types that its CloudFormation doesn't know, what its Lambda forgets (dead-letter
configuration, the status of AddPermission, function URLs, account settings), and execution: an invoked
function is the deployed package under AWS's runtime client. $LAMBDA_VARIABLES (JSON) replaces variables
of the functions that name places which exist on AWS alone.
"""

import json
import os
import sys
import tempfile
import threading
import time
import traceback
import zipfile
from pathlib import Path
from typing import Any

import boto3
from flask import got_request_exception
from moto.apigateway.models import Method
from moto.awslambda import models as lambda_models
from moto.awslambda import urls as lambda_urls
from moto.awslambda.responses import LambdaResponse
from moto.awslambda.utils import get_backend
from moto.ec2.models.vpcs import VPCBackend
from moto.events.exceptions import ValidationException
from moto.events.models import EventsBackend
from moto.iam.access_control import PermissionResult
from moto.iam.models import Role
from moto.rds.models import DBInstance
from moto.s3 import notifications
from moto.s3.models import FakeBucket
from moto.ses.models import SESBackend
from moto.sesv2 import urls as ses_urls
from moto.sesv2.responses import SESV2Response

from local import aws_server
from tests.infra import (
    iam,
    moto_resources,  # noqa: F401 - moto finds them as subclasses
)
from tests.infra.runtime import Environment, InitError

_ATTEMPTS = 3


def patch() -> None:
    """Change moto where AWS does otherwise, each for the reason given."""
    _patch_database()
    _patch_functions()
    lambda_models.LambdaFunction._invoke_lambda = _execute  # type: ignore
    notifications._invoke_awslambda = _deliver  # type: ignore
    _patch_buckets()
    # CloudFormation finds the order in which things can go; moto gives up on the first dependency.
    VPCBackend.delete_vpc = lambda self, vpc_id: self.vpcs.pop(vpc_id, None)  # type: ignore
    # moto enforces bucket policies without their conditions: "deny all that is not TLS" would deny all.
    FakeBucket.get_permission = lambda self, action, resource: PermissionResult.NEUTRAL  # type: ignore
    _patch_roles()
    _patch_schedules()
    _patch_integrations()
    # The tests' way to click the link in AWS's mail.
    SESBackend.verify_email_identity = _verify  # type: ignore
    ses_urls.url_paths[r"{0}/v2/email/account$"] = SESV2Response.dispatch
    SESV2Response.get_account = lambda self: json.dumps({"ProductionAccessEnabled": False})  # type: ignore


def _verify(self: Any, address: str) -> None:
    self.email_identities[address].verified_for_sending_status = True


def _patch_schedules() -> None:
    """AWS refuses a rule with a role that EventBridge can't assume; moto takes any text for a role."""
    put = EventsBackend.put_rule

    def put_with_a_role_that_can_be_assumed(self: Any, *args: Any, **options: Any) -> Any:
        role = options.get("role_arn")
        if role and not iam.trusts(role, "events.amazonaws.com"):
            raise ValidationException(
                f"Provided role '{role}' cannot be assumed by principal 'events.amazonaws.com'."
            )
        return put(self, *args, **options)

    EventsBackend.put_rule = put_with_a_role_that_can_be_assumed  # type: ignore


def _patch_integrations() -> None:
    """moto's CloudFormation forgets with which role API Gateway is to call a function."""
    create = Method.create_from_cloudformation_json.__func__  # type: ignore

    def create_with_role(cls: Any, name: str, template: Any, *args: Any, **options: Any) -> Any:
        method = create(cls, name, template, *args, **options)
        method.method_integration.credentials = template["Properties"]["Integration"]["Credentials"]
        return method

    Method.create_from_cloudformation_json = classmethod(create_with_role)  # type: ignore


def _patch_roles() -> None:
    """moto's CloudFormation leaves a role's managed policies out, and can't delete a role that has any."""
    create = Role.create_from_cloudformation_json.__func__  # type: ignore

    def create_all(cls: Any, name: str, template: Any, *args: Any, **kwargs: Any) -> Any:
        role = create(cls, name, template, *args, **kwargs)
        for arn in template["Properties"].get("ManagedPolicyArns", []):
            boto3.client("iam").attach_role_policy(RoleName=role.name, PolicyArn=arn)
        return role

    Role.create_from_cloudformation_json = classmethod(create_all)  # type: ignore

    delete = Role.delete_from_cloudformation_json.__func__  # type: ignore

    def delete_all(cls: Any, name: str, *args: Any, **kwargs: Any) -> None:
        iam = boto3.client("iam")
        for policy in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
            iam.detach_role_policy(RoleName=name, PolicyArn=policy["PolicyArn"])
        for inline in iam.list_role_policies(RoleName=name)["PolicyNames"]:
            iam.delete_role_policy(RoleName=name, PolicyName=inline)
        delete(cls, name, *args, **kwargs)

    Role.delete_from_cloudformation_json = classmethod(delete_all)  # type: ignore


def _patch_buckets() -> None:
    """moto's CloudFormation forgets versioning, public access and encryption."""
    create = FakeBucket.create_from_cloudformation_json.__func__  # type: ignore

    def create_all(cls: Any, name: str, template: Any, *args: Any, **kwargs: Any) -> Any:
        bucket = create(cls, name, template, *args, **kwargs)
        properties, s3 = template["Properties"], boto3.client("s3")
        bucket.versioning_status = properties.get("VersioningConfiguration", {}).get("Status")
        s3.put_public_access_block(
            Bucket=bucket.name, PublicAccessBlockConfiguration=properties["PublicAccessBlockConfiguration"]
        )
        rules = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        by_default: Any = [
            {"ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"]} for rule in rules
        ]
        s3.put_bucket_encryption(Bucket=bucket.name, ServerSideEncryptionConfiguration={"Rules": by_default})
        return bucket

    FakeBucket.create_from_cloudformation_json = classmethod(create_all)  # type: ignore


def _patch_database() -> None:
    """moto's CloudFormation loses ManageMasterUserPassword and doesn't know the secret's ARN."""
    create = DBInstance.create_from_cloudformation_json.__func__  # type: ignore
    attribute = DBInstance.get_cfn_attribute

    def create_with_secret(cls: Any, name: str, template: Any, *args: Any, **kwargs: Any) -> Any:
        group = template["Properties"].get("DBParameterGroupName")
        template["Properties"]["DBParameterGroupName"] = getattr(group, "name", group)
        database = create(cls, name, template, *args, **kwargs)
        if template["Properties"].get("ManageMasterUserPassword"):
            database.backend.modify_db_instance(
                database.db_instance_identifier, {"manage_master_user_password": True}
            )
        return database

    def attribute_or_secret(self: Any, name: str) -> Any:
        if name == "MasterUserSecret.SecretArn":
            return self.master_user_secret.secret.arn
        return attribute(self, name)

    DBInstance.create_from_cloudformation_json = classmethod(create_with_secret)  # type: ignore
    DBInstance.get_cfn_attribute = attribute_or_secret  # type: ignore
    DBInstance.has_cfn_attr = classmethod(  # type: ignore
        lambda cls, attr: attr in ("Endpoint.Address", "Endpoint.Port", "MasterUserSecret.SecretArn")
    )


def _patch_functions() -> None:
    get, update, init = (
        lambda_models.LambdaFunction.get_configuration,
        lambda_models.LambdaFunction.update_configuration,
        lambda_models.LambdaFunction.__init__,
    )

    def remember(self: Any, account_id: str, spec: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        self.dead_letter_config = spec.get("DeadLetterConfig") or {}
        init(self, account_id, spec, *args, **kwargs)

    def get_all(self: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return {**get(self, *args, **kwargs), "DeadLetterConfig": self.dead_letter_config}

    def update_all(self: Any, changes: dict[str, Any]) -> dict[str, Any]:
        self.dead_letter_config = changes.get("DeadLetterConfig", self.dead_letter_config)
        update(self, changes)
        return get_all(self)

    lambda_models.LambdaFunction.__init__ = remember  # type: ignore
    lambda_models.LambdaFunction.get_configuration = get_all  # type: ignore
    lambda_models.LambdaFunction.update_configuration = update_all  # type: ignore

    put = lambda_models.LambdaBackend.put_function_event_invoke_config

    def put_one(self: Any, function_name: str, config: dict[str, Any]) -> dict[str, Any]:
        self.get_function(function_name).event_invoke_config = []  # it would go on showing the first
        return put(self, function_name, config)

    lambda_models.LambdaBackend.put_function_event_invoke_config = put_one  # type: ignore

    add = LambdaResponse.add_permission
    LambdaResponse.add_permission = lambda self: (201, {"status": 201}, add(self))  # type: ignore
    LambdaResponse.list_function_url_configs = lambda self: json.dumps({"FunctionUrlConfigs": []})  # type: ignore
    LambdaResponse.get_account_settings = lambda self: json.dumps(  # type: ignore
        {"AccountLimit": {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 1000}}
    )
    lambda_urls.url_paths |= {
        r"{0}/(?P<api_version>[^/]+)/functions/(?P<function_name>[\w_:%-]+)/urls$": LambdaResponse.dispatch,
        r"{0}/(?P<api_version>[^/]+)/account-settings/?$": LambdaResponse.dispatch,
    }


# --- functions that run -----------------------------------------------------------------------------

_folder = Path(tempfile.mkdtemp(prefix="lambda-"))
_idle: dict[str, list[Environment]] = {}
_lock = threading.Lock()


def _execute(self: Any, event: Any = None) -> tuple[str, bool, str]:
    """Run one invocation: the result or error as JSON text, whether it is an error, and the log."""
    variables = {**self.environment_vars, **json.loads(os.environ.get("LAMBDA_VARIABLES", "{}"))}
    key = json.dumps([self.function_name, self.code_sha_256, variables], sort_keys=True)
    environment = _take(self, key, variables)
    try:
        answer = environment.invoke(event)
    except InitError as error:
        environment.close()
        return json.dumps({"errorMessage": str(error), "errorType": "Init"}), True, ""
    _idle[key].append(environment)
    return json.dumps(answer.payload), answer.failed, environment.log()[-4000:]


def _take(function: Any, key: str, variables: dict[str, str]) -> Environment:
    """An environment that nobody uses, or a new one: as many invocations at once as there are events."""
    with _lock:
        idle = _idle.setdefault(key, [])
        if idle:
            return idle.pop()
        package = _folder / function.code_sha_256.replace("/", "_")
        if not package.exists():
            with zipfile.ZipFile(_bytes_of(function)) as archive:
                archive.extractall(package)
    return Environment(
        package,
        variables,
        name=function.function_name,
        handler=function.handler,
        seconds=function.timeout,
        record="RECORD_CALLS" in os.environ,
    )


def _bytes_of(function: Any) -> Any:
    path = _folder / f"{function.function_name}.zip"
    path.write_bytes(function.code_bytes)
    return path


def _deliver(account_id: str, event: Any, arn: str, region: str) -> None:
    """An asynchronous invocation: in the background, three attempts, then the dead-letter queue."""
    function = get_backend(account_id, region).get_function(arn)
    threading.Thread(target=_attempt, args=(function, event), daemon=True).start()


def _attempt(function: Any, event: Any) -> None:
    for attempt in range(_ATTEMPTS):
        if not _execute(function, event)[1]:
            return
        time.sleep(attempt)
    queue = function.dead_letter_config.get("TargetArn", "").rsplit(":", 1)[-1]
    if queue:
        sqs = boto3.client("sqs")
        sqs.send_message(
            QueueUrl=sqs.get_queue_url(QueueName=queue)["QueueUrl"],
            MessageBody=json.dumps(event),
            MessageAttributes={"ErrorCode": {"DataType": "Number", "StringValue": "200"}},
        )


def _show(sender: Any, exception: BaseException, **extra: Any) -> None:
    traceback.print_exception(exception)


if __name__ == "__main__":
    patch()
    got_request_exception.connect(_show)
    os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{sys.argv[1]}"
    os.environ["AWS_DEFAULT_REGION"] = "us-east-1"
    aws_server._serve(int(sys.argv[1]), None)
