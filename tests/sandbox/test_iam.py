"""IAM: every simulated operation, success and error."""

import csv
import io
import json

import pytest


@pytest.fixture
def iam(client):
    return client("iam")


def trust(**principal):
    principal = principal or {"Service": "ec2.amazonaws.com"}
    return {"Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}]}


def allow(action="s3:GetObject", resource="arn:aws:s3:::data/*"):
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": resource}]}


TRUST, ALLOW = json.dumps(trust()), json.dumps(allow())
READ_ONLY = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"


@pytest.fixture
def role(iam):
    return iam.create_role(
        RoleName="trainer", Path="/ml/", AssumeRolePolicyDocument=TRUST, Description="trains",
        MaxSessionDuration=7200, PermissionsBoundary=READ_ONLY, Tags=[{"Key": "team", "Value": "ml"}],
    )["Role"]


@pytest.fixture
def policy(iam):
    return iam.create_policy(PolicyName="data", PolicyDocument=ALLOW, Description="reads")["Policy"]


def test_role_is_read_back(iam, role, account, refused):
    assert role["Arn"] == f"arn:aws:iam::{account}:role/ml/trainer"
    assert role["RoleId"].startswith("AROA") and len(role["RoleId"]) == 21
    read = iam.get_role(RoleName="trainer")["Role"]
    assert read["AssumeRolePolicyDocument"] == trust()
    assert (read["Description"], read["MaxSessionDuration"]) == ("trains", 7200)
    assert read["PermissionsBoundary"] == {
        "PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": READ_ONLY}
    assert read["Tags"] == [{"Key": "team", "Value": "ml"}]
    listed = iam.list_roles(PathPrefix="/ml/")["Roles"]
    assert [r["RoleName"] for r in listed] == ["trainer"]
    assert "Tags" not in listed[0] and listed[0]["MaxSessionDuration"] == 7200
    assert iam.list_roles(PathPrefix="/other/")["Roles"] == []
    with refused("NoSuchEntity", 404):
        iam.get_role(RoleName="none")


def test_create_role_refuses(iam, role, refused):
    with refused("EntityAlreadyExists", 409):
        iam.create_role(RoleName="TRAINER", AssumeRolePolicyDocument=TRUST)
    for document in [
        "no json", "[]", json.dumps(allow()),
        json.dumps({"Version": "2012-10-17", "Statement": []}),
        json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole"}]}),
        json.dumps(trust(AWS="arn:aws:iam::aws:role/x")),
        json.dumps(trust(Other="x")),
    ]:
        with refused("MalformedPolicyDocument", 400):
            iam.create_role(RoleName="other", AssumeRolePolicyDocument=document)
    with refused("NoSuchEntity"):
        iam.create_role(RoleName="other", AssumeRolePolicyDocument=TRUST,
                        PermissionsBoundary="arn:aws:iam::aws:policy/NoSuchPolicy")
    with refused("InvalidInput"):
        iam.create_role(RoleName="other", Path="/aws-service-role/x/", AssumeRolePolicyDocument=TRUST)
    with refused("ValidationError"):
        iam.create_role(RoleName="a b", AssumeRolePolicyDocument=TRUST)
    with refused("LimitExceeded"):
        big = trust(Service=[f"s{i:04}.amazonaws.com" for i in range(200)])
        iam.create_role(RoleName="other", AssumeRolePolicyDocument=json.dumps(big))
    with refused("InvalidInput"):
        iam.create_role(RoleName="other", AssumeRolePolicyDocument=TRUST, Tags=[{"Key": "aws:x", "Value": ""}])


def test_trust_names_principals_that_exist(iam, role, account, refused):
    with refused("MalformedPolicyDocument") as found:
        iam.update_assume_role_policy(
            RoleName="trainer", PolicyDocument=json.dumps(trust(AWS=f"arn:aws:iam::{account}:role/none")))
    assert "Invalid principal in policy" in found.error["Error"]["Message"]
    document = trust(AWS=[role["Arn"], "arn:aws:iam::999988887777:role/theirs", f"arn:aws:iam::{account}:root"])
    iam.update_assume_role_policy(RoleName="trainer", PolicyDocument=json.dumps(document))
    assert iam.get_role(RoleName="trainer")["Role"]["AssumeRolePolicyDocument"] == document
    with refused("NoSuchEntity"):
        iam.update_assume_role_policy(RoleName="none", PolicyDocument=TRUST)


def test_role_changes(iam, role, refused):
    iam.update_role(RoleName="trainer", Description="", MaxSessionDuration=3600)
    read = iam.get_role(RoleName="trainer")["Role"]
    assert (read["Description"], read["MaxSessionDuration"]) == ("", 3600)
    assert iam.update_role_description(RoleName="trainer", Description="new")["Role"]["Description"] == "new"
    with refused("ValidationError"):
        iam.update_role(RoleName="trainer", MaxSessionDuration=100000)
    for change in (iam.update_role, iam.delete_role, iam.delete_role_permissions_boundary):
        with refused("NoSuchEntity"):
            change(RoleName="none")
    with refused("NoSuchEntity"):
        iam.update_role_description(RoleName="none", Description="")
    iam.delete_role_permissions_boundary(RoleName="trainer")
    assert "PermissionsBoundary" not in iam.get_role(RoleName="trainer")["Role"]
    with refused("NoSuchEntity"):
        iam.delete_role_permissions_boundary(RoleName="trainer")
    iam.put_role_permissions_boundary(RoleName="trainer", PermissionsBoundary=READ_ONLY)
    with refused("NoSuchEntity"):
        iam.put_role_permissions_boundary(RoleName="trainer", PermissionsBoundary="arn:aws:iam::aws:policy/None")


@pytest.mark.parametrize("kind", ["role", "user"])
def test_inline_policies(iam, refused, kind):
    if kind == "role":
        iam.create_role(RoleName="one", AssumeRolePolicyDocument=TRUST)
    else:
        iam.create_user(UserName="one")
    call = lambda verb, **more: getattr(iam, verb)(**{f"{kind.title()}Name": "one"}, **more)
    call(f"put_{kind}_policy", PolicyName="p", PolicyDocument=ALLOW)
    call(f"put_{kind}_policy", PolicyName="p", PolicyDocument=json.dumps(allow("s3:*")))
    assert call(f"get_{kind}_policy", PolicyName="p")["PolicyDocument"] == allow("s3:*")
    assert call(f"list_{kind}_policies")["PolicyNames"] == ["p"]
    for bad in ["{", json.dumps(trust()), json.dumps(allow("nonsense")), json.dumps(allow(resource="data"))]:
        with refused("MalformedPolicyDocument"):
            call(f"put_{kind}_policy", PolicyName="q", PolicyDocument=bad)
    with refused("LimitExceeded"):
        call(f"put_{kind}_policy", PolicyName="q", PolicyDocument=json.dumps(allow([f"s3:{i:06}" for i in range(2000)])))
    with refused("DeleteConflict", 409):
        call(f"delete_{kind}")
    call(f"delete_{kind}_policy", PolicyName="p")
    for verb in ("get", "delete"):
        with refused("NoSuchEntity"):
            call(f"{verb}_{kind}_policy", PolicyName="p")
    call(f"delete_{kind}")
    with refused("NoSuchEntity"):
        call(f"list_{kind}_policies")


@pytest.mark.parametrize("kind", ["role", "user"])
def test_attachments(iam, policy, refused, kind):
    if kind == "role":
        iam.create_role(RoleName="one", AssumeRolePolicyDocument=TRUST)
    else:
        iam.create_user(UserName="one")
    call = lambda verb, **more: getattr(iam, verb)(**{f"{kind.title()}Name": "one"}, **more)
    for _ in range(2):
        call(f"attach_{kind}_policy", PolicyArn=policy["Arn"])
    call(f"attach_{kind}_policy", PolicyArn=READ_ONLY)
    attached = call(f"list_attached_{kind}_policies")["AttachedPolicies"]
    assert {a["PolicyArn"] for a in attached} == {policy["Arn"], READ_ONLY}
    assert iam.get_policy(PolicyArn=policy["Arn"])["Policy"]["AttachmentCount"] == 1
    entities = iam.list_entities_for_policy(PolicyArn=policy["Arn"])
    assert [e[f"{kind.title()}Name"] for e in entities[f"Policy{kind.title()}s"]] == ["one"]
    assert iam.list_entities_for_policy(PolicyArn=policy["Arn"], EntityFilter="Group")[f"Policy{kind.title()}s"] == []
    with refused("DeleteConflict"):
        call(f"delete_{kind}")
    with refused("DeleteConflict"):
        iam.delete_policy(PolicyArn=policy["Arn"])
    with refused("NoSuchEntity"):
        call(f"attach_{kind}_policy", PolicyArn=policy["Arn"] + "x")
    call(f"detach_{kind}_policy", PolicyArn=policy["Arn"])
    with refused("NoSuchEntity"):
        call(f"detach_{kind}_policy", PolicyArn=policy["Arn"])
    iam.delete_policy(PolicyArn=policy["Arn"])


def test_attachments_have_a_quota(iam, role, refused):
    for i in range(11):
        arn = iam.create_policy(PolicyName=f"p{i}", PolicyDocument=ALLOW)["Policy"]["Arn"]
        if i < 10:
            iam.attach_role_policy(RoleName="trainer", PolicyArn=arn)
    with refused("LimitExceeded", 409):
        iam.attach_role_policy(RoleName="trainer", PolicyArn=arn)
    pages = list(iam.get_paginator("list_attached_role_policies").paginate(
        RoleName="trainer", PaginationConfig={"PageSize": 4}))
    assert [len(p["AttachedPolicies"]) for p in pages] == [4, 4, 2]


def test_policy_and_its_versions(iam, policy, refused, account):
    arn = policy["Arn"]
    assert arn == f"arn:aws:iam::{account}:policy/data" and policy["PolicyId"].startswith("ANPA")
    read = iam.get_policy(PolicyArn=arn)["Policy"]
    assert (read["Description"], read["DefaultVersionId"], read["AttachmentCount"]) == ("reads", "v1", 0)
    assert iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]["Document"] == allow()
    for i in range(2, 6):
        made = iam.create_policy_version(PolicyArn=arn, PolicyDocument=ALLOW, SetAsDefault=i == 3)["PolicyVersion"]
        assert made["VersionId"] == f"v{i}" and made["IsDefaultVersion"] == (i == 3)
    with refused("LimitExceeded", 409):
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=ALLOW)
    versions = iam.list_policy_versions(PolicyArn=arn)["Versions"]
    assert [v["VersionId"] for v in versions] == ["v5", "v4", "v3", "v2", "v1"]
    assert [v["IsDefaultVersion"] for v in versions].index(True) == 2
    with refused("DeleteConflict", 409):
        iam.delete_policy_version(PolicyArn=arn, VersionId="v3")
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v5")
    assert iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] == "v5"
    with refused("DeleteConflict"):
        iam.delete_policy(PolicyArn=arn)
    for i in range(1, 5):
        iam.delete_policy_version(PolicyArn=arn, VersionId=f"v{i}")
    assert iam.create_policy_version(PolicyArn=arn, PolicyDocument=ALLOW)["PolicyVersion"]["VersionId"] == "v6"
    for call in (iam.get_policy_version, iam.delete_policy_version, iam.set_default_policy_version):
        with refused("NoSuchEntity", 404):
            call(PolicyArn=arn, VersionId="v1")
    iam.delete_policy_version(PolicyArn=arn, VersionId="v6")
    iam.delete_policy(PolicyArn=arn)
    for call in (iam.get_policy, iam.delete_policy, iam.list_policy_versions, iam.list_entities_for_policy):
        with refused("NoSuchEntity", 404):
            call(PolicyArn=arn)


