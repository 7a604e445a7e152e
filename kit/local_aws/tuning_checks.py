"""What CreateHyperParameterTuningJob refuses beyond what the service's model says.

"A metric is required ..." and "You don't have enough combinations ..." are AWS's own words
(github.com/aws/sagemaker-python-sdk/issues/3932, github.com/aws/amazon-sagemaker-operator-for-k8s/issues/123); the others say
what its developer guide and API reference demand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kit.local_aws import jobs, training
from kit.local_aws.protocol import AwsError
from kit.local_aws.search import Range, combinations, read_ranges
from kit.local_aws.trials import Objective

if TYPE_CHECKING:
    from kit.local_aws.store import Context, Record

__all__ = ["check", "hyperparameters", "parents", "training_job"]

KIND = "HyperParameterTuningJob"
MOST = 100  # hyperparameters, static and tuned
ENDED = ("Completed", "Stopped", "Failed")
OBJECTIVE = "_tuning_objective_metric"  # the hyperparameter by which a training job is told the objective


def check(ctx: Context, params: Mapping[str, Any]) -> None:
    """Raise AWS's error for a request that cannot be done."""
    config = params["HyperParameterTuningJobConfig"]
    definition = params.get("TrainingJobDefinition")
    for member in ("Autotune", "TrainingJobDefinitions"):
        if params.get(member):
            raise jobs.refuse(f"does not implement {member}; give one TrainingJobDefinition and its ranges.")
    if definition is None:
        raise _invalid("A TrainingJobDefinition is required to create a hyperparameter tuning job.")
    if config["Strategy"] == "Hyperband":
        raise jobs.refuse("does not implement the Hyperband strategy; use Bayesian, Random or Grid.")
    if config.get("StrategyConfig"):
        raise _invalid("StrategyConfig can be given only with the Hyperband strategy.")
    criteria = config.get("TuningJobCompletionCriteria", {})
    if criteria.get("ConvergenceDetected", {}).get("CompleteOnConvergence") == "Enabled":
        raise jobs.refuse("does not detect convergence; use BestObjectiveNotImproving.")
    ranges = read_ranges(config.get("ParameterRanges", {}))
    _check_names(ranges, config, definition)
    _check_limits(ranges, config)
    objective = _check_objective(config, definition)
    jobs.check_role(ctx, definition["RoleArn"])
    first = {one.name: one.values[0] if one.values else str(one.low) for one in ranges}
    training.check(training_job(definition, "checked", hyperparameters(definition, first, objective)))
    _check_parents(ctx, params, objective)


def _check_names(ranges: Sequence[Range], config: Mapping[str, Any], definition: Mapping[str, Any]) -> None:
    if not ranges or config.get("ParameterRanges", {}).get("AutoParameters"):
        raise _invalid("At least one hyperparameter range is required. Provide ParameterRanges.")
    static = definition.get("StaticHyperParameters", {})
    if both := sorted(one.name for one in ranges if one.name in static):
        raise _invalid(f"The hyperparameters [{', '.join(both)}] cannot be both static and tunable.")
    if len(ranges) + len(static) + 1 > MOST:
        raise _invalid(f"The number of static and tunable hyperparameters must not exceed {MOST}.")


def _check_limits(ranges: Sequence[Range], config: Mapping[str, Any]) -> None:
    limits, total = config["ResourceLimits"], combinations(ranges)
    most = limits.get("MaxNumberOfTrainingJobs")
    if config["Strategy"] == "Grid":
        if not math.isfinite(total) or any(one.kind != "Categorical" for one in ranges):
            raise _invalid("Only categorical hyperparameter ranges can be used with the Grid strategy.")
        if most not in (None, int(total)):
            raise _invalid(
                f"With the Grid strategy MaxNumberOfTrainingJobs [{most}] must be the number of combinations of the"
                f" categorical hyperparameters, [{int(total)}], or be left out."
            )
        return
    if most is None:
        raise _invalid(f"MaxNumberOfTrainingJobs is required with the {config['Strategy']} strategy.")
    if limits["MaxParallelTrainingJobs"] > most:
        raise _invalid(
            f"MaxParallelTrainingJobs [{limits['MaxParallelTrainingJobs']}] must be less than or equal to"
            f" MaxNumberOfTrainingJobs [{most}]."
        )
    if total < most:
        raise _invalid(
            "You don't have enough combinations of hyperparameter ranges. The total number of hyperparameter combinations for the"
            f" provided ranges [{total:.1f}] must be equal or greater than the value of MaxNumberOfJobs, [{most}]. Provide"
            " additional ranges."
        )


