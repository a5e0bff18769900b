"""A small IAM: which action a call to AWS needs on which resource, and whether a role's policies allow it."""

import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import boto3

ACCOUNT, REGION = "123456789012", "us-east-1"

# Operations whose action has another name (AWS's Service Authorization Reference).
_ACTIONS = {
    ("s3", "HeadObject"): "s3:GetObject",
    ("s3", "HeadBucket"): "s3:ListBucket",
    ("s3", "ListObjectsV2"): "s3:ListBucket",
    ("s3", "ListObjectVersions"): "s3:ListBucketVersions",
    ("s3", "GetBucketNotificationConfiguration"): "s3:GetBucketNotification",
    ("s3", "DeleteObjects"): "s3:DeleteObject",
    ("lambda", "Invoke"): "lambda:InvokeFunction",
    ("sesv2", "SendEmail"): "ses:SendRawEmail",  # anymail hands over a whole MIME message
    ("sesv2", "GetAccount"): "ses:GetAccount",
    ("sesv2", "GetEmailIdentity"): "ses:GetEmailIdentity",
}
_ON_VERSIONS = {"s3:GetObject": "s3:GetObjectVersion", "s3:DeleteObject": "s3:DeleteObjectVersion"}


def needed(service: str, operation: str, parameters: dict[str, str]) -> tuple[str, str]:
    """The action and the resource's ARN of one call."""
    action = _ACTIONS.get((service, operation), f"{service}:{operation}")
    if "VersionId" in parameters:
        action = _ON_VERSIONS.get(action, action)
    return action, _resource(service, operation, parameters)


def _resource(service: str, operation: str, parameters: dict[str, str]) -> str:
    match service:
        case "s3":
            key = f"/{parameters['Key']}" if "Key" in parameters else ""
            if operation == "DeleteObjects":
                key = "/client-data/uploads/any.csv"
            return f"arn:aws:s3:::{parameters['Bucket']}{key}"
        case "lambda":
            return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{parameters['FunctionName']}"
        case "sqs":
            name = parameters.get("QueueName") or parameters["QueueUrl"].rsplit("/", 1)[-1]
            return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
        case "secretsmanager":
            return parameters["SecretId"]
        case "events":
            return f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{parameters.get('Name', 'any')}"
        case "sesv2":
            return f"arn:aws:ses:{REGION}:{ACCOUNT}:identity/clients@example.com"
    raise AssertionError(f"say what {service}:{operation} needs")


def statements_of(role_arn: str) -> Iterator[dict[str, Any]]:
    """Every statement of the role's inline and managed policies, as AWS holds them."""
    iam, role = boto3.client("iam"), role_arn.rsplit("/", 1)[-1]
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document: Any = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        yield from _statements(document)
    for policy in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        arn = policy["PolicyArn"]
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
        yield from _statements(document)


def trusts(role_arn: str, service: str) -> bool:
    """Whether the role lets the service assume it."""
    role = boto3.client("iam").get_role(RoleName=role_arn.rsplit("/", 1)[-1])["Role"]
    return any(
        statement["Effect"] == "Allow"
        and service in _listed(statement.get("Principal", {}).get("Service", []))
        for statement in _statements(role["AssumeRolePolicyDocument"])
    )


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _statements(document: Any) -> list[dict[str, Any]]:
    parsed = json.loads(document) if isinstance(document, str) else document
    found: list[dict[str, Any]] = parsed["Statement"]
    return found


def allows(statements: list[dict[str, Any]], action: str, resource: str) -> bool:
    """Whether some Allow matches and no unconditional Deny does."""
    matching = [s for s in statements if _matches(s["Action"], action) and _matches(s["Resource"], resource)]
    denied = any(s["Effect"] == "Deny" and "Condition" not in s for s in matching)
    return not denied and any(s["Effect"] == "Allow" for s in matching)


def _matches(patterns: str | list[str], value: str) -> bool:
    return any(fnmatchcase(value, pattern) for pattern in _listed(patterns))
