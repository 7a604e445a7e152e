"""Tuning jobs through the SDK and boto3: what was tried, what came out, and why one failed."""

from __future__ import annotations

import json
import math
import uuid
from pathlib import Path
from typing import Any

import psutil
import pytest
from boto3.session import Session
from botocore.exceptions import ClientError
from hearing import heard, hearing_queue
from lab import BUCKET, IMAGE, JOBS, Lab

from kit.local_aws import process

pytestmark = [  # the SDK's own
    pytest.mark.filterwarnings("ignore:sagemaker.* has been moved:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Importing from sagemaker.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning"),
]

# Its loss is least where rate is 0.1 and depth is 6; "fast" and "exact" are equal, "bad" fails.
SCRIPT = """
import argparse, math, os, time
parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float, default=0.5)
parser.add_argument("--depth", type=int, default=1)
parser.add_argument("--mode", default="fast")
parser.add_argument("--steps", type=int, default=3)
parser.add_argument("--pause", type=float, default=0.0)
given = parser.parse_args()
if given.mode == "bad":
    raise ValueError("the mode is bad")
loss = abs(math.log10(given.rate) + 1) + 0.1 * abs(given.depth - 6)
for step in range(given.steps):
    print(f"step={step} loss={loss + 1 / (step + 1):.6f};", flush=True)
    time.sleep(given.pause)
open(os.path.join(os.environ["SM_MODEL_DIR"], "loss.txt"), "w").write(repr(loss))
"""
RATE = {"Name": "rate", "MinValue": "0.001", "MaxValue": "1", "ScalingType": "Logarithmic"}
DEPTH = {"Name": "depth", "MinValue": "1", "MaxValue": "12"}
BOTH = {"ContinuousParameterRanges": [RATE], "IntegerParameterRanges": [DEPTH]}


def unique(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


def request(lab: Lab, script: str = SCRIPT, **more: Any) -> dict[str, Any]:
    """A tuning job's request; `more` goes into its configuration, `static`, `early`, `limits` and `definition` where they belong."""
    code = lab.put_archive(f"{unique('code')}/sourcedir.tar.gz", {"tune.py": script})
    config = {
        "Strategy": "Bayesian",
        "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
        "ResourceLimits": {"MaxNumberOfTrainingJobs": 4, "MaxParallelTrainingJobs": 2}
        | more.pop("limits", {}),
        "ParameterRanges": BOTH,
    }
    definition = {
        "StaticHyperParameters": {
            "sagemaker_program": "tune.py",
            "sagemaker_submit_directory": code,
            **more.pop("static", {}),
        },
        "AlgorithmSpecification": {
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+);"}],
        },
        "RoleArn": lab.role,
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 120},
        **more.pop("definition", {}),
    }
    top = {name: more.pop(name) for name in ("WarmStartConfig", "Tags", "Autotune") if name in more}
    return {
        "HyperParameterTuningJobName": more.pop("name", unique("tune")),
        "HyperParameterTuningJobConfig": {k: v for k, v in {**config, **more}.items() if v is not None},
        "TrainingJobDefinition": definition,
        **top,
    }


def submit(lab: Lab, script: str = SCRIPT, **more: Any) -> str:
    """The name of a new tuning job."""
    made = request(lab, script, **more)
    lab.client("sagemaker").create_hyper_parameter_tuning_job(**made)
    return str(made["HyperParameterTuningJobName"])


def ended(lab: Lab, name: str, *wanted: str) -> dict[str, Any]:
    ask = lab.client("sagemaker").describe_hyper_parameter_tuning_job
    return lab.until(
        lambda: ask(HyperParameterTuningJobName=name),
        "HyperParameterTuningJobStatus",
        *(wanted or ("Completed", "Failed", "Stopped")),
    )


def trials(lab: Lab, name: str, **more: Any) -> list[dict[str, Any]]:
    ask = lab.client("sagemaker").list_training_jobs_for_hyper_parameter_tuning_job
    found: list[dict[str, Any]] = ask(HyperParameterTuningJobName=name, **more)["TrainingJobSummaries"]
    return found


