"""The policy drafts of foundations/policies against access.yml, by simulation on the local AWS."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import personas
import pytest
from botocore.exceptions import ClientError, UnknownServiceError
from botocore.session import get_session
from personas import ACCESS, FOLDER, REGION, client, draft, filled

from kit.local_aws import client as environments
from kit.local_aws import process
from kit.local_aws.policy import Policies, Policy, Request, document, evaluate

ON_RESOURCES = (
    "trust-execution",
    "trust-persona",
    "trust-delivery",
    "trust-caller",
    "trust-starter",
    "bucket",
)


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """An account with the roles of all personas, as (its server, an IAM client)."""
    server, iam = personas.up(tmp_path_factory.mktemp("aws"))
    yield server, iam
    process.down(server.folder)


def answers(account: Any, persona: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each line of access.yml with what the simulation of the persona's role says."""
    server, iam = account
    arn = f"arn:aws:iam::{server.account}:role/{ACCESS['personas'][persona]['role']}"
    found = []
    for line in ACCESS["access"]:
        keys = [
            {
                "ContextKeyName": key,
                "ContextKeyValues": value if isinstance(value, list) else [filled(value, server.account)],
                "ContextKeyType": "stringList" if isinstance(value, list) else "string",
            }
            for key, value in line.get("when", {}).items()
        ]
        [result] = iam.simulate_principal_policy(
            PolicySourceArn=arn,
            ActionNames=[line["action"]],
            ResourceArns=[filled(line["resource"], server.account)],
            ContextEntries=keys,
        )["EvaluationResults"]
        found.append((line, result))
    return found


@pytest.mark.parametrize("persona", ACCESS["personas"])
def test_a_persona_may_do_what_access_says_and_nothing_else_of_it(account: Any, persona: str) -> None:
    wrong = [
        (line["action"], line["resource"], result["EvalDecision"])
        for line, result in answers(account, persona)
        if (result["EvalDecision"] == "allowed") != (persona in line["allow"])
    ]
    assert not wrong
    allowed = sum(persona in line["allow"] for line in ACCESS["access"])
    least = 1 if persona in ("endpoint-caller", "starter-role") else 5
    assert least <= allowed <= len(ACCESS["access"]) - 30, (
        "a persona that may do all or nothing proves little"
    )


@pytest.mark.parametrize("persona", ACCESS["personas"])
def test_every_statement_of_a_persona_is_asked_for(account: Any, persona: str) -> None:
    cited = {
        (one["SourcePolicyId"], one["StartPosition"]["Line"])
        for _, result in answers(account, persona)
        for one in result["MatchedStatements"]
    }
    for name in ACCESS["personas"][persona]["policies"]:
        statements = json.loads(draft(name))["Statement"]
        assert len([line for policy, line in cited if policy == name]) == len(statements), (
            name,
            sorted(cited),
        )