def _check_objective(config: Mapping[str, Any], definition: Mapping[str, Any]) -> Objective:
    named = [d["Name"] for d in definition["AlgorithmSpecification"].get("MetricDefinitions", [])]
    objective = config.get("HyperParameterTuningJobObjective")
    if not objective or objective["MetricName"] not in named:
        raise _invalid(
            "A metric is required for this hyperparameter tuning job objective. Provide a metric in the metric definitions."
        )
    return Objective(objective["MetricName"], objective["Type"] == "Maximize")


def _check_parents(ctx: Context, params: Mapping[str, Any], objective: Objective) -> None:
    """Source: "Run a warm start hyperparameter tuning job" of the SageMaker developer guide."""
    definition = params["TrainingJobDefinition"]
    for parent in parents(ctx, params):
        name, theirs = parent["HyperParameterTuningJobName"], parent["TrainingJobDefinition"]
        if parent["HyperParameterTuningJobStatus"] not in ENDED:
            raise _invalid(f"The parent tuning job {name} has not ended.")
        if Objective.of(parent) != objective:
            raise _invalid(f"The objective metric must be the same as that of the parent tuning job {name}.")
        if _count(params) != _count(parent):
            raise _invalid(
                "The total number of static plus tunable hyperparameters must be the same as in the parent tuning job"
                f" {name}: [{_count(params)}] and [{_count(parent)}]."
            )
        identical = params["WarmStartConfig"]["WarmStartType"] == "IdenticalDataAndAlgorithm"
        image = definition["AlgorithmSpecification"].get("TrainingImage")
        if identical and image != theirs["AlgorithmSpecification"].get("TrainingImage"):
            raise _invalid(f"The training image must be the same as that of the parent tuning job {name}.")


def _count(tuning: Mapping[str, Any]) -> int:
    ranges = tuning["HyperParameterTuningJobConfig"].get("ParameterRanges", {})
    static = tuning["TrainingJobDefinition"].get("StaticHyperParameters", {})
    return len(static) + sum(len(listed) for listed in ranges.values())


def _invalid(message: str) -> AwsError:
    return AwsError("ValidationException", message)


def parents(ctx: Context, tuning: Mapping[str, Any]) -> list[Record]:
    """The tuning jobs that a request or a record names to start from. Raises AWS's not-found error."""
    named = tuning.get("WarmStartConfig", {}).get("ParentHyperParameterTuningJobs", [])
    return [ctx.app.store.get(ctx, KIND, one["HyperParameterTuningJobName"]) for one in named]


def hyperparameters(
    definition: Mapping[str, Any], tuned: Mapping[str, str], objective: Objective
) -> dict[str, str]:
    """All that a training job gets: the static ones, those of its trial, and the name of the objective."""
    return {**definition.get("StaticHyperParameters", {}), **tuned, OBJECTIVE: objective.name}


def training_job(definition: Mapping[str, Any], name: str, values: Mapping[str, str]) -> dict[str, Any]:
    """The request of a training job that a definition and hyperparameters make."""
    own = ("DefinitionName", "TuningObjective", "HyperParameterRanges", "StaticHyperParameters")
    made = {
        member: value
        for member, value in definition.items()
        if member not in (*own, "HyperParameterTuningResourceConfig")
    }
    if resources := definition.get("HyperParameterTuningResourceConfig"):
        first = (resources.get("InstanceConfigs") or [{}])[0]
        members = ("InstanceType", "InstanceCount", "VolumeSizeInGB", "VolumeKmsKeyId")
        both = {**resources, **first}
        made["ResourceConfig"] = {member: both[member] for member in members if member in both}
    return {**made, "TrainingJobName": name, "HyperParameters": dict(values)}