def test_create_policy_refuses(iam, policy, refused):
    with refused("EntityAlreadyExists", 409):
        iam.create_policy(PolicyName="Data", Path="/other/", PolicyDocument=ALLOW)
    for document in ["{", TRUST, json.dumps({**allow(), "Version": "2020-01-01"}), json.dumps({"Version": "2012-10-17"})]:
        with refused("MalformedPolicyDocument"):
            iam.create_policy(PolicyName="other", PolicyDocument=document)
        with refused("MalformedPolicyDocument"):
            iam.create_policy_version(PolicyArn=policy["Arn"], PolicyDocument=document)
    with refused("LimitExceeded"):
        iam.create_policy(PolicyName="other", PolicyDocument=json.dumps(allow([f"s3:{i:06}" for i in range(1000)])))
    with refused("NoSuchEntity"):
        iam.create_policy_version(PolicyArn=policy["Arn"] + "x", PolicyDocument=ALLOW)


def test_list_policies(iam, policy, role):
    assert [p["PolicyName"] for p in iam.list_policies(Scope="Local")["Policies"]] == ["data"]
    aws = [p["PolicyName"] for p in iam.list_policies(Scope="AWS")["Policies"]]
    assert "AdministratorAccess" in aws and "data" not in aws
    iam.attach_role_policy(RoleName="trainer", PolicyArn=policy["Arn"])
    attached = iam.list_policies(OnlyAttached=True, Scope="Local")["Policies"]
    assert [p["PolicyName"] for p in attached] == ["data"]
    bounds = iam.list_policies(PolicyUsageFilter="PermissionsBoundary")["Policies"]
    assert [p["Arn"] for p in bounds] == [READ_ONLY] and bounds[0]["PermissionsBoundaryUsageCount"] == 1
    document = iam.get_policy_version(PolicyArn=READ_ONLY, VersionId="v1")["PolicyVersion"]["Document"]
    assert document["Statement"][0]["Resource"] == "*"


