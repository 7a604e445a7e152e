"""SageMaker's lineage: what came of what, read from the jobs, versions and endpoints that there are. Nothing is kept.

Source: "Amazon SageMaker AI-Created Tracking Entities" of the SageMaker developer guide. An S3 artifact is its URI as the request gave
it, so a job's output is another job's input where both name the same URI; the first one to name it says what type it has.
A job that failed or still runs produced nothing. What is deleted leaves the graph, which on AWS it does not.
Not here: entities that users create, actions of creation and approval, checkpoints, pipeline executions, lineage groups.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from kit.local_aws import jobs
from kit.local_aws.front import action
from kit.local_aws.protocol import AwsError, operation
from kit.local_aws.store import Record, page

if TYPE_CHECKING:
    from kit.local_aws.store import Context

__all__ = ["Edge", "Entity", "Graph", "graph_of", "query"]

JOBS = {"TrainingJob": "training", "ProcessingJob": "processing", "TransformJob": "transform"}
KINDS = (*JOBS, "ModelPackageGroup", "ModelPackage", "Model", "EndpointConfig", "Endpoint")
PRODUCED = ("Completed", "Stopped")  # a job that was stopped still uploads what it has
CONTRIBUTED, MADE, WITH = "ContributedTo", "Produced", "AssociatedWith"
DEEPEST, LISTED, FOUND = 10, 10, 50  # how deep a query goes, and how much is on a page, unless told

Rows = Mapping[str, Iterable[Record]]


@dataclass(frozen=True)
class Entity:
    """One node: `lineage` is Artifact, TrialComponent, Context or Action; `source` the URI or ARN that it stands for."""

    arn: str
    lineage: str
    type: str
    source: str
    created: datetime
    modified: datetime


@dataclass(frozen=True)
class Edge:
    """One association: `source` and `destination` are ARNs of entities, `type` AWS's word for how they belong together."""

    source: str
    destination: str
    type: str
    created: datetime


@dataclass
class Graph:
    """Entities by their ARN, and the associations between them, oldest first."""

    place: str  # "arn:aws:sagemaker:REGION:ACCOUNT"
    entities: dict[str, Entity] = field(default_factory=dict)
    edges: dict[tuple[str, str, str], Edge] = field(default_factory=dict)

    def add(self, lineage: str, type: str, source: str, row: Record, name: str = "") -> str:
        """The ARN of the entity for a source; there is one for each, whoever names it first."""
        word = {"TrialComponent": "experiment-trial-component"}.get(lineage, lineage.lower())
        name = name or hashlib.sha256(f"{self.place}/{source}".encode()).hexdigest()[:32]
        arn = f"{self.place}:{word}/{name}"
        times = row["CreationTime"], row["CreationTime" if lineage == "Artifact" else "LastModifiedTime"]
        self.entities.setdefault(arn, Entity(arn, lineage, type, source, *times))
        return arn

    def join(self, source: str, destination: str, type: str, row: Record) -> None:
        """Associate two entities; saying it twice is once."""
        edge = Edge(source, destination, type, row["CreationTime"])
        self.edges.setdefault((source, destination, type), edge)

    def artifacts(self, type: str, uris: Iterable[Any], whole: str, row: Record) -> None:
        """An artifact for each URI that there is, which contributed to the entity `whole`."""
        for uri in uris:
            if uri:
                self.join(self.add("Artifact", type, uri, row), whole, CONTRIBUTED, row)


def graph_of(account: str, region: str, rows: Rows) -> Graph:
    """The lineage of an account and region, from the records of its kinds."""
    graph = Graph(f"arn:aws:sagemaker:{region}:{account}")
    found = [(kind, row) for kind in KINDS for row in rows.get(kind, ())]
    models = {row["ModelName"].lower(): row for kind, row in found if kind == "Model"}
    configs = {row["EndpointConfigName"].lower(): row for kind, row in found if kind == "EndpointConfig"}
    for kind, row in sorted(found, key=lambda one: one[1]["CreationTime"]):
        if kind in JOBS:
            _job(graph, kind, row)
        elif kind == "ModelPackageGroup":
            graph.add("Context", "ModelGroup", row["_arn"], row)
        elif kind == "ModelPackage":
            _package(graph, row)
        elif kind == "Endpoint":
            _endpoint(graph, row, configs.get(str(row.get("EndpointConfigName")).lower(), {}), models)
    return graph


