"""An account of a local AWS with the roles of foundations/policies, and clients that have their keys."""

from __future__ import annotations

import json
from pathlib import Path
from string import Template
from typing import Any

import boto3
import yaml

from kit.local_aws import process

__all__ = ["ACCESS", "FOLDER", "REGION", "client", "draft", "filled", "up"]

FOLDER = Path(__file__).parents[1] / "foundations" / "policies"
ACCESS = yaml.safe_load((FOLDER / "access.yml").read_text(encoding="utf-8"))
REGION = "us-east-1"


def filled(text: str, account: str) -> str:
    """A draft as the runbook fills it."""
    return Template(text).substitute(
        partition="aws", region=REGION, account=account, bucket=f"eba-{account}-{REGION}"
    )


def draft(name: str, account: str = "123456789012") -> str:
    """The policy of a file of the folder, filled."""
    return filled((FOLDER / f"{name}.json").read_text(encoding="utf-8"), account)


def up(folder: Path) -> tuple[process.Server, Any]:
    """A server whose account has the roles of all personas and the boundary of releases; and an IAM client of its administrator."""
    server = process.up(folder)
    session = boto3.Session("AKIATEST", "secret", region_name=REGION)
    iam = session.client("iam", endpoint_url=server.url)
    for persona in ACCESS["personas"].values():
        trust = draft(persona["trust"], server.account)
        iam.create_role(RoleName=persona["role"], AssumeRolePolicyDocument=trust)
        for name in persona["policies"]:
            iam.put_role_policy(
                RoleName=persona["role"], PolicyName=name, PolicyDocument=draft(name, server.account)
            )
    limit = draft("boundary-release", server.account)
    iam.create_policy(PolicyName="EbaBoundaryRelease", PolicyDocument=limit)
    return server, iam


def client(account: Any, persona: str, service: str) -> Any:
    """A client with the keys of the persona's role, so that its rights are enforced and not only simulated."""
    server, iam = account
    try:
        iam.create_user(UserName="ann")
        everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
        allow = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
        iam.put_user_policy(UserName="ann", PolicyName="all", PolicyDocument=allow)
    except iam.exceptions.EntityAlreadyExistsException:
        pass
    key = iam.create_access_key(UserName="ann")["AccessKey"]
    ann = boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name=REGION)
    arn = f"arn:aws:iam::{server.account}:role/{ACCESS['personas'][persona]['role']}"
    taken = ann.client("sts", endpoint_url=server.url).assume_role(RoleArn=arn, RoleSessionName="test")[
        "Credentials"
    ]
    iam.delete_access_key(UserName="ann", AccessKeyId=key["AccessKeyId"])
    session = boto3.Session(
        taken["AccessKeyId"], taken["SecretAccessKey"], taken["SessionToken"], region_name=REGION
    )
    return session.client(service, endpoint_url=server.url)
