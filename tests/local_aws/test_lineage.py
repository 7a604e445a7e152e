"""Lineage through boto3: from the raw data over a processing and a training job to a registered version and its endpoint."""

from __future__ import annotations

import itertools
import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from boto3.session import Session
from botocore.exceptions import ClientError
from lab import BUCKET, IMAGE, REGION, Lab, opened

from kit.local_aws.lineage import graph_of, query

PREPARE = """
from pathlib import Path
Path("/opt/ml/processing/output/rows.csv").write_text(Path("/opt/ml/processing/input/data/raw.csv").read_text())
"""
TRAIN = """
from pathlib import Path
Path("/opt/ml/model/model.txt").write_text(Path("/opt/ml/input/data/train/rows.csv").read_text())
"""


def unique(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


def process(lab: Lab, name: str, raw: str, rows: str, script: str = PREPARE) -> None:
    code = lab.put(f"{name}/code/job.py", script)
    places = {"code": code, "data": raw}
    lab.client("sagemaker").create_processing_job(
        ProcessingJobName=name,
        ProcessingInputs=[
            {
                "InputName": word,
                "S3Input": {
                    "S3Uri": uri,
                    "LocalPath": f"/opt/ml/processing/input/{word}",
                    "S3DataType": "S3Prefix",
                    "S3InputMode": "File",
                },
            }
            for word, uri in places.items()
        ],
        ProcessingOutputConfig={
            "Outputs": [
                {
                    "OutputName": "rows",
                    "S3Output": {
                        "S3Uri": rows,
                        "LocalPath": "/opt/ml/processing/output",
                        "S3UploadMode": "EndOfJob",
                    },
                }
            ]
        },
        ProcessingResources={
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
        },
        AppSpecification={
            "ImageUri": IMAGE,
            "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/job.py"],
        },
        RoleArn=lab.role,
    )


def train(lab: Lab, name: str, rows: str) -> str:
    """The URI of the model of a new job that is over."""
    code = lab.put(f"{name}/code/job.py", TRAIN).rsplit("/", 1)[0]
    lab.client("sagemaker").create_training_job(
        TrainingJobName=name,
        AlgorithmSpecification={
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["python3", "/opt/ml/input/data/code/job.py"],
        },
        RoleArn=lab.role,
        InputDataConfig=[
            {
                "ChannelName": channel,
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}},
            }
            for channel, uri in {"code": code, "train": rows}.items()
        ],
        OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/out"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 120},
    )
    job = lab.training(name)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    return str(job["ModelArtifacts"]["S3ModelArtifacts"])


@dataclass
class Way:
    """What was made of what: URIs, names and the ARN of the version."""

    lab: Lab
    raw: str
    rows: str
    prepared: str
    trained: str
    model: str
    package: str
    began: datetime

    def artifact(self, uri: str) -> str:
        (found,) = self.lab.client("sagemaker").list_artifacts(SourceUri=uri)["ArtifactSummaries"]
        return str(found["ArtifactArn"])

    def told(self, uri: str, direction: str, **more: Any) -> set[str]:
        """What a query from an artifact on reaches: the URI of an artifact, of anything else the last word of its ARN."""
        sagemaker = self.lab.client("sagemaker")
        asked = sagemaker.query_lineage(StartArns=[self.artifact(uri)], Direction=direction, **more)
        assert "NextToken" not in asked
        return {
            sagemaker.describe_artifact(ArtifactArn=one["Arn"])["Source"]["SourceUri"]
            if one["LineageType"] == "Artifact"
            else one["Arn"].rpartition("/")[2]
            for one in asked["Vertices"]
        }

    @property
    def jobs(self) -> list[str]:
        return [f"{self.prepared}-aws-processing-job", f"{self.trained}-aws-training-job"]


