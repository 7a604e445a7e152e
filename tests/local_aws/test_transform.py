"""Batch transform through the SDK and boto3: what went to the model, what came out, and why a job failed."""

from __future__ import annotations

import gzip
import io
import json
import time
from typing import Any

import joblib
import numpy as np
import psutil
import pytest
from botocore.exceptions import ClientError
from endpoints import create_model, processes, unique
from lab import BUCKET, JOBS, Lab
from sklearn.linear_model import LogisticRegression

pytestmark = [  # the SDK's own
    pytest.mark.filterwarnings("ignore:sagemaker.* has been moved:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Importing from sagemaker.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning"),
]

# Answers each record with its length and the records of its request; a record "bad" is refused, "broken" breaks the model.
COUNTING = """
import json, os, threading, time
from werkzeug.wrappers import Response
at_once, most, lock = 0, 0, threading.Lock()
def model_fn(folder):
    return dict(os.environ)
def transform_fn(model, data, content_type, accept):
    global at_once, most
    with lock:
        at_once += 1
        most = max(most, at_once)
    data = data.decode() if isinstance(data, bytes) else data
    lines = data.splitlines()
    if "slow" in data:
        patience = time.monotonic() + 60
        while most < 4 and time.monotonic() < patience:
            time.sleep(0.01)
        time.sleep(0.2)
    if "forever" in data:
        time.sleep(300)
    if "bad" in lines:
        return Response("no such record", status=400)
    if "broken" in lines:
        raise ValueError("the model is broken")
    with lock:
        at_once -= 1
        reached = most
    if accept == "text/csv":
        return "".join(f"{len(line)},{len(lines)}\\n" for line in lines), accept
    if "jsonlines" in accept:
        return "".join(json.dumps({"length": len(line), "batch": len(lines)}) + "\\n" for line in lines), accept
    if accept == "text/plain":
        return "|".join(lines), accept
    return json.dumps({"records": len(lines), "most": reached, "batch": model.get("SAGEMAKER_BATCH"), "own": model.get("OWN")}), accept
"""


@pytest.fixture(scope="module")
def counting(labs: Any) -> str:
    """The name of a model that counts."""
    with labs("bind").current() as lab:
        return create_model(lab, {"code/inference.py": COUNTING})


def submit(lab: Lab, model: str, data: str, **more: Any) -> str:
    """The name of a new transform job; `input` and `output` go into TransformInput and TransformOutput."""
    name = more.pop("name", unique("transform"))
    kind = more.pop("kind", "S3Prefix")
    lab.client("sagemaker").create_transform_job(
        TransformJobName=name,
        ModelName=model,
        TransformInput={
            "DataSource": {"S3DataSource": {"S3DataType": kind, "S3Uri": data}},
            **more.pop("input", {}),
        },
        TransformOutput={"S3OutputPath": f"s3://{BUCKET}/{name}", **more.pop("output", {})},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
        **more,
    )
    return name


def ended(lab: Lab, name: str, *wanted: str) -> dict[str, Any]:
    ask = lab.client("sagemaker").describe_transform_job
    return lab.until(
        lambda: ask(TransformJobName=name),
        "TransformJobStatus",
        *(wanted or ("Completed", "Failed", "Stopped")),
    )


def made(lab: Lab, name: str, key: str = "in.csv") -> str:
    job = ended(lab, name)
    assert job["TransformJobStatus"] == "Completed", job.get("FailureReason")
    return lab.get(f"s3://{BUCKET}/{name}/{key}.out").decode()


def table(lab: Lab, text: str, name: str = "in.csv") -> str:
    """The URI of a new object."""
    return lab.put(f"{unique('data')}/{name}", text)


LINES: dict[str, Any] = {
    "input": {"SplitType": "Line", "ContentType": "text/csv"},
    "output": {"AssembleWith": "Line", "Accept": "text/csv"},
}


