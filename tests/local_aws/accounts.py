"""An account without SageMaker in it: its administrator's clients, and those of whom it makes. A front in this process answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from werkzeug.serving import make_server

from kit.local_aws.front import App
from kit.local_aws.store import Store
from kit.local_aws.trail import Trail

ACCOUNT, REGION = "123456789012", "us-east-1"
PATIENT = Config(read_timeout=240)  # a busy machine is no reason to ask again
SERVICES = (
    "cloudtrail", "config", "events", "guardduty", "iam", "identitystore", "kms", "organizations", "s3", "s3control", "securityhub", "sqs",
    "sso-admin", "sts",
)  # fmt: skip


class Account:
    """An account: its administrator's clients, and those of whom it makes."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.admin = boto3.Session("AKIAADMIN", "secret", region_name=REGION)

    def client(self, service: str, session: boto3.Session | None = None) -> Any:
        return (session or self.admin).client(service, endpoint_url=self.url, config=PATIENT)

    def role(self, name: str, *statements: dict[str, Any], trusts: str = ACCOUNT, **more: Any) -> str:
        trust = {"Effect": "Allow", "Principal": {"AWS": trusts}, "Action": "sts:AssumeRole"}
        iam = self.client("iam")
        made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=text(trust), **more)
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=text(*statements))
        return str(made["Role"]["Arn"])

    def session(self, arn: str, by: boto3.Session | None = None, **more: Any) -> boto3.Session:
        keys = self.client("sts", by).assume_role(RoleArn=arn, RoleSessionName="lab", **more)["Credentials"]
        return boto3.Session(
            keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], region_name=REGION
        )

    def user(self, name: str, *statements: dict[str, Any]) -> boto3.Session:
        iam = self.client("iam")
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=text(*statements))
        keys = iam.create_access_key(UserName=name)["AccessKey"]
        return boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], region_name=REGION)

    def member(self) -> str:
        """The number of a new account, in an organization that this one manages."""
        organizations = self.client("organizations")
        organizations.create_organization(FeatureSet="ALL")
        made = organizations.create_account(AccountName="m", Email="m@example.com")
        return str(made["CreateAccountStatus"]["AccountId"])

    def opened(self, bucket: str = "eba") -> None:
        """A bucket that may be made public."""
        self.client("s3").delete_public_access_block(Bucket=bucket)


def text(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: Any = "*", resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: Any = "*", resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Deny", "Action": action, "Resource": resource, **more}


def refused(call: Any, **params: Any) -> str:
    """The message of the refusal, which must be one."""
    with pytest.raises(ClientError) as caught:
        call(**params)
    error = caught.value.response["Error"]
    assert error["Code"] in ("AccessDenied", "AccessDeniedException"), error
    assert caught.value.response["ResponseMetadata"]["RetryAttempts"] == 0
    return str(error["Message"])


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    app = App(tmp_path_factory.mktemp("aws"), ACCOUNT)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    app.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield app
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        app.stop()


@pytest.fixture
def account(app: App) -> Account:
    """An account with nothing in it but a bucket."""
    from moto.backends import get_backend

    for service in SERVICES:
        get_backend(service).clear()
    get_backend("s3").bucket_accounts.clear()
    get_backend("organizations").master_accounts.clear()
    app.store, app.trail = Store(), Trail()
    made = Account(app.url)
    made.client("s3").create_bucket(Bucket="eba")
    made.client("s3").put_object(Bucket="eba", Key="a/1", Body=b"1")
    return made
