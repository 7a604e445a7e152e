"""The kinds of SageMaker resources: what names them, how AWS writes their ARN, how it says that one is missing or exists already.

Error codes come from botocore's model (an action that lists ResourceNotFound raises it, the others raise ValidationException);
the exceptions and the wordings below are those that AWS is known to answer
(https://github.com/aws/aws-sdk/issues/165 for training jobs; the not-found texts that Terraform's AWS provider matches for the rest).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from kit.local_aws.protocol import AwsError, operation

__all__ = ["KINDS", "Kind", "kind_of", "plural"]


def _hex(size: int) -> str:
    return uuid.uuid4().hex[:size]


@dataclass(frozen=True)
class Kind:
    """One kind of resource.

    `key`: the input members that name it, joined with "/" (("DomainId", "SpaceName")). `path`: its word in an ARN.
    `mint`: a member that the service makes up, and how it begins ({"DomainId": "d-"}). `defaults`: what the service adds.
    `parents`: members that name a resource which must exist, and its kind.
    `missing`, `exists`: texts with {name} and {arn}; `codes`: error codes that differ from the model's.
    `stored`: Create, Describe, List, Update and Delete need no work, so that the store answers them.
    """

    name: str
    key: tuple[str, ...] = ()
    path: str = ""
    arn: str = ""
    mint: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    parents: Mapping[str, str] = field(default_factory=dict)
    missing: str = "Requested resource not found: {arn}"
    exists: str = "Resource already exists: {arn}"
    codes: Mapping[str, str] = field(default_factory=dict)
    stored: bool = False

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The members that name it."""
        return self.key or (f"{self.name}Name",)

    @cached_property
    def arn_member(self) -> str:
        """The member that holds its ARN."""
        return self.arn or f"{self.name}Arn"

    def key_of(self, params: Mapping[str, Any]) -> str:
        """Its key in the store, from a request; AWS compares names without regard to case."""
        return "/".join(str(params.get(name, "")) for name in self.keys)

    def arn_of(self, account: str, region: str, key: str) -> str:
        """Its ARN; AWS writes names in ARNs in lower case."""
        word = self.path or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", self.name).lower()
        return f"arn:aws:sagemaker:{region}:{account}:{word}/{key.lower()}"

    def minted(self) -> dict[str, str]:
        """Fresh values of the members that the service makes up."""
        return {member: f"{begin}{_hex(12)}" for member, begin in self.mint.items()}

    def not_found(self, arn: str, key: str) -> AwsError:
        """AWS's error for a resource of this kind that does not exist."""
        code = self.codes.get("missing") or self._code("Describe", "ResourceNotFound")
        return AwsError(code, self.missing.format(name=key.rpartition("/")[2], arn=arn))

    def in_use(self, arn: str, key: str) -> AwsError:
        """AWS's error for a name that is taken."""
        code = self.codes.get("exists") or self._code("Create", "ResourceInUse")
        return AwsError(code, self.exists.format(name=key.rpartition("/")[2], arn=arn))

    def _code(self, verb: str, modelled: str) -> str:
        try:
            errors = operation("sagemaker", verb + self.name).error_shapes
        except AwsError:
            return "ValidationException"
        return modelled if any(shape.name == modelled for shape in errors) else "ValidationException"


_UNIQUE = "{kind} names must be unique within an AWS account and region, and a {what} with this name already exists ({{arn}})"


def _job(name: str, what: str, missing: str, **more: Any) -> Kind:
    exists = _UNIQUE.format(kind=what[0].upper() + what[1:], what=what)
    return Kind(name, missing=missing, exists=exists, **more)


_VALIDATION = {"missing": "ValidationException"}

