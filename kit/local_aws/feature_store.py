"""Feature groups: made, described, extended, removed. Their records are in `feature_records`, their files in `offline_store`.

The rules are those of the API reference (CreateFeatureGroup, UpdateFeatureGroup); its texts are not published for all of them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from kit.local_aws import offline_store
from kit.local_aws.channels import InputError, check_bucket
from kit.local_aws.front import action
from kit.local_aws.jobs import check_role, readable, refuse
from kit.local_aws.protocol import AwsError
from kit.local_aws.store import Record

if TYPE_CHECKING:
    from kit.local_aws.store import Context

__all__ = ["KIND", "group_name", "online_table"]

KIND = "FeatureGroup"
DATABASE = "sagemaker_featurestore"
FEATURES = 2500  # in a group

readable(KIND)


def group_name(name: str) -> str:
    """The name in a name or an ARN."""
    return name.rpartition("/")[2]


def online_table(group: Record) -> str:
    """The store's table that holds the group's online records."""
    return f"online/{group['_arn']}"


def invalid(message: str) -> AwsError:
    """AWS's refusal of a feature group."""
    return AwsError("ValidationException", f"Validation Error: {message}")


def _check_features(held: list[Mapping[str, Any]], added: list[Mapping[str, Any]]) -> None:
    """Raises ValidationException for names that are taken, or that the service uses itself."""
    names = {one["FeatureName"].lower() for one in held}
    for one in added:
        name = one["FeatureName"]
        if name.lower() in offline_store.COLUMNS:
            raise invalid(f"Feature name {name} is reserved by the service.")
        if name.lower() in names:
            raise invalid(f"Feature definitions have the feature name {name} more than once.")
        names.add(name.lower())
    if len(names) > FEATURES:
        raise invalid(f"A feature group has at most {FEATURES} feature definitions.")


def _check(params: Mapping[str, Any]) -> None:
    """Raises ValidationException for a group that could not be."""
    definitions = {one["FeatureName"]: one for one in params["FeatureDefinitions"]}
    _check_features([], params["FeatureDefinitions"])
    for member in ("RecordIdentifierFeatureName", "EventTimeFeatureName"):
        if params[member] not in definitions:
            raise invalid(
                f"{member} {params[member]} must be one of the features defined in FeatureDefinitions."
            )
        if definitions[params[member]].get("CollectionType"):
            raise invalid(f"{member} {params[member]} must not have a CollectionType.")
    if definitions[params["EventTimeFeatureName"]]["FeatureType"] == "Integral":
        raise invalid("The feature type of the event time feature must be Fractional or String.")
    online, offline = params.get("OnlineStoreConfig", {}), params.get("OfflineStoreConfig")
    if not online.get("EnableOnlineStore") and not offline:
        raise invalid("At least one of OnlineStoreConfig or OfflineStoreConfig must be enabled.")
    if not offline:
        return
    if not params.get("RoleArn"):
        raise invalid("RoleArn must be provided when OfflineStoreConfig is provided.")
    if online.get("StorageType") == "InMemory":
        raise invalid("OfflineStoreConfig is not supported for the InMemory StorageType.")
    if offline.get("TableFormat") == "Iceberg":
        raise refuse("keeps offline stores in the Glue format, not as Iceberg tables.")


@action("sagemaker", "CreateFeatureGroup")
def create_feature_group(ctx: Context, params: dict[str, Any]) -> Record:
    """A group that is being made; it is Created once its places are there."""
    _check(params)
    offline = params.get("OfflineStoreConfig")
    extra: Record = {"ThroughputConfig": params.get("ThroughputConfig", {"ThroughputMode": "OnDemand"})}
    if offline:
        extra["OfflineStoreConfig"] = _offline(ctx, params["FeatureGroupName"], offline)
    record = ctx.app.store.create(ctx, KIND, params, FeatureGroupStatus="Creating", **extra)
    ctx.app.background(f"{KIND}/{record['_arn']}", _make, ctx, record)
    return record


def _offline(ctx: Context, name: str, config: Mapping[str, Any]) -> Record:
    """The offline store's configuration with what the service adds: where the files go, and the table's name."""
    made = int(time.time())
    storage = config["S3StorageConfig"]
    folder = f"{ctx.account}/sagemaker/{ctx.region}/offline-store/{name}-{made}/data"
    table = {
        "TableName": f"{name.lower().replace('-', '_')}_{made}",
        "Catalog": "AwsDataCatalog",
        "Database": DATABASE,
    }
    disabled = config.get("DisableGlueTableCreation", False)
    return {
        "TableFormat": "Glue",
        **({} if disabled else {"DataCatalogConfig": table}),
        **config,
        "DisableGlueTableCreation": disabled,
        "S3StorageConfig": {**storage, "ResolvedOutputS3Uri": f"{storage['S3Uri'].rstrip('/')}/{folder}"},
    }


def _make(ctx: Context, record: Record) -> None:
    """Makes what the group needs; says why where that is not possible."""
    offline = record.get("OfflineStoreConfig")
    changes: Record = {"FeatureGroupStatus": "Created"}
    try:
        if offline:
            check_role(ctx, record["RoleArn"])
            check_bucket(ctx.app, ctx.region, offline["S3StorageConfig"]["S3Uri"])
            if not offline["DisableGlueTableCreation"]:
                offline_store.make_table(ctx, record)
            changes["OfflineStoreStatus"] = {"Status": "Active"}
    except (AwsError, InputError, ClientError) as error:
        changes = {"FeatureGroupStatus": "CreateFailed", "FailureReason": str(error)}
    ctx.app.store.update(ctx, KIND, record["_key"], **changes)


@action("sagemaker", "UpdateFeatureGroup")
def update_feature_group(ctx: Context, params: dict[str, Any]) -> Record:
    """A group with more features, or another time to live."""
    additions = params.get("FeatureAdditions", [])

    def change(record: Record) -> Record:
        if record["FeatureGroupStatus"] != "Created":
            raise invalid(f"FeatureGroup {record['_key']} is in {record['FeatureGroupStatus']} status.")
        _check_features(record["FeatureDefinitions"], additions)
        changes: Record = {"FeatureDefinitions": [*record["FeatureDefinitions"], *additions]}
        if online := params.get("OnlineStoreConfig"):
            changes["OnlineStoreConfig"] = {**record.get("OnlineStoreConfig", {}), **online}
        if throughput := params.get("ThroughputConfig"):
            changes["ThroughputConfig"] = {**record["ThroughputConfig"], **throughput}
        return {**changes, "LastUpdateStatus": {"Status": "Successful"}}

    name = group_name(params["FeatureGroupName"])
    record = ctx.app.store.update(ctx, KIND, name, change)
    offline = record.get("OfflineStoreConfig", {})
    if offline and not offline["DisableGlueTableCreation"]:
        offline_store.make_table(ctx, record)
    return record


@action("sagemaker", "DeleteFeatureGroup")
def delete_feature_group(ctx: Context, params: dict[str, Any]) -> None:
    """The group and its online records are gone; its files and its table stay."""
    offline_store.flush(ctx.app)
    with ctx.app.store.lock:
        record = ctx.app.store.delete(ctx, KIND, group_name(params["FeatureGroupName"]))
        ctx.app.store.table(ctx, online_table(record)).clear()
        ctx.app.store.table(ctx, f"partitions/{record['_arn']}").clear()