def test_the_sdks_transformer_predicts_what_the_model_predicts(either: Lab) -> None:
    from sagemaker.core.transformer import Transformer

    lab = either
    rows = np.random.default_rng(0).normal(size=(100, 4))
    fitted = LogisticRegression().fit(rows, (rows[:, 0] > 0).astype(int))
    packed = io.BytesIO()
    joblib.dump(fitted, packed)
    code = (JOBS / "inference.py").read_text()
    model = create_model(lab, {"model.joblib": packed.getvalue(), "code/inference.py": code})
    text = io.StringIO()
    np.savetxt(text, rows, delimiter=",")
    uri = table(lab, text.getvalue())
    transformer = Transformer(
        model_name=model,
        instance_count=1,
        instance_type="ml.m5.large",
        strategy="MultiRecord",
        assemble_with="Line",
        accept="text/csv",
        output_path=f"s3://{BUCKET}/predicted/{model}",
        sagemaker_session=lab.sagemaker,
        base_transform_job_name=unique("sdk"),
        tags=[{"Key": "event", "Value": "eba"}],
    )
    transformer.transform(uri, content_type="text/csv", split_type="Line", wait=True, logs=True)
    predicted = np.loadtxt(io.StringIO(lab.get(f"{transformer.output_path}/in.csv.out").decode()))
    assert predicted.tolist() == fitted.predict(rows).tolist()
    name = transformer.latest_transform_job.transform_job_name
    job = ended(lab, name)
    assert job["TransformEndTime"] >= job["TransformStartTime"] >= job["CreationTime"]
    tags = lab.client("sagemaker").list_tags(ResourceArn=job["TransformJobArn"])["Tags"]
    assert tags == [{"Key": "event", "Value": "eba"}]
    log = lab.log("/aws/sagemaker/TransformJobs", f"{name}/")
    assert any(line.startswith("model loaded in") for line in log)
    assert "MaxConcurrentTransforms=1, MaxPayloadInMB=6, BatchStrategy=MULTI_RECORD" in log


def test_records_go_many_or_one_at_a_time(lab: Lab, counting: str) -> None:
    uri = table(lab, "a\nbb\nccc\n")
    many = submit(lab, counting, uri, **LINES)
    single = submit(lab, counting, uri, BatchStrategy="SingleRecord", **LINES)
    assert made(lab, many) == "1,3\n2,3\n3,3\n"
    assert made(lab, single) == "1,1\n2,1\n3,1\n"


def test_a_request_is_no_larger_than_asked_for_and_a_record_that_is_fails(lab: Lab, counting: str) -> None:
    uri = table(lab, "".join("x" * 300_000 + "\n" for _ in range(7)))
    name = submit(lab, counting, uri, MaxPayloadInMB=1, **LINES)
    assert [line.split(",")[1] for line in made(lab, name).splitlines()] == ["3"] * 6 + ["1"]
    name = submit(lab, counting, table(lab, "x" * 1_100_000), MaxPayloadInMB=1, **LINES)
    job = ended(lab, name)
    assert job["TransformJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: See job logs for more information.")
    assert "Too much data for max payload size" in job["FailureReason"]


def test_an_object_that_is_not_split_goes_whole_and_the_model_knows_that_it_is_a_batch(
    lab: Lab, counting: str
) -> None:
    name = submit(
        lab,
        counting,
        table(lab, "a\nbb\nccc\n"),
        input={"ContentType": "text/plain"},
        Environment={"OWN": "mine"},
    )
    assert json.loads(made(lab, name)) == {"records": 3, "most": 1, "batch": "true", "own": "mine"}


def test_without_assembly_answers_are_put_together_as_they_are(lab: Lab, counting: str) -> None:
    uri = table(lab, "a\nbb\n")
    kinds = {"SplitType": "Line", "ContentType": "text/plain"}
    glued = submit(
        lab, counting, uri, input=kinds, output={"Accept": "text/plain"}, BatchStrategy="SingleRecord"
    )
    lined = submit(
        lab,
        counting,
        uri,
        input=kinds,
        output={"Accept": "text/plain", "AssembleWith": "Line"},
        BatchStrategy="SingleRecord",
    )
    assert made(lab, glued) == "abb"
    assert made(lab, lined) == "a\nbb\n"