def test_access_names_only_personas_and_asks_nothing_twice() -> None:
    lines = ACCESS["access"]
    assert {persona for line in lines for persona in line["allow"]} == set(ACCESS["personas"])
    asked = [(line["action"], line["resource"], str(line.get("when"))) for line in lines]
    assert len(asked) == len(set(asked))
    assert all(set(line) <= {"action", "resource", "allow", "when"} for line in lines)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_a_draft_is_a_policy_that_iam_takes(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    policy = document(draft(path.stem), resource=path.stem in ON_RESOURCES)
    assert policy["Version"] == "2012-10-17"
    sids = [statement["Sid"] for statement in policy["Statement"]]
    assert len(sids) == len(set(sids))
    assert all(sid.isalnum() for sid in sids)
    size = len("".join(draft(path.stem).split()))
    assert size <= (2048 if path.stem.startswith("trust") else 6144), "the quota of a managed policy"
    assert not re.search(r"\d{12}", text), "an account number belongs to the account, not to a draft"
    assert "arn:aws:" not in text


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_a_draft_allows_only_actions_that_exist(path: Path) -> None:
    also = {  # actions of IAM that no API operation is called by
        "cloudformation:TagResource",
        "cloudformation:UntagResource",
        "iam:PassRole",
        "s3:ListBucket",
        "s3:ListBucketMultipartUploads",
        "s3:ListAllMyBuckets",
        "s3:GetAccountPublicAccessBlock",
        "s3:GetBucketPublicAccessBlock",
        "s3:GetEncryptionConfiguration",
        "s3:GetLifecycleConfiguration",
        "s3:PutLifecycleConfiguration",
        "s3:PutBucketTagging",
        "s3:DeleteObjectVersion",
        "s3:GetObjectVersion",
        "sts:TagSession",
    }
    more = {"sagemaker": ("sagemaker-runtime", "sagemaker-featurestore-runtime", "sagemaker-metrics")}
    session = get_session()
    for statement in json.loads(draft(path.stem))["Statement"]:
        actions = statement["Action"]
        for action in [actions] if isinstance(actions, str) else actions:
            service, name = action.split(":")
            known: set[str] = set()
            for one in (service, *more.get(service, ())):
                try:
                    known |= set(session.get_service_model(one).operation_names)
                except UnknownServiceError:
                    pytest.fail(f"{action}: no service {one}")
            assert action in also or "*" in name or name in known, action


@pytest.mark.parametrize("persona", ACCESS["personas"])
def test_a_personas_policies_fit_on_one_role(persona: str) -> None:
    drafts = [draft(name) for name in ACCESS["personas"][persona]["policies"]]
    assert sum(len("".join(text.split())) for text in drafts) <= 10_240, "the quota of a role's own policies"


def test_no_draft_lets_everything_through() -> None:
    for path in FOLDER.glob("*.json"):
        for statement in json.loads(path.read_text(encoding="utf-8"))["Statement"]:
            if statement["Effect"] == "Allow":
                actions = statement["Action"]
                assert not {"*", "iam:*", "s3:*", "sagemaker:*"} & set(
                    [actions] if isinstance(actions, str) else actions
                )


def test_the_bucket_lets_in_this_account_over_tls_and_keeps_raw_data() -> None:
    bucket = Policy("bucket", document(draft("bucket"), resource=True))
    everything = Policy("all", {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
    raw, other = (f"arn:aws:s3:::eba-123456789012-{REGION}/eba/{key}" for key in ("d1/raw/x", "m1/x"))

    def verdict(action: str, resource: str, role: str = "EbaMLEngineer", account: str = "123456789012", tls: bool = True) -> str:  # fmt: skip
        arn = f"arn:aws:iam::{account}:role/{role}"
        keys = {
            "aws:PrincipalArn": arn,
            "aws:PrincipalAccount": account,
            "aws:PrincipalIsAWSService": False,
            "aws:SecureTransport": tls,
        }
        return evaluate(Request(action, resource, arn, context=keys), Policies((everything,), bucket)).verdict

    assert verdict("s3:GetObject", raw) == "allowed"
    assert verdict("s3:GetObject", raw, tls=False) == "explicitDeny"
    assert verdict("s3:GetObject", raw, account="444455556666") == "explicitDeny"
    assert verdict("s3:DeleteObject", raw) == "explicitDeny"
    assert verdict("s3:DeleteObject", other) == "allowed"
    assert verdict("s3:DeleteObject", raw, role="EbaDataEngineer") == "allowed"


@pytest.mark.parametrize(
    ("trust", "principal", "expected"),
    [
        ("trust-execution", "sagemaker.amazonaws.com", "allowed"),
        ("trust-execution", "ec2.amazonaws.com", "implicitDeny"),
        ("trust-execution", "arn:aws:iam::123456789012:user/ann", "implicitDeny"),
        ("trust-persona", "arn:aws:iam::123456789012:user/ann", "allowed"),
        ("trust-persona", "arn:aws:iam::444455556666:user/eve", "implicitDeny"),
        ("trust-persona", "sagemaker.amazonaws.com", "allowed"),
        ("trust-delivery", "firehose.amazonaws.com", "allowed"),
        ("trust-delivery", "sagemaker.amazonaws.com", "implicitDeny"),
        ("trust-starter", "events.amazonaws.com", "allowed"),
        ("trust-starter", "scheduler.amazonaws.com", "allowed"),
        ("trust-starter", "sagemaker.amazonaws.com", "implicitDeny"),
        ("trust-caller", "arn:aws:iam::123456789012:user/ann", "allowed"),
        ("trust-caller", "arn:aws:iam::444455556666:user/eve", "implicitDeny"),
        ("trust-caller", "sagemaker.amazonaws.com", "implicitDeny"),
    ],
)
def test_a_role_is_assumed_only_by_whom_it_is_for(trust: str, principal: str, expected: str) -> None:
    assume = Policy(
        "assume", {"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}]}
    )
    policies = Policies((assume,), Policy(trust, document(draft(trust), resource=True)))
    role = "arn:aws:iam::123456789012:role/EbaDataScientist"
    for source, outcome in (("123456789012", expected), ("444455556666", "implicitDeny")):
        request = Request("sts:AssumeRole", role, principal, context={"aws:SourceAccount": source})
        if principal.endswith(".com"):
            assert evaluate(request, policies).verdict == outcome
    assert evaluate(Request("sts:AssumeRole", role, principal, context={"aws:SourceAccount": "123456789012"}), policies).verdict == expected  # fmt: skip


def test_a_data_engineer_governs_the_lake_and_others_do_not(account: Any) -> None:
    """The calls of D5."""
    server, _ = account
    zone = {"ResourceArn": f"arn:aws:s3:::eba-{server.account}-{REGION}/eba/d2/train"}
    table = {"Table": {"DatabaseName": "eba_data", "Name": "train"}}
    reader = {
        "DataLakePrincipalIdentifier": f"arn:aws:iam::{server.account}:role/{ACCESS['personas']['ml-engineer']['role']}"
    }
    glue = client(account, "data-engineer", "glue")
    glue.create_database(DatabaseInput={"Name": "eba_data"}, Tags={"eba:card": "D5"})
    glue.create_table(DatabaseName="eba_data", TableInput={"Name": "train"})
    lake = client(account, "data-engineer", "lakeformation")
    lake.register_resource(**zone, UseServiceLinkedRole=True, HybridAccessEnabled=True)
    assert lake.describe_resource(**zone)["ResourceInfo"]
    lake.grant_permissions(Principal=reader, Resource=table, Permissions=["SELECT", "DESCRIBE"])
    (grant,) = lake.list_permissions(Resource=table)["PrincipalResourcePermissions"]
    assert grant["Principal"] == reader
    mine = {"DataLakeAdmins": [reader]}
    with pytest.raises(ClientError, match="AccessDenied"):
        lake.put_data_lake_settings(DataLakeSettings=mine)
    with pytest.raises(ClientError, match="AccessDenied"):
        client(account, "data-scientist", "lakeformation").grant_permissions(
            Principal=reader, Resource=table, Permissions=["SELECT"]
        )


@pytest.mark.filterwarnings("ignore")
def test_the_sdk_accepts_the_execution_role_and_no_persona(
    account: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, _ = account
    for name, value in environments.environment(server.url, server.account, REGION).items():
        monkeypatch.setenv(name, value)
    from sagemaker.core.helper.iam_role_resolver import RoleValidationError, resolve_and_validate_role
    from sagemaker.core.helper.session_helper import Session
    from sagemaker.train import ModelTrainer

    sdk = Session(boto3.Session(), default_bucket=f"eba-{server.account}-{REGION}")
    boto3.Session().client("s3").create_bucket(Bucket=sdk.default_bucket())

    def arn(persona: str) -> str:
        return f"arn:aws:iam::{server.account}:role/{ACCESS['personas'][persona]['role']}"

    for kind in ("training", "serving", "pipeline"):
        assert resolve_and_validate_role(arn("execution-role"), kind, sdk) == arn("execution-role")
    trainer = ModelTrainer(training_image="image", role=arn("execution-role"), sagemaker_session=sdk)
    assert trainer._resolve_staging_bucket() == (sdk.default_bucket(), None), "the role may write there"
    for persona in ("data-scientist", "auditor"):
        with pytest.raises(RoleValidationError, match="Missing permissions"):
            ModelTrainer(training_image="image", role=arn(persona), sagemaker_session=sdk)
