"""Data capture: the lines that come to S3, where they come, and what is left out."""

from __future__ import annotations

import base64
import json
import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError
from endpoints import create_config, create_endpoint, create_model, invoke, moody, unique
from hearing import soon
from hypothesis import given
from hypothesis import strategies as st
from lab import BUCKET, TRUST, Lab

from kit.local_aws.capture import Exchange, line

pytestmark = pytest.mark.filterwarnings("ignore:sagemaker.* has been moved:DeprecationWarning")
HEADER = {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json", "application/jsonlines"]}
BOTH = [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}]
NOON = datetime(2026, 3, 1, 12, 30, 15, 250_000, tzinfo=UTC)


def config(prefix: str, **more: Any) -> dict[str, Any]:
    return {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{BUCKET}/{prefix}",
        "CaptureOptions": BOTH,
        "CaptureContentTypeHeader": HEADER,
        **more,
    }


def serve(lab: Lab, capture: dict[str, Any]) -> str:
    made = create_endpoint(lab, create_config(lab, capture=capture, All=(create_model(lab, moody("m")), 1)))
    assert made["EndpointStatus"] == "InService", made.get("FailureReason")
    return str(made["EndpointName"])


def lines(lab: Lab, prefix: str, count: int) -> list[dict[str, Any]]:
    """The captured lines below a prefix, once there are so many."""

    def ask() -> list[str]:
        texts = [lab.get(f"s3://{BUCKET}/{key}").decode() for key in lab.keys(prefix)]
        assert all(text.endswith("\n") for text in texts)
        found = [each for text in texts for each in text.splitlines()]
        return found if len(found) >= count else []

    return [json.loads(each) for each in soon(ask)]


def test_a_line_has_aws_s_members_in_aws_s_order() -> None:
    made = line(
        config("x"),
        Exchange((b"1,2\n", "text/csv"), (b"0.5", "text/csv; charset=utf-8"), "id-1", "who=me"),
        NOON,
    )
    event = json.loads(made)["eventMetadata"]["eventId"]
    assert made == (
        '{"captureData":{"endpointInput":{"observedContentType":"text/csv","mode":"INPUT","data":"1,2\\n","encoding":"CSV"},'
        '"endpointOutput":{"observedContentType":"text/csv; charset=utf-8","mode":"OUTPUT","data":"0.5","encoding":"CSV"}},'
        f'"eventMetadata":{{"eventId":"{event}","customAttributes":["who=me"],"inferenceId":"id-1",'
        '"inferenceTime":"2026-03-01T12:30:15Z"},"eventVersion":"0"}'
    )


@pytest.mark.parametrize(
    ("modes", "held"),
    [
        (["Input"], ["endpointInput"]),
        (["Output"], ["endpointOutput"]),
        (["Input", "Output"], ["endpointInput", "endpointOutput"]),
        (["InputAndOutput"], ["endpointInput", "endpointOutput"]),
    ],
)
def test_a_line_holds_what_the_options_ask_for(modes: list[str], held: list[str]) -> None:
    options = [{"CaptureMode": mode} for mode in modes]
    made = line(config("x", CaptureOptions=options), Exchange((b"1", "text/csv"), (b"2", "text/csv")), NOON)
    assert list(json.loads(made)["captureData"]) == held


@given(st.binary(), st.sampled_from(["text/csv", "application/json; charset=utf-8", "image/png", ""]))
def test_every_body_can_be_read_back_by_its_encoding(body: bytes, kind: str) -> None:
    made = line(config("x"), Exchange((body, kind), (b"", "text/csv")), NOON)
    assert "\n" not in made
    part = json.loads(made)["captureData"]["endpointInput"]
    back = base64.b64decode(part["data"]) if part["encoding"] == "BASE64" else part["data"].encode()
    assert (back, part["observedContentType"]) == (body, kind)
    named = {"text/csv": "CSV", "application/json; charset=utf-8": "JSON"}.get(kind, "BASE64")
    assert part["encoding"] in (named, "BASE64")


def test_without_named_content_types_everything_is_base64() -> None:
    given_ = config("x", CaptureContentTypeHeader={})
    made = json.loads(line(given_, Exchange((b"1", "text/csv"), (b"{}", "application/json")), NOON))
    assert {part["encoding"] for part in made["captureData"].values()} == {"BASE64"}


def test_requests_and_answers_come_to_s3_under_aws_s_names(lab: Lab) -> None:
    prefix = unique("capture")
    name = serve(lab, config(prefix))
    invoke(
        lab, name, "1,2", ContentType="text/csv", Accept="text/csv", InferenceId="one", CustomAttributes="a=b"
    )
    invoke(lab, name, '{"x": 1}', ContentType="application/jsonlines", Accept="application/json")
    invoke(lab, name, b"\xff\x00", ContentType="application/x-npy", Accept="application/x-npy")
    for refused in ("bad", "broken"):
        with pytest.raises(ClientError, match="ModelError"):
            invoke(lab, name, refused, ContentType="text/csv")
    found = lines(lab, prefix, 3)
    assert len(found) == 3  # what the model refused is not captured
    (key,) = lab.keys(prefix)[:1]
    assert re.fullmatch(
        rf"{prefix}/{name}/All/\d{{4}}/\d\d/\d\d/\d\d/\d\d-\d\d-\d{{3}}-[0-9a-f-]{{36}}\.jsonl", key
    )
    # By what was asked: the names of files that were written before and after a full hour are in another order.
    by_kind = {each["captureData"]["endpointInput"]["observedContentType"]: each for each in found}
    first, second, third = (
        by_kind[kind] for kind in ("text/csv", "application/jsonlines", "application/x-npy")
    )
    assert first["captureData"]["endpointInput"] == {
        "observedContentType": "text/csv",
        "mode": "INPUT",
        "data": "1,2",
        "encoding": "CSV",
    }
    assert first["captureData"]["endpointOutput"]["data"] == "m:1,2"
    assert first["eventMetadata"]["inferenceId"] == "one"
    assert first["eventMetadata"]["customAttributes"] == ["a=b"]
    assert "inferenceId" not in second["eventMetadata"]
    assert [part["encoding"] for part in second["captureData"].values()] == ["JSON", "JSON"]
    assert base64.b64decode(third["captureData"]["endpointInput"]["data"]) == b"\xff\x00"
    moment = datetime.strptime(first["eventMetadata"]["inferenceTime"], "%Y-%m-%dT%H:%M:%S%z")
    assert abs((datetime.now(UTC) - moment).total_seconds()) < 600
    assert len({each["eventMetadata"]["eventId"] for each in found}) == 3


