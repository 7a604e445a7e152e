"""Models and endpoints through the SDK and boto3: what is served, how it fails, how it is replaced and removed."""

from __future__ import annotations

import io
import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import psutil
import pytest
from botocore.exceptions import ClientError
from endpoints import (
    ECHO,
    create_config,
    create_endpoint,
    create_model,
    echo,
    gated,
    gone,
    invoke,
    processes,
    serve,
    unique,
)
from hearing import soon
from lab import BUCKET, IMAGE, JOBS, Lab
from sklearn.linear_model import LogisticRegression

pytestmark = [  # the SDK's own
    pytest.mark.filterwarnings("ignore:sagemaker.* has been moved:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The 'dependencies' parameter is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Importing from sagemaker.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning"),
]
ROWS = np.array([[2.0, 0, 0, 0], [-2.0, 0, 0, 0]])


@pytest.fixture(scope="module")
def classifier() -> bytes:
    """A model that looks at the sign of the first column."""
    rows = np.random.default_rng(0).normal(size=(100, 4))
    packed = io.BytesIO()
    joblib.dump(LogisticRegression().fit(rows, (rows[:, 0] > 0).astype(int)), packed)
    return packed.getvalue()


def test_model_builder_deploys_what_was_trained(either: Lab, classifier: bytes) -> None:
    from sagemaker.core.training.configs import SourceCode
    from sagemaker.serve import ModelBuilder

    uri = either.put_archive(f"{unique('trained')}/model.tar.gz", {"model.joblib": classifier})
    builder = ModelBuilder(
        image_uri=IMAGE,
        s3_model_data_url=uri,
        source_code=SourceCode(source_dir=str(JOBS), entry_script="inference.py"),
        role_arn=either.role,
        instance_type="ml.m5.large",
        sagemaker_session=either.sagemaker,
    )
    builder.build()
    name = unique("built")
    endpoint = builder.deploy(endpoint_name=name, initial_instance_count=1)
    answer = endpoint.invoke(body=b"2,0,0,0\n-2,0,0,0\n", content_type="text/csv", accept="application/json")
    assert json.loads(answer.body.read()) == [1, 0]
    assert answer.invoked_production_variant == "AllTraffic"
    described = either.endpoint(name)
    [variant] = described["ProductionVariants"]
    assert (variant["CurrentInstanceCount"], variant["DeployedImages"][0]["SpecifiedImage"]) == (1, IMAGE)
    log = soon(lambda: either.log(f"/aws/sagemaker/Endpoints/{name}", "AllTraffic/i-"))
    assert log[0].startswith("model loaded in")
    endpoint.delete()


def test_resources_of_the_sdk_deploy_too(lab: Lab, classifier: bytes) -> None:
    from sagemaker.core.resources import Endpoint, EndpointConfig
    from sagemaker.core.shapes import ProductionVariant

    model = create_model(
        lab, {"model.joblib": classifier, "code/inference.py": (JOBS / "inference.py").read_text()}
    )
    config = unique("config")
    session = lab.sagemaker.boto_session
    EndpointConfig.create(
        endpoint_config_name=config,
        production_variants=[
            ProductionVariant(
                variant_name="A", model_name=model, initial_instance_count=1, instance_type="ml.m5.large"
            )
        ],
        session=session,
    )
    endpoint = Endpoint.create(endpoint_name=unique("core"), endpoint_config_name=config, session=session)
    endpoint.wait_for_status("InService")
    answer = endpoint.invoke(body=b"[[2,0,0,0]]", content_type="application/json")
    assert json.loads(answer.body.read()) == [1]
    endpoint.delete()
    endpoint.wait_for_delete()