def tried(lab: Lab, name: str) -> list[dict[str, str]]:
    return [trial["TunedHyperParameters"] for trial in trials(lab, name)]


def value(trial: dict[str, Any]) -> float:
    return float(trial["FinalHyperParameterTuningJobObjectiveMetric"]["Value"])


def loss(tuned: dict[str, str]) -> float:
    """What SCRIPT prints last, after three steps."""
    return abs(math.log10(float(tuned["rate"])) + 1) + 0.1 * abs(int(tuned["depth"]) - 6) + 1 / 3


def test_the_sdks_tuner_tunes_a_model_that_predicts(either: Lab) -> None:
    from sagemaker.core.parameter import ContinuousParameter
    from sagemaker.core.training.configs import Compute, InputData, OutputDataConfig, SourceCode
    from sagemaker.train import ModelTrainer
    from sagemaker.train.tuner import HyperparameterTuner

    lab = either
    lab.put("data/train/table.csv", (JOBS / "table.csv").read_bytes())
    trainer = ModelTrainer(
        training_image=IMAGE,
        source_code=SourceCode(source_dir=str(JOBS), entry_script="train.py"),
        role=lab.role,
        sagemaker_session=lab.sagemaker,
        compute=Compute(instance_type="ml.m5.large", instance_count=1),
        base_job_name=unique("sdk"),
        output_data_config=OutputDataConfig(s3_output_path=f"s3://{BUCKET}/out"),
        hyperparameters={"c": 1.0},
    )
    tuner = HyperparameterTuner(
        trainer,
        objective_metric_name="validation:auc",
        metric_definitions=[{"Name": "validation:auc", "Regex": r"validation:auc=([0-9.]+);"}],
        hyperparameter_ranges={"c": ContinuousParameter(1e-6, 10.0, scaling_type="Logarithmic")},
        max_jobs=4,
        max_parallel_jobs=2,
        random_seed=1,
        base_tuning_job_name=unique("t"),
        tags=[{"Key": "event", "Value": "eba"}],
    )
    tuner.tune([InputData(channel_name="train", data_source=f"s3://{BUCKET}/data/train")])
    job = tuner.describe()
    assert job.hyper_parameter_tuning_job_status == "Completed"
    table = tuner.analytics().dataframe()
    assert len(table) == 4
    assert list(table["TrainingJobStatus"].unique()) == ["Completed"]
    assert table["c"].nunique() == 4
    assert table["c"].between(1e-6, 10.0).all()
    best = table.loc[table["FinalObjectiveValue"].idxmax()]
    assert tuner.best_training_job() == best["TrainingJobName"]
    assert tuner.analytics().tuning_ranges["c"]["MaxValue"] == "10.0"

    trained = lab.training(best["TrainingJobName"])
    assert trained["TuningJobArn"] == job.hyper_parameter_tuning_job_arn
    assert float(trained["HyperParameters"]["c"]) == pytest.approx(best["c"])
    assert trained["HyperParameters"]["_tuning_objective_metric"] == "validation:auc"
    [final] = trained["FinalMetricDataList"]
    assert final["Value"] == pytest.approx(best["FinalObjectiveValue"], abs=1e-6)
    made = json.loads(
        lab.archive(trained["ModelArtifacts"]["S3ModelArtifacts"].replace("model.", "output."))[
            "metrics.json"
        ]
    )
    assert made["auc"] == pytest.approx(best["FinalObjectiveValue"], abs=1e-5)
    tags = lab.client("sagemaker").list_tags(ResourceArn=trained["TrainingJobArn"])["Tags"]
    assert {"Key": "event", "Value": "eba"} in tags