def _job(graph: Graph, kind: str, row: Record) -> None:
    """A trial component, what contributed to it, and what it produced."""
    name = f"{row[f'{kind}Name'].lower()}-aws-{JOBS[kind]}-job"
    job = graph.add("TrialComponent", kind, row["_arn"], row, name)
    made, made_type = list[Any](), "DataSet"
    if kind == "TrainingJob":
        image = row["AlgorithmSpecification"].get("TrainingImage")
        given = [_s3(one["DataSource"]) for one in row.get("InputDataConfig", [])]
        made, made_type = [row["ModelArtifacts"]["S3ModelArtifacts"]], "Model"
    elif kind == "ProcessingJob":
        image = row["AppSpecification"]["ImageUri"]
        given = [one.get("S3Input", {}).get("S3Uri") for one in row.get("ProcessingInputs", [])]
        outputs = row.get("ProcessingOutputConfig", {}).get("Outputs", [])
        made = [one.get("S3Output", {}).get("S3Uri") for one in outputs]
    else:
        image = None
        given, made = [_s3(row["TransformInput"]["DataSource"])], [row["TransformOutput"]["S3OutputPath"]]
    graph.artifacts("Image", [image], job, row)
    graph.artifacts("DataSet", given, job, row)
    for uri in made if row[f"{kind}Status"] in PRODUCED else ():
        if uri:
            graph.join(job, graph.add("Artifact", made_type, uri, row), MADE, row)


def _s3(source: Mapping[str, Any]) -> Any:
    return source.get("S3DataSource", {}).get("S3Uri")


def _package(graph: Graph, row: Record) -> None:
    """A version: an artifact of its containers' models and images, in the context of its group."""
    package = graph.add("Artifact", "Model", row["_arn"], row)
    _containers(graph, row.get("InferenceSpecification", {}).get("Containers", []), package, row)
    group = f"{graph.place}:model-package-group/{row['ModelPackageGroupName'].lower()}"
    graph.join(package, graph.add("Context", "ModelGroup", group, row), WITH, row)


def _containers(graph: Graph, containers: Iterable[Mapping[str, Any]], whole: str, row: Record) -> None:
    for one in containers:
        model = one.get("ModelPackageName") or one.get("ModelDataUrl") or _s3(one.get("ModelDataSource", {}))
        graph.artifacts("Model", [model], whole, row)
        graph.artifacts("Image", [one.get("Image")], whole, row)


def _endpoint(graph: Graph, row: Record, config: Record, models: Mapping[str, Record]) -> None:
    """A context, and the action of deployment that led to it, from the models of its configuration."""
    endpoint = graph.add("Context", "Endpoint", row["_arn"], row)
    name = f"{row['EndpointName'].lower()}-model-deployment"
    deployment = graph.add("Action", "ModelDeployment", f"{row['_arn']}/deployment", row, name)
    graph.join(deployment, endpoint, WITH, row)
    for variant in config.get("ProductionVariants", []):
        model = models.get(str(variant.get("ModelName")).lower(), {})
        containers = [model.get("PrimaryContainer") or {}, *(model.get("Containers") or [])]
        _containers(graph, containers, deployment, row)


def query(
    graph: Graph, start: str, direction: str, depth: int, filters: Mapping[str, Any], whole_paths: bool
) -> tuple[list[tuple[int, Entity]], list[Edge]]:
    """The entities that are reached and match, with their distance, nearest first; and the associations between them.

    `whole_paths`: also those on the way from the start to them, as with IncludeEdges. "Both" turns at each entity.
    """
    ways: dict[str, list[tuple[str, Edge]]] = {}
    for edge in graph.edges.values():
        if direction != "Ascendants":
            ways.setdefault(edge.source, []).append((edge.destination, edge))
        if direction != "Descendants":
            ways.setdefault(edge.destination, []).append((edge.source, edge))
    far, came, now = {start: 0}, list[tuple[str, str, Edge]](), [start]
    for distance in range(1, depth + 1):
        came += [(arn, other, edge) for arn in now for other, edge in ways.get(arn, [])]
        now = list(dict.fromkeys(other for arn in now for other, _ in ways.get(arn, []) if other not in far))
        far |= dict.fromkeys(now, distance)
    kept = {arn for arn in far if _matches(graph.entities[arn], filters)}
    if whole_paths:
        for arn, other, _ in sorted(came, key=lambda step: -far[step[1]]):
            if other in kept and far[arn] < far[other]:
                kept.add(arn)
    edges = list(dict.fromkeys(edge for _, _, edge in came if {edge.source, edge.destination} <= kept))
    return sorted(
        ((far[arn], graph.entities[arn]) for arn in kept), key=lambda one: (one[0], one[1].arn)
    ), edges


def _matches(entity: Entity, filters: Mapping[str, Any]) -> bool:
    return (
        entity.type in (filters.get("Types") or [entity.type])
        and entity.lineage in (filters.get("LineageTypes") or [entity.lineage])
        and _between(entity.created, filters, "Created")
        and _between(entity.modified, filters, "Modified")
        and not filters.get("Properties")  # entities that AWS makes by itself have none here
    )


