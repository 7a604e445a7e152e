"""A pipeline that the SDK builds: what each step really made, and what was reused."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import joblib
import pytest
from botocore.exceptions import WaiterError
from lab import BUCKET, IMAGE, JOBS, Lab
from pipelining import steps, unique

pytestmark = [  # the SDK's own
    pytest.mark.filterwarnings("ignore:sagemaker.* has been moved:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Importing from sagemaker.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:The 'dependencies' parameter is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Running within a PipelineSession:UserWarning"),
]


def built(lab: Lab, name: str) -> Any:
    """Prepare -> train -> evaluate -> gate -> register or fail, as the SDK builds it."""
    from sagemaker.core.processing import ScriptProcessor
    from sagemaker.core.shapes import (
        ProcessingInput,
        ProcessingOutput,
        ProcessingS3Input,
        ProcessingS3Output,
    )
    from sagemaker.core.training.configs import Compute, InputData, OutputDataConfig, SourceCode
    from sagemaker.core.workflow.conditions import ConditionGreaterThanOrEqualTo
    from sagemaker.core.workflow.functions import Join, JsonGet
    from sagemaker.core.workflow.parameters import ParameterFloat, ParameterString
    from sagemaker.core.workflow.pipeline_context import PipelineSession
    from sagemaker.core.workflow.properties import PropertyFile
    from sagemaker.mlops.workflow.condition_step import ConditionStep
    from sagemaker.mlops.workflow.fail_step import FailStep
    from sagemaker.mlops.workflow.model_step import ModelStep
    from sagemaker.mlops.workflow.pipeline import Pipeline
    from sagemaker.mlops.workflow.steps import CacheConfig, ProcessingStep, TrainingStep
    from sagemaker.serve import ModelBuilder
    from sagemaker.train import ModelTrainer

    session = PipelineSession(boto_session=lab.sagemaker.boto_session, default_bucket=BUCKET)
    data = ParameterString("Data")
    least = ParameterFloat("Least", default_value=0.6)
    cache = CacheConfig(enable_caching=True, expire_after="P1D")

    def s3_input(uri: Any, at: str) -> ProcessingInput:
        source = ProcessingS3Input(
            s3_uri=uri, local_path=f"/opt/ml/processing/{at}", s3_data_type="S3Prefix", s3_input_mode="File"
        )
        return ProcessingInput(input_name=at.replace("/", "-"), s3_input=source)

    def s3_output(at: str) -> ProcessingOutput:
        target = ProcessingS3Output(
            s3_uri=f"s3://{BUCKET}/{name}/{at}",
            local_path=f"/opt/ml/processing/{at}",
            s3_upload_mode="EndOfJob",
        )
        return ProcessingOutput(output_name=at.rpartition("/")[2], s3_output=target)

    processor = ScriptProcessor(
        image_uri=IMAGE,
        command=["python3"],
        role=lab.role,
        instance_type="ml.m5.large",
        instance_count=1,
        sagemaker_session=session,
    )
    prepare = ProcessingStep(
        name="Prepare",
        step_args=processor.run(
            code=str(JOBS / "split.py"),
            inputs=[s3_input(data, "input/data")],
            outputs=[s3_output("output/train"), s3_output("output/test")],
        ),
        cache_config=cache,
    )
    made = prepare.properties.ProcessingOutputConfig.Outputs
    trainer = ModelTrainer(
        training_image=IMAGE,
        source_code=SourceCode(source_dir=str(JOBS), entry_script="train.py"),
        role=lab.role,
        sagemaker_session=session,
        compute=Compute(instance_type="ml.m5.large", instance_count=1),
        base_job_name=name,
        output_data_config=OutputDataConfig(s3_output_path=f"s3://{BUCKET}/{name}/model"),
        hyperparameters={"c": 0.5},
    )
    train = TrainingStep(
        name="Train",
        step_args=trainer.train(
            input_data_config=[InputData(channel_name="train", data_source=made["train"].S3Output.S3Uri)]
        ),
        cache_config=cache,
    )
    archive = train.properties.ModelArtifacts.S3ModelArtifacts
    report = PropertyFile(name="Report", output_name="report", path="evaluation.json")
    evaluate = ProcessingStep(
        name="Evaluate",
        step_args=processor.run(
            code=str(JOBS / "evaluate.py"),
            inputs=[s3_input(archive, "model"), s3_input(made["test"].S3Output.S3Uri, "test")],
            outputs=[s3_output("report")],
        ),
        property_files=[report],
        cache_config=cache,
    )
    builder = ModelBuilder(
        image_uri=IMAGE,
        s3_model_data_url=archive,
        role_arn=lab.role,
        sagemaker_session=session,
        instance_type="ml.m5.large",
    )
    register = ModelStep(
        name="Register",
        step_args=builder.register(
            model_package_group_name=name,
            content_types=["text/csv"],
            response_types=["text/csv"],
            approval_status="PendingManualApproval",
        ),
    )
    auc = JsonGet(step_name="Evaluate", property_file=report, json_path="metrics.auc.value")
    gate = ConditionStep(
        name="Gate",
        conditions=[ConditionGreaterThanOrEqualTo(left=auc, right=least)],
        if_steps=[register],
        else_steps=[
            FailStep(
                name="TooBad", error_message=Join(on=" ", values=["The AUC is below", least.to_string()])
            )
        ],
    )
    return Pipeline(
        name=name,
        parameters=[data, least],
        steps=[prepare, train, evaluate, gate],
        sagemaker_session=session,
    )


def test_a_pipeline_of_the_sdk_makes_a_model_and_reuses_what_it_can(lab: Lab) -> None:
    name = unique("whole")
    data = lab.put(f"{name}/data/table.csv", (JOBS / "table.csv").read_bytes()).rpartition("/")[0]
    pipeline = built(lab, name)
    pipeline.upsert(role_arn=lab.role, tags=[{"Key": "team", "Value": "one"}])
    arn = pipeline.describe()["PipelineArn"]
    assert lab.client("sagemaker").list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "one"}]

    first = pipeline.start(parameters={"Data": data})
    first.wait()
    found = steps(lab, first.arn)
    assert list(found) == ["Prepare", "Train", "Evaluate", "Gate", "Register"]
    assert {step["StepStatus"] for step in found.values()} == {"Succeeded"}
    for before, after in zip(list(found.values()), list(found.values())[1:], strict=False):
        assert before["StartTime"] <= before["EndTime"] <= after["StartTime"]
    assert found["Gate"]["Metadata"]["Condition"]["Outcome"] == "True"

    job = lab.training(found["Train"]["Metadata"]["TrainingJob"]["Arn"].rpartition("/")[2])
    channels = {
        one["ChannelName"]: one["DataSource"]["S3DataSource"]["S3Uri"] for one in job["InputDataConfig"]
    }
    assert channels["train"] == f"s3://{BUCKET}/{name}/output/train"
    model = joblib.load(io.BytesIO(lab.archive(job["ModelArtifacts"]["S3ModelArtifacts"])["model.joblib"]))
    assert model.C == 0.5
    report = json.loads(lab.get(f"s3://{BUCKET}/{name}/report/evaluation.json"))
    rows = (JOBS / "table.csv").read_text().count("\n") - 1
    assert report["rows"] == rows - int(rows * 0.8)
    package = lab.client("sagemaker").describe_model_package(
        ModelPackageName=found["Register"]["Metadata"]["RegisterModel"]["Arn"]
    )
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    [container] = package["InferenceSpecification"]["Containers"]
    assert container["ModelDataUrl"] == job["ModelArtifacts"]["S3ModelArtifacts"]
    assert package["ModelPackageVersion"] == 1

    again = pipeline.start(parameters={"Data": data, "Least": 1.5})
    with pytest.raises(WaiterError):
        again.wait()
    reused = steps(lab, again.arn)
    assert list(reused) == ["Prepare", "Train", "Evaluate", "Gate", "TooBad"]
    for one in ("Prepare", "Train", "Evaluate"):
        assert reused[one]["CacheHitResult"] == {"SourcePipelineExecutionArn": first.arn}
        assert reused[one]["Metadata"] == found[one]["Metadata"]
    assert reused["TooBad"]["StepStatus"] == "Failed"
    assert reused["TooBad"]["FailureReason"] == "The AUC is below 1.5"
    assert reused["TooBad"]["Metadata"]["Fail"] == {"ErrorMessage": "The AUC is below 1.5"}
    described = again.describe()
    assert described["PipelineExecutionStatus"] == "Failed"
    assert described["FailureReason"] == "Step failure: One or multiple steps failed."
    assert again.list_parameters()["PipelineParameters"] == [
        {"Name": "Data", "Value": data},
        {"Name": "Least", "Value": "1.5"},
    ]


def notebook(folder: Path, *cells: str) -> Path:
    """A notebook whose first cell has the parameters."""
    import nbformat.v4 as v4

    made = v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in cells])
    made.cells[0].metadata["tags"] = ["parameters"]
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    file = folder / "note.ipynb"
    file.write_text(json.dumps(made))
    return file


def notebook_pipeline(lab: Lab, file: Path, **more: Any) -> Any:
    from sagemaker.core.workflow.pipeline_context import PipelineSession
    from sagemaker.mlops.workflow.notebook_job_step import NotebookJobStep
    from sagemaker.mlops.workflow.pipeline import Pipeline

    name = unique("notes")
    step = NotebookJobStep(
        name="Note",
        input_notebook=str(file),
        image_uri=IMAGE,
        kernel_name="python3",
        role=lab.role,
        s3_root_uri=f"s3://{BUCKET}/notes",
        **more,
    )
    session = PipelineSession(boto_session=lab.sagemaker.boto_session, default_bucket=BUCKET)
    pipeline = Pipeline(name=name, steps=[step], sagemaker_session=session)
    pipeline.upsert(role_arn=lab.role)
    return pipeline


def test_a_notebook_job_runs_a_notebook_with_its_parameters(lab: Lab, tmp_path: Path) -> None:
    file = notebook(
        tmp_path,
        'rows: int = 1\nword = "x"\nlive = False',
        "import os\nassert live is True\nprint(rows + 1, word, os.environ['GREETING'])",
    )
    (tmp_path / "init.sh").write_text("export GREETING=hello\n")
    pipeline = notebook_pipeline(
        lab,
        file,
        parameters={"rows": "41", "word": "7", "live": "True"},
        initialization_script=str(tmp_path / "init.sh"),
    )
    run = pipeline.start()
    run.wait()
    step = steps(lab, run.arn)["Note"]
    job = lab.training(step["Metadata"]["TrainingJob"]["Arn"].rpartition("/")[2])
    uri = job["ModelArtifacts"]["S3ModelArtifacts"].replace("model.tar.gz", "output.tar.gz")
    (executed,) = lab.archive(uri).values()
    [output] = json.loads(executed)["cells"][-1]["outputs"]
    assert "".join(output["text"]) == "42 7 hello\n"
    assert f"/{run.arn.rpartition('/')[2]}/Note/" in uri


def test_a_notebook_job_that_fails_says_which_error(lab: Lab, tmp_path: Path) -> None:
    pipeline = notebook_pipeline(lab, notebook(tmp_path, "rows = 1", "raise KeyError('no such column')"))
    run = pipeline.start()
    with pytest.raises(WaiterError):
        run.wait()
    assert "no such column" in steps(lab, run.arn)["Note"]["FailureReason"]