def test_the_best_trial_has_the_best_value_and_every_trial_its_own(lab: Lab) -> None:
    name = submit(lab, limits={"MaxNumberOfTrainingJobs": 6, "MaxParallelTrainingJobs": 3})
    job = ended(lab, name)
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    found = trials(lab, name)
    assert [trial["TrainingJobName"][:-8] for trial in found] == [f"{name}-{n:03d}-" for n in range(1, 7)]
    for trial in found:
        assert value(trial) == pytest.approx(loss(trial["TunedHyperParameters"]), abs=1e-5)
        assert trial["ObjectiveStatus"] == "Succeeded"
        assert trial["TrainingEndTime"] >= trial["TrainingStartTime"] >= trial["CreationTime"]
    assert job["BestTrainingJob"] == min(found, key=value)
    assert job["TrainingJobStatusCounters"]["Completed"] == job["ObjectiveStatusCounters"]["Succeeded"] == 6
    ranked = trials(lab, name, SortBy="FinalObjectiveMetricValue", SortOrder="Descending")
    assert [value(trial) for trial in ranked] == sorted(map(value, found), reverse=True)
    paged = trials(lab, name, MaxResults=4)
    assert paged == found[:4]


@pytest.mark.parametrize("strategy", ["Bayesian", "Random"])
def test_the_same_tuning_job_tries_the_same_values_again(lab: Lab, strategy: str) -> None:
    """Also where its trials end in another order: those of the second run take longer, each for another time."""
    slow = SCRIPT.replace("given.pause)", "0.02 * (given.depth % 4))")
    first, second, other = (
        submit(
            lab,
            script,
            Strategy=strategy,
            RandomSeed=seed,
            limits={"MaxNumberOfTrainingJobs": 7, "MaxParallelTrainingJobs": 3},
        )
        for script, seed in ((SCRIPT, 7), (slow, 7), (SCRIPT, 8))
    )
    for name in (first, second, other):
        assert ended(lab, name)["HyperParameterTuningJobStatus"] == "Completed"
    assert tried(lab, first) == tried(lab, second)
    assert tried(lab, first) != tried(lab, other)
    assert list(map(value, trials(lab, first))) == list(map(value, trials(lab, second)))
    assert (
        ended(lab, first)["BestTrainingJob"]["TunedHyperParameters"]
        == (ended(lab, second)["BestTrainingJob"]["TunedHyperParameters"])
    )


def test_no_more_trials_run_at_a_time_than_asked_for_and_as_many(lab: Lab) -> None:
    name = submit(
        lab,
        static={"pause": "0.3"},
        Strategy="Random",
        limits={"MaxNumberOfTrainingJobs": 5, "MaxParallelTrainingJobs": 3},
    )
    ended(lab, name)
    found = trials(lab, name)
    marks = sorted(
        [(t["CreationTime"], 1) for t in found] + [(t["TrainingEndTime"], -1) for t in found], key=lambda m: m
    )
    running, most = 0, 0
    for _, change in marks:
        running += change
        most = max(most, running)
    assert most == 3


def test_a_grid_is_gone_through_once(lab: Lab) -> None:
    ranges = {
        "CategoricalParameterRanges": [
            {"Name": "depth", "Values": ["2", "6"]},
            {"Name": "mode", "Values": ["fast", "exact"]},
        ]
    }
    limits = {"MaxParallelTrainingJobs": 2}
    made = request(lab, Strategy="Grid", ParameterRanges=ranges)
    made["HyperParameterTuningJobConfig"]["ResourceLimits"] = limits
    lab.client("sagemaker").create_hyper_parameter_tuning_job(**made)
    name = made["HyperParameterTuningJobName"]
    job = ended(lab, name)
    assert job["HyperParameterTuningJobConfig"]["ResourceLimits"]["MaxNumberOfTrainingJobs"] == 4
    assert sorted((t["depth"], t["mode"]) for t in tried(lab, name)) == [
        ("2", "exact"),
        ("2", "fast"),
        ("6", "exact"),
        ("6", "fast"),
    ]
    assert job["BestTrainingJob"]["TunedHyperParameters"]["depth"] == "6"


