"""What is refused: errors of single operations that no other test brings about, and denials of all of them."""

import pytest
from botocore.exceptions import ClientError

from conftest import implemented

MODEL = "anthropic.none-v1:0"
ASK = {"modelId": MODEL, "messages": [{"role": "user", "content": [{"text": "hi"}]}]}
ARN = "arn:aws:bedrock:us-east-1:{account}:guardrail/none"
TAGS = [{"Key": "a", "Value": "1"}]
BUCKET = {"Bucket": "bucket-of-nobody"}
ROLE = "arn:aws:iam::{account}:role/none"
ENDPOINT = "arn:aws:sagemaker:us-east-1:{account}:endpoint/none"
OWNER = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}

# Service, method of boto3, error's code, parameters.
REFUSED = [
    ("bedrock-runtime", "converse_stream", "ValidationException", ASK),
    ("bedrock-runtime", "count_tokens", "ValidationException", {
        "modelId": MODEL, "input": {"converse": {"messages": ASK["messages"]}}}),
    ("bedrock-runtime", "invoke_model_with_response_stream", "ValidationException", {"modelId": MODEL, "body": b"{}"}),
    ("bedrock", "create_guardrail_version", "ResourceNotFoundException", {"guardrailIdentifier": "none"}),
    ("bedrock", "delete_custom_model", "ResourceNotFoundException", {"modelIdentifier": "none"}),
    ("bedrock", "delete_guardrail", "ResourceNotFoundException", {"guardrailIdentifier": "none"}),
    ("bedrock", "delete_inference_profile", "ResourceNotFoundException", {"inferenceProfileIdentifier": "none"}),
    ("bedrock", "get_model_customization_job", "ResourceNotFoundException", {"jobIdentifier": "none"}),
    ("bedrock", "list_custom_models", "ValidationException", {"nextToken": "none"}),
    ("bedrock", "list_foundation_models", "ValidationException", {"byOutputModality": "SMELL"}),
    ("bedrock", "list_inference_profiles", "ValidationException", {"nextToken": "none"}),
    ("bedrock", "list_model_customization_jobs", "ValidationException", {"nextToken": "none"}),
    ("bedrock", "list_model_invocation_jobs", "ValidationException", {"nextToken": "none"}),
    ("bedrock", "list_tags_for_resource", "ResourceNotFoundException", {"resourceARN": ARN}),
    ("bedrock", "stop_model_customization_job", "ResourceNotFoundException", {"jobIdentifier": "none"}),
    ("bedrock", "tag_resource", "ResourceNotFoundException", {"resourceARN": ARN, "tags": [{"key": "a", "value": "1"}]}),
    ("bedrock", "untag_resource", "ResourceNotFoundException", {"resourceARN": ARN, "tagKeys": ["a"]}),
    ("budgets", "describe_budget_notifications_for_account", "InvalidNextTokenException", {
        "AccountId": "{account}", "NextToken": "none"}),
    ("budgets", "describe_budgets", "InvalidNextTokenException", {"AccountId": "{account}", "NextToken": "none"}),
    ("cloudtrail", "describe_trails", "InvalidTrailNameException", {"trailNameList": ["a!"]}),
    ("cloudtrail", "list_trails", "InvalidNextTokenException", {"NextToken": "none"}),
    ("ec2", "delete_launch_template", "InvalidLaunchTemplateId.NotFound", {"LaunchTemplateId": "lt-0123456789abcdef0"}),
    ("ec2", "delete_launch_template_versions", "InvalidLaunchTemplateId.NotFound", {
        "LaunchTemplateId": "lt-0123456789abcdef0", "Versions": ["1"]}),
    ("ec2", "describe_account_attributes", "InvalidParameterValue", {"AttributeNames": ["none"]}),
    ("ec2", "describe_instance_type_offerings", "InvalidParameterValue", {"Filters": [{"Name": "none", "Values": ["x"]}]}),
    ("ec2", "describe_instances", "InvalidInstanceID.NotFound", {"InstanceIds": ["i-0123456789abcdef0"]}),
    ("ec2", "describe_network_interfaces", "InvalidNetworkInterfaceID.NotFound", {
        "NetworkInterfaceIds": ["eni-0123456789abcdef0"]}),
    ("ec2", "describe_tags", "InvalidParameterValue", {"Filters": [{"Name": "none", "Values": ["x"]}]}),
    ("ec2", "modify_launch_template", "InvalidLaunchTemplateId.NotFound", {
        "LaunchTemplateId": "lt-0123456789abcdef0", "DefaultVersion": "1"}),
    ("ec2", "update_security_group_rule_descriptions_ingress", "InvalidGroup.NotFound", {
        "GroupId": "sg-0123456789abcdef0", "SecurityGroupRuleDescriptions": [
            {"SecurityGroupRuleId": "sgr-0123456789abcdef0", "Description": "x"}]}),
    ("iam", "get_account_authorization_details", "ValidationError", {"Marker": "none"}),
    ("iam", "list_account_aliases", "ValidationError", {"Marker": "none"}),
    ("iam", "list_attached_role_policies", "NoSuchEntity", {"RoleName": "none"}),
    ("iam", "list_attached_user_policies", "NoSuchEntity", {"UserName": "none"}),
    ("iam", "list_instance_profiles", "ValidationError", {"Marker": "none"}),
    ("iam", "list_policies", "ValidationError", {"Marker": "none"}),
    ("iam", "list_policy_tags", "NoSuchEntity", {"PolicyArn": "arn:aws:iam::{account}:policy/none"}),
    ("iam", "list_role_tags", "NoSuchEntity", {"RoleName": "none"}),
    ("iam", "list_users", "ValidationError", {"Marker": "none"}),
    ("iam", "list_virtual_mfa_devices", "ValidationError", {"Marker": "none"}),
    ("kms", "list_aliases", "InvalidMarkerException", {"Marker": "none"}),
    ("kms", "list_key_policies", "NotFoundException", {"KeyId": "12345678-1234-1234-1234-123456789012"}),
    ("kms", "list_resource_tags", "NotFoundException", {"KeyId": "12345678-1234-1234-1234-123456789012"}),
    ("logs", "describe_resource_policies", "InvalidParameterException", {"nextToken": "none"}),
    ("logs", "start_live_tail", "ResourceNotFoundException", {
        "logGroupIdentifiers": ["arn:aws:logs:us-east-1:{account}:log-group:none"]}),
    ("resourcegroupstaggingapi", "get_tag_keys", "PaginationTokenExpiredException", {"PaginationToken": "none"}),
    ("resourcegroupstaggingapi", "get_tag_values", "PaginationTokenExpiredException", {
        "Key": "a", "PaginationToken": "none"}),
    ("resourcegroupstaggingapi", "tag_resources", "InvalidParameterException", {
        "ResourceARNList": [ROLE], "Tags": {"aws:a": "1"}}),
    ("s3", "create_multipart_upload", "NoSuchBucket", {**BUCKET, "Key": "a"}),
    ("s3", "delete_bucket_cors", "NoSuchBucket", BUCKET),
    ("s3", "delete_bucket_encryption", "NoSuchBucket", BUCKET),
    ("s3", "delete_bucket_lifecycle", "NoSuchBucket", BUCKET),
    ("s3", "delete_bucket_ownership_controls", "NoSuchBucket", BUCKET),
    ("s3", "delete_bucket_policy", "NoSuchBucket", BUCKET),
    ("s3", "delete_bucket_tagging", "NoSuchBucket", BUCKET),
    ("s3", "delete_public_access_block", "NoSuchBucket", BUCKET),
    ("s3", "get_bucket_accelerate_configuration", "NoSuchBucket", BUCKET),
    ("s3", "get_bucket_acl", "NoSuchBucket", BUCKET),
    ("s3", "get_bucket_encryption", "NoSuchBucket", BUCKET),
    ("s3", "get_bucket_logging", "NoSuchBucket", BUCKET),
    ("s3", "get_bucket_notification_configuration", "NoSuchBucket", BUCKET),
    ("s3", "get_bucket_request_payment", "NoSuchBucket", BUCKET),
    ("s3", "get_bucket_versioning", "NoSuchBucket", BUCKET),
    ("s3", "list_object_versions", "NoSuchBucket", BUCKET),
    ("s3", "list_multipart_uploads", "NoSuchBucket", BUCKET),
    ("s3", "put_bucket_notification_configuration", "NoSuchBucket", {**BUCKET, "NotificationConfiguration": {}}),
    ("s3", "put_public_access_block", "NoSuchBucket", {**BUCKET, "PublicAccessBlockConfiguration": {}}),
    ("sagemaker", "add_tags", "ValidationException", {"ResourceArn": ENDPOINT, "Tags": TAGS}),
    ("sagemaker", "delete_tags", "ValidationException", {"ResourceArn": ENDPOINT, "TagKeys": ["a"]}),
    ("sagemaker", "list_tags", "ValidationException", {"ResourceArn": ENDPOINT}),
    ("sagemaker", "delete_endpoint_config", "ValidationException", {"EndpointConfigName": "none"}),
    ("sagemaker", "delete_model", "ValidationException", {"ModelName": "none"}),
    ("sagemaker", "list_endpoint_configs", "ValidationException", {"NextToken": "none"}),
    ("sagemaker", "list_endpoints", "ValidationException", {"NextToken": "none"}),
    ("sagemaker", "list_models", "ValidationException", {"NextToken": "none"}),
    ("sagemaker", "list_training_jobs", "ValidationException", {"NextToken": "none"}),
    ("sagemaker", "update_endpoint_weights_and_capacities", "ValidationException", {
        "EndpointName": "none", "DesiredWeightsAndCapacities": [{"VariantName": "a", "DesiredWeight": 1}]}),
    ("secretsmanager", "get_resource_policy", "ResourceNotFoundException", {"SecretId": "none"}),
    ("sts", "get_session_token", "ValidationError", {"DurationSeconds": 900_000}),
]