def test_requests_run_beside_each_other_and_stay_in_their_order(lab: Lab, counting: str) -> None:
    # Four are slow of the first eight, which are sent before the first answer: they meet at the model.
    lines = [f"{n} slow" if n % 2 == 0 else f"{n}" + "." * n for n in range(12)]
    began = time.monotonic()
    name = submit(
        lab,
        counting,
        table(lab, "\n".join(lines)),
        input={"SplitType": "Line", "ContentType": "text/plain"},
        output={"AssembleWith": "Line"},
        BatchStrategy="SingleRecord",
        MaxConcurrentTransforms=4,
    )
    answers = [json.loads(line) for line in made(lab, name).splitlines()]
    assert len(answers) == 12
    assert max(answer["most"] for answer in answers) == 4
    assert time.monotonic() - began < 240
    ordered = submit(
        lab,
        counting,
        table(lab, "\n".join(lines)),
        BatchStrategy="SingleRecord",
        MaxConcurrentTransforms=4,
        **LINES,
    )
    assert [int(line.split(",")[0]) for line in made(lab, ordered).splitlines()] == list(map(len, lines))


def test_every_object_under_the_prefix_has_its_output_and_gzip_is_unpacked(lab: Lab, counting: str) -> None:
    folder = unique("many")
    for key in ("a.csv", "deep/b.csv"):
        lab.put(f"{folder}/{key}", "x\n")
    name = submit(lab, counting, f"s3://{BUCKET}/{folder}/", **LINES)
    ended(lab, name)
    assert lab.keys(f"{name}/") == [f"{name}/a.csv.out", f"{name}/deep/b.csv.out"]
    packed = lab.put(f"{folder}-gz/c.csv.gz", gzip.compress(b"x\nyy\n"))
    zipped = {**LINES, "input": {**LINES["input"], "CompressionType": "Gzip"}}
    assert made(lab, submit(lab, counting, packed, **zipped), "c.csv.gz") == "1,2\n2,2\n"
    not_packed = ended(lab, submit(lab, counting, table(lab, "x\n"), **zipped))
    assert "Not a gzipped file" in not_packed["FailureReason"]
    manifest = lab.put(
        f"{folder}.manifest", json.dumps([{"prefix": f"s3://{BUCKET}/{folder}/"}, "deep/b.csv"])
    )
    name = submit(lab, counting, manifest, kind="ManifestFile", **LINES)
    assert made(lab, name, "deep/b.csv") == "1,1\n"
    assert lab.keys(f"{name}/") == [f"{name}/deep/b.csv.out"]


def test_csv_is_filtered_joined_and_filtered_again(lab: Lab, counting: str) -> None:
    uri = table(lab, '7,"a,b",xyz\n8,cc,z\n')
    job: dict[str, Any] = {**LINES, "DataProcessing": {"InputFilter": "$[1:]", "JoinSource": "Input"}}
    assert made(lab, submit(lab, counting, uri, **job)) == '7,"a,b",xyz,9,2\n8,cc,z,4,2\n'
    job["DataProcessing"] = {"InputFilter": "$[2]", "JoinSource": "Input", "OutputFilter": "$[0,-2:]"}
    assert made(lab, submit(lab, counting, uri, **job)) == "7,3,2\n8,1,2\n"
    job["DataProcessing"] = {"OutputFilter": "$[0]"}
    assert made(lab, submit(lab, counting, uri, **job)) == "11,2\n".replace(",2", "") + "6\n"


def test_json_lines_are_filtered_joined_and_filtered_again(lab: Lab, counting: str) -> None:
    lines = [{"id": 7, "features": {"a": 1, "b": [1, 2]}}, {"id": 8, "features": {"a": "é", "b": []}}]
    uri = table(lab, "\n".join(json.dumps(line) for line in lines), "in.jsonl")
    kinds: dict[str, Any] = {
        "input": {"SplitType": "Line", "ContentType": "application/jsonlines"},
        "output": {"AssembleWith": "Line", "Accept": "application/jsonlines"},
    }

    def done(**processing: str) -> list[Any]:
        name = submit(lab, counting, uri, DataProcessing=processing, **kinds)
        return [json.loads(line) for line in made(lab, name, "in.jsonl").splitlines()]

    joined = done(InputFilter="$.features.b", JoinSource="Input")
    assert joined == [
        {**lines[0], "SageMakerOutput": {"length": 6, "batch": 2}},
        {**lines[1], "SageMakerOutput": {"length": 2, "batch": 2}},
    ]
    assert done(InputFilter="$.features.b", JoinSource="Input", OutputFilter="$['id','SageMakerOutput']") == [
        {"id": 7, "SageMakerOutput": {"length": 6, "batch": 2}},
        {"id": 8, "SageMakerOutput": {"length": 2, "batch": 2}},
    ]
    assert done(InputFilter="$.id", OutputFilter="$.length") == [1, 1]


