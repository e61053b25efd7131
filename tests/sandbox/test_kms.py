"""KMS: every simulated operation, success and error."""

import json

import pytest


@pytest.fixture
def kms(client):
    return client("kms")


@pytest.fixture
def unchecked(client):
    """A client that sends what boto3 would refuse by itself."""
    return client("kms", parameter_validation=False)


@pytest.fixture
def key(kms):
    return kms.create_key(Description="first", Tags=[{"TagKey": "owner", "TagValue": "ml"}])["KeyMetadata"]


def policy(account, **changes):
    statement = {"Sid": "root", "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
                 "Action": "kms:*", "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [{**statement, **changes}]})


def test_create_and_describe(kms, key, account, refused):
    assert key["Arn"] == f"arn:aws:kms:us-east-1:{account}:key/{key['KeyId']}"
    assert (key["KeyState"], key["Enabled"], key["KeyManager"]) == ("Enabled", True, "CUSTOMER")
    assert kms.describe_key(KeyId=key["Arn"])["KeyMetadata"] == key
    with refused("NotFoundException"):
        kms.describe_key(KeyId="00000000-0000-0000-0000-000000000000")
    with refused("NotFoundException"):
        kms.describe_key(KeyId="alias/none")
    with refused("ValidationException"):
        kms.create_key(KeySpec="RSA_2048")
    with refused("ValidationException"):
        kms.create_key(KeySpec="ROT13")
    with refused("ValidationException"):
        kms.create_key(KeySpec="HMAC_256", KeyUsage="ENCRYPT_DECRYPT")
    signing = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    assert signing["SigningAlgorithms"] == ["ECDSA_SHA_256"]


def test_regions_are_apart(kms, key, client, refused):
    other = client("kms", region="eu-west-1")
    assert other.list_keys()["Keys"] == []
    with refused("NotFoundException"):
        other.describe_key(KeyId=key["Arn"])
    with refused("InvalidArnException"):
        kms.describe_key(KeyId="arn:aws:s3:::bucket")


def test_list_pages(kms, unchecked, refused):
    made = {kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(5)}
    pages = list(kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 2}))
    assert [len(page["Keys"]) for page in pages] == [2, 2, 1]
    assert {item["KeyId"] for page in pages for item in page["Keys"]} == made
    with refused("InvalidMarkerException"):
        kms.list_keys(Marker="bm9uZQ==")
    with refused("ValidationException"):
        unchecked.list_keys(Limit=0)


def test_update_description(kms, key, refused):
    kms.update_key_description(KeyId=key["KeyId"], Description="second")
    assert kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["Description"] == "second"
    with refused("NotFoundException"):
        kms.update_key_description(KeyId="none", Description="x")


def test_aliases(kms, key, account, refused):
    other = kms.create_key()["KeyMetadata"]
    kms.create_alias(AliasName="alias/data", TargetKeyId=key["KeyId"])
    with refused("AlreadyExistsException"):
        kms.create_alias(AliasName="alias/data", TargetKeyId=other["KeyId"])
    with refused("NotAuthorizedException"):
        kms.create_alias(AliasName="alias/aws/mine", TargetKeyId=key["KeyId"])
    with refused("ValidationException"):
        kms.create_alias(AliasName="data", TargetKeyId=key["KeyId"])
    with refused("NotFoundException"):
        kms.create_alias(AliasName="alias/x", TargetKeyId="none")
    found = kms.list_aliases(KeyId=key["KeyId"])["Aliases"]
    assert [(a["AliasName"], a["AliasArn"]) for a in found] == [
        ("alias/data", f"arn:aws:kms:us-east-1:{account}:alias/data")]
    assert kms.describe_key(KeyId="alias/data")["KeyMetadata"]["KeyId"] == key["KeyId"]
    kms.update_alias(AliasName="alias/data", TargetKeyId=other["Arn"])
    assert kms.describe_key(KeyId=found[0]["AliasArn"])["KeyMetadata"]["KeyId"] == other["KeyId"]
    signing = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    with refused("ValidationException"):
        kms.update_alias(AliasName="alias/data", TargetKeyId=signing["KeyId"])
    with refused("NotFoundException"):
        kms.update_alias(AliasName="alias/none", TargetKeyId=other["KeyId"])
    kms.delete_alias(AliasName="alias/data")
    with refused("NotFoundException"):
        kms.delete_alias(AliasName="alias/data")


def test_managed_keys(kms, refused):
    managed = kms.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]
    assert managed["KeyManager"] == "AWS"
    assert kms.describe_key(KeyId="alias/aws/s3")["KeyMetadata"] == managed
    assert kms.get_key_rotation_status(KeyId=managed["KeyId"])["KeyRotationEnabled"]
    with refused("AccessDeniedException"):
        kms.schedule_key_deletion(KeyId=managed["KeyId"])