def filled(value, account):
    if isinstance(value, str):
        return value.replace("{account}", account)
    if isinstance(value, list):
        return [filled(item, account) for item in value]
    if isinstance(value, dict):
        return {key: filled(item, account) for key, item in value.items()}
    return value


@pytest.mark.parametrize(("service", "method", "code", "given"), REFUSED, ids=lambda it: it if isinstance(it, str) else "")
def test_refused(client, account, refused, service, method, code, given):
    caller = client(service, inject_host_prefix=False)
    with refused(code):
        getattr(caller, method)(**filled(given, account))


# How each service says that the caller may not; the others say AccessDeniedException.
DENIED = {"ec2": "UnauthorizedOperation", "iam": "AccessDenied", "sts": "AccessDenied", "s3": "AccessDenied"}
# S3 answers HEAD without a body, and so without a code.
WITHOUT_BODY = {("s3", "HeadBucket"), ("s3", "HeadObject")}


def least(shape):
    """Returns the least input of a shape that boto3 sends off."""
    kind = shape.type_name
    if kind == "structure":
        names = shape.required_members or (list(shape.members)[:1] if shape.is_tagged_union else [])
        return {name: least(shape.members[name]) for name in names}
    if kind == "list":
        return [least(shape.member)] * max(1, shape.metadata.get("min", 1))
    if kind == "map":
        return {}
    if kind == "string":
        return shape.enum[0] if shape.enum else "x" * max(1, shape.metadata.get("min", 1))
    if kind == "blob":
        return b"x"
    if kind == "timestamp":
        return 0
    return {"boolean": False}.get(kind, shape.metadata.get("min", 1))


def test_every_operation_is_denied_in_its_services_words(server, account):
    """The denial comes before the input is looked at, as the caller must not learn whether it is right."""
    wrong = []
    for service, operation in sorted(implemented()):
        server.admin("faults", {"faults": [{"operation": operation, "every": 1, "kind": "denied"}]})
        try:
            client = server.client(service, account, inject_host_prefix=False, parameter_validation=True)
            model = client.meta.service_model.operation_model(operation)
            given = least(model.input_shape) if model.input_shape else {}
            method = {api: name for name, api in client.meta.method_to_api_mapping.items()}[operation]
            try:
                getattr(client, method)(**given)
                wrong.append((service, operation, "answered"))
            except ClientError as error:
                code = error.response["Error"]["Code"]
                expected = "403" if (service, operation) in WITHOUT_BODY else DENIED.get(service, "AccessDeniedException")
                if code != expected:
                    wrong.append((service, operation, code))
        finally:
            server.admin("faults", {})
    assert wrong == []