def test_an_object_that_the_model_refuses_fails_the_job_and_the_others_have_their_output(
    lab: Lab, counting: str
) -> None:
    folder = unique("some")
    for key, text in (("1.csv", "x\n"), ("2.csv", "bad\n"), ("3.csv", "y\n")):
        lab.put(f"{folder}/{key}", text)
    name = submit(lab, counting, f"s3://{BUCKET}/{folder}/", **LINES)
    job = ended(lab, name)
    assert job["TransformJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: See job logs for more information.")
    assert "no such record" in job["FailureReason"]
    assert lab.keys(f"{name}/") == [f"{name}/1.csv.out", f"{name}/3.csv.out"]
    log = lab.log("/aws/sagemaker/TransformJobs", f"{name}/")
    assert f"{BUCKET}/{folder}/2.csv: ClientError: 400" in log
    assert f"{BUCKET}/{folder}/2.csv: no such record" in log


def test_a_model_that_breaks_is_asked_again_and_then_fails_the_job(lab: Lab, counting: str) -> None:
    name = submit(
        lab,
        counting,
        table(lab, "broken\n"),
        ModelClientConfig={"InvocationsMaxRetries": 1, "InvocationsTimeoutInSeconds": 60},
        **LINES,
    )
    job = ended(lab, name)
    assert job["FailureReason"].startswith("AlgorithmError: See job logs for more information.")
    assert "ValueError: the model is broken" in job["FailureReason"]
    log = lab.log("/aws/sagemaker/TransformJobs", f"{name}/")
    assert log.count("ValueError: the model is broken") == 2
    assert lab.keys(f"{name}/") == []
    slow = ended(
        lab,
        submit(
            lab,
            counting,
            table(lab, "forever\n"),
            ModelClientConfig={"InvocationsMaxRetries": 0, "InvocationsTimeoutInSeconds": 1},
            **LINES,
        ),
    )
    assert "timed out" in slow["FailureReason"]


def test_a_model_that_cannot_be_loaded_fails_the_job_with_its_own_words(lab: Lab) -> None:
    model = create_model(
        lab, {"code/inference.py": "def model_fn(folder):\n    raise KeyError('no weights')\n"}
    )
    job = ended(lab, submit(lab, model, table(lab, "x\n"), **LINES))
    assert job["TransformJobStatus"] == "Failed"
    assert "did not pass the ping health check" in job["FailureReason"]
    assert "no weights" in job["FailureReason"]


@pytest.mark.parametrize(
    ("text", "changes", "said"),
    [
        ("a\n", {"DataProcessing": {"JoinSource": "Input", "OutputFilter": "$[9]"}}, "there is no index 9 in a record of 3"),
        ("a\n", {"DataProcessing": {"InputFilter": "$[1]"}}, "there is no index 1 in a record of 1"),
        (
            '{"a": 1}\nno json\n',
            {
                "DataProcessing": {"InputFilter": "$.a"},
                "input": {"SplitType": "Line", "ContentType": "application/jsonlines"},
            },
            "Failed to parse input as JSON",
        ),
        (
            '{"a": 1}\n{"b": 1}\n',
            {
                "DataProcessing": {"InputFilter": "$.a"},
                "input": {"SplitType": "Line", "ContentType": "application/jsonlines"},
            },
            "$.a leads nowhere in a record",
        ),
        (
            '{"a": 1}\n{"b": 1}\n',
            {
                "DataProcessing": {"JoinSource": "Input"},
                "input": {"SplitType": "Line", "ContentType": "application/jsonlines"},
                "output": {"Accept": "application/json"},
            },
            "2 records were sent",
        ),
    ],
)  # fmt: skip
def test_data_that_do_not_fit_fail_the_job(
    lab: Lab, counting: str, text: str, changes: dict[str, Any], said: str
) -> None:
    job = ended(lab, submit(lab, counting, table(lab, text), **{**LINES, **changes}))
    assert job["TransformJobStatus"] == "Failed"
    assert said in job["FailureReason"]
    assert job["FailureReason"].startswith("ClientError: ")


