"""Clean-up: what the event made goes, what others made stays, a refusal is told, a second run has nothing to do."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import golden
import pytest
from jobs import load
from small_event import SmallEvent

from kit import aws, journal, paths, plan
from kit.journal import Event

clean_up, idle, all_kinds, kinds = load("runbooks", "clean_up", "idle", "all_kinds", "kinds")
PRICES = {"usd_per_hour": {"ml.t3.medium": 0.05}, "idle": dict.fromkeys(
    ("usd_per_shard_hour", "usd_per_key_month", "usd_per_alarm_month", "usd_per_dashboard_month", "usd_per_gb_month"), 3.0
)}  # fmt: skip
WHEN = dt.datetime(2026, 12, 1, tzinfo=dt.UTC)
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "sagemaker.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)
RIGHTS = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"}]}
)


class Room:
    """A small event with a connection, whose calls are in the register; `outside` is somebody else's session."""

    def __init__(self) -> None:
        from boto3.session import Session

        self.plan = plan.load()
        self.outside_before = None
        self.book = journal.here("local")
        aws.watch(self.note)
        self.noting = True
        self.aws = aws.connect(self.plan, "local", paths.home())
        self.session = self.aws.session
        self.tags = [dict(tag) for tag in self.aws.tags] + [{"Key": "eba:card", "Value": "A"}]
        self.make_session = Session

    def note(self, made: aws.Made) -> None:
        if self.noting:
            facts = {"target": "local", "account": self.aws.account}
            self.book.append("removed" if made.gone else "made", "A", **facts, service=made.service,
                operation=made.operation, name=made.name, arn=made.arn, keys=dict(made.keys))  # fmt: skip

    def client(self, service: str) -> Any:
        return self.session.client(service)

    def everything(self) -> list[Any]:
        tag = dict(self.aws.tags[0])
        found: list[Any] = clean_up.everything(self.session, self.book.snapshot(), self.aws.account, tag)
        return found

    def names(self) -> set[str]:
        return {f"{thing.kind.id} {thing.name}" for thing in self.everything()}


@pytest.fixture
def room(small_event: SmallEvent) -> Iterator[Room]:
    small_event.add("A")
    made = Room()
    yield made
    made.noting = False


