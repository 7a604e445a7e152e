"""Who may do what, asked of a real local AWS."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from jobs import load

from kit.errors import PlanError
from kit.local_aws import process

access, guardrails = load("foundations", "access", "guardrails")
FOLDER = Path(__file__).parents[1] / "foundations" / "policies"
NAMES = {"partition": "aws", "region": "us-east-1", "account": "123456789012", "bucket": "eba-here"}
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}


class Here:
    """A boto3 session that asks the local AWS at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = boto3.Session("AKIATEST", "secret", region_name="us-east-1")

    def client(self, service: str) -> Any:
        return self.session.client(service, endpoint_url=self.url)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    folder = tmp_path_factory.mktemp("aws")
    yield Here(process.up(folder).url)
    process.down(folder)


def role(here: Here, name: str, *statements: dict[str, Any]) -> str:
    iam = here.client("iam")
    arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    document = {"Version": "2012-10-17", "Statement": list(statements)}
    iam.put_role_policy(RoleName=name, PolicyName="work", PolicyDocument=json.dumps(document))
    return arn


# The files


def test_the_events_files_can_be_read() -> None:
    personas, lines = access.read(FOLDER, NAMES)
    assert personas["auditor"]["role"] == "EbaAuditor"
    assert "arn:aws:s3:::eba-here" in {line["resource"] for line in lines}


@pytest.mark.parametrize(
    ("wrong", "said", "hint"),
    [
        (
            "personas: {a: {role: A, trust: trust-persona, policies: [auditors]}}\naccess: []",
            r"policies/auditors\.json does not exist",
            'Did you mean "auditor.json"',
        ),
        (
            'personas: {a: {role: A, trust: trust-persona, policies: []}}\naccess: [{action: "s3:GetObject", resource: x, allow: [b]}]',
            'there is no persona "b"',
            "Known: a.",
        ),
        ("personas: {}\naccess: [{action: x, allow: []}]", "lacks resource", "Fill it in"),
        ("personas: {}", "cannot be read", "It holds"),
        ("personas: [", "cannot be read", "It holds"),
        ("personas: ${who}\naccess: []", r"the placeholder \$\{who\} cannot be filled", "Known: partition"),
        ("personas: $ 5\naccess: []", "cannot be filled", r"\$\$"),
    ],
)
def test_wrong_files_are_refused_with_what_to_do(wrong: str, said: str, hint: str, tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    shutil.copytree(FOLDER, folder)
    (folder / "access.yml").write_text(wrong)
    with pytest.raises(PlanError, match=said) as caught:
        access.read(folder, NAMES)
    assert re.search(hint, caught.value.hint)


# What the account has


def test_a_snapshot_of_an_empty_account_has_nothing(here: Here) -> None:
    found = access.snapshot(here, "eba-nothing", ["NoRole"])
    assert set(found.values()) == {access.NONE}
    assert "NoRole · trust" in found
    account = here.client("sts").get_caller_identity()["Account"]
    nothing = access.snapshot(here, "eba-nothing", [], [f"arn:aws:iam::{account}:policy/EbaNothing"])
    assert nothing["policy EbaNothing"] == access.NONE


def test_what_was_made_between_two_snapshots_is_a_change(here: Here) -> None:
    s3, iam, sagemaker = (here.client(name) for name in ("s3", "iam", "sagemaker"))
    arn = role(here, "Seen", {"Sid": "Read", "Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"})
    s3.create_bucket(Bucket="eba-changes")
    document = json.dumps(
        {**TRUST, "Statement": [{"Sid": "All", "Effect": "Allow", "Action": "*", "Resource": "*"}]}
    )
    limit = iam.create_policy(PolicyName="Limit", PolicyDocument=document)["Policy"]["Arn"]
    before = access.snapshot(here, "eba-changes", ["Seen"], [limit])
    assert access.changes(before, before) == []

    s3.put_bucket_versioning(Bucket="eba-changes", VersioningConfiguration={"Status": "Enabled"})
    wider = {"Sid": "Write", "Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    iam.put_role_policy(
        RoleName="Seen", PolicyName="work", PolicyDocument=json.dumps({**TRUST, "Statement": [wider]})
    )
    iam.attach_role_policy(RoleName="Seen", PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")
    narrow = json.dumps({**TRUST, "Statement": [wider]})
    iam.create_policy_version(PolicyArn=limit, PolicyDocument=narrow, SetAsDefault=True)
    domain = sagemaker.create_domain(
        DomainName="here", AuthMode="IAM", DefaultUserSettings={"ExecutionRole": arn}
    )["DomainArn"].rpartition("/")[2]
    sagemaker.create_user_profile(DomainId=domain, UserProfileName="ann", UserSettings={"ExecutionRole": arn})
    sagemaker.create_user_profile(DomainId=domain, UserProfileName="bo")
    after = access.snapshot(here, "eba-changes", ["Seen"], [limit])
    rows = {row["what"]: (row["change"], row["before"], row["now"]) for row in access.changes(before, after)}
    assert rows == {
        "bucket · versioning": ("new", "none", "Enabled"),
        "Seen · work": ("changed", "Read", "Write"),
        "Seen · attached ReadOnlyAccess": ("new", "none", "arn:aws:iam::aws:policy/ReadOnlyAccess"),
        "policy Limit": ("changed", "All", "Write"),
        "domain here": ("new", "none", domain),
        "profile ann · role": ("new", "none", arn),
        "profile bo · role": ("new", "none", ""),
    }
    assert {row["change"] for row in access.changes(after, before)} == {"gone", "changed"}
    assert access.profiles(sagemaker, domain) == {"ann": arn, "bo": ""}


def test_an_answer_other_than_not_found_is_not_taken_for_nothing(here: Here) -> None:
    class Refusing(Here):
        def client(self, service: str) -> Any:
            client = super().client(service)
            if service == "s3":

                def refuse(**_: Any) -> None:
                    response = {
                        "Error": {"Code": "AccessDenied"},
                        "ResponseMetadata": {"HTTPStatusCode": 403},
                    }
                    raise ClientError(response, "GetBucketEncryption")

                client.get_bucket_encryption = refuse
            return client

    with pytest.raises(ClientError, match="AccessDenied"):
        access.snapshot(Refusing(here.url), "eba-nothing", [])


# What the bucket is to have


def settings(here: Here, bucket: str) -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, str]]:
    """Default encryption, statements by Sid, tags by key."""
    s3 = here.client("s3")
    rules = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    tags = s3.get_bucket_tagging(Bucket=bucket)["TagSet"]
    by_sid = {one["Sid"]: one for one in policy["Statement"]}
    return rules, by_sid, {tag["Key"]: tag["Value"] for tag in tags}