def test_policy(kms, key, account, refused):
    default = json.loads(kms.get_key_policy(KeyId=key["KeyId"])["Policy"])
    assert default["Statement"][0]["Principal"]["AWS"] == f"arn:aws:iam::{account}:root"
    assert kms.list_key_policies(KeyId=key["KeyId"])["PolicyNames"] == ["default"]
    wanted = policy(account, Sid="changed")
    kms.put_key_policy(KeyId=key["KeyId"], Policy=wanted)
    assert kms.get_key_policy(KeyId=key["KeyId"], PolicyName="default")["Policy"] == wanted
    with refused("NotFoundException"):
        kms.get_key_policy(KeyId=key["KeyId"], PolicyName="other")
    for bad in ["{", "{}", policy(account, Effect="Maybe"), policy(account, Action="kms:Encrypt"),
                policy(account, Principal={"AWS": "someone"}),
                policy(account, Principal={"AWS": "arn:aws:iam::555555555555:root"})]:
        with refused("MalformedPolicyDocumentException"):
            kms.put_key_policy(KeyId=key["KeyId"], Policy=bad)
        with refused("MalformedPolicyDocumentException"):
            kms.create_key(Policy=bad)
    locked = policy(account, Action="kms:Encrypt")
    kms.put_key_policy(KeyId=key["KeyId"], Policy=locked, BypassPolicyLockoutSafetyCheck=True)
    assert kms.get_key_policy(KeyId=key["KeyId"])["Policy"] == locked


def test_rotation(kms, key, unchecked, refused, later):
    identity = {"KeyId": key["KeyId"]}
    assert kms.get_key_rotation_status(**identity)["KeyRotationEnabled"] is False
    kms.enable_key_rotation(**identity, RotationPeriodInDays=90)
    status = kms.get_key_rotation_status(**identity)
    assert (status["KeyRotationEnabled"], status["RotationPeriodInDays"]) == (True, 90)
    assert (status["NextRotationDate"] - key["CreationDate"]).days in (89, 90)
    with refused("ValidationException"):
        unchecked.enable_key_rotation(**identity, RotationPeriodInDays=30)
    kms.rotate_key_on_demand(**identity)
    later(91 * 86400)
    kinds = [row["RotationType"] for row in kms.list_key_rotations(**identity)["Rotations"]]
    assert kinds == ["ON_DEMAND", "AUTOMATIC"]
    kms.disable_key_rotation(**identity)
    assert kms.get_key_rotation_status(**identity)["KeyRotationEnabled"] is False
    signing = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    for call in (kms.enable_key_rotation, kms.disable_key_rotation, kms.rotate_key_on_demand,
                 kms.list_key_rotations, kms.get_key_rotation_status):
        with refused("UnsupportedOperationException"):
            call(KeyId=signing["KeyId"])
    kms.disable_key(**identity)
    with refused("DisabledException"):
        kms.enable_key_rotation(**identity)
    with refused("DisabledException"):
        kms.rotate_key_on_demand(**identity)


def test_tags(kms, key, refused):
    identity = {"KeyId": key["KeyId"]}
    kms.tag_resource(**identity, Tags=[{"TagKey": "owner", "TagValue": "sec"}, {"TagKey": "b", "TagValue": ""}])
    tags = {t["TagKey"]: t["TagValue"] for t in kms.list_resource_tags(**identity)["Tags"]}
    assert tags == {"owner": "sec", "b": ""}
    kms.untag_resource(**identity, TagKeys=["b", "never"])
    assert len(kms.list_resource_tags(**identity)["Tags"]) == 1
    with refused("TagException"):
        kms.tag_resource(**identity, Tags=[{"TagKey": "aws:x", "TagValue": ""}])
    with refused("TagException"):
        kms.create_key(Tags=[{"TagKey": "a", "TagValue": "1"}, {"TagKey": "a", "TagValue": "2"}])
    with refused("LimitExceededException"):
        kms.tag_resource(**identity, Tags=[{"TagKey": str(n), "TagValue": ""} for n in range(50)])
    with refused("NotFoundException"):
        kms.untag_resource(KeyId="none", TagKeys=["a"])


def test_states(kms, key, refused, later):
    identity = {"KeyId": key["KeyId"]}
    blob = kms.encrypt(**identity, Plaintext=b"text")["CiphertextBlob"]
    kms.disable_key(**identity)
    assert kms.describe_key(**identity)["KeyMetadata"]["KeyState"] == "Disabled"
    for call in (lambda: kms.encrypt(**identity, Plaintext=b"x"), lambda: kms.decrypt(CiphertextBlob=blob),
                 lambda: kms.generate_data_key(**identity, KeySpec="AES_256")):
        with refused("DisabledException"):
            call()
    kms.enable_key(**identity)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"text"
    for days in (6, 31):
        with refused("ValidationException"):
            kms.schedule_key_deletion(**identity, PendingWindowInDays=days)
    answer = kms.schedule_key_deletion(**identity, PendingWindowInDays=7)
    assert (answer["KeyState"], answer["PendingWindowInDays"], answer["KeyId"]) == ("PendingDeletion", 7, key["Arn"])
    for call in (lambda: kms.decrypt(CiphertextBlob=blob), lambda: kms.enable_key(**identity),
                 lambda: kms.schedule_key_deletion(**identity), lambda: kms.tag_resource(**identity, Tags=[]),
                 lambda: kms.create_alias(AliasName="alias/late", TargetKeyId=key["KeyId"])):
        with refused("KMSInvalidStateException"):
            call()
    kms.cancel_key_deletion(**identity)
    assert kms.describe_key(**identity)["KeyMetadata"]["KeyState"] == "Disabled"
    with refused("KMSInvalidStateException"):
        kms.cancel_key_deletion(**identity)
    kms.schedule_key_deletion(**identity)
    later(30 * 86400 + 1)
    with refused("NotFoundException"):
        kms.describe_key(**identity)
    with refused("NotFoundException"):
        kms.enable_key(**identity)
    with refused("NotFoundException"):
        kms.disable_key(**identity)