def test_the_default_handlers_read_and_write_npy_csv_and_json(lab: Lab, classifier: bytes) -> None:
    name = serve(lab, {"model.joblib": classifier, "code/inference.py": (JOBS / "inference.py").read_text()})
    packed = io.BytesIO()
    np.save(packed, ROWS)
    bodies = {
        "text/csv": b"2,0,0,0\n-2,0,0,0\n",
        "application/json": json.dumps(ROWS.tolist()).encode(),
        "application/x-npy": packed.getvalue(),
    }
    for content_type, body in bodies.items():
        assert json.loads(invoke(lab, name, body, ContentType=content_type)[0]) == [1, 0]
    said, answer = invoke(
        lab, name, bodies["text/csv"], ContentType="text/csv; charset=utf-8", Accept="text/csv"
    )
    assert (said, answer["ContentType"]) == (b"1\n0\n", "text/csv")
    said, _ = invoke(lab, name, bodies["text/csv"], ContentType="text/csv", Accept="application/x-npy")
    assert np.load(io.BytesIO(said)).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        (
            {"Body": b"1,2", "ContentType": "text/csv"},
            500,
            "ValueError: Expected 2D array, got 1D array instead",
        ),
        ({"Body": b"<a/>", "ContentType": "text/xml"}, 415, "Content type text/xml is not supported"),
        (
            {"Body": b"2,0,0,0\n1,0,0,0", "ContentType": "text/csv", "Accept": "image/png"},
            406,
            "Accept image/png",
        ),
    ],
)
def test_what_the_model_refuses_is_a_model_error_with_its_message(
    lab: Lab, classifier: bytes, sent: dict[str, Any], status: int, said: str
) -> None:
    name = serve(lab, {"model.joblib": classifier, "code/inference.py": (JOBS / "inference.py").read_text()})
    with pytest.raises(ClientError) as refused:
        lab.client("sagemaker-runtime").invoke_endpoint(EndpointName=name, **sent)
    response = refused.value.response
    side = "client" if status < 500 else "server"
    assert response["Error"]["Code"] == "ModelError"
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert response["ResponseMetadata"]["RetryAttempts"] == 0
    assert response["OriginalStatusCode"] == status
    assert response["OriginalMessage"].startswith(said)
    assert response["Error"]["Message"].startswith(
        f'Received {side} error ({status}) from primary with message "{said}'
    )
    assert name in response["LogStreamArn"]


def test_an_inference_script_sees_content_type_accept_and_attributes(either: Lab) -> None:
    script = (
        "import json, os\n"
        "def model_fn(model_dir, context): return os.path.basename(model_dir)\n"
        "def transform_fn(model, data, content_type, accept, context):\n"
        "    seen = [model, data, content_type, accept, context.get_request_header(0, 'X-Amzn-SageMaker-Custom-Attributes')]\n"
        "    return json.dumps(seen), 'application/json'\n"
    )
    name = serve(either, {"code/inference.py": script})
    said, answer = invoke(
        either, name, b"[1]", ContentType="application/json", Accept="a/b", CustomAttributes="who=me"
    )
    assert json.loads(said) == ["model", "[1]", "application/json", "a/b", "who=me"]
    assert answer["ContentType"] == "application/json"


def test_the_program_and_its_variables_come_from_the_model(either: Lab) -> None:
    script = ECHO.replace('open(model_dir + "/word").read()', "__import__('os').environ['WORD']")
    uri = either.put_archive(f"{unique('code')}/sourcedir.tar.gz", {"serve_it.py": script})
    variables = {"SAGEMAKER_PROGRAM": "serve_it.py", "SAGEMAKER_SUBMIT_DIRECTORY": uri, "WORD": "hello"}
    name = serve(either, {"nothing": ""}, Environment=variables)
    assert invoke(either, name, b"x", ContentType="text/csv")[0] == b"hello:x"


def test_model_data_may_be_a_prefix_that_is_not_packed(lab: Lab) -> None:
    prefix = unique("loose")
    for path, text in echo("loose").items():
        lab.put(f"{prefix}/{path}", text)
    name = unique("model")
    source = {"S3Uri": f"s3://{BUCKET}/{prefix}/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    lab.client("sagemaker").create_model(
        ModelName=name,
        PrimaryContainer={"Image": IMAGE, "ModelDataSource": {"S3DataSource": source}},
        ExecutionRoleArn=lab.role,
    )
    made = create_endpoint(lab, create_config(lab, All=(name, 1)))
    assert made["EndpointStatus"] == "InService", made.get("FailureReason")
    assert invoke(lab, made["EndpointName"], b"x", ContentType="text/csv")[0] == b"loose:x"