def test_aws_policies_are_not_ours(iam, refused):
    with refused("AccessDenied", 403):
        iam.delete_policy(PolicyArn=READ_ONLY)
    with refused("NotImplementedBySandbox"):
        iam.get_policy_version(PolicyArn="arn:aws:iam::aws:policy/AmazonSageMakerFullAccess", VersionId="v1")


def test_a_boundary_is_in_use(iam, policy, refused):
    iam.create_role(RoleName="bound", AssumeRolePolicyDocument=TRUST, PermissionsBoundary=policy["Arn"])
    with refused("DeleteConflict"):
        iam.delete_policy(PolicyArn=policy["Arn"])
    found = iam.list_entities_for_policy(PolicyArn=policy["Arn"], PolicyUsageFilter="PermissionsBoundary")
    assert [r["RoleName"] for r in found["PolicyRoles"]] == ["bound"]
    assert iam.list_entities_for_policy(PolicyArn=policy["Arn"])["PolicyRoles"] == []


def test_instance_profile(iam, role, account, refused):
    made = iam.create_instance_profile(InstanceProfileName="node", Path="/ml/", Tags=[{"Key": "a", "Value": "b"}])
    assert made["InstanceProfile"]["Arn"] == f"arn:aws:iam::{account}:instance-profile/ml/node"
    assert made["InstanceProfile"]["Roles"] == []
    with refused("EntityAlreadyExists", 409):
        iam.create_instance_profile(InstanceProfileName="NODE")
    iam.add_role_to_instance_profile(InstanceProfileName="node", RoleName="trainer")
    with refused("LimitExceeded", 409):
        iam.add_role_to_instance_profile(InstanceProfileName="node", RoleName="trainer")
    read = iam.get_instance_profile(InstanceProfileName="node")["InstanceProfile"]
    assert [r["Arn"] for r in read["Roles"]] == [role["Arn"]] and read["Tags"] == [{"Key": "a", "Value": "b"}]
    assert read["Roles"][0]["AssumeRolePolicyDocument"] == trust()
    listed = iam.list_instance_profiles()["InstanceProfiles"]
    assert [p["InstanceProfileName"] for p in listed] == ["node"] and "Tags" not in listed[0]
    assert len(iam.list_instance_profiles_for_role(RoleName="trainer")["InstanceProfiles"]) == 1
    with refused("DeleteConflict", 409):
        iam.delete_instance_profile(InstanceProfileName="node")
    with refused("DeleteConflict"):
        iam.delete_role(RoleName="trainer")
    iam.remove_role_from_instance_profile(InstanceProfileName="node", RoleName="trainer")
    with refused("NoSuchEntity", 404):
        iam.remove_role_from_instance_profile(InstanceProfileName="node", RoleName="trainer")
    iam.delete_instance_profile(InstanceProfileName="node")
    for call in (iam.get_instance_profile, iam.delete_instance_profile, iam.list_instance_profile_tags):
        with refused("NoSuchEntity"):
            call(InstanceProfileName="node")
    with refused("NoSuchEntity"):
        iam.add_role_to_instance_profile(InstanceProfileName="node", RoleName="trainer")
    with refused("NoSuchEntity"):
        iam.list_instance_profiles_for_role(RoleName="none")