def test_the_sdk_s_endpoint_configuration_captures_and_describe_tells_it(lab: Lab) -> None:
    from sagemaker.core.resources import EndpointConfig
    from sagemaker.core.shapes import CaptureOption, DataCaptureConfig, ProductionVariant

    prefix, name = unique("capture"), unique("config")
    EndpointConfig.create(
        endpoint_config_name=name,
        production_variants=[
            ProductionVariant(
                variant_name="A",
                model_name=create_model(lab, moody("m")),
                initial_instance_count=1,
                instance_type="ml.m5.large",
            )
        ],
        data_capture_config=DataCaptureConfig(
            enable_capture=True,
            initial_sampling_percentage=100,
            destination_s3_uri=f"s3://{BUCKET}/{prefix}/",
            capture_options=[CaptureOption(capture_mode="Input")],
        ),
        session=lab.sagemaker.boto_session,
    )
    made = create_endpoint(lab, name)
    assert made["DataCaptureConfig"] == {
        "EnableCapture": True,
        "CaptureStatus": "Started",
        "CurrentSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{BUCKET}/{prefix}/",
        "KmsKeyId": "",
    }
    invoke(lab, made["EndpointName"], "1", ContentType="text/csv")
    (found,) = lines(lab, prefix, 1)
    assert list(found["captureData"]) == ["endpointInput"]


def test_sampling_leaves_out_its_share_and_a_switch_leaves_out_all(lab: Lab) -> None:
    half, off = unique("capture"), unique("capture")
    sampled = serve(lab, config(half, InitialSamplingPercentage=50))
    stopped = serve(lab, config(off, EnableCapture=False))
    assert lab.endpoint(stopped)["DataCaptureConfig"]["CaptureStatus"] == "Stopped"
    for _ in range(200):
        invoke(lab, sampled, "1", ContentType="text/csv")
    for _ in range(5):
        invoke(lab, stopped, "1", ContentType="text/csv")
    found = lines(lab, half, 60)
    time.sleep(0.6)  # longer than what comes late may be late
    assert 60 <= len(lines(lab, half, len(found))) <= 140  # six standard deviations around 100
    assert lab.keys(off) == []


def test_a_role_that_may_not_write_loses_the_lines_and_the_log_says_so(lab: Lab) -> None:
    iam = lab.client("iam")
    reads = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}],
    }
    name = unique("reader")
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="reads", PolicyDocument=json.dumps(reads))
    model = unique("model")
    uri = lab.put_archive(f"{model}/model.tar.gz", moody("m"))
    image = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.4-2-cpu-py3"
    lab.client("sagemaker").create_model(
        ModelName=model, PrimaryContainer={"Image": image, "ModelDataUrl": uri}, ExecutionRoleArn=role
    )
    prefix = unique("capture")
    endpoint = create_endpoint(lab, create_config(lab, capture=config(prefix), All=(model, 1)))[
        "EndpointName"
    ]
    assert invoke(lab, endpoint, "1", ContentType="text/csv")[0] == b"m:1"

    def told() -> list[str]:
        log = lab.log(f"/aws/sagemaker/Endpoints/{endpoint}", "All/i-")
        return [each for each in log if each.startswith("Data capture could not write 1 records")]

    assert "AccessDenied" in soon(told)[0]
    assert lab.keys(prefix) == []


def test_a_key_encrypts_what_is_captured(lab: Lab) -> None:
    key = lab.client("kms").create_key()["KeyMetadata"]["Arn"]
    uses = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "kms:*", "Resource": key}]}
    lab.client("iam").put_role_policy(
        RoleName="SageMakerRole", PolicyName="key", PolicyDocument=json.dumps(uses)
    )
    prefix = unique("capture")
    invoke(lab, serve(lab, config(prefix, KmsKeyId=key)), "1", ContentType="text/csv")
    lines(lab, prefix, 1)
    head = lab.client("s3").head_object(Bucket=BUCKET, Key=lab.keys(prefix)[0])
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", key)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"DestinationS3Uri": "https://example.com/x"}, "is no location in Amazon S3"),
        ({"CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Input"}]}, "name a boundary twice"),
        (
            {"CaptureOptions": [{"CaptureMode": "InputAndOutput"}, {"CaptureMode": "Input"}]},
            "name a boundary twice",
        ),
        (
            {"CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["text/csv"]}},
            "text/csv cannot be both CSV and JSON",
        ),
        ({"InitialSamplingPercentage": 101}, "less than or equal to 100"),
    ],
)
def test_a_capture_that_cannot_be_is_refused(lab: Lab, wrong: dict[str, Any], said: str) -> None:
    model = create_model(lab, moody("m"))
    with pytest.raises(ClientError, match=said):
        create_config(lab, capture=config("x", **wrong), All=(model, 1))