@pytest.fixture(scope="module")
def way(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with opened(tmp_path_factory.mktemp("state") / "aws", "bind") as lab, lab.current():
        began = datetime.now(UTC) - timedelta(seconds=1)
        prepared, trained, group = unique("prepare"), unique("train"), unique("group")
        raw = lab.put("raw/raw.csv", "1,2\n").rsplit("/", 1)[0]
        rows = f"s3://{BUCKET}/rows"
        process(lab, prepared, raw, rows)
        job = lab.processing(prepared)
        assert job["ProcessingJobStatus"] == "Completed", job.get("FailureReason")
        model = train(lab, trained, rows)
        sagemaker = lab.client("sagemaker")
        sagemaker.create_model_package_group(ModelPackageGroupName=group)
        package = sagemaker.create_model_package(
            ModelPackageGroupName=group,
            ModelApprovalStatus="Approved",
            InferenceSpecification={
                "Containers": [{"Image": IMAGE, "ModelDataUrl": model}],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["text/csv"],
            },
        )["ModelPackageArn"]
        yield Way(lab, raw, rows, prepared, trained, model, package, began)


def test_a_version_leads_to_its_jobs_and_the_raw_data(way: Way) -> None:
    found = way.told(way.package, "Ascendants")
    assert {way.raw, way.rows, way.model, way.package, IMAGE, *way.jobs} <= found
    assert not any(word.startswith("group") for word in found)


def test_the_raw_data_leads_to_the_version(way: Way) -> None:
    found = way.told(way.raw, "Descendants")
    group = way.package.split("/")[1]
    context = {word for word in found if "/" not in word} - set(way.jobs)
    assert found == {way.raw, way.rows, way.model, way.package, *way.jobs, *context}
    assert len(context) == 1  # that of the group, which has an ARN of its own
    assert group not in context


def test_direction_and_depth_are_respected(way: Way) -> None:
    prepared, trained = way.jobs
    assert way.told(way.raw, "Ascendants") == {way.raw}
    assert way.told(way.raw, "Descendants", MaxDepth=1) == {way.raw, prepared}
    assert way.told(way.raw, "Descendants", MaxDepth=3) == {way.raw, prepared, way.rows, trained}
    assert IMAGE in way.told(way.raw, "Both", MaxDepth=2)
    assert IMAGE not in way.told(way.raw, "Descendants")


def test_filters_choose_and_edges_bring_the_path(way: Way) -> None:
    prepared, trained = way.jobs
    jobs: dict[str, Any] = {"LineageTypes": ["TrialComponent"]}
    assert way.told(way.package, "Ascendants", Filters=jobs) == {prepared, trained}
    assert way.told(way.package, "Ascendants", Filters={"Types": ["TrainingJob"]}) == {trained}
    path = way.told(way.package, "Ascendants", Filters={"Types": ["TrainingJob"]}, IncludeEdges=True)
    assert path == {way.package, way.model, trained}
    later = {"CreatedAfter": datetime.now(UTC) + timedelta(hours=1)}
    assert way.told(way.package, "Ascendants", Filters=later) == set()


def test_edges_say_how_things_belong_together(way: Way) -> None:
    sagemaker, start = way.lab.client("sagemaker"), way.artifact(way.package)
    asked: dict[str, Any] = {"StartArns": [start], "Direction": "Ascendants"}
    assert sagemaker.query_lineage(**asked)["Edges"] == []
    edges = {
        (edge["SourceArn"].rpartition("/")[2], edge["DestinationArn"].rpartition("/")[2]): edge[
            "AssociationType"
        ]
        for edge in sagemaker.query_lineage(**asked, IncludeEdges=True)["Edges"]
    }
    raw, rows, model, package = (
        way.artifact(uri).rpartition("/")[2] for uri in (way.raw, way.rows, way.model, way.package)
    )
    prepared, trained = way.jobs
    ours = {
        (raw, prepared): "ContributedTo",
        (prepared, rows): "Produced",
        (rows, trained): "ContributedTo",
        (trained, model): "Produced",
        (model, package): "ContributedTo",
    }
    assert ours.items() <= edges.items()


def test_pages_together_are_the_whole(way: Way) -> None:
    sagemaker = way.lab.client("sagemaker")
    asked: dict[str, Any] = {
        "StartArns": [way.artifact(way.package)],
        "Direction": "Ascendants",
        "IncludeEdges": True,
    }
    whole = sagemaker.query_lineage(**asked)
    vertices: list[Any] = []
    edges: list[Any] = []
    token: dict[str, str] = {}
    for _ in range(20):
        part = sagemaker.query_lineage(**asked, **token, MaxResults=2)
        assert 1 <= len(part["Vertices"]) <= 2
        vertices, edges = vertices + part["Vertices"], edges + part["Edges"]
        if "NextToken" not in part:
            break
        token = {"NextToken": part["NextToken"]}
    assert vertices == whole["Vertices"]
    assert sorted(edges, key=str) == sorted(whole["Edges"], key=str)
    listed = [
        one["ArtifactArn"]
        for page in sagemaker.get_paginator("list_artifacts").paginate(PaginationConfig={"PageSize": 2})
        for one in page["ArtifactSummaries"]
    ]
    assert len(listed) == len(set(listed)) >= 5


def test_a_list_has_ten_at_a_time_and_what_its_region_has(way: Way) -> None:
    sagemaker, group = Session(region_name="us-west-2").client("sagemaker"), unique("group")
    sagemaker.create_model_package_group(ModelPackageGroupName=group)
    for number in range(11):
        sagemaker.create_model_package(
            ModelPackageGroupName=group,
            InferenceSpecification={
                "Containers": [{"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/{number}/model.tar.gz"}]
            },
        )
    first = sagemaker.list_artifacts()
    rest = sagemaker.list_artifacts(NextToken=first["NextToken"], MaxResults=100)
    assert (len(first["ArtifactSummaries"]), len(rest["ArtifactSummaries"])) == (10, 2 * 11 + 1 - 10)
    assert sagemaker.list_artifacts(SourceUri=way.package)["ArtifactSummaries"] == []


def test_artifacts_are_found_by_uri_type_and_time(way: Way) -> None:
    sagemaker = way.lab.client("sagemaker")

    def listed(**asked: Any) -> list[str]:
        found = sagemaker.list_artifacts(**asked)["ArtifactSummaries"]
        return [one["Source"]["SourceUri"] for one in found]

    assert listed(SourceUri=f"s3://{BUCKET}/nothing") == []
    assert listed(ArtifactType="Image") == [IMAGE]
    assert listed(CreatedBefore=way.began) == []
    assert way.raw in listed(CreatedAfter=way.began, MaxResults=100)
    assert listed(ArtifactType="Model") == [way.package, way.model]  # the newest first
    assert listed(ArtifactType="Model", SortOrder="Ascending") == [way.model, way.package]
    described = sagemaker.describe_artifact(ArtifactArn=way.artifact(way.raw))
    assert described["ArtifactType"] == "DataSet"
    assert described["ArtifactArn"].split(":artifact/")[1].isalnum()


def test_associations_are_listed_from_and_to_an_entity(way: Way) -> None:
    sagemaker, rows = way.lab.client("sagemaker"), way.artifact(way.rows)
    (made,) = sagemaker.list_associations(DestinationArn=rows)["AssociationSummaries"]
    assert (made["AssociationType"], made["SourceType"]) == ("Produced", "ProcessingJob")
    assert made["SourceArn"].endswith(f":experiment-trial-component/{way.jobs[0]}")
    (used,) = sagemaker.list_associations(SourceArn=rows)["AssociationSummaries"]
    assert (used["AssociationType"], used["DestinationType"]) == ("ContributedTo", "TrainingJob")
    none = sagemaker.list_associations(SourceArn=rows, AssociationType="Produced")
    assert none["AssociationSummaries"] == []
    page = sagemaker.list_associations(DestinationArn=used["DestinationArn"], MaxResults=1)
    assert len(page["AssociationSummaries"]) == 1
    assert page["NextToken"]


def test_a_job_that_failed_used_its_input_and_produced_nothing(way: Way) -> None:
    name, uri = unique("fails"), f"s3://{BUCKET}/{unique('never')}"
    process(way.lab, name, way.lab.put("bad/raw.csv", ""), uri, script="raise SystemExit(3)")
    assert way.lab.processing(name)["ProcessingJobStatus"] == "Failed"
    assert way.told(f"s3://{BUCKET}/bad/raw.csv", "Descendants") == {
        f"s3://{BUCKET}/bad/raw.csv",
        f"{name}-aws-processing-job",
    }
    assert way.lab.client("sagemaker").list_artifacts(SourceUri=uri)["ArtifactSummaries"] == []


@pytest.mark.parametrize(
    ("name", "asked", "code"),
    [
        ("describe_artifact", {"ArtifactArn": "{place}:artifact/00"}, "ResourceNotFound"),
        ("query_lineage", {"StartArns": ["{place}:artifact/00"]}, "ResourceNotFound"),
        ("query_lineage", {"StartArns": ["{place}:context/00"]}, "ResourceNotFound"),
        ("list_associations", {"SourceArn": "{place}:artifact/00"}, "ResourceNotFound"),
        ("describe_artifact", {"ArtifactArn": "{place}:model/00"}, "ValidationException"),
        ("query_lineage", {"StartArns": ["{known}"], "Direction": "Up"}, "ValidationException"),
        ("query_lineage", {"StartArns": ["{known}"], "MaxDepth": 11}, "ValidationException"),
        ("query_lineage", {"StartArns": ["{known}"], "MaxResults": 0}, "ValidationException"),
        ("query_lineage", {"StartArns": ["{known}"], "NextToken": "?"}, "ValidationException"),
        ("query_lineage", {"Direction": "Both"}, "ValidationException"),
        ("list_artifacts", {"SortBy": "Name"}, "ValidationException"),
    ],
)
def test_what_is_not_there_or_not_valid_is_refused(
    way: Way, name: str, asked: dict[str, Any], code: str
) -> None:
    known = way.artifact(way.raw)
    place = known.partition(":artifact/")[0]

    def filled(value: Any) -> Any:
        if isinstance(value, list):
            return [filled(one) for one in value]
        return value.format(place=place, known=known) if isinstance(value, str) else value

    with pytest.raises(ClientError) as refused:
        getattr(way.lab.client("sagemaker"), name)(**{member: filled(asked[member]) for member in asked})
    assert refused.value.response["Error"]["Code"] == code


NUMBERS = itertools.count()


def record(**members: Any) -> dict[str, Any]:
    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=next(NUMBERS))
    return {"CreationTime": moment, "LastModifiedTime": moment, **members}