def make(room: Room) -> None:
    """A bucket with versions, a role with a policy, a stream, an alarm, a key, a rule with a target, a domain in use."""
    s3, iam, sagemaker = room.client("s3"), room.client("iam"), room.client("sagemaker")
    s3.create_bucket(Bucket="of-the-event")
    s3.put_bucket_versioning(Bucket="of-the-event", VersioningConfiguration={"Status": "Enabled"})
    for body in (b"one", b"two"):
        s3.put_object(Bucket="of-the-event", Key="a/b", Body=body)
    s3.delete_object(Bucket="of-the-event", Key="a/b")
    role = iam.create_role(RoleName="OfTheEvent", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    iam.put_role_policy(RoleName="OfTheEvent", PolicyName="own", PolicyDocument=RIGHTS)
    made = iam.create_policy(PolicyName="OfTheEvent", PolicyDocument=RIGHTS)["Policy"]["Arn"]
    iam.attach_role_policy(RoleName="OfTheEvent", PolicyArn=made)
    room.client("kinesis").create_stream(StreamName="of-the-event", ShardCount=2)
    room.client("cloudwatch").put_metric_alarm(
        AlarmName="of-the-event", Namespace="n", MetricName="m", Period=60, EvaluationPeriods=1, Threshold=1,
        Statistic="Sum", ComparisonOperator="GreaterThanThreshold",
    )  # fmt: skip
    room.client("kms").create_key(Tags=[{"TagKey": "eba:card", "TagValue": "A"}])
    queue = room.client("sqs").create_queue(QueueName="of-the-event")["QueueUrl"]
    arn = f"arn:aws:sqs:us-east-1:{room.aws.account}:of-the-event"
    room.client("events").put_rule(Name="of-the-event", ScheduleExpression="rate(1 day)", State="DISABLED")
    room.client("events").put_targets(Rule="of-the-event", Targets=[{"Id": "q", "Arn": arn}])
    assert queue
    domain = sagemaker.create_domain(
        DomainName="of-the-event", AuthMode="IAM", DefaultUserSettings={"ExecutionRole": role},
        SubnetIds=["subnet-1"], VpcId="vpc-1", Tags=room.tags,
    )["DomainArn"].rpartition("/")[2]  # fmt: skip
    room.noting = False  # a person opens an application in Studio
    sagemaker.create_user_profile(DomainId=domain, UserProfileName="somebody")
    spec = {"InstanceType": "ml.t3.medium"}
    sagemaker.create_app(
        DomainId=domain,
        UserProfileName="somebody",
        AppType="JupyterLab",
        AppName="default",
        ResourceSpec=spec,
    )
    room.noting = True


def test_what_the_event_made_goes_and_a_second_run_has_nothing_to_do(room: Room) -> None:
    make(room)
    things = room.everything()
    names = {f"{thing.kind.id} {thing.name}" for thing in things}
    assert {"s3.Bucket of-the-event", "sqs.Queue of-the-event", "events.Rule of-the-event"} <= names
    assert any(name.startswith("sagemaker.App ") for name in names), "an application is the domain's"
    outcomes = clean_up.deleted(things, room.session, poll=0.1, patience=120)
    assert {one.became for one in outcomes} == {"deleted"}, clean_up.told(outcomes)
    assert clean_up.left(room.everything()) == []
    assert clean_up.deleted(room.everything(), room.session) == []
    key = room.client("kms").list_keys()["Keys"][0]["KeyId"]
    assert room.client("kms").describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "PendingDeletion"


def test_what_somebody_else_made_is_never_touched(room: Room) -> None:
    make(room)
    room.noting = False
    room.client("s3").create_bucket(Bucket="of-others")
    room.client("s3").put_bucket_tagging(
        Bucket="of-others", Tagging={"TagSet": [{"Key": "eba:event", "Value": "another event"}]}
    )
    room.client("iam").create_role(RoleName="OfOthers", AssumeRolePolicyDocument=TRUST)
    room.client("kinesis").create_stream(StreamName="of-others", ShardCount=1)
    room.noting = True
    things = room.everything()
    assert not [thing for thing in things if "thers" in thing.name]
    before = clean_up.others(room.session, things)
    assert ("kinesis", "of-others", True) in before
    assert ("iam", "OfOthers", False) in before
    clean_up.deleted(things, room.session, poll=0.1, patience=120)
    assert set(before) <= set(clean_up.others(room.session, []))
    room.noting = False
    room.client("s3").delete_bucket(Bucket="of-others")  # it would be seen
    assert set(before) - set(clean_up.others(room.session, [])) == {("s3", "of-others", False)}


def test_a_tag_is_enough_where_the_register_is_lost(room: Room) -> None:
    room.noting = False
    room.client("sns").create_topic(Name="tagged", Tags=room.tags)
    room.client("iam").create_role(RoleName="Tagged", AssumeRolePolicyDocument=TRUST, Tags=room.tags)
    assert room.names() == {"sns.Topic tagged", "iam.Role Tagged"}
    assert {thing.known for thing in room.everything()} == {("tag",)}
    assert {thing.card for thing in room.everything()} == {"A", ""}


def test_what_a_runbook_deleted_itself_is_not_taken_again(room: Room) -> None:
    sqs = room.client("sqs")
    for name in ("gone", "left"):
        room.client("sagemaker").create_model_package_group(ModelPackageGroupName=name)
    room.client("sagemaker").delete_model_package_group(ModelPackageGroupName="gone")
    room.noting = False  # somebody else takes the name
    room.client("sagemaker").create_model_package_group(ModelPackageGroupName="gone")
    assert sqs
    assert room.names() == {"sagemaker.ModelPackageGroup left"}


def test_a_deletion_that_is_refused_is_told_and_the_rest_goes_on(room: Room) -> None:
    make(room)
    room.noting = False  # somebody else's role has the event's policy
    policy = f"arn:aws:iam::{room.aws.account}:policy/OfTheEvent"
    room.client("iam").create_role(RoleName="OfOthers", AssumeRolePolicyDocument=TRUST)
    room.client("iam").attach_role_policy(RoleName="OfOthers", PolicyArn=policy)
    room.noting = True
    outcomes = clean_up.deleted(room.everything(), room.session, poll=0.1, patience=120)
    [refused] = [one for one in clean_up.told(outcomes) if one["became"] != "deleted"]
    assert (refused["what"], refused["became"]) == ("iam.Policy policy/OfTheEvent", "refused")
    assert "attached" in refused["why"] or "Cannot delete" in refused["why"], refused
    assert clean_up.left(room.everything()) == ["iam.Policy policy/OfTheEvent"]
    room.noting = False
    room.client("iam").detach_role_policy(RoleName="OfOthers", PolicyArn=policy)
    room.noting = True
    clean_up.deleted(room.everything(), room.session, poll=0.1)  # it goes on from there
    assert clean_up.left(room.everything()) == []


def test_what_is_to_be_kept_is_left_and_said(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    make(room)
    monkeypatch.setenv("KIT_BOARD", "s3://of-the-event/board")
    assert clean_up.board_bucket() == ["of-the-event"]
    things = room.everything()
    outcomes = clean_up.deleted(things, room.session, keep=clean_up.board_bucket(), poll=0.1)
    assert "kept" in {one.became for one in outcomes}
    assert room.client("s3").list_object_versions(Bucket="of-the-event")["Versions"]
    assert clean_up.left(room.everything(), ["of-the-event"]) == []
    assert "s3.Bucket of-the-event" in clean_up.left(room.everything())


def test_the_key_of_a_bucket_that_is_kept_is_kept(room: Room) -> None:
    make(room)
    kms, s3 = room.client("kms"), room.client("s3")
    [key] = [row["KeyId"] for row in kms.list_keys()["Keys"]]
    kms.create_alias(AliasName="alias/of-the-event", TargetKeyId=key)
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
    s3.put_bucket_encryption(Bucket="of-the-event", ServerSideEncryptionConfiguration={"Rules": [rule]})
    kept = clean_up.to_keep(room.session, ["of-the-event", "no-bucket"])
    assert kept == sorted(["alias/of-the-event", key, "no-bucket", "of-the-event"])
    clean_up.deleted(room.everything(), room.session, keep=kept, poll=0.1)
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"
    assert clean_up.left(room.everything(), kept) == []
    assert clean_up.to_keep(room.session, []) == []


def test_a_kind_that_nobody_knows_is_told_and_fails(room: Room) -> None:
    facts = {"target": "local", "account": room.aws.account}
    room.book.append(
        "made", "A", **facts, service="sagemaker", operation="CreateMysteryBox", name="m", arn="", keys={}
    )
    room.noting = False
    things = room.everything()
    [thing] = things
    assert thing.state.startswith("unknown")
    assert clean_up.unknown(things) == [f"sagemaker.MysteryBox m: {thing.state}"]
    [outcome] = clean_up.deleted(things, room.session)
    assert outcome.became == "refused"


def test_what_it_costs_to_leave_it_is_told_by_kind(room: Room) -> None:
    make(room)
    rows = {row["kind"]: row for row in idle.rows(room.everything(), room.session, PRICES)}
    assert rows["Stream"]["USD a day"] == 2 * 3.0 * 24
    assert rows["MetricAlarm"]["USD a day"] == rows["Key"]["USD a day"] == 0.1
    assert rows["App"]["USD a day"] == pytest.approx(1.2)
    assert rows["Role"]["USD a day"] == 0
    assert rows["Domain"]["cards"] == "A"
    text = "\n".join(idle.document("E|vent", list(rows.values()), [], 1.0, 0.0))
    assert "E\\|vent" in text


def test_only_the_name_of_the_account_confirms(room: Room) -> None:
    assert clean_up.account_name(room.session) == {room.aws.account, "rehearsal"}


def test_an_older_register_without_keys_is_read_by_name_and_arn() -> None:
    at = clean_up.clients(__import__("boto3").Session(region_name="us-east-1"))

    def event(operation: str, name: str, arn: str, service: str = "sagemaker", type: str = "made") -> Event:
        data = {"service": service, "operation": operation, "name": name, "arn": arn}
        return Event(f"{name}{type}", WHEN, 1, "w", "h", type, "A", account="1", data=data)

    prefix = "arn:aws:sagemaker:us-east-1:1:"
    events = [
        event("CreateEndpoint", "E", prefix + "endpoint/e"),
        event("CreateUserProfile", "u", prefix + "user-profile/d-1/u"),
        event("DeleteAlarms", "a, b", "", "cloudwatch", "removed"),
    ]
    found = clean_up.registered(events, "1", at)
    assert [dict(thing.keys) for thing in found] == [
        {"EndpointName": "e"},
        {"DomainId": "d-1", "UserProfileName": "u"},
    ]
    assert clean_up.registered(events, "2", at) == []


@pytest.mark.parametrize(
    ("arn", "id", "keys"),
    [
        ("arn:aws:s3:::b", "s3.Bucket", {"Bucket": "b"}),
        ("arn:aws:sagemaker:r:1:pipeline/p/execution/e", "sagemaker.PipelineExecution", None),
        ("arn:aws:sagemaker:r:1:pipeline/p", "sagemaker.Pipeline", {"PipelineName": "p"}),
        ("arn:aws:logs:r:1:log-group:/a/b:*", "logs.LogGroup", {"logGroupName": "/a/b"}),
        ("arn:aws:iam::1:role/path/R", "iam.Role", {"RoleName": "R"}),
        ("arn:aws:sns:r:1:t", "sns.Topic", {"TopicArn": "arn:aws:sns:r:1:t"}),
    ],
)
def test_an_arn_tells_the_kind(arn: str, id: str, keys: dict[str, str] | None) -> None:
    kind, found = all_kinds.by_arn(arn)
    assert kind.id == id
    assert found == (keys or {"PipelineExecutionArn": arn})
    assert all_kinds.by_arn("arn:aws:nothing:r:1:x") is None


def test_a_service_that_refuses_to_tell_is_said_and_the_rest_goes_on(room: Room) -> None:
    make(room)
    iam, me = room.client("iam"), room.aws.account
    rights = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": ["kinesis:*", "sagemaker:ListApps"], "Resource": "*"},
    ]}  # fmt: skip
    room.noting = False
    trust = json.loads(TRUST)
    trust["Statement"][0]["Principal"] = {"AWS": me}
    iam.create_role(RoleName="Few", AssumeRolePolicyDocument=json.dumps(trust))
    iam.put_role_policy(RoleName="Few", PolicyName="p", PolicyDocument=json.dumps(rights))
    keys = room.client("sts").assume_role(RoleArn=f"arn:aws:iam::{me}:role/Few", RoleSessionName="few")[
        "Credentials"
    ]
    few = room.make_session(
        keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], region_name="us-east-1"
    )
    things = clean_up.everything(few, room.book.snapshot(), me, dict(room.aws.tags[0]))
    unknown = clean_up.unknown(things)
    assert {line.partition(" ")[0] for line in unknown} == {"kinesis.Stream", "sagemaker.Domain"}
    assert "kinesis" not in {service for service, _, _ in clean_up.others(few, things)}
    outcomes = clean_up.told(clean_up.deleted(things, few, poll=0.1, patience=120))
    refused = {one["what"].partition(" ")[0] for one in outcomes if one["became"] == "refused"}
    assert {"kinesis.Stream", "sagemaker.Domain"} <= refused
    assert "s3.Bucket of-the-event" in {one["what"] for one in outcomes if one["became"] == "deleted"}


def test_whatever_the_runbooks_make_has_a_way_to_go() -> None:
    """By their golden requests, where they are there: a new kind of thing needs a line in `all_kinds`, or a plain Delete."""
    at = clean_up.clients(__import__("boto3").Session(region_name="us-east-1"))
    made = {
        (
            one.service,
            next(one.operation.removeprefix(v) for v in clean_up.VERBS if one.operation.startswith(v)),
        )
        for file in golden.FOLDER.glob("*.json")
        for service, action, params in golden.all_of(golden.load(file.stem))
        if (one := aws.created(service, action, params, {})) and not one.gone
    }
    ids = {(kind.service, kind.name) for kind in all_kinds.KINDS}
    lacking = [
        f"{service}.{name}"
        for service, name in sorted(made - ids)
        if f"Delete{name}" not in at(service).meta.service_model.operation_names
    ]
    assert lacking == []