def test_containers_in_series_pass_the_body_on(lab: Lab) -> None:
    name = unique("series")
    containers = [
        {"Image": IMAGE, "ModelDataUrl": lab.put_archive(f"{name}/{word}.tar.gz", echo(word))}
        for word in ("first", "second")
    ]
    lab.client("sagemaker").create_model(ModelName=name, Containers=containers, ExecutionRoleArn=lab.role)
    made = create_endpoint(lab, create_config(lab, All=(name, 1)))
    body, _ = invoke(lab, made["EndpointName"], b"x", ContentType="text/csv")
    assert body == b"second:b'first:x'"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"code/inference.py": "import no_such_library"},
            "ModuleNotFoundError: No module named 'no_such_library'",
        ),
        ({"code/inference.py": "def model_fn(d): raise ValueError('bad pickle')"}, "ValueError: bad pickle"),
        ({"word": "no code"}, "NotImplementedError: Please provide a model_fn implementation"),
        (
            {"code/inference.py": ECHO, "code/requirements.txt": "nope==1", "word": ""},
            "nope==1 (not installed)",
        ),
    ],
)
def test_a_model_that_cannot_be_loaded_fails_the_endpoint_and_says_why(
    lab: Lab, files: dict[str, str | bytes], said: str
) -> None:
    made = create_endpoint(lab, create_config(lab, All=(create_model(lab, files), 1)))
    assert made["EndpointStatus"] == "Failed"
    assert made["FailureReason"].startswith(
        "The primary container for production variant All did not pass the ping health check."
    )
    assert said in made["FailureReason"]
    with pytest.raises(ClientError, match="not found"):
        invoke(lab, made["EndpointName"], b"x", ContentType="text/csv")
    sagemaker, name = lab.client("sagemaker"), made["EndpointName"]
    with pytest.raises(ClientError, match="DeleteEndpoint is all that can be done with it"):
        sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=made["EndpointConfigName"])
    with pytest.raises(ClientError, match="DeleteEndpoint is all that can be done with it"):
        sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=name, DesiredWeightsAndCapacities=[{"VariantName": "All", "DesiredWeight": 1}]
        )
    sagemaker.delete_endpoint(EndpointName=name)


def test_model_data_that_is_gone_or_no_archive_fails_the_endpoint(lab: Lab) -> None:
    model = create_model(lab, echo("x"))
    lab.client("s3").delete_object(Bucket=BUCKET, Key=f"{model}/model.tar.gz")
    made = create_endpoint(lab, create_config(lab, All=(model, 1)))
    assert made["EndpointStatus"] == "Failed"
    assert f"s3://{BUCKET}/{model}/model.tar.gz cannot be read" in made["FailureReason"]
    model = create_model(lab, echo("x"))
    lab.put(f"{model}/model.tar.gz", "no archive")
    assert "cannot be read" in create_endpoint(lab, create_config(lab, All=(model, 1)))["FailureReason"]


def test_a_server_that_dies_is_a_model_error(lab: Lab) -> None:
    script = ECHO.replace('return f"{model}:{data}"', "__import__('os')._exit(3)")
    name = serve(lab, {"word": "x", "code/inference.py": script})
    for _ in range(2):
        with pytest.raises(ClientError) as refused:
            invoke(lab, name, b"x", ContentType="text/csv")
        assert refused.value.response["OriginalStatusCode"] == 500
        assert refused.value.response["OriginalMessage"].startswith("The model's server has ended.")


def test_traffic_is_shared_by_the_weights(lab: Lab) -> None:
    blue, green = create_model(lab, echo("blue")), create_model(lab, echo("green"))
    made = create_endpoint(lab, create_config(lab, Blue=(blue, 3), Green=(green, 1)))
    name = made["EndpointName"]
    assert [v["CurrentWeight"] for v in made["ProductionVariants"]] == [3, 1]
    drawn = Counter(
        invoke(lab, name, b"x", ContentType="text/csv")[1]["InvokedProductionVariant"] for _ in range(200)
    )
    assert 110 <= drawn["Blue"] <= 185  # five standard deviations around 150
    for variant, word in (("Blue", b"blue:x"), ("Green", b"green:x")):
        assert invoke(lab, name, b"x", ContentType="text/csv", TargetVariant=variant)[0] == word
    with pytest.raises(ClientError, match="Variant Red not found"):
        invoke(lab, name, b"x", ContentType="text/csv", TargetVariant="Red")
    lab.client("sagemaker").update_endpoint_weights_and_capacities(
        EndpointName=name, DesiredWeightsAndCapacities=[{"VariantName": "Blue", "DesiredWeight": 0}]
    )
    lab.endpoint(name, "InService")
    said = {invoke(lab, name, b"x", ContentType="text/csv")[0] for _ in range(20)}
    assert said == {b"green:x"}
    assert [v["CurrentWeight"] for v in lab.endpoint(name)["ProductionVariants"]] == [0, 1]