def test_an_endpoint_comes_from_the_version_that_its_model_names() -> None:
    place = "arn:aws:sagemaker:us-east-1:111122223333"
    package = f"{place}:model-package/g/1"
    contents = {"Containers": [{"Image": "image", "ModelDataUrl": "s3://b/model.tar.gz"}]}
    rows = {
        "ModelPackage": [
            record(_arn=package, ModelPackageGroupName="g", InferenceSpecification=contents),
        ],
        "Model": [record(ModelName="M", Containers=[{"ModelPackageName": package}])],
        "EndpointConfig": [record(EndpointConfigName="c", ProductionVariants=[{"ModelName": "m"}])],
        "Endpoint": [record(_arn=f"{place}:endpoint/e", EndpointName="E", EndpointConfigName="C")],
    }
    graph = graph_of("111122223333", "us-east-1", rows)
    (endpoint,) = (one for one in graph.entities.values() if one.type == "Endpoint")
    found, edges = query(graph, endpoint.arn, "Ascendants", 10, {}, whole_paths=True)
    assert [(far, one.lineage, one.source) for far, one in found if one.type != "Image"] == [
        (0, "Context", f"{place}:endpoint/e"),
        (1, "Action", f"{place}:endpoint/e/deployment"),
        (2, "Artifact", package),
        (3, "Artifact", "s3://b/model.tar.gz"),
    ]
    assert [edge.type for edge in edges][:2] == ["AssociatedWith", "ContributedTo"]


def test_rights_are_asked_for_each_artifact_and_for_queries(way: Way) -> None:
    iam, name = way.lab.client("iam"), unique("user")
    raw, rows = way.artifact(way.raw), way.artifact(way.rows)
    iam.create_user(UserName=name)
    allowed = {"Effect": "Allow", "Action": "sagemaker:DescribeArtifact", "Resource": raw}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName=name, PolicyName="one", PolicyDocument=document)
    keys = iam.create_access_key(UserName=name)["AccessKey"]
    session = Session(
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        region_name=REGION,
    )
    sagemaker = session.client("sagemaker")
    assert sagemaker.describe_artifact(ArtifactArn=raw)["Source"]["SourceUri"] == way.raw
    with pytest.raises(ClientError, match="not authorized to perform: sagemaker:DescribeArtifact"):
        sagemaker.describe_artifact(ArtifactArn=rows)
    with pytest.raises(ClientError, match="not authorized to perform: sagemaker:QueryLineage"):
        sagemaker.query_lineage(StartArns=[raw])