def names_of(here: Here, bucket: str) -> dict[str, str]:
    """What the placeholders stand for in this account."""
    account = here.client("sts").get_caller_identity()["Account"]
    return NAMES | {"account": account, "bucket": bucket}


def run_f1(here: Here, bucket: str) -> dict[str, str]:
    """The cells of F1 that set up the bucket, on this one; the bucket as it was before."""
    notebook = json.loads((FOLDER.parent / "f1_update_access.ipynb").read_text(encoding="utf-8"))
    cells = {cell["id"]: "".join(cell["source"]) for cell in notebook["cells"]}
    tags = [{"Key": "eba:event", "Value": "test"}, {"Key": "eba:card", "Value": "F1"}]
    rb = SimpleNamespace(bucket=bucket, region="us-east-1", tags=tags, session=here)
    names = names_of(here, bucket)
    before: dict[str, str] = access.snapshot(here, bucket, [])
    known = {"access": access, "rb": rb, "s3": here.client("s3"), "files": FOLDER, "names": names}
    for cell in ("bucket", "protect"):
        exec(cells[cell], known)
    return before


def run_f2(here: Here, bucket: str, key: str) -> None:
    """The cell of F2 that encrypts the bucket with the event's key."""
    notebook = json.loads((FOLDER.parent / "f2_update_security_guardrails.ipynb").read_text(encoding="utf-8"))
    cells = {cell["id"]: "".join(cell["source"]) for cell in notebook["cells"]}
    known = {"access": access, "guardrails": guardrails, "s3": here.client("s3")}
    exec(
        cells["encrypt"],
        known | {"names": names_of(here, bucket) | {"key": key}, "rules": FOLDER / "guardrails"},
    )


def test_f1_after_f2_and_d5_leaves_their_key_statements_and_tags(here: Here) -> None:
    key = here.client("kms").create_key()["KeyMetadata"]["Arn"]
    run_f1(here, "eba-again")
    first_rules, first_policy, first_tags = settings(here, "eba-again")
    assert first_rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    assert first_tags == {"eba:event": "test", "eba:card": "F1"}
    run_f2(here, "eba-again", key)
    both = [{"Key": k, "Value": v} for k, v in (first_tags | {"eba:data-classification": "personal"}).items()]
    here.client("s3").put_bucket_tagging(Bucket="eba-again", Tagging={"TagSet": both})
    rules, policy, tags = settings(here, "eba-again")
    assert set(policy) == {*first_policy, "NoOtherEncryption", "NoOtherKey"}

    before = run_f1(here, "eba-again")
    assert settings(here, "eba-again") == (rules, policy, tags)
    assert rules[0]["ApplyServerSideEncryptionByDefault"] == {
        "SSEAlgorithm": "aws:kms",
        "KMSMasterKeyID": key,
    }
    after = access.snapshot(here, "eba-again", [])
    assert access.changes(before, after) == [], "nothing of it is even in another order"
    assert access.lost(before, after) == []


def test_f1_renews_its_own_statements_and_tags_beside_others(here: Here) -> None:
    run_f1(here, "eba-renewed")
    s3, (_, policy, _) = here.client("s3"), settings(here, "eba-renewed")
    weak = policy["RawDataIsKept"] | {"Action": "s3:DeleteObject"}
    other = weak | {"Sid": "Others"}
    text = {"Version": "2012-10-17", "Statement": [weak, other]}
    s3.put_bucket_policy(Bucket="eba-renewed", Policy=json.dumps(text))
    s3.put_bucket_tagging(Bucket="eba-renewed", Tagging={"TagSet": [{"Key": "eba:card", "Value": "X9"}]})
    run_f1(here, "eba-renewed")
    _, now, tags = settings(here, "eba-renewed")
    assert now == policy | {"Others": other}
    assert tags == {"eba:event": "test", "eba:card": "F1"}


