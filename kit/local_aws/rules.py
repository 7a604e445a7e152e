"""Rules between the members of one request, which AWS's service models do not hold: a table, asked before any handler.

`source` says where a rule is written: (API) in the API reference of the structure that is named, and so in the documentation that
botocore ships. Where a message is AWS's own, `source` says who met it; the others say what the rule demands in AWS's manner.
Rules that need more than the request, such as the number of an endpoint's instances, are the handlers' (deployment.py, tuning_checks.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kit.local_aws.protocol import AwsError

__all__ = ["RULES", "Rule", "broken", "check"]

Params = Mapping[str, Any]
DAY = 86_400  # seconds; MaxRuntimeInSeconds of a training job that does not say
# Instances with disks of their own, which a key of KMS cannot encrypt: those of "Instance Store Volumes" (EC2 User Guide) on SageMaker.
LOCAL_DISK = re.compile(r"ml\.([cmr]\d[agi]?d|g4dn|g5|g6e?|p3dn|p4de?|p5e?n?|trn1n?|trn2)\.")


@dataclass(frozen=True)
class Rule:
    """What a request of some actions must hold to.

    within: the parts of the request that it is about; breaks: whether a part does not hold to it; message: may have {names} of the
    part's own members.
    """

    name: str
    service: str
    actions: tuple[str, ...]
    within: Callable[[Params], Iterable[Params]]
    breaks: Callable[[Params], bool]
    message: str
    source: str
    code: str = "ValidationException"


def _whole(params: Params) -> Iterable[Params]:
    return [params]


def _at(*path: str) -> Callable[[Params], Iterator[Params]]:
    """The structures at a path; members that are lists count with each of their items."""

    def parts(params: Params) -> Iterator[Params]:
        found: list[Any] = [params]
        for name in path:
            held = [one.get(name) for one in found if isinstance(one, Mapping)]
            found = [item for one in held for item in (one if isinstance(one, list) else [one])]
        yield from (one for one in found if isinstance(one, Mapping))

    return parts


def _trainings(params: Params) -> list[Params]:
    """The training jobs that a request describes: itself, or those of a tuning job."""
    if "TrainingJobName" in params:
        return [params]
    several = params.get("TrainingJobDefinitions", [])
    return [*several, *filter(None, [params.get("TrainingJobDefinition")])]


def _of_trainings(*path: str) -> Callable[[Params], Iterator[Params]]:
    def parts(params: Params) -> Iterator[Params]:
        for one in _trainings(params):
            yield from _at(*path)(one)

    return parts


def _clusters(params: Params) -> Iterator[Params]:
    for name in ("ResourceConfig", "HyperParameterTuningResourceConfig"):
        yield from _of_trainings(name)(params)
    yield from _at("ProcessingResources", "ClusterConfig")(params)
    yield from _at("TransformResources")(params)


def _count(part: Params, *names: str) -> int:
    return sum(part.get(name) not in (None, "", [], {}) for name in names)


def _patience(training: Params) -> tuple[int | None, int]:
    limits = training.get("StoppingCondition", {})
    return limits.get("MaxWaitTimeInSeconds"), limits.get("MaxRuntimeInSeconds", DAY)


def _impatient(training: Params) -> bool:
    waits, runs = _patience(training)
    return bool(training.get("EnableManagedSpotTraining")) and (waits is None or waits < runs)


def _warm(training: Params) -> bool:
    return bool(training.get("ResourceConfig", {}).get("KeepAlivePeriodInSeconds"))


def _needs_a_network(training: Params) -> bool:
    sources = _at("InputDataConfig", "DataSource")(training)
    return any(one.get("FileSystemDataSource") for one in sources) and not training.get("VpcConfig")


def _keyed_disk(part: Params) -> bool:
    types = [part.get("InstanceType"), *(one.get("InstanceType") for one in part.get("InstanceGroups", []))]
    types += [one.get("InstanceType") for one in part.get("InstanceConfigs", [])]
    named = [one for one in types if one]
    return bool(part.get("VolumeKmsKeyId") and named) and all(LOCAL_DISK.match(one) for one in named)


def _odd_hostnames(params: Params) -> bool:
    named = [bool(one.get("ContainerHostname")) for one in params.get("Containers", [])]
    return len(named) > 1 and any(named) and not all(named)


def _long_watch(alarm: Params) -> bool:
    stats = [one["MetricStat"] for one in alarm.get("Metrics", []) if one.get("MetricStat")]
    periods = [one["Period"] for one in [alarm, *stats] if one.get("Period")]
    limit = DAY if max(periods, default=0) < 3600 else 7 * DAY
    return bool(max(periods, default=0) * alarm.get("EvaluationPeriods", 1) > limit)


def _closed_domain(params: Params) -> bool:
    alone = params.get("AppNetworkAccessType") == "VpcOnly"
    return alone and not params.get("DefaultUserSettings", {}).get("SecurityGroups")


TRAIN = ("CreateTrainingJob", "CreateHyperParameterTuningJob")
SM = "sagemaker"

RULES = (
    Rule(
        "spot waits long enough",
        SM,
        TRAIN,
        _trainings,
        _impatient,
        "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds",
        "StoppingCondition (API): must be equal to or greater than MaxRuntimeInSeconds",
    ),
    Rule(
        "only spot waits",
        SM,
        TRAIN,
        _trainings,
        lambda one: not one.get("EnableManagedSpotTraining") and _patience(one)[0] is not None,
        "Invalid MaxWaitTimeInSeconds. It is only supported when EnableManagedSpotTraining is set to true",
        "AWS's words: github.com/aws/amazon-sagemaker-examples/issues/869",
    ),
    Rule(
        "no warm pool of spot instances",
        SM,
        TRAIN,
        _trainings,
        lambda one: _warm(one) and bool(one.get("EnableManagedSpotTraining")),
        "KeepAlivePeriodInSeconds cannot be used with EnableManagedSpotTraining.",
        "Developer Guide, SageMaker Managed Warm Pools, Considerations: cannot be used with spot instances",
    ),
    Rule(
        "no warm pool of a mixed cluster",
        SM,
        TRAIN,
        _of_trainings("ResourceConfig"),
        lambda one: _count(one, "KeepAlivePeriodInSeconds", "InstanceGroups") > 1,
        "KeepAlivePeriodInSeconds cannot be used with InstanceGroups.",
        "Developer Guide, SageMaker Managed Warm Pools, Considerations: cannot be used with heterogeneous clusters",
    ),
    Rule(
        "an algorithm or an image",
        SM,
        TRAIN,
        _of_trainings("AlgorithmSpecification"),
        lambda one: _count(one, "AlgorithmName", "TrainingImage") != 1,
        "Exactly one of AlgorithmName and TrainingImage must be specified in AlgorithmSpecification.",
        "AlgorithmSpecification (API): mutually exclusive; you must specify either",
    ),
    Rule(
        "preferences stand alone",
        SM,
        TRAIN,
        _trainings,
        lambda one: (
            bool(one.get("ResourceConfig", {}).get("InstancePreferences"))
            and (
                _count(one["ResourceConfig"], "InstanceType", "InstanceGroups", "InstancePlacementConfig") > 0
                or bool(one.get("EnableManagedSpotTraining"))
            )
        ),
        "InstancePreferences cannot be specified with InstanceType, InstanceGroups, InstancePlacementConfig or EnableManagedSpotTraining.",
        "ResourceConfig (API): InstancePreferences is mutually exclusive with these",
    ),
    Rule(
        "a channel has one source",
        SM,
        TRAIN,
        _of_trainings("InputDataConfig", "DataSource"),
        lambda one: _count(one, "S3DataSource", "FileSystemDataSource", "DatasetSource") != 1,
        "Exactly one data source must be specified for each channel.",
        "DataSource (API): the location of the channel's data, in S3 or in a file system",
    ),
    Rule(
        "a file system is in a network",
        SM,
        TRAIN,
        _trainings,
        _needs_a_network,
        "VpcConfig must be specified when a channel has a FileSystemDataSource.",
        "Developer Guide, Setting up training jobs to access datasets: EFS and FSx are reached through your VPC",
    ),
    Rule(
        "channels are unpacked in Pipe mode only",
        SM,
        TRAIN,
        _trainings,
        lambda one: any(
            channel.get("CompressionType") == "Gzip"
            and (channel.get("InputMode") or one.get("AlgorithmSpecification", {}).get("TrainingInputMode"))
            != "Pipe"
            for channel in one.get("InputDataConfig", [])
        ),
        "CompressionType Gzip can be used in Pipe input mode only.",
        "Channel (API): CompressionType is used only in Pipe input mode; in File mode, leave it unset or None",
    ),
    Rule(
        "no key for the instance's own disks",
        SM,
        (*TRAIN, "CreateProcessingJob", "CreateTransformJob"),
        _clusters,
        _keyed_disk,
        "VolumeKmsKeyId cannot be specified for instance types with local storage, which the instance itself encrypts.",
        "ResourceConfig, ProcessingClusterConfig, TransformResources (API): you can't request a VolumeKmsKeyId",
    ),
    Rule(
        "a processing input has one source",
        SM,
        ("CreateProcessingJob",),
        _at("ProcessingInputs"),
        lambda one: _count(one, "S3Input", "DatasetDefinition") != 1,
        "Exactly one of S3Input and DatasetDefinition must be specified for input {InputName}.",
        "ProcessingInput (API): you must specify one of S3Input or DatasetDefinition",
    ),
    Rule(
        "a processing input has a place",
        SM,
        ("CreateProcessingJob",),
        _at("ProcessingInputs"),
        lambda one: (
            not one.get("AppManaged") and any(not held.get("LocalPath") for held in _at("S3Input")(one))
        ),
        "LocalPath is required in S3Input of input {InputName} when AppManaged is false.",
        "ProcessingS3Input (API): LocalPath is a required parameter when AppManaged is False (default)",
    ),
    Rule(
        "processing inputs are unpacked in Pipe mode only",
        SM,
        ("CreateProcessingJob",),
        _at("ProcessingInputs", "S3Input"),
        lambda one: one.get("S3CompressionType") == "Gzip" and one.get("S3InputMode") != "Pipe",
        "S3CompressionType Gzip can be used with S3InputMode Pipe only.",
        "ProcessingS3Input (API): Gzip can only be used when Pipe mode is specified as the S3InputMode",
    ),
    Rule(
        "a feature store is written by the application",
        SM,
        ("CreateProcessingJob",),
        _at("ProcessingOutputConfig", "Outputs"),
        lambda one: bool(one.get("FeatureStoreOutput")) and not one.get("AppManaged"),
        "FeatureStoreOutput of output {OutputName} needs AppManaged to be true.",
        "ProcessingOutput (API): this output type is only supported when AppManaged is specified",
    ),
    Rule(
        "many records need to be split",
        SM,
        ("CreateTransformJob",),
        _whole,
        lambda one: (
            one.get("BatchStrategy") == "MultiRecord"
            and one["TransformInput"].get("SplitType", "None") == "None"
        ),
        "BatchStrategy MultiRecord needs SplitType to be Line, RecordIO or TFRecord.",
        "CreateTransformJob (API): to enable the batch strategy, you must set the SplitType property",
    ),
    Rule(
        "one container or several",
        SM,
        ("CreateModel",),
        _whole,
        lambda one: _count(one, "PrimaryContainer", "Containers") > 1,
        "PrimaryContainer and Containers cannot be specified together.",
        "Developer Guide, Inference pipelines: instead of setting one PrimaryContainer, you use the Containers parameter",
    ),
    Rule(
        "all hostnames or none",
        SM,
        ("CreateModel",),
        _whole,
        _odd_hostnames,
        "ContainerHostname must be specified for every container of the pipeline, or for none.",
        "ContainerDefinition (API): if you specify it for any ContainerDefinition, you must for every one",
    ),
    Rule(
        "a version describes itself or names its source",
        SM,
        ("CreateModelPackage",),
        _whole,
        lambda one: _count(one, "SourceUri", "InferenceSpecification") > 1,
        "SourceUri and InferenceSpecification cannot be specified together.",
        "github.com/aws/sagemaker-python-sdk/pull/4492: not allowed simultaneously while creating a model package",
    ),
    Rule(
        "a version has its own data only",
        SM,
        ("CreateModelPackage",),
        _at("InferenceSpecification", "Containers"),
        lambda one: bool(one.get("AdditionalS3DataSource")),
        "AdditionalS3DataSource is not allowed in InferenceSpecification",
        "AWS's words: github.com/boto/boto3/issues/4510",
    ),
    Rule(
        "serverless or instances",
        SM,
        ("CreateEndpointConfig",),
        _at("ProductionVariants"),
        lambda one: (
            bool(one.get("ServerlessConfig")) and _count(one, "InstanceType", "InitialInstanceCount") > 0
        ),
        "Variant {VariantName} cannot have both a ServerlessConfig and an InstanceType or InitialInstanceCount.",
        "ProductionVariant (API): ServerlessConfig is a configuration instead of an instance-based one",
    ),
    Rule(
        "provisioned within the maximum",
        SM,
        ("CreateEndpointConfig",),
        _at("ProductionVariants", "ServerlessConfig"),
        lambda one: one.get("ProvisionedConcurrency", 0) > one["MaxConcurrency"],
        "ProvisionedConcurrency must be less than or equal to MaxConcurrency.",
        "ProductionVariantServerlessConfig (API): should be less than or equal to MaxConcurrency",
    ),
    Rule(
        "one version of a pipeline",
        SM,
        ("StartPipelineExecution",),
        _whole,
        lambda one: _count(one, "PipelineVersionId", "PipelineVersionAlias") > 1,
        "PipelineVersionId and PipelineVersionAlias cannot be specified together.",
        "StartPipelineExecution (API): you can't specify this with PipelineVersionAlias",
    ),
    Rule(
        "a closed domain has security groups",
        SM,
        ("CreateDomain",),
        _whole,
        _closed_domain,
        "SecurityGroups must be specified in DefaultUserSettings when AppNetworkAccessType is VpcOnly.",
        "UserSettings (API): required when the AppNetworkAccessType parameter is set to VpcOnly",
    ),
    Rule(
        "an alarm looks back a day, or a week",
        "cloudwatch",
        ("PutMetricAlarm",),
        _whole,
        _long_watch,
        "Metrics cannot be checked across more than a day (EvaluationPeriods * Period must be <= 86400),"
        " or with a Period of an hour or longer across more than seven days (604800).",
        "PutMetricAlarm (API), Period: an alarm's total evaluation period",
        code="ValidationError",
    ),
    Rule(
        "parameters of a pipeline go to a pipeline",
        "events",
        ("PutTargets",),
        _at("Targets"),
        lambda one: (
            bool(one.get("SageMakerPipelineParameters"))
            and not re.match(r"arn:[\w-]+:sagemaker:.*:pipeline/", one["Arn"])
        ),
        "SageMakerPipelineParameters is not valid for target {Arn}.",
        "Target (API): if you specify a SageMaker AI pipeline as a target, you can use this",
    ),
)


def broken(service: str, action: str, params: Params) -> Iterator[AwsError]:
    """The error of each rule that a request, valid by the service's model, does not hold to."""
    for rule in RULES:
        if rule.service == service and action in rule.actions:
            for part in rule.within(params):
                if rule.breaks(part):
                    yield AwsError(rule.code, rule.message.format_map(part))
                    break


def check(service: str, action: str, params: Params) -> None:
    """Raises the error of the first rule that the request does not hold to."""
    for error in broken(service, action, params):
        raise error