def test_what_is_not_there_fails_the_job(lab: Lab, counting: str) -> None:
    job = ended(lab, submit(lab, counting, f"s3://{BUCKET}/nothing/here", **LINES))
    assert "No S3 objects found" in job["FailureReason"]
    elsewhere = {**LINES, "output": {**LINES["output"], "S3OutputPath": "s3://no-such-bucket-here/x"}}
    job = ended(lab, submit(lab, counting, table(lab, "x"), **elsewhere))
    assert "does not exist or cannot be accessed" in job["FailureReason"]
    manifest = table(lab, "[]")
    job = ended(lab, submit(lab, counting, manifest, kind="ManifestFile", **LINES))
    assert "is no manifest" in job["FailureReason"]


def test_the_models_role_reads_and_writes(lab: Lab, counting: str) -> None:
    lab.client("s3").create_bucket(Bucket="sealed")
    lab.client("s3").put_object(Bucket="sealed", Key="x.csv", Body=b"1\n")
    job = ended(lab, submit(lab, counting, "s3://sealed/x.csv", **LINES))
    assert job["TransformJobStatus"] == "Failed"
    assert "SageMakerRole" in job["FailureReason"]
    assert "s3:GetObject" in job["FailureReason"]


def test_stopping_ends_the_models_server_and_puts_nothing(lab: Lab, counting: str) -> None:
    sagemaker = lab.client("sagemaker")
    name = submit(lab, counting, table(lab, "forever\n"), **LINES)
    lab.until(
        lambda: {"at": str("TransformStartTime" in ended(lab, name, "InProgress"))}, "at", "True", seconds=1
    )
    serving = processes(lab)
    assert serving
    sagemaker.stop_transform_job(TransformJobName=name)
    job = ended(lab, name)
    assert job["TransformJobStatus"] == "Stopped"
    assert "FailureReason" not in job
    _, alive = psutil.wait_procs(serving, timeout=60)
    assert alive == []
    assert lab.keys(f"{name}/") == []
    with pytest.raises(ClientError, match="transform job is in status Stopped"):
        sagemaker.stop_transform_job(TransformJobName=name)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"input": {"SplitType": "RecordIO"}}, "The local AWS does not split RecordIO"),
    ({"kind": "AugmentedManifestFile"}, "not AugmentedManifestFile"),
    ({"MaxPayloadInMB": 101}, "cannot exceed 100 MB"),
    ({"MaxPayloadInMB": 30, "MaxConcurrentTransforms": 4}, r"\(120\) cannot exceed 100 MB"),
    ({"DataProcessing": {"InputFilter": "features"}}, "does not begin with"),
    ({"DataProcessing": {"InputFilter": "$.a[?(@.b)]"}}, "is not supported from"),
    ({"DataProcessing": {"InputFilter": "$.a"}, **LINES}, "a row of CSV is filtered by index only"),
    ({"DataProcessing": {"JoinSource": "Input"}}, "need a ContentType of text/csv"),
    (
        {"DataProcessing": {"JoinSource": "Input"}, "input": LINES["input"], "output": {"Accept": "application/json"}},
        "both CSV or both JSON",
    ),
    ({"DataCaptureConfig": {"DestinationS3Uri": "s3://b/c"}}, "does not capture data"),
    ({"BatchStrategy": "Some"}, "enum value set"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "said"), REFUSED, ids=range(len(REFUSED)))
def test_what_cannot_be_done_is_refused_at_once(
    lab: Lab, counting: str, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ClientError, match=said) as refused:
        submit(lab, counting, f"s3://{BUCKET}/x", **changes)
    assert refused.value.response["Error"]["Code"] == "ValidationException"


def test_jobs_are_listed_a_name_is_taken_once_and_a_model_has_to_be_there(lab: Lab, counting: str) -> None:
    sagemaker = lab.client("sagemaker")
    name = submit(lab, counting, table(lab, "x\n"), **LINES)
    with pytest.raises(ClientError) as refused:
        submit(lab, counting, table(lab, "x\n"), name=name, **LINES)
    assert refused.value.response["Error"]["Code"] == "ResourceInUse"
    ended(lab, name)
    [listed] = sagemaker.list_transform_jobs(NameContains=name)["TransformJobSummaries"]
    assert listed["TransformJobStatus"] == "Completed"
    with pytest.raises(ClientError, match="Could not find model"):
        submit(lab, "nobody", f"s3://{BUCKET}/x")
    with pytest.raises(ClientError, match="Could not find requested job with name: nobody"):
        sagemaker.describe_transform_job(TransformJobName="nobody")