def test_a_trial_that_fails_is_counted_and_the_others_go_on(lab: Lab) -> None:
    ranges = {
        "CategoricalParameterRanges": [{"Name": "mode", "Values": ["fast", "bad"]}],
        "IntegerParameterRanges": [{"Name": "depth", "MinValue": "1", "MaxValue": "2"}],
    }
    name = submit(lab, Strategy="Random", ParameterRanges=ranges)
    job = ended(lab, name)
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    counts = job["TrainingJobStatusCounters"]
    assert (counts["Completed"], counts["NonRetryableError"], counts["InProgress"]) == (2, 2, 0)
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 2, "Pending": 0, "Failed": 2}
    bad = trials(lab, name, StatusEquals="Failed")
    assert {trial["TunedHyperParameters"]["mode"] for trial in bad} == {"bad"}
    assert all("ValueError: the mode is bad" in trial["FailureReason"] for trial in bad)
    assert all(trial["ObjectiveStatus"] == "Failed" for trial in bad)
    assert job["BestTrainingJob"]["TunedHyperParameters"]["mode"] == "fast"
    assert len(trials(lab, name, SortBy="FinalObjectiveMetricValue")) == 2


def test_a_job_whose_trials_all_fail_gives_up_after_five(lab: Lab) -> None:
    name = submit(
        lab,
        "raise SystemExit('no rows')",
        limits={"MaxNumberOfTrainingJobs": 9, "MaxParallelTrainingJobs": 1},
    )
    job = ended(lab, name)
    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert job["FailureReason"] == (
        "No training job succeeded after 5 attempts. Please take a look at the training job failures to get more details."
    )
    assert "BestTrainingJob" not in job


def test_a_job_whose_trials_never_report_the_objective_fails_and_says_so(lab: Lab) -> None:
    from sagemaker.core.resources import HyperParameterTuningJob
    from sagemaker.core.utils.exceptions import FailedStatusError

    name = submit(
        lab, "print('loss: 0.5')", limits={"MaxNumberOfTrainingJobs": 3, "MaxParallelTrainingJobs": 3}
    )
    with pytest.raises(FailedStatusError, match="No objective metrics found after running 3 training jobs"):
        HyperParameterTuningJob.get(hyper_parameter_tuning_job_name=name, region="us-east-1").wait()
    job = ended(lab, name)
    assert job["TrainingJobStatusCounters"]["Completed"] == job["ObjectiveStatusCounters"]["Failed"] == 3


def test_a_value_that_is_not_a_number_is_no_result(lab: Lab) -> None:
    script = SCRIPT.replace("{loss + 1 / (step + 1):.6f}", "{'nan' if given.depth > 6 else loss}")
    metrics = [{"Name": "loss", "Regex": "loss=([0-9.]+|nan);"}]
    specification = {"TrainingImage": IMAGE, "TrainingInputMode": "File", "MetricDefinitions": metrics}
    name = submit(
        lab,
        script,
        Strategy="Grid",
        ParameterRanges={"CategoricalParameterRanges": [{"Name": "depth", "Values": ["5", "9"]}]},
        limits={"MaxNumberOfTrainingJobs": 2},
        definition={"AlgorithmSpecification": specification},
    )
    job = ended(lab, name)
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 1, "Pending": 0, "Failed": 1}
    assert job["BestTrainingJob"]["TunedHyperParameters"] == {"depth": "5"}


def test_stopping_ends_the_trials_and_nothing_starts_any_more(lab: Lab) -> None:
    sagemaker = lab.client("sagemaker")
    name = submit(
        lab, static={"pause": "60"}, limits={"MaxNumberOfTrainingJobs": 8, "MaxParallelTrainingJobs": 2}
    )
    first = lab.until(lambda: {"n": str(len(trials(lab, name)))}, "n", "2")
    assert first["n"] == "2"
    with pytest.raises(ClientError, match="is InProgress"):
        sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    lab.training(trials(lab, name)[0]["TrainingJobName"], "InProgress")
    sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    job = ended(lab, name)
    assert job["HyperParameterTuningJobStatus"] == "Stopped"
    assert "FailureReason" not in job
    gone = [p for p in psutil.process_iter(["cmdline"]) if name in " ".join(p.info["cmdline"] or [])]
    psutil.wait_procs(gone, timeout=60)
    assert [p for p in gone if p.is_running()] == []
    assert [trial["TrainingJobStatus"] for trial in trials(lab, name)] == ["Stopped", "Stopped"]
    assert job["TrainingJobStatusCounters"]["Stopped"] == 2
    with pytest.raises(ClientError, match="tuning job is in status Stopped"):
        sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    with pytest.raises(ClientError) as gone:
        sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    assert gone.value.response["Error"]["Code"] == "ResourceNotFound"
    stays = sagemaker.list_training_jobs(NameContains=name)["TrainingJobSummaries"]
    assert len(stays) == 2


