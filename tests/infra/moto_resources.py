"""Resource types that moto's CloudFormation doesn't know, made over the API of the server they live in."""

import json
import secrets
from typing import Any

import boto3
from moto.core.common_models import CloudFormationModel


class _Made(CloudFormationModel):
    """A resource that is made over the API of this very server, as CloudFormation itself does."""

    def __init__(self, physical_id: str, attributes: dict[str, str] | None = None) -> None:
        self.physical_resource_id = physical_id
        self.attributes = attributes or {}

    @staticmethod
    def cloudformation_name_type() -> str:
        return ""

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        return attr == "Arn"

    def get_cfn_attribute(self, attribute_name: str) -> str:
        return self.attributes[attribute_name]

    @classmethod
    def make(cls, name: str, properties: dict[str, Any]) -> "_Made":
        raise NotImplementedError

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **kwargs: Any
    ) -> "_Made":
        return cls.make(resource_name, cloudformation_json["Properties"])

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: "_Made",
        new_resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
    ) -> "_Made":
        # An update without changes must not make a second secret.
        if cls is _Secret:
            return original_resource
        return cls.make(original_resource.physical_resource_id, cloudformation_json["Properties"])

    @classmethod
    def delete_from_cloudformation_json(cls, *args: Any, **kwargs: Any) -> None:
        pass


class _Secret(_Made, CloudFormationModel):  # moto asks for direct subclasses
    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::SecretsManager::Secret"

    @classmethod
    def make(cls, name: str, properties: dict[str, Any]) -> _Made:
        wanted = properties["GenerateSecretString"]
        value = secrets.token_urlsafe(wanted["PasswordLength"])[: wanted["PasswordLength"]]
        if "SecretStringTemplate" in wanted:
            value = json.dumps(
                {**json.loads(wanted["SecretStringTemplate"]), wanted["GenerateStringKey"]: value}
            )
        answer = boto3.client("secretsmanager").create_secret(Name=name, SecretString=value)
        return cls(answer["ARN"])


class _Alarm(_Made, CloudFormationModel):  # moto asks for direct subclasses
    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::CloudWatch::Alarm"

    @classmethod
    def make(cls, name: str, properties: dict[str, Any]) -> _Made:
        numbers = {key: int(properties[key]) for key in ("Period", "EvaluationPeriods")}
        boto3.client("cloudwatch").put_metric_alarm(
            AlarmName=name, **{**properties, **numbers, "Threshold": float(properties["Threshold"])}
        )
        return cls(name, {"Arn": f"arn:aws:cloudwatch:us-east-1:123456789012:alarm:{name}"})


class _BucketPolicy(_Made, CloudFormationModel):  # moto asks for direct subclasses
    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::S3::BucketPolicy"

    @classmethod
    def make(cls, name: str, properties: dict[str, Any]) -> _Made:
        boto3.client("s3").put_bucket_policy(
            Bucket=properties["Bucket"], Policy=json.dumps(properties["PolicyDocument"])
        )
        return cls(name)


class _RolePolicy(_Made, CloudFormationModel):  # moto asks for direct subclasses
    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::IAM::RolePolicy"

    @classmethod
    def make(cls, name: str, properties: dict[str, Any]) -> _Made:
        boto3.client("iam").put_role_policy(
            RoleName=properties["RoleName"],
            PolicyName=properties["PolicyName"],
            PolicyDocument=json.dumps(properties["PolicyDocument"]),
        )
        return cls(name)


class _QueuePolicy(_Made, CloudFormationModel):  # moto asks for direct subclasses
    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::SQS::QueuePolicy"

    @classmethod
    def make(cls, name: str, properties: dict[str, Any]) -> _Made:
        for queue in properties["Queues"]:
            boto3.client("sqs").set_queue_attributes(
                QueueUrl=queue, Attributes={"Policy": json.dumps(properties["PolicyDocument"])}
            )
        return cls(name)


class _Subscription(_Made, CloudFormationModel):  # moto asks for direct subclasses
    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::SNS::Subscription"

    @classmethod
    def make(cls, name: str, properties: dict[str, Any]) -> _Made:
        return cls(boto3.client("sns").subscribe(**properties)["SubscriptionArn"])


class _EmailIdentity(_Made, CloudFormationModel):  # moto asks for direct subclasses
    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::SES::EmailIdentity"

    @classmethod
    def make(cls, name: str, properties: dict[str, Any]) -> _Made:
        boto3.client("sesv2").create_email_identity(**properties)
        return cls(properties["EmailIdentity"])
