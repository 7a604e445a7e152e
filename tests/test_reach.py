"""What of AWS can be reached from here, and what who is logged in may do there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError
from jobs import load
from small_event import SmallEvent

from kit import aws, paths
from kit import plan as plans
from kit.network import Network

reach, room = load("runbooks", "reach", "room")
ROOT = Path(__file__).parents[1]
PLAN = plans.load(ROOT / "runbooks" / "plan.yml")


@pytest.fixture
def session(small_event: SmallEvent) -> Any:
    return aws.connect(plans.load(), "local", paths.home()).session


def test_the_services_of_this_events_runbooks_are_read_from_their_titles() -> None:
    used = reach.services(PLAN, ROOT)
    assert {"foundations", "data_engineering"} <= used["s3"]
    assert "mlops" in used["cloudformation"]
    assert "foundations" in used["organizations"]
    assert "event" in used["resourcegroupstaggingapi"]


def test_every_service_of_this_event_is_asked_and_answers(
    session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The local AWS loads a service when it is first asked of it, which takes its time on a busy machine.
    monkeypatch.setattr(reach, "PATIENCE", reach.PATIENCE.merge(Config(read_timeout=120)))
    used = reach.services(PLAN, ROOT)
    found = reach.network(session, used)
    assert {one.what for one in found} == set(used)
    assert {one.state for one in found} == {"ready"}, [one for one in found if one.state != "ready"]
    refused = {one.what: one.got for one in found}["sagemaker-runtime"]
    assert refused.startswith("answers: "), "a refusal is an answer"


def test_the_subnets_of_the_plan_are_looked_up(session: Any) -> None:
    ec2 = session.client("ec2")
    default = next(one["VpcId"] for one in ec2.describe_vpcs()["Vpcs"] if one["IsDefault"])
    other = ec2.create_vpc(CidrBlock="10.9.0.0/24")["Vpc"]["VpcId"]
    small = ec2.create_subnet(VpcId=other, CidrBlock="10.9.0.0/28")["Subnet"]["SubnetId"]
    groups = {one["VpcId"]: one["GroupId"] for one in ec2.describe_security_groups()["SecurityGroups"]}
    used = {"sagemaker": {"mlops", "event"}}

    assert reach.subnets(session, Network(), used) == []
    (good,) = reach.subnets(session, Network((small,), (groups[other],)), used)
    assert (good.state, good.got) == ("ready", f"{other}; at least 11 addresses free in each subnet")
    (mixed,) = reach.subnets(session, Network((small,), (groups[default],)), used)
    assert (mixed.state, mixed.hinders) == ("fix", ("mlops",))
    assert {default, other} == set(mixed.got.partition(";")[0].split(", "))
    (unknown,) = reach.subnets(session, Network(("subnet-0a1b2c3d",), (groups[other],)), used)
    assert unknown.state == "open", "a rehearsal does not stop for what only the account has"
    assert "subnet-0a1b2c3d" in unknown.got


def test_what_cannot_be_reached_hinders_who_uses_it() -> None:
    class Cut:
        def client(self, service: str, **_: Any) -> Any:
            return self

        def __getattr__(self, name: str) -> Any:
            raise EndpointConnectionError(endpoint_url="https://sns.us-east-1.amazonaws.com/")

    found = {f.what: f for f in reach.network(Cut(), {"sns": {"mlops", "event"}, "sqs": {"event"}})}
    assert (found["sns"].state, found["sns"].hinders) == ("fix", ("mlops",))
    assert "https://sns.us-east-1.amazonaws.com/" in found["sns"].got
    assert found["sqs"].state == "open", "only the event's own runbooks use it"
    verdicts = room.verdicts(found.values(), ["mlops", "foundations"])
    assert verdicts == {"mlops": "no-go", "foundations": "go"}


def test_actions_are_read_from_the_calls_of_runbooks_and_the_modules_beside_them(session: Any) -> None:
    needed = reach.actions(PLAN, ROOT, reach.services(PLAN, ROOT), session)
    assert {"iam:CreateRole", "cloudtrail:CreateTrail", "s3:PutEncryptionConfiguration"} <= needed[
        "foundations"
    ]
    assert {"kinesis:CreateStream", "s3:PutObject", "sagemaker:CreateProcessingJob"} <= needed[
        "data_engineering"
    ]
    assert {"sagemaker:CreateEndpoint", "sagemaker:CreateTrainingJob"} <= needed["model_engineering"]
    assert "cloudformation:CreateStack" in needed["mlops"]
    assert not any(
        action.startswith(("sagemaker-runtime:", "sso-admin:")) for one in needed.values() for action in one
    )


def test_rights_are_simulated_for_who_is_logged_in(session: Any) -> None:
    needed = {"mlops": {"s3:ListBucket", "sns:CreateTopic"}, "foundations": {"iam:CreateRole"}}
    assert {one.got for one in reach.rights(session, needed)} == {"all 2", "all 1"}
    iam, sts = session.client("iam"), session.client("sts")
    me = sts.get_caller_identity()["Account"]
    trust = {"Effect": "Allow", "Principal": {"AWS": me}, "Action": "sts:AssumeRole"}
    rights = [{"Effect": "Allow", "Action": ["s3:*", "iam:Simulate*", "iam:GetRole"], "Resource": "*"}]
    iam.create_role(RoleName="Few", Path="/a/", AssumeRolePolicyDocument=text([trust]))
    iam.put_role_policy(RoleName="Few", PolicyName="p", PolicyDocument=text(rights))
    keys = sts.assume_role(RoleArn=f"arn:aws:iam::{me}:role/a/Few", RoleSessionName="few")["Credentials"]
    few = type(session)(
        keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], region_name="us-east-1"
    )
    assert reach.principal(few) == f"arn:aws:iam::{me}:role/a/Few"
    found = {one.what: one for one in reach.rights(few, needed)}
    assert found["rights for mlops"].got == "lacks sns:CreateTopic"
    assert found["rights for foundations"].state == "fix"
    assert found["rights for mlops"].hinders == ("mlops",)
    assert [one.what for one in reach.rights(few, needed, ["mlops"])] == ["rights for mlops"]


def text(statements: list[dict[str, Any]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def test_rights_that_nobody_may_simulate_are_open() -> None:
    class Refusing:
        def client(self, _: str) -> Any:
            return self

        def get_caller_identity(self) -> Any:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetCallerIdentity")

    [found] = reach.rights(Refusing(), {"mlops": {"s3:ListBucket"}})
    assert (found.state, found.area) == ("open", "rights")


def test_the_root_of_an_account_may_do_all() -> None:
    class Root:
        def client(self, _: str) -> Any:
            return self

        def get_caller_identity(self) -> dict[str, str]:
            return {"Arn": "arn:aws:iam::111122223333:root"}

    assert [one.state for one in reach.rights(Root(), {"mlops": {"s3:ListBucket"}})] == ["ready"]