_ALL = (
    # Kinds whose creation starts work: they need handlers.
    _job("TrainingJob", "training job", "Requested resource not found.", codes=_VALIDATION),
    _job(
        "ProcessingJob", "processing job", "Could not find requested job with name: {name}", codes=_VALIDATION
    ),
    _job(
        "TransformJob", "transform job", "Could not find requested job with name: {name}", codes=_VALIDATION
    ),
    _job(
        "HyperParameterTuningJob",
        "tuning job",
        "Amazon SageMaker can't find a tuning job with the name {name}.",
    ),
    Kind(
        "Endpoint",
        missing='Could not find endpoint "{arn}".',
        exists='Cannot create already existing endpoint "{arn}".',
    ),
    Kind(
        "FeatureGroup",
        missing="Resource Not Found: Amazon SageMaker can't find a FeatureGroup with name {name}",
        exists="Resource Already Exists: FeatureGroup with name {name} already exists. Choose a different name.",
    ),
    Kind(
        "ModelPackage",
        key=("ModelPackageGroupName", "ModelPackageVersion"),
        missing="ModelPackage {arn} does not exist.",
    ),
    Kind(
        "Pipeline",
        missing="Pipeline '{arn}' does not exist.",
        exists="Pipeline names must be unique within an AWS account and region. Pipeline with name ({name}) already exists.",
    ),
    Kind(
        "PipelineExecution",
        key=("PipelineExecutionArn",),
        missing="Pipeline execution with ARN '{arn}' does not exist.",
    ),
    Kind("MonitoringSchedule"),
    # CloudFormation's; waited for in the same way.
    Kind(
        "Stack",
        arn="StackId",
        missing="Stack with id {name} does not exist",
        exists="Stack [{name}] already exists",
        codes={"missing": "ValidationError", "exists": "AlreadyExistsException"},
    ),
    # Athena's; no kind of SageMaker's, but one that is waited for in the same way.
    Kind(
        "QueryExecution",
        key=("QueryExecutionId",),
        missing="QueryExecution {name} was not found",
        codes={"missing": "InvalidRequestException"},
    ),
    Kind("ModelCard", codes={"exists": "ConflictException"}),
    # Kinds that are only kept.
    Kind(
        "Model",
        missing='Could not find model "{arn}".',
        exists='Cannot create already existing model "{arn}".',
        stored=True,
    ),
    Kind(
        "EndpointConfig",
        missing='Could not find endpoint configuration "{arn}".',
        exists='Cannot create already existing endpoint configuration "{arn}".',
        stored=True,
    ),
    Kind(
        "ModelPackageGroup",
        defaults={"ModelPackageGroupStatus": "Completed", "CreatedBy": {}},
        missing="ModelPackageGroup {arn} does not exist.",
        exists="Model Package Group already exists: {arn}",
        stored=True,
    ),
    Kind(
        "Domain",
        key=("DomainId",),
        mint={"DomainId": "d-", "HomeEfsFileSystemId": "fs-"},
        defaults={"Status": "InService", "AppNetworkAccessType": "PublicInternetOnly"},
        missing="Domain {name} does not exist.",
        stored=True,
    ),
    Kind(
        "UserProfile",
        key=("DomainId", "UserProfileName"),
        parents={"DomainId": "Domain"},
        defaults={"Status": "InService"},
        missing="UserProfile {name} does not exist.",
        stored=True,
    ),
    Kind(
        "Space",
        key=("DomainId", "SpaceName"),
        parents={"DomainId": "Domain"},
        defaults={"Status": "InService"},
        missing="Space {name} does not exist.",
        stored=True,
    ),
    Kind(
        "App",
        key=("DomainId", "UserProfileName", "SpaceName", "AppType", "AppName"),
        parents={"DomainId": "Domain"},
        defaults={"Status": "InService"},
        missing="App {name} does not exist.",
        stored=True,
    ),
    Kind("AppImageConfig", missing="AppImageConfig {name} does not exist.", stored=True),
    Kind("StudioLifecycleConfig", missing="StudioLifecycleConfig {name} does not exist.", stored=True),
    Kind(
        "NotebookInstanceLifecycleConfig",
        missing="Unable to describe Notebook Instance Lifecycle Config '{arn}'. (Details: Notebook Instance Lifecycle Config does not exist)",
        stored=True,
    ),
    Kind(
        "NotebookInstance",
        defaults={
            "NotebookInstanceStatus": "InService",
            "DirectInternetAccess": "Enabled",
            "RootAccess": "Enabled",
        },
        missing="RecordNotFound",
        stored=True,
    ),
    Kind("CodeRepository", missing='Cannot find CodeRepository: "{arn}"', stored=True),
    Kind("Experiment", missing="Experiment '{name}' does not exist.", stored=True),
    Kind(
        "Trial",
        path="experiment-trial",
        parents={"ExperimentName": "Experiment"},
        missing="Trial '{name}' does not exist.",
        stored=True,
    ),
    Kind(
        "TrialComponent",
        path="experiment-trial-component",
        missing="TrialComponent '{name}' does not exist.",
        stored=True,
    ),
)
KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _ALL}


def kind_of(name: str) -> Kind:
    """The kind by its name; one that the table does not know has what the model says."""
    return KINDS.get(name) or Kind(name)


def plural(word: str) -> str:
    """How List actions name a kind: "Experiments", "CodeRepositories"."""
    return f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"