def test_cryptography(kms, key, refused):
    identity = {"KeyId": key["KeyId"]}
    context = {"purpose": "test", "a": "b"}
    sealed = kms.encrypt(**identity, Plaintext=b"\x00secret", EncryptionContext=context)
    assert b"secret" not in sealed["CiphertextBlob"]
    opened = kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext=dict(reversed(context.items())))
    assert (opened["Plaintext"], opened["KeyId"]) == (b"\x00secret", key["Arn"])
    with refused("InvalidCiphertextException"):
        kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"])
    with refused("InvalidCiphertextException"):
        kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"][:-1], EncryptionContext=context)
    with refused("InvalidCiphertextException"):
        kms.decrypt(CiphertextBlob=b"none")
    other = kms.create_key()["KeyMetadata"]
    with refused("IncorrectKeyException"):
        kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext=context, KeyId=other["KeyId"])
    moved = kms.re_encrypt(CiphertextBlob=sealed["CiphertextBlob"], SourceEncryptionContext=context,
                           DestinationKeyId=other["KeyId"])
    assert moved["SourceKeyId"] == key["Arn"]
    assert kms.decrypt(CiphertextBlob=moved["CiphertextBlob"], KeyId=other["Arn"])["Plaintext"] == b"\x00secret"
    with refused("InvalidCiphertextException"):
        kms.re_encrypt(CiphertextBlob=b"none", DestinationKeyId=other["KeyId"])
    with refused("ValidationException"):
        kms.encrypt(**identity, Plaintext=b"x" * 4097)
    with refused("NotFoundException"):
        kms.encrypt(KeyId="alias/none", Plaintext=b"x")
    with refused("DryRunOperationException"):
        kms.encrypt(**identity, Plaintext=b"x", DryRun=True)
    signing = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    with refused("InvalidKeyUsageException"):
        kms.encrypt(KeyId=signing["KeyId"], Plaintext=b"x")


def test_data_keys(kms, key, refused):
    identity = {"KeyId": key["KeyId"]}
    made = kms.generate_data_key(**identity, KeySpec="AES_256")
    assert len(made["Plaintext"]) == 32
    assert kms.decrypt(CiphertextBlob=made["CiphertextBlob"])["Plaintext"] == made["Plaintext"]
    with refused("ValidationException"):
        kms.generate_data_key(**identity)
    sealed = kms.generate_data_key_without_plaintext(**identity, NumberOfBytes=64)
    assert "Plaintext" not in sealed
    assert len(kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"])["Plaintext"]) == 64
    with refused("NotFoundException"):
        kms.generate_data_key_without_plaintext(KeyId="none")
    assert len(kms.generate_random(NumberOfBytes=100)["Plaintext"]) == 100
    with refused("ValidationException"):
        kms.generate_random()


def test_grants(kms, key, account, refused):
    facts = {"KeyId": key["KeyId"], "GranteePrincipal": f"arn:aws:iam::{account}:role/r", "Operations": ["Decrypt"]}
    named = kms.create_grant(**facts, Name="one")
    assert kms.create_grant(**facts, Name="one")["GrantId"] == named["GrantId"]
    other = kms.create_grant(**facts)
    assert len(kms.list_grants(KeyId=key["KeyId"])["Grants"]) == 2
    assert kms.list_grants(KeyId=key["KeyId"], GrantId=other["GrantId"])["Grants"][0]["Operations"] == ["Decrypt"]
    kms.retire_grant(GrantToken=named["GrantToken"])
    kms.revoke_grant(KeyId=key["KeyId"], GrantId=other["GrantId"])
    assert kms.list_grants(KeyId=key["KeyId"])["Grants"] == []
    with refused("NotFoundException"):
        kms.revoke_grant(KeyId=key["KeyId"], GrantId=other["GrantId"])
    with refused("InvalidGrantTokenException"):
        kms.retire_grant(GrantToken=named["GrantToken"])
    with refused("NotFoundException"):
        kms.list_grants(KeyId="none")
    kms.disable_key(KeyId=key["KeyId"])
    with refused("DisabledException"):
        kms.create_grant(**facts)
