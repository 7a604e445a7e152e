"""What of AWS the runbooks use, whether it can be reached from here, and whether who is logged in may do it.

Services are read from the titles of the runbooks, actions from the calls in them and in the modules beside them. Each
service is asked something that changes nothing; any answer, a refusal too, shows that the way there is open.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from room import FIX, OPEN, READY, Finding, finding

from kit.network import Network
from kit.plan import EVENT, Plan

__all__ = ["SERVICES", "actions", "network", "principal", "rights", "services", "subnets"]

SERVICES: dict[str, tuple[str, str, dict[str, Any]]] = {
    # botocore's name: how a title has it, a call that changes nothing, and its parameters
    "accessanalyzer": ("Access Analyzer", "list_analyzers", {}),
    "application-autoscaling": (
        "Application Auto Scaling",
        "describe_scalable_targets",
        {"ServiceNamespace": "sagemaker"},
    ),
    "athena": ("Athena", "list_work_groups", {}),
    "cloudformation": ("CloudFormation", "describe_stacks", {}),
    "cloudtrail": ("CloudTrail", "describe_trails", {}),
    "cloudwatch": ("CloudWatch", "describe_alarms", {}),
    "config": ("AWS Config", "describe_configuration_recorders", {}),
    "ec2": (r"\(EC2\)|VPC", "describe_vpcs", {}),
    "events": ("EventBridge", "list_rules", {}),
    "firehose": ("Firehose", "list_delivery_streams", {}),
    "glue": ("Glue", "get_databases", {}),
    "guardduty": ("GuardDuty", "list_detectors", {}),
    "iam": (r"\(IAM\)", "list_account_aliases", {}),
    "kinesis": ("Kinesis", "list_streams", {}),
    "kms": ("KMS", "list_aliases", {}),
    "lakeformation": ("Lake Formation", "list_resources", {}),
    "logs": ("CloudWatch", "describe_log_groups", {}),
    "organizations": ("Organizations", "describe_organization", {}),
    "resourcegroupstaggingapi": ("Tagging API", "get_resources", {}),
    "s3": (r"\(S3\)", "list_buckets", {}),
    "sagemaker": ("SageMaker", "list_domains", {}),
    "sagemaker-runtime": ("SageMaker", "invoke_endpoint", {"EndpointName": "eba-not-there", "Body": b""}),
    "securityhub": ("Security Hub", "describe_hub", {}),
    "service-quotas": ("Service Quotas", "list_services", {}),
    "sns": (r"\(SNS\)", "list_topics", {}),
    "sqs": (r"\(SQS\)", "list_queues", {}),
    "sso-admin": ("IAM Identity Center", "list_instances", {}),
    "sts": (r"\(STS\)", "get_caller_identity", {}),
}
PREFIXES = {
    "sagemaker-runtime": "sagemaker",
    "service-quotas": "servicequotas",
    "sso-admin": "sso",
    "resourcegroupstaggingapi": "tag",
    "accessanalyzer": "access-analyzer",
}
"""How an action begins where that is not botocore's name of the service."""
NAMED_OTHERWISE = {
    "s3:DeleteObjects": "s3:DeleteObject",
    "s3:DeletePublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "s3:GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:ListBuckets": "s3:ListAllMyBuckets",
    "s3:ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "s3:ListObjectVersions": "s3:ListBucketVersions",
    "s3:ListObjects": "s3:ListBucket",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
}
"""Rights of S3 that are not called like the call."""
OF_THE_SDK = {
    "ModelTrainer": ("sagemaker:CreateTrainingJob", "sagemaker:DescribeTrainingJob", "iam:PassRole"),
    "HyperparameterTuner": ("sagemaker:CreateHyperParameterTuningJob", "iam:PassRole"),
    r"Processor\(": ("sagemaker:CreateProcessingJob", "sagemaker:DescribeProcessingJob", "iam:PassRole"),
    r"Transformer\(|TransformJob": ("sagemaker:CreateTransformJob",),
    r"Pipeline\(": ("sagemaker:CreatePipeline", "sagemaker:StartPipelineExecution", "iam:PassRole"),
    r"FeatureGroup": ("sagemaker:CreateFeatureGroup", "sagemaker:PutRecord"),
}
"""What the SageMaker SDK asks for, by what of it a runbook uses."""
BATCH = 100
PATIENCE = Config(connect_timeout=5, read_timeout=15, retries={"total_max_attempts": 2})


def services(plan: Plan, root: Path) -> dict[str, set[str]]:
    """The services that the titles of the runbooks name, each with the workstreams that use it."""
    found: dict[str, set[str]] = {}
    for card in plan.cards:
        file = root / card.notebook
        if not file.is_file():
            continue  # `room.cards` reports it
        text = "".join(json.loads(file.read_text(encoding="utf-8"))["cells"][0]["source"])
        named = re.search(r"services: ([^\n]*?) · cost", text)
        for service, (words, _, _) in SERVICES.items():
            if named and re.search(words, named[1]):
                found.setdefault(service, set()).add(card.workstream)
    return found