def test_a_name_in_other_letters_is_the_same_endpoint_but_not_for_who_asks_it(lab: Lab) -> None:
    name, sagemaker = serve(lab, echo("x")), lab.client("sagemaker")
    assert sagemaker.describe_endpoint(EndpointName=name.upper())["EndpointName"] == name
    with pytest.raises(ClientError, match="not found"):
        invoke(lab, name.upper(), b"x", ContentType="text/csv")
    config = create_config(lab, All=(create_model(lab, echo("new")), 1))
    sagemaker.update_endpoint(EndpointName=name.upper(), EndpointConfigName=config)
    lab.endpoint(name, "InService")
    assert invoke(lab, name, b"x", ContentType="text/csv")[0] == b"new:x"
    sagemaker.delete_endpoint(EndpointName=name.upper())
    with pytest.raises(ClientError, match="not found"):
        invoke(lab, name, b"x", ContentType="text/csv")


def test_an_update_switches_without_losing_a_request_and_ends_the_old_fleet(lab: Lab) -> None:
    before = {process.pid for process in processes(lab)}
    name = serve(lab, echo("old"))
    mine = [process for process in processes(lab) if process.pid not in before]
    said: list[bytes] = []
    failed: list[Exception] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            try:
                said.append(invoke(lab, name, b"x", ContentType="text/csv")[0])
            except Exception as error:
                failed.append(error)

    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(ask)
        assert soon(lambda: said or failed)
        config = create_config(lab, All=(create_model(lab, echo("new")), 1))
        lab.client("sagemaker").update_endpoint(EndpointName=name, EndpointConfigName=config)
        made = lab.endpoint(name, "InService")
        now_said = {invoke(lab, name, b"x", ContentType="text/csv")[0] for _ in range(10)}
        done.set()
    assert failed == []
    assert made["EndpointConfigName"] == config
    assert said[0] == b"old:x"
    assert now_said == {b"new:x"}
    _, alive = psutil.wait_procs(mine, timeout=60)
    assert alive == []


def test_an_update_that_fails_keeps_the_old_fleet_and_says_why(lab: Lab) -> None:
    name = serve(lab, echo("old"))
    config = lab.endpoint(name)["EndpointConfigName"]
    bad = create_config(lab, All=(create_model(lab, {"code/inference.py": "1/0"}), 1))
    lab.client("sagemaker").update_endpoint(EndpointName=name, EndpointConfigName=bad)
    made = lab.endpoint(name, "InService")
    assert made["EndpointConfigName"] == config
    assert "ZeroDivisionError: division by zero" in made["FailureReason"]
    assert invoke(lab, name, b"x", ContentType="text/csv")[0] == b"old:x"
    good = create_config(lab, All=(create_model(lab, echo("new")), 1))
    lab.client("sagemaker").update_endpoint(EndpointName=name, EndpointConfigName=good)
    made = lab.endpoint(name, "InService")
    assert "FailureReason" not in made
    assert invoke(lab, name, b"x", ContentType="text/csv")[0] == b"new:x"


def test_an_endpoint_on_its_way_is_neither_updated_nor_deleted(lab: Lab, tmp_path: Path) -> None:
    sagemaker = lab.client("sagemaker")
    config = create_config(lab, All=(create_model(lab, gated("x", tmp_path / "gate")), 1))
    name = unique("endpoint")
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
    for call in (
        lambda: sagemaker.delete_endpoint(EndpointName=name),
        lambda: sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=config),
    ):
        with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
            call()
    (tmp_path / "gate").touch()
    assert lab.endpoint(name)["EndpointStatus"] == "InService"


def test_deleting_ends_the_process_and_forgets_the_endpoint(either: Lab) -> None:
    sagemaker = either.client("sagemaker")
    before = {process.pid for process in processes(either)}
    name = serve(either, echo("x"))
    mine = [process for process in processes(either) if process.pid not in before]
    assert mine
    sagemaker.delete_endpoint(EndpointName=name)
    _, alive = psutil.wait_procs(mine, timeout=60)
    assert alive == []
    with pytest.raises(ClientError, match="Could not find endpoint"):
        sagemaker.describe_endpoint(EndpointName=name)
    with pytest.raises(ClientError, match="not found"):
        invoke(either, name, b"x", ContentType="text/csv")


def test_sixteen_callers_are_answered_beside_each_other(lab: Lab) -> None:
    # Nobody is answered before sixteen are there.
    together = "import threading\nTOGETHER = threading.Barrier(16)\n"
    script = together + ECHO.replace("return f", "TOGETHER.wait(50); return f")
    name = serve(lab, {"word": "w", "code/inference.py": script})
    with ThreadPoolExecutor(16) as pool:
        said = list(pool.map(lambda n: invoke(lab, name, str(n), ContentType="text/csv")[0], range(64)))
    assert said == [f"w:{n}".encode() for n in range(64)]