def _between(moment: datetime, params: Mapping[str, Any], word: str) -> bool:
    after, before = params.get(f"{word}After"), params.get(f"{word}Before")
    return not ((after and moment < after) or (before and moment > before))


# --- the actions --------------------------------------------------------------------------------------------


def _graph(ctx: Context) -> Graph:
    return graph_of(ctx.account, ctx.region, {kind: ctx.app.store.rows(ctx, kind) for kind in KINDS})


def _known(graph: Graph, arn: str) -> Entity:
    if arn not in graph.entities:
        raise AwsError("ResourceNotFound", f"Lineage entity '{arn}' does not exist.")
    return graph.entities[arn]


def _described(entity: Entity) -> Record:
    return {
        "ArtifactArn": entity.arn,
        "Source": {"SourceUri": entity.source, "SourceTypes": []},
        "ArtifactType": entity.type,
        "CreationTime": entity.created,
        "LastModifiedTime": entity.modified,
        "_arn": entity.arn,
    }


@action("sagemaker", "DescribeArtifact")
def describe_artifact(ctx: Context, params: dict[str, Any]) -> Record:
    """What an artifact stands for."""
    return _described(_known(_graph(ctx), params["ArtifactArn"]))


@action("sagemaker", "ListArtifacts")
def list_artifacts(ctx: Context, params: dict[str, Any]) -> Record:
    """The artifacts of a URI, a type or a time."""
    uri, type = params.get("SourceUri"), params.get("ArtifactType")
    found = [
        _described(one)
        for one in _graph(ctx).entities.values()
        if one.lineage == "Artifact"
        and uri in (None, one.source)
        and type in (None, one.type)
        and _between(one.created, params, "Created")
    ]
    return page(operation("sagemaker", "ListArtifacts"), found, {"MaxResults": LISTED, **params})


@action("sagemaker", "ListAssociations")
def list_associations(ctx: Context, params: dict[str, Any]) -> Record:
    """The associations from or to an entity, or of a type."""
    graph = _graph(ctx)
    for member in ("SourceArn", "DestinationArn"):
        if params.get(member):
            _known(graph, params[member])
    wanted = {name: params[name] for name in params if name.endswith(("Arn", "Type"))}
    found = [
        row
        for row in _associations(graph)
        if wanted.items() <= row.items() and _between(row["CreationTime"], params, "Created")
    ]
    return page(operation("sagemaker", "ListAssociations"), found, {"MaxResults": LISTED, **params})


def _associations(graph: Graph) -> Iterator[Record]:
    for edge in graph.edges.values():
        yield {
            "SourceArn": edge.source,
            "DestinationArn": edge.destination,
            "SourceType": graph.entities[edge.source].type,
            "DestinationType": graph.entities[edge.destination].type,
            "AssociationType": edge.type,
            "CreationTime": edge.created,
            "_arn": f"{edge.source} {edge.destination}",
        }


@action("sagemaker", "QueryLineage")
def query_lineage(ctx: Context, params: dict[str, Any]) -> Record:
    """What an entity came of, or what came of it. An association is on the page of the later one of its two entities."""
    if not params.get("StartArns"):
        raise jobs.refuse("asks for lineage from an entity on: give StartArns.")
    depth, size = params.get("MaxDepth", DEEPEST), params.get("MaxResults", FOUND)
    if min(depth, size) < 1:
        raise AwsError("ValidationException", "MaxDepth and MaxResults must be 1 or more.")
    graph, wide = _graph(ctx), bool(params.get("IncludeEdges"))
    start, way = _known(graph, params["StartArns"][0]).arn, params.get("Direction", "Both")
    found, edges = query(graph, start, way, depth, params.get("Filters", {}), wide)
    rows = [
        {"Arn": one.arn, "Type": one.type, "LineageType": one.lineage, "_far": f"{far:02}", "_arn": one.arn}
        for far, one in found
    ]
    paging = {**params, "SortBy": "_far", "SortOrder": "Ascending", "MaxResults": size}
    answer = page(operation("sagemaker", "QueryLineage"), rows, paging)
    rank = {row["_arn"]: n for n, row in enumerate(rows)}
    shown = {row["Arn"] for row in answer["Vertices"]}
    said = [one for one in edges if max(one.source, one.destination, key=lambda arn: rank[arn]) in shown]
    told = [{"SourceArn": e.source, "DestinationArn": e.destination, "AssociationType": e.type} for e in said]
    return {**answer, "Edges": told if wide else []}