@pytest.mark.parametrize("kind, member", [("role", "RoleName"), ("policy", "PolicyArn"),
                                          ("instance_profile", "InstanceProfileName")])
def test_tags(iam, role, policy, refused, kind, member):
    iam.create_instance_profile(InstanceProfileName="trainer")
    target = {member: policy["Arn"] if kind == "policy" else "trainer"}
    tag, untag = getattr(iam, f"tag_{kind}"), getattr(iam, f"untag_{kind}")
    listed = lambda: {t["Key"]: t["Value"] for t in getattr(iam, f"list_{kind}_tags")(**target)["Tags"]}
    tag(**target, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    tag(**target, Tags=[{"Key": "a", "Value": "3"}])
    assert (listed()["a"], listed()["b"]) == ("3", "2")
    untag(**target, TagKeys=["a", "absent"])
    assert "a" not in listed()
    with refused("InvalidInput"):
        tag(**target, Tags=[{"Key": "x", "Value": "1"}, {"Key": "x", "Value": "2"}])
    with refused("LimitExceeded"):
        tag(**target, Tags=[{"Key": f"k{i}", "Value": ""} for i in range(50)])
    other = {member: (policy["Arn"] if kind == "policy" else "trainer") + "x"}
    with refused("NoSuchEntity"):
        tag(**other, Tags=[{"Key": "a", "Value": "1"}])
    with refused("NoSuchEntity"):
        untag(**other, TagKeys=["a"])


def test_account_details(iam, role, policy):
    iam.put_role_policy(RoleName="trainer", PolicyName="inline", PolicyDocument=ALLOW)
    iam.attach_role_policy(RoleName="trainer", PolicyArn=policy["Arn"])
    iam.create_instance_profile(InstanceProfileName="node")
    iam.add_role_to_instance_profile(InstanceProfileName="node", RoleName="trainer")
    every = iam.get_account_authorization_details()
    assert [u["UserName"] for u in every["UserDetailList"]] == ["sandbox"] and every["GroupDetailList"] == []
    detail = iam.get_account_authorization_details(Filter=["Role"])["RoleDetailList"][0]
    assert detail["AssumeRolePolicyDocument"] == trust()
    assert detail["RolePolicyList"] == [{"PolicyName": "inline", "PolicyDocument": allow()}]
    assert detail["AttachedManagedPolicies"] == [{"PolicyName": "data", "PolicyArn": policy["Arn"]}]
    assert detail["InstanceProfileList"][0]["InstanceProfileName"] == "node"
    assert detail["Tags"] == [{"Key": "team", "Value": "ml"}] and "Description" not in detail
    local = iam.get_account_authorization_details(Filter=["LocalManagedPolicy"])
    assert local["RoleDetailList"] == []
    assert local["Policies"][0]["PolicyVersionList"][0]["Document"] == allow()
    aws = iam.get_account_authorization_details(Filter=["AWSManagedPolicy"])["Policies"]
    assert [p["PolicyName"] for p in aws] == ["AdministratorAccess"]
    pages = list(iam.get_paginator("get_account_authorization_details").paginate(PaginationConfig={"PageSize": 1}))
    assert len(pages) == 4 and sum(len(p["RoleDetailList"]) for p in pages) == 1


def test_lists_page(iam, refused):
    for i in range(5):
        iam.create_role(RoleName=f"r{i}", AssumeRolePolicyDocument=TRUST)
    pages = list(iam.get_paginator("list_roles").paginate(PaginationConfig={"PageSize": 2}))
    assert [len(p["Roles"]) for p in pages] == [2, 2, 1]
    assert [p["IsTruncated"] for p in pages] == [True, True, False]
    with refused("ValidationError"):
        iam.list_roles(Marker="nonsense")


def test_service_linked_roles(iam, later, refused, account):
    made = iam.create_service_linked_role(AWSServiceName="autoscaling.amazonaws.com", CustomSuffix="a")["Role"]
    name = "AWSServiceRoleForAutoScaling_a"
    assert made["Arn"] == f"arn:aws:iam::{account}:role/aws-service-role/autoscaling.amazonaws.com/{name}"
    with refused("InvalidInput", 400):
        iam.create_service_linked_role(AWSServiceName="autoscaling.amazonaws.com", CustomSuffix="a")
    with refused("InvalidInput"):
        iam.create_service_linked_role(AWSServiceName="batch.amazonaws.com", CustomSuffix="a")
    with refused("InvalidInput"):
        iam.create_service_linked_role(AWSServiceName="none.amazonaws.com")
    for change in (
        lambda: iam.delete_role(RoleName=name),
        lambda: iam.attach_role_policy(RoleName=name, PolicyArn=READ_ONLY),
        lambda: iam.update_assume_role_policy(RoleName=name, PolicyDocument=TRUST),
    ):
        with refused("UnmodifiableEntity", 400):
            change()
    task = iam.delete_service_linked_role(RoleName=name)["DeletionTaskId"]
    assert iam.get_service_linked_role_deletion_status(DeletionTaskId=task)["Status"] == "IN_PROGRESS"
    later(10)
    assert iam.get_service_linked_role_deletion_status(DeletionTaskId=task)["Status"] == "SUCCEEDED"
    with refused("NoSuchEntity"):
        iam.get_role(RoleName=name)
    with refused("NoSuchEntity"):
        iam.delete_service_linked_role(RoleName=name)
    with refused("NoSuchEntity"):
        iam.get_service_linked_role_deletion_status(DeletionTaskId="task/aws-service-role/none")


def test_users_and_keys(iam, server, account, refused):
    made = iam.create_user(UserName="ana", Path="/team/", Tags=[{"Key": "a", "Value": "b"}])["User"]
    assert made["Arn"] == f"arn:aws:iam::{account}:user/team/ana" and made["UserId"].startswith("AIDA")
    assert iam.get_user(UserName="ana")["User"]["Tags"] == [{"Key": "a", "Value": "b"}]
    assert iam.get_user()["User"]["UserName"] == "sandbox"
    assert [u["UserName"] for u in iam.list_users()["Users"]] == ["ana", "sandbox"]
    with refused("EntityAlreadyExists"):
        iam.create_user(UserName="Ana")
    key = iam.create_access_key(UserName="ana")["AccessKey"]
    sts = server.client("sts", key["AccessKeyId"])
    assert sts.get_caller_identity()["Arn"] == made["Arn"]
    iam.create_access_key(UserName="ana")
    with refused("LimitExceeded"):
        iam.create_access_key(UserName="ana")
    keys = iam.list_access_keys(UserName="ana")["AccessKeyMetadata"]
    assert len(keys) == 2 and "SecretAccessKey" not in keys[0]
    with refused("DeleteConflict"):
        iam.delete_user(UserName="ana")
    for one in keys:
        iam.delete_access_key(UserName="ana", AccessKeyId=one["AccessKeyId"])
    with refused("NoSuchEntity"):
        iam.delete_access_key(UserName="ana", AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName="ana")
    for call in (iam.get_user, iam.delete_user, iam.list_access_keys, iam.create_access_key):
        with refused("NoSuchEntity"):
            call(UserName="ana")


def test_password_policy(iam, refused):
    for call in (iam.get_account_password_policy, iam.delete_account_password_policy):
        with refused("NoSuchEntity", 404):
            call()
    iam.update_account_password_policy(MinimumPasswordLength=14, RequireSymbols=True, MaxPasswordAge=90)
    policy = iam.get_account_password_policy()["PasswordPolicy"]
    assert (policy["MinimumPasswordLength"], policy["ExpirePasswords"], policy["MaxPasswordAge"]) == (14, True, 90)
    iam.update_account_password_policy(RequireNumbers=True)
    policy = iam.get_account_password_policy()["PasswordPolicy"]
    assert policy["MinimumPasswordLength"] == 6 and not policy["RequireSymbols"] and not policy["ExpirePasswords"]
    with refused("ValidationError"):
        iam.update_account_password_policy(MinimumPasswordLength=200)
    iam.delete_account_password_policy()


def test_account_facts(iam, role, policy, later, refused):
    summary = iam.get_account_summary()["SummaryMap"]
    assert (summary["Roles"], summary["Policies"], summary["Users"]) == (1, 1, 1)
    assert iam.list_account_aliases()["AccountAliases"] == []
    assert iam.list_virtual_mfa_devices()["VirtualMFADevices"] == []
    with refused("ReportNotPresent", 410):
        iam.get_credential_report()
    assert iam.generate_credential_report()["State"] == "STARTED"
    assert iam.generate_credential_report()["State"] == "COMPLETE"
    report = iam.get_credential_report()
    rows = list(csv.DictReader(io.StringIO(report["Content"].decode())))
    assert [row["user"] for row in rows] == ["sandbox"]
    later(15000)
    with refused("ReportExpired", 410):
        iam.get_credential_report()


def test_simulation(iam, role, policy, refused):
    iam.attach_role_policy(RoleName="trainer", PolicyArn=policy["Arn"])
    iam.put_role_policy(RoleName="trainer", PolicyName="bedrock", PolicyDocument=json.dumps(allow("bedrock:*", "*")))

    def decisions(**more):
        found = iam.simulate_principal_policy(
            PolicySourceArn=role["Arn"], ActionNames=["s3:GetObject", "s3:PutObject", "bedrock:InvokeModel"], **more)
        return [r["EvalDecision"] for r in found["EvaluationResults"]]

    # The boundary allows to read S3 only.
    assert decisions(ResourceArns=["arn:aws:s3:::data/x"]) == ["allowed", "implicitDeny", "implicitDeny"]
    assert decisions(ResourceArns=["arn:aws:s3:::other/x"])[0] == "implicitDeny"
    iam.delete_role_permissions_boundary(RoleName="trainer")
    assert decisions()[2] == "allowed"
    deny = {"Version": "2012-10-17", "Statement": [{
        "Effect": "Deny", "Action": "bedrock:*", "Resource": "*",
        "Condition": {"StringNotEquals": {"aws:RequestedRegion": "us-east-1"}}}]}
    entry = [{"ContextKeyName": "aws:RequestedRegion", "ContextKeyValues": ["eu-west-1"], "ContextKeyType": "string"}]
    found = iam.simulate_custom_policy(
        PolicyInputList=[json.dumps(deny), json.dumps(allow("bedrock:*", "*"))],
        ActionNames=["bedrock:InvokeModel"], ContextEntries=entry)
    assert found["EvaluationResults"][0]["EvalDecision"] == "explicitDeny"
    with refused("NoSuchEntity"):
        iam.simulate_principal_policy(PolicySourceArn=role["Arn"] + "x", ActionNames=["s3:GetObject"])
    with refused("InvalidInput"):
        iam.simulate_custom_policy(PolicyInputList=["{"], ActionNames=["s3:GetObject"])


def test_assume_role_asks_the_trust_policy(client, iam, role, account, refused):
    sts = client("sts")

    def assume(**more):
        return sts.assume_role(RoleArn=role["Arn"], RoleSessionName="me", **more)

    with refused("AccessDenied", 403):
        assume()
    document = trust(AWS=f"arn:aws:iam::{account}:root")
    document["Statement"][0]["Condition"] = {"StringEquals": {"sts:ExternalId": "acme"},
                                             "Bool": {"aws:MultiFactorAuthPresent": "true"}}
    iam.update_assume_role_policy(RoleName="trainer", PolicyDocument=json.dumps(document))
    with refused("AccessDenied"):
        assume(ExternalId="acme")
    mfa = {"SerialNumber": f"arn:aws:iam::{account}:mfa/me", "TokenCode": "123456"}
    with refused("AccessDenied"):
        assume(ExternalId="other", **mfa)
    assert assume(ExternalId="acme", DurationSeconds=7200, **mfa)["Credentials"]["AccessKeyId"].startswith("ASIA")
    with refused("ValidationError"):
        assume(ExternalId="acme", DurationSeconds=7201, **mfa)
    with refused("AccessDenied"):
        client("sts", account="999900001111").assume_role(RoleArn=role["Arn"], RoleSessionName="me", ExternalId="acme")


def test_of_a_deleted_principal_policies_keep_the_unique_id(client, iam, account, refused):
    made = iam.create_role(RoleName="reader", AssumeRolePolicyDocument=TRUST)["Role"]
    arn, unique_id = made["Arn"], made["RoleId"]
    root = f"arn:aws:iam::{account}:root"
    document = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": root}, "Action": "kms:*", "Resource": "*"},
        {"Effect": "Allow", "Principal": {"AWS": [root, arn]}, "Action": "kms:Decrypt", "Resource": "*"}]}
    kms, s3, secrets = client("kms"), client("s3"), client("secretsmanager")
    key = kms.create_key(Policy=json.dumps(document))["KeyMetadata"]["KeyId"]
    s3.create_bucket(Bucket="acme-departed")
    resource = "arn:aws:s3:::acme-departed/*"
    statement = {"Effect": "Allow", "Principal": {"AWS": arn}, "Action": "s3:GetObject", "Resource": resource}
    s3.put_bucket_policy(Bucket="acme-departed", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    secrets.create_secret(Name="token", SecretString="canary")
    statement = {"Effect": "Allow", "Principal": {"AWS": arn}, "Action": "secretsmanager:GetSecretValue", "Resource": "*"}
    secrets.put_resource_policy(
        SecretId="token", ResourcePolicy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    iam.create_role(RoleName="follower", AssumeRolePolicyDocument=json.dumps(trust(AWS=arn)))

    def principals():
        policies = [
            json.loads(kms.get_key_policy(KeyId=key)["Policy"]),
            json.loads(s3.get_bucket_policy(Bucket="acme-departed")["Policy"]),
            json.loads(secrets.get_resource_policy(SecretId="token")["ResourcePolicy"]),
            iam.get_role(RoleName="follower")["Role"]["AssumeRolePolicyDocument"],
        ]
        return [policy["Statement"][-1]["Principal"]["AWS"] for policy in policies]

    assert principals() == [[root, arn], arn, arn, arn]
    iam.delete_role(RoleName="reader")
    assert principals() == [[root, unique_id], unique_id, unique_id, unique_id]
    # One of the same name is another one, and nothing takes it in.
    assert iam.create_role(RoleName="reader", AssumeRolePolicyDocument=TRUST)["Role"]["RoleId"] != unique_id
    assert principals() == [[root, unique_id], unique_id, unique_id, unique_id]
    with refused("MalformedPolicyDocumentException"):
        kms.put_key_policy(KeyId=key, PolicyName="default", Policy=kms.get_key_policy(KeyId=key)["Policy"])
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(document))
    assert principals()[0] == [root, arn]