def test_what_a_bucket_lost_is_named(here: Here) -> None:
    s3, key = here.client("s3"), here.client("kms").create_key()["KeyMetadata"]["Arn"]
    run_f1(here, "eba-lost")
    run_f2(here, "eba-lost", key)
    before = access.snapshot(here, "eba-lost", [])
    plain = [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
    s3.put_bucket_encryption(Bucket="eba-lost", ServerSideEncryptionConfiguration={"Rules": plain})
    s3.put_bucket_policy(
        Bucket="eba-lost", Policy=access.filled(FOLDER / "bucket.json", names_of(here, "eba-lost"))
    )
    s3.put_bucket_tagging(Bucket="eba-lost", Tagging={"TagSet": [{"Key": "eba:card", "Value": "F1"}]})
    after = access.snapshot(here, "eba-lost", [])
    assert access.lost(before, after) == [
        "statement NoOtherEncryption",
        "statement NoOtherKey",
        "tag eba:event",
        "aws:kms",
    ]
    empty = access.snapshot(here, "eba-nothing", [])
    assert access.lost(empty, after) == []


DENY = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"}
PLAIN = {"Bool": {"aws:SecureTransport": "false"}}


@pytest.mark.parametrize(
    ("statement", "refuses"),
    [
        ({**DENY, "Condition": PLAIN}, True),
        ({**DENY, "Principal": {"AWS": "*"}, "Condition": PLAIN}, True),
        (DENY | {"Condition": {"Bool": {"aws:SecureTransport": "true"}}}, False),
        ({**DENY, "Effect": "Allow", "Condition": PLAIN}, False),
        ({**DENY, "Action": "s3:GetObject", "Condition": PLAIN}, False),
        ({**DENY, "Principal": {"AWS": "123456789012"}, "Condition": PLAIN}, False),
        ({**DENY, "Condition": PLAIN | {"StringEquals": {"aws:SourceVpce": "vpce-1"}}}, False),
        (DENY, False),
    ],
)
def test_a_policy_that_refuses_plain_connections_is_known(statement: dict[str, Any], refuses: bool) -> None:
    assert access.refuses_plain(json.dumps({"Statement": [statement]})) is refuses
    assert access.refuses_plain(json.dumps({"Statement": statement})) is refuses


# What its policies allow


def test_each_line_is_asked_for_each_persona(here: Here) -> None:
    reads = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::eba-here/*"}
    key = {
        "Effect": "Allow",
        "Action": "kms:Decrypt",
        "Resource": "*",
        "Condition": {"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/eba"}},
    }
    roles = {"reader": role(here, "Reader", reads, key), "nobody": role(here, "Nobody", key)}
    lines = [
        {"action": "s3:GetObject", "resource": "arn:aws:s3:::eba-here/x", "allow": ["reader"]},
        {"action": "s3:PutObject", "resource": "arn:aws:s3:::eba-here/x", "allow": ["reader"]},
        {
            "action": "kms:Decrypt",
            "resource": "*",
            "allow": [],
            "when": {"kms:ResourceAliases": ["alias/eba"]},
        },
        {
            "action": "kms:Decrypt",
            "resource": "*",
            "allow": [],
            "when": {"kms:ResourceAliases": ["alias/pay"]},
        },
    ]
    rows = access.decided(here.client("iam"), roles, lines)
    got = {(row["persona"], row["line"]): (row["may"], row["should"]) for row in rows}
    assert got == {
        ("reader", 0): (True, True),
        ("reader", 1): (False, True),
        ("reader", 2): (True, False),
        ("reader", 3): (False, False),
        ("nobody", 0): (False, False),
        ("nobody", 1): (False, False),
        ("nobody", 2): (True, False),
        ("nobody", 3): (False, False),
    }


def test_the_picture_says_each_answer_in_words() -> None:
    from matplotlib.figure import Figure

    line = {
        "action": "s3:GetObject",
        "resource": "arn:aws:s3:::eba-here/" + "deep/" * 20 + "end",
        "allow": [],
    }
    rows = [
        {"line": n, "persona": who, "may": may, "should": should, **line}
        for n, who, may, should in (
            (0, "data-engineer", True, True),
            (0, "auditor", False, False),
            (1, "data-engineer", True, False),
            (1, "auditor", False, True),
        )
    ]
    ax = Figure().subplots()
    access.draw(ax, rows, "eba-here")
    assert [text.get_text() for text in ax.texts] == ["may", "–", "TOO MUCH", "TOO LITTLE"]
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels[0].startswith("s3:GetObject · bucket/deep/")
    assert labels[0].endswith("deep/end")
    assert len(labels[0]) == 60
    assert [label.get_text() for label in ax.get_xticklabels()] == ["data\nengineer", "auditor"]