def test_early_stopping_ends_what_is_worse_than_the_median_and_only_that(lab: Lab) -> None:
    """A trial's loss falls from step to step; one with a large loss at its first step is stopped there."""
    settings: dict[str, Any] = {
        "static": {"steps": "4", "pause": "0.1"},
        "RandomSeed": 3,
        "limits": {"MaxNumberOfTrainingJobs": 8, "MaxParallelTrainingJobs": 2},
    }
    stopping = submit(lab, TrainingJobEarlyStoppingType="Auto", Strategy="Random", **settings)
    going_on = submit(lab, Strategy="Random", **settings)
    job, all_of_it = ended(lab, stopping), ended(lab, going_on)
    found = trials(lab, stopping)
    assert [t["TunedHyperParameters"] for t in found] == tried(lab, going_on)
    stopped = [t for t in found if t["TrainingJobStatus"] == "Stopped"]
    assert 0 < len(stopped) < 6
    assert job["TrainingJobStatusCounters"]["Stopped"] == len(stopped)
    assert [t["TrainingJobStatus"] for t in found[:4]] == ["Completed"] * 4
    completed = {t["TrainingJobName"]: value(t) for t in found if t["TrainingJobStatus"] == "Completed"}
    for trial in stopped:
        assert trial["ObjectiveStatus"] == "Succeeded"
        assert value(trial) > sorted(completed.values())[len(completed) // 2]
    best = all_of_it["BestTrainingJob"]["TunedHyperParameters"]
    assert job["BestTrainingJob"]["TunedHyperParameters"] == best
    again = submit(lab, TrainingJobEarlyStoppingType="Auto", Strategy="Random", **settings)
    ended(lab, again)
    assert [(t["TrainingJobStatus"], value(t)) for t in trials(lab, again)] == [
        (t["TrainingJobStatus"], value(t)) for t in found
    ]


def test_a_criterion_ends_a_tuning_job_before_its_limit(lab: Lab) -> None:
    one_at_a_time = {"MaxNumberOfTrainingJobs": 12, "MaxParallelTrainingJobs": 1}
    ranges = {"CategoricalParameterRanges": [{"Name": "depth", "Values": [str(n) for n in range(1, 13)]}]}
    name = submit(
        lab,
        ParameterRanges=ranges,
        static={"rate": "0.1"},
        Strategy="Grid",
        limits=one_at_a_time,
        TuningJobCompletionCriteria={"TargetObjectiveMetricValue": 0.65},
    )
    job = ended(lab, name)
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert [t["depth"] for t in tried(lab, name)] == ["1", "2", "3"]  # 0.3 + 1/3 is the first below 0.65
    name = submit(
        lab,
        ParameterRanges=ranges,
        static={"rate": "0.1"},
        Strategy="Grid",
        limits=one_at_a_time,
        TuningJobCompletionCriteria={"BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 3}},
    )
    job = ended(lab, name)
    assert len(tried(lab, name)) == 9  # 6 is the best; 7, 8 and 9 are worse
    assert job["TuningJobCompletionDetails"]["NumberOfTrainingJobsObjectiveNotImproving"] == 3


def test_a_warm_start_knows_what_its_parent_tried(lab: Lab) -> None:
    settings: dict[str, Any] = {"RandomSeed": 1, "limits": {"MaxNumberOfTrainingJobs": 6}}
    parent = submit(lab, **settings)
    best = ended(lab, parent)["BestTrainingJob"]
    warm = {"ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": parent}]}
    child = submit(
        lab,
        RandomSeed=2,
        limits={"MaxNumberOfTrainingJobs": 2},
        WarmStartConfig={**warm, "WarmStartType": "IdenticalDataAndAlgorithm"},
    )
    cold = submit(lab, RandomSeed=2, limits={"MaxNumberOfTrainingJobs": 2})
    job = ended(lab, child)
    ended(lab, cold)
    assert tried(lab, child) != tried(lab, cold)
    mine = [value(t) for t in trials(lab, child)]
    overall = job["OverallBestTrainingJob"]
    if min(mine) < value(best):
        assert overall["TuningJobName"] == child
    else:
        assert overall == {**best, "TuningJobName": parent}
    assert value(overall) == min([*mine, value(best)])
    with pytest.raises(ClientError, match="must be the same as in the parent") as refused:
        submit(lab, static={"steps": "3"}, WarmStartConfig={**warm, "WarmStartType": "TransferLearning"})
    assert refused.value.response["Error"]["Code"] == "ValidationException"


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"limits": {"MaxNumberOfTrainingJobs": 1, "MaxParallelTrainingJobs": 2}}, "must be less than or equal to MaxNumberOfTrainingJobs"),
    ({"HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "auc"}}, "A metric is required for this hyperparameter tuning job objective. Provide a metric in the metric definitions."),
    ({"HyperParameterTuningJobObjective": None}, "A metric is required"),
    ({"ParameterRanges": {}}, "At least one hyperparameter range is required"),
    ({"static": {"rate": "0.1"}}, r"hyperparameters \[rate\] cannot be both static and tunable"),
    ({"ParameterRanges": {"IntegerParameterRanges": [{**DEPTH, "MinValue": "12"}]}}, "must be less than its MaxValue"),
    ({"ParameterRanges": {"IntegerParameterRanges": [{**DEPTH, "MinValue": "1.5"}]}}, "must have two integers"),
    ({"ParameterRanges": {"ContinuousParameterRanges": [{**RATE, "MinValue": "0"}]}}, "works only for values greater than 0"),
    ({"ParameterRanges": {"ContinuousParameterRanges": [{**RATE, "ScalingType": "ReverseLogarithmic"}]}}, "within 0 <= x < 1.0"),
    ({"ParameterRanges": {"ContinuousParameterRanges": [{**RATE, "ScalingType": "Sideways"}]}}, "enum value set"),
    ({"ParameterRanges": {"CategoricalParameterRanges": [{"Name": "mode", "Values": ["a", "a"]}]}}, "must be unique"),
    ({"ParameterRanges": {"IntegerParameterRanges": [{**DEPTH, "MaxValue": "3"}]}}, r"ranges \[3.0\] must be equal or greater than the value of MaxNumberOfJobs, \[4\]"),
    ({"Strategy": "Grid"}, "Only categorical hyperparameter ranges"),
    ({"Strategy": "Grid", "ParameterRanges": {"CategoricalParameterRanges": [{"Name": "mode", "Values": ["a", "b"]}]}}, r"must be the number of combinations"),
    ({"Strategy": "Hyperband"}, "The local AWS does not implement the Hyperband strategy"),
    ({"Autotune": {"Mode": "Enabled"}}, "The local AWS does not implement Autotune"),
    ({"definition": {"RoleArn": "arn:aws:iam::{account}:role/nobody"}}, "Could not assume role"),
    ({"definition": {"StaticHyperParameters": {}}}, "runs scripts, not images"),
    ({"definition": {"EnableManagedSpotTraining": True}}, "Invalid MaxWaitTimeInSeconds. It must be present"),
    ({"name": "a-name-that-is-longer-than-32-letters"}, "less than or equal to 32"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "said"), REFUSED, ids=range(len(REFUSED)))
def test_what_cannot_be_done_is_refused_at_once(lab: Lab, changes: dict[str, Any], said: str) -> None:
    made = request(lab, **changes)
    definition = made["TrainingJobDefinition"]
    definition["RoleArn"] = definition["RoleArn"].format(account=lab.server.account)
    with pytest.raises(ClientError, match=said) as refused:
        lab.client("sagemaker").create_hyper_parameter_tuning_job(**made)
    assert refused.value.response["Error"]["Code"] == "ValidationException"


def test_tuning_jobs_are_listed_with_their_counters_and_a_name_is_taken_once(lab: Lab) -> None:
    sagemaker = lab.client("sagemaker")
    name = submit(lab, limits={"MaxNumberOfTrainingJobs": 2})
    with pytest.raises(ClientError) as refused:
        submit(lab, name=name.upper())
    assert refused.value.response["Error"]["Code"] == "ResourceInUse"
    ended(lab, name)
    [listed] = sagemaker.list_hyper_parameter_tuning_jobs(NameContains=name)[
        "HyperParameterTuningJobSummaries"
    ]
    assert (listed["Strategy"], listed["HyperParameterTuningJobStatus"]) == ("Bayesian", "Completed")
    assert listed["TrainingJobStatusCounters"]["Completed"] == 2
    assert listed["ResourceLimits"] == {"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 2}
    with pytest.raises(ClientError, match="can't find a tuning job with the name nobody"):
        sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(HyperParameterTuningJobName="nobody")


def test_the_values_of_early_trials_are_in_cloudwatch_and_the_change_of_state_is_an_event(lab: Lab) -> None:
    events, queues = lab.client("events"), lab.client("sqs")
    queue, arn = hearing_queue(queues, unique("q"))
    name = unique("tune")
    pattern = {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker HyperParameter Tuning Job State Change"],
        "detail": {"HyperParameterTuningJobName": [name]},
    }
    events.put_rule(Name="tuned", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="tuned", Targets=[{"Id": "1", "Arn": arn}])
    submit(lab, name=name, limits={"MaxNumberOfTrainingJobs": 2})
    ended(lab, name)
    told = [event["detail"] for event in heard(queues, queue, 2)]
    events.remove_targets(Rule="tuned", Ids=["1"])
    assert [detail["HyperParameterTuningJobStatus"] for detail in told] == ["InProgress", "Completed"]
    trial = trials(lab, name)[0]["TrainingJobName"]
    found = lab.client("cloudwatch").list_metrics(Namespace="/aws/sagemaker/TrainingJobs", MetricName="loss")
    assert {"Name": "TrainingJobName", "Value": trial} in [m["Dimensions"][0] for m in found["Metrics"]]


def test_a_builder_who_may_not_pass_the_role_may_not_tune(lab: Lab) -> None:
    iam = lab.client("iam")
    user = unique("tuner")
    iam.create_user(UserName=user)
    rights = {"Effect": "Allow", "Action": "sagemaker:*", "Resource": "*"}
    iam.put_user_policy(
        UserName=user,
        PolicyName="p",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [rights]}),
    )
    key = iam.create_access_key(UserName=user)["AccessKey"]
    own = Session(key["AccessKeyId"], key["SecretAccessKey"], region_name="us-east-1").client(
        "sagemaker", endpoint_url=lab.server.url
    )
    with pytest.raises(ClientError, match="not authorized to perform: iam:PassRole") as refused:
        own.create_hyper_parameter_tuning_job(**request(lab))
    assert refused.value.response["Error"]["Code"] == "AccessDeniedException"


def test_a_search_that_lost_its_server_has_failed_with_its_trials_and_says_why(tmp_path: Path) -> None:
    first = process.up(tmp_path / "aws")
    lab = Lab(first)
    with lab.current():
        name = submit(lab, static={"pause": "60"})
        lab.until(lambda: {"trials": str(len(trials(lab, name)))}, "trials", "2")
    psutil.Process(first.pid).kill()
    try:
        lab.server = process.up(tmp_path / "aws")
        lab._clients.clear()
        job = ended(lab, name)
        ask = lab.client("sagemaker").describe_hyper_parameter_tuning_job

        def lost() -> dict[str, Any]:
            counted = ask(HyperParameterTuningJobName=name)["TrainingJobStatusCounters"]
            return {"trials": str(counted["RetryableError"])}

        lab.until(lost, "trials", "2")  # which come after their search
    finally:
        process.down(tmp_path / "aws")
    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert "The local AWS ended while this ran" in job["FailureReason"]
