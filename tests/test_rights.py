"""What a runbook asks of AWS (its golden requests) against what it says: the services of its title, the rights of who runs it."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

import golden
import pytest
import yaml

from kit import paths, plan
from kit.local_aws.asks import Ask
from kit.local_aws.policy import Policies, Policy, Request, evaluate

ROOT = paths.root()
CARDS = golden.cards(plan.load(ROOT / "runbooks" / "plan.yml"))
CARDS["X0"] = ROOT / "runbooks" / "template.ipynb"
FOLDER = ROOT / "foundations" / "policies"
ACCESS = yaml.safe_load((FOLDER / "access.yml").read_text(encoding="utf-8"))

SERVICES = {  # botocore's name, and how a title has it
    "accessanalyzer": "Access Analyzer",
    "application-autoscaling": "Application Auto Scaling",
    "athena": "Athena",
    "cloudformation": "CloudFormation",
    "cloudtrail": "CloudTrail",
    "cloudwatch": "CloudWatch",
    "config": "AWS Config",
    "ec2": "EC2|VPC",
    "events": "EventBridge",
    "firehose": "Firehose",
    "glue": "Glue",
    "guardduty": "GuardDuty",
    "iam": r"\(IAM\)",
    "identitystore": "IAM Identity Center",
    "kinesis": "Kinesis",
    "kms": "KMS",
    "lakeformation": "Lake Formation",
    "logs": "CloudWatch",
    "organizations": "Organizations",
    "resourcegroupstaggingapi": "Tagging API",
    "s3": r"\(S3\)",
    "s3control": r"\(S3\)",
    "sagemaker": "SageMaker",
    "sagemaker-featurestore-runtime": "SageMaker",
    "sagemaker-metrics": "SageMaker",
    "sagemaker-runtime": "SageMaker",
    "scheduler": "EventBridge",
    "securityhub": "Security Hub",
    "service-quotas": "Service Quotas",
    "sns": r"\(SNS\)",
    "sqs": r"\(SQS\)",
    "sso-admin": "IAM Identity Center",
}
# The SageMaker SDK looks at the role that it hands over, whatever a runbook does.
OF_THE_SDK = {("iam", "GetRole"), ("iam", "SimulatePrincipalPolicy")}
RUNS = {  # the role in the title, and the persona that has it; administrators may do all
    "data engineer": "data-engineer",
    "data scientist": "data-scientist",
    "machine learning engineer": "ml-engineer",
    "MLOps engineer": "mlops-engineer",
    "platform engineer with administrator rights": "",
    "platform engineer with administrator rights in the organization": "",
}
# boto3 asks for them, and goes on where that is refused.
DISPENSABLE = {
    "s3:ListAllMyBuckets": "the SDK then asks for the one bucket (boto3.s3.inject.bucket_load, Session._create_s3_bucket_if_it_does_not_exist)",
}
KEYS = {"kms:ResourceAliases": ["alias/eba"]}


def facts(card: str) -> list[str]:
    """The line under the title: day, role, minutes, services, cost."""
    [line] = [
        line for line in "".join(cells(CARDS[card])[0]["source"]).splitlines() if line.startswith("Day ")
    ]
    return line.split(" · ")


def cells(notebook: Path) -> list[Any]:
    found: list[Any] = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return found


def filled(text: str) -> str:
    bucket = f"eba-{golden.ACCOUNT}-us-east-1"
    return Template(text).substitute(
        partition="aws", region="us-east-1", account=golden.ACCOUNT, bucket=bucket
    )


@cache
def policies(persona: str) -> tuple[Policy, ...]:
    return tuple(
        Policy(name, json.loads(filled((FOLDER / f"{name}.json").read_text(encoding="utf-8"))))
        for name in ACCESS["personas"][persona]["policies"]
    )


def allowed(persona: str, ask: Ask) -> bool:
    # The guard finds the workgroup of a query; the event has one.
    resource = re.sub(r"query-execution/.*", "workgroup/eba", ask.resource)
    role = f"arn:aws:iam::{golden.ACCOUNT}:role/{ACCESS['personas'][persona]['role']}"
    request = Request(ask.action, resource, role, owner=golden.ACCOUNT, context={**KEYS, **ask.context})
    return evaluate(request, Policies(identity=policies(persona))).verdict == "allowed"


def lacking(persona: str, card: str) -> list[str]:
    """What the runbook asks for itself and the persona may not do: "action resource"."""
    own = {"own": golden.load(card).get("own", {})}
    asked = {
        (ask.action, golden.cut(ask.resource))
        for service, action, params in golden.all_of(own)
        for ask in golden.asks(service, action, params)
        if ask.action not in DISPENSABLE and not allowed(persona, ask)
    }
    return sorted(f"{action} {resource}" for action, resource in asked)


every_card = pytest.mark.parametrize(
    "card", sorted(set(CARDS) & {p.stem for p in golden.FOLDER.glob("*.json")})
)


@every_card
def test_the_title_names_the_services_that_are_asked(card: str) -> None:
    [said] = [part for part in facts(card) if part.startswith("services: ")]
    if "one question to each service that a runbook uses" in said:
        return  # runbooks/reach.py has them
    asked = {
        service
        for service, action, _ in golden.all_of(golden.load(card))
        if service != "sts" and (service, action) not in OF_THE_SDK
    }
    unsaid = sorted(service for service in asked if not re.search(SERVICES[service], said))
    assert not unsaid, f"{CARDS[card].name}: its title lacks {unsaid} among its services"


@every_card
def test_who_runs_it_may_do_what_it_asks(card: str) -> None:
    role = facts(card)[1]
    if role not in RUNS:
        pytest.skip(f"{card} is for {role}")
    if persona := RUNS[role]:
        missing = lacking(persona, card)
        assert not missing, f"{persona} may not run {card}: {missing}"


@every_card
def test_only_who_needs_no_service_asks_nothing(card: str) -> None:
    own_services = "services: none of its own" not in facts(card)
    assert bool(golden.load(card)) == own_services


def test_another_persona_may_not_run_everything() -> None:
    """The comparison can fail: no persona has the rights for all runbooks."""
    cards = [card for card in CARDS if RUNS.get(facts(card)[1])]
    for persona in sorted(set(RUNS.values()) - {""}):
        assert any(lacking(persona, card) for card in cards), persona


if __name__ == "__main__":  # the matrix: who may run what, and the first right that is lacking
    for name in sorted(CARDS):
        print(name, facts(name)[1])
        for who in sorted(set(RUNS.values()) - {""}):
            print(f"  {who:15} {', '.join(lacking(who, name)) or 'all'}")