def test_an_endpoint_ends_with_its_server_even_when_that_is_killed(tmp_path: Path) -> None:
    from kit.local_aws import process

    lab = Lab(process.up(tmp_path / "aws"))
    with lab.current():
        serve(lab, echo("x"))
    family = processes(lab)
    assert len(family) >= 2
    psutil.Process(lab.server.pid).kill()
    assert gone([one.pid for one in family])
    process.down(tmp_path / "aws")


def test_models_and_configurations_are_checked_listed_and_deleted(lab: Lab) -> None:
    sagemaker = lab.client("sagemaker")
    model = create_model(lab, echo("x"))
    assert sagemaker.list_models(NameContains=model)["Models"][0]["ModelName"] == model
    with pytest.raises(ClientError, match="Cannot create already existing model"):
        sagemaker.create_model(ModelName=model, PrimaryContainer={"Image": IMAGE}, ExecutionRoleArn=lab.role)
    with pytest.raises(ClientError, match='Could not find model "arn:aws:sagemaker'):
        create_config(lab, All=("no-such-model", 1))
    with pytest.raises(ClientError, match="Could not find endpoint configuration"):
        sagemaker.create_endpoint(EndpointName="x", EndpointConfigName="no-such-config")
    with pytest.raises(ClientError, match="Could not find model data at"):
        sagemaker.create_model(
            ModelName=unique("m"),
            PrimaryContainer={"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/none.tar.gz"},
            ExecutionRoleArn=lab.role,
        )
    config = create_config(lab, All=(model, 1))
    sagemaker.delete_endpoint_config(EndpointConfigName=config)
    sagemaker.delete_model(ModelName=model)
    with pytest.raises(ClientError, match="Could not find model"):
        sagemaker.describe_model(ModelName=model)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"ShadowProductionVariants": True}, "does not implement ShadowProductionVariants"),
        (
            {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://b/k"}}},
            "does not implement Async",
        ),
    ],
)
def test_a_configuration_that_cannot_be_served_is_refused_at_once(
    lab: Lab, config: dict[str, Any], said: str
) -> None:
    variant = {
        "VariantName": "A",
        "ModelName": create_model(lab, echo("x")),
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
    }
    if config.get("ShadowProductionVariants"):
        config = {"ShadowProductionVariants": [{**variant, "VariantName": "S"}]}
    with pytest.raises(ClientError, match=said):
        lab.client("sagemaker").create_endpoint_config(
            EndpointConfigName=unique("config"), ProductionVariants=[variant], **config
        )


@pytest.mark.parametrize(
    ("variant", "said"),
    [
        ({"InitialVariantWeight": 0.0}, "At least one variant needs a weight above zero"),
        ({"InstanceType": None}, "needs an InstanceType and an InitialInstanceCount"),
        ({"InitialInstanceCount": None}, "needs an InstanceType and an InitialInstanceCount"),
        (
            {
                "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 1},
                "InstanceType": None,
                "InitialInstanceCount": None,
            },
            "does not implement ServerlessConfig",
        ),
    ],
)
def test_a_variant_that_cannot_be_served_is_refused_at_once(
    lab: Lab, variant: dict[str, Any], said: str
) -> None:
    whole = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1, **variant}
    whole = {name: value for name, value in whole.items() if value is not None}
    with pytest.raises(ClientError, match=said):
        lab.client("sagemaker").create_endpoint_config(
            EndpointConfigName=unique("config"),
            ProductionVariants=[{"VariantName": "A", "ModelName": create_model(lab, echo("x")), **whole}],
        )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"TargetModel": "x.tar.gz"}, "is not a multi-model endpoint"),
        ({"InferenceComponentName": "x"}, "has no inference components"),
        ({"SessionId": "NEW_SESSION"}, "has no stateful sessions"),
    ],
)
def test_an_invocation_of_what_the_endpoint_has_not_is_refused(
    lab: Lab, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(ClientError, match=said):
        invoke(lab, "any", b"x", ContentType="text/csv", **given)


@pytest.mark.parametrize(
    ("container", "said"),
    [
        ({"Mode": "MultiModel"}, "multi-model endpoints are not implemented"),
        ({"ModelPackageName": "no-group/1"}, "does not exist"),
    ],
)
def test_what_cannot_be_served_is_refused_at_once(lab: Lab, container: dict[str, Any], said: str) -> None:
    with pytest.raises(ClientError, match=said):
        create_model(lab, echo("x"), **container)