def network(session: Any, used: Mapping[str, set[str]]) -> list[Finding]:
    """Whether each service answers, whatever it answers."""
    found = []
    for service in sorted(used):
        _, call, params = SERVICES[service]
        hinders = sorted(used[service] - {EVENT})
        got, ok = "answers", True
        try:
            getattr(session.client(service, config=PATIENCE), call)(**params)
        except ClientError as error:
            got = f"answers: {error.response['Error']['Code']}"
        except BotoCoreError as error:
            got, ok = " ".join(str(error).split())[:160], False
        fix = "Have the network let this address through, or make a VPC endpoint for the service."
        if ok or hinders:
            found.append(finding("network", service, got, "an answer", ok, fix, *hinders))
        else:  # only the event's own runbooks use it: it stops no workstream
            found.append(Finding("network", service, got, "an answer", OPEN, fix))
    return found


def subnets(session: Any, network: Network, used: Mapping[str, set[str]]) -> list[Finding]:
    """Whether the account knows the plan's subnets and security groups, and they belong together; nothing where it names none."""
    if not network.subnets:
        return []
    ec2, needed = session.client("ec2", config=PATIENCE), "of one VPC, with free addresses"
    try:
        inside = ec2.describe_subnets(SubnetIds=list(network.subnets))["Subnets"]
        groups = ec2.describe_security_groups(GroupIds=list(network.security_groups))["SecurityGroups"]
    except (BotoCoreError, ClientError) as error:
        got = " ".join(str(error).split())[:160]
        fix = "Ask the platform team for this account's; a rehearsal has none of them."
        return [Finding("network", "subnets", got, needed, OPEN, fix)]
    vpcs = sorted({one["VpcId"] for one in (*inside, *groups)})
    free = min(one["AvailableIpAddressCount"] for one in inside)
    got = f"{', '.join(vpcs)}; at least {free:,} addresses free in each subnet"
    hinders = sorted(used.get("sagemaker", set()) - {EVENT})
    fix = "Name subnets and security groups of one VPC, with an address for each instance of each job."
    return [finding("network", "subnets", got, needed, len(vpcs) == 1 and free > 0, fix, *hinders)]


def actions(plan: Plan, root: Path, used: Mapping[str, set[str]], session: Any) -> dict[str, set[str]]:
    """What the runbooks of each workstream ask of AWS, as actions of IAM; by workstream."""
    found: dict[str, set[str]] = {}
    for workstream in plan.workstreams:
        notebooks = [root / c.notebook for c in plan.cards if c.workstream == workstream.id]
        files = [file for file in notebooks if file.is_file()] + sorted((root / workstream.id).glob("*.py"))
        text = "\n".join(file.read_text(encoding="utf-8") for file in files)
        called = set(re.findall(r"\.([a-z]+(?:_[a-z0-9]+)+)\b", text)) | set(
            re.findall(r'\(\\?"([a-z]+(?:_[a-z0-9]+)+)\\?"\)', text)
        )
        mine = found.setdefault(workstream.id, set())
        for service in (one for one, users in used.items() if workstream.id in users):
            prefix = PREFIXES.get(service, service)
            operations = session.client(service).meta.service_model.operation_names
            mine |= {f"{prefix}:{name}" for name in operations if xform_name(name) in called}
        for words, asks in OF_THE_SDK.items():
            if re.search(words, text):
                mine |= set(asks)
        found[workstream.id] = {NAMED_OTHERWISE.get(action, action) for action in mine}
    return found


def principal(session: Any) -> str:
    """The ARN of the user or role that is logged in, as IAM simulates it; "" for the account's root, who may do all."""
    arn: str = session.client("sts").get_caller_identity()["Arn"]
    if arn.endswith(":root"):
        return ""
    if ":assumed-role/" in arn:
        role = arn.split("/")[1]
        held: str = session.client("iam").get_role(RoleName=role)["Role"]["Arn"]
        return held
    return arn


def rights(session: Any, needed: Mapping[str, set[str]], only: Iterable[str] = ()) -> list[Finding]:
    """Whether who is logged in may do what each workstream needs, by simulation: a finding for each workstream.

    Args:
        session: a boto3 session.
        needed: actions by workstream.
        only: workstreams to look at; none means all.
    """
    chosen = set(only) or set(needed)
    asked = sorted(set().union(*(needed[one] for one in needed if one in chosen)))
    try:
        who = principal(session)
        denied = _denied(session.client("iam"), who, asked) if who else set()
    except (BotoCoreError, ClientError) as error:
        why = str(error).partition("operation: ")[2] or str(error)
        hint = "Ask an administrator for iam:SimulatePrincipalPolicy and iam:GetRole, or to look."
        return [Finding("rights", "simulation", why, "an answer", OPEN, hint)]
    found = []
    for workstream, mine in needed.items():
        if workstream not in chosen:
            continue
        lacks = sorted(mine & denied)
        got = (
            f"all {len(mine)}"
            if not lacks
            else f"lacks {', '.join(lacks[:5])}" + (f" and {len(lacks) - 5} more" if len(lacks) > 5 else "")
        )
        state = FIX if lacks else READY
        fix = "Have an administrator give these rights, or run it as somebody who has them." if lacks else ""
        found.append(
            Finding(
                "rights", f"rights for {workstream}", got, f"{len(mine)} actions", state, fix, (workstream,)
            )
        )
    return found


def _denied(iam: Any, who: str, asked: list[str]) -> set[str]:
    """Which of these actions are not allowed on any resource without a condition."""
    denied = set()
    pages = iam.get_paginator("simulate_principal_policy")
    for start in range(0, len(asked), BATCH):
        for page in pages.paginate(PolicySourceArn=who, ActionNames=asked[start : start + BATCH]):
            denied |= {
                r["EvalActionName"] for r in page["EvaluationResults"] if r["EvalDecision"] != "allowed"
            }
    return denied
