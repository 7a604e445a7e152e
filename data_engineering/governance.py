"""What the data must fulfil: the rules of `governance.yml` over facts that AWS tells, and what can be applied at once.

`zone_facts` and `bucket_facts` ask; the functions in RULES judge, without a call; those in REMEDIES change. Clients are boto3's.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml
from botocore.exceptions import ClientError
from inventory import CLASSES, LOOKED_AT, Ranged, listed, spread

from kit.errors import PlanError, did_you_mean

__all__ = [
    "LABEL",
    "REMEDIES",
    "RULES",
    "Result",
    "Zone",
    "audited",
    "bucket_facts",
    "open_key",
    "read",
    "zone_facts",
]

LATE = timedelta(minutes=5)
"""Objects that are so much younger than what made the zone were written by something else."""

Facts = dict[str, Any]


@dataclass(frozen=True)
class Zone:
    """A zone of the data: where it lies, whose it is, its table in the catalogue, and what governance.yml wants of it."""

    id: str
    uri: str
    keep: str
    owner: str
    retention_days: int
    readers: tuple[str, ...]
    team: str = ""

    @property
    def bucket(self) -> str:
        """The bucket that it lies in."""
        return self.uri.removeprefix("s3://").split("/")[0]

    @property
    def prefix(self) -> str:
        """The beginning of its objects' keys."""
        return self.uri.removeprefix(f"s3://{self.bucket}/").rstrip("/") + "/"

    def arn(self, partition: str) -> str:
        """Its location, as Lake Formation registers it."""
        return f"arn:{partition}:s3:::{self.bucket}/{self.prefix.rstrip('/')}"


@dataclass(frozen=True)
class Result:
    """What a rule says of a zone; `holds` is None where it does not apply. `call` is what was asked of AWS."""

    rule: str
    zone: str
    holds: bool | None
    evidence: str
    call: str


def read(
    file: Path, take: Callable[[str], str], personas: Iterable[str], team: str = ""
) -> tuple[list[Zone], Facts, int]:
    """The zones, the rules by id, and the days that old versions are kept; of a team, its own part of each place.

    Raises:
        PlanError: it cannot be read, or names a rule, a remedy or a persona that there is not.
    """
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
        rules, days = found["rules"], int(found["old_versions_days"])
        zones = [
            Zone(
                id,
                take(z["from"]),
                _own(z["keep"], team),
                z["owner"],
                int(z["retention_days"]),
                tuple(z["readers"]),
                team,
            )
            for id, z in found["zones"].items()
        ]
        for rule in rules.values():
            rule["title"], rule["criteria"], rule["role"], rule["size"], rule["minutes"]
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        hint = "It holds `zones`, `old_versions_days` and `rules`, each complete."
        raise PlanError(f"{file.name} cannot be read: {error!r}.", hint) from None
    asked: list[tuple[str, str, Iterable[str]]] = [("rule", rule, RULES) for rule in rules]
    asked += [("remedy", rule["apply"], REMEDIES) for rule in rules.values() if "apply" in rule]
    asked += [("persona", reader, personas) for zone in zones for reader in zone.readers]
    for what, name, known in asked:
        if name not in known:
            raise PlanError(f'{file.name}: there is no {what} "{name}".', did_you_mean(name, known))
    return zones, rules, days


# The facts


def _asked(call: Callable[..., Facts], missing: Any = None, **what: Any) -> Any:
    """The answer; `missing` where AWS says that it is not there."""
    try:
        return call(**what)
    except ClientError as error:
        code, status = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status == 404 or code == "EntityNotFoundException":
            return missing
        raise


def bucket_facts(s3: Any, name: str) -> Facts:
    """The settings of the bucket that the rules are about."""
    b = {"Bucket": name}
    policy = _asked(s3.get_bucket_policy, {"Policy": "{}"}, **b)["Policy"]
    block = _asked(s3.get_public_access_block, {"PublicAccessBlockConfiguration": {}}, **b)
    return {
        "encrypts": _asked(s3.get_bucket_encryption, **b) is not None,
        "policy": json.loads(policy).get("Statement", []),
        "block": block["PublicAccessBlockConfiguration"],
        "public": _asked(s3.get_bucket_policy_status, {"PolicyStatus": {}}, **b)["PolicyStatus"].get(
            "IsPublic"
        ),
        "versioning": s3.get_bucket_versioning(**b).get("Status", "never enabled"),
        "lifecycle": _asked(s3.get_bucket_lifecycle_configuration, {"Rules": []}, **b)["Rules"],
        "tags": {t["Key"]: t["Value"] for t in _asked(s3.get_bucket_tagging, {"TagSet": []}, **b)["TagSet"]},
    }


def zone_facts(session: Any, zone: Zone, database: str, partition: str) -> Facts:
    """What S3, the catalogue and Lake Formation say of a zone. Rows are counted in the ends of its Parquet files."""
    s3, glue, lake = (session.client(name) for name in ("s3", "glue", "lakeformation"))
    objects = listed(s3, zone)
    heads = [s3.head_object(Bucket=zone.bucket, Key=o["Key"]) for o in spread(objects, LOOKED_AT)]
    files = (Ranged(s3, zone.bucket, item["Key"], item["Size"]) for item in objects)
    named = {"DatabaseName": database, "Name": zone.id}
    entry = _asked(glue.get_table, {"Table": {}}, **named)["Table"]
    grants: list[Facts] = []
    if entry:
        grants = lake.list_permissions(Resource={"Table": named})["PrincipalResourcePermissions"]
    return {
        "objects": {item["Key"]: item["Size"] for item in objects},
        "newest": max((item["LastModified"] for item in objects), default=None),
        "rows": sum(pq.read_metadata(file).num_rows for file in files),
        "ciphers": [head.get("ServerSideEncryption", "") for head in heads],
        "parameters": entry.get("Parameters", {}),
        "registered": _asked(lake.describe_resource, ResourceArn=zone.arn(partition)) is not None,
        "readers": [
            g["Principal"]["DataLakePrincipalIdentifier"] for g in grants if "SELECT" in g["Permissions"]
        ],
    }


# The rules: each is (zone, facts of the zone, facts of the bucket) -> (holds, evidence); pure

Said = tuple[bool | None, str]


def _catalogue(zone: Zone, facts: Facts, bucket: Facts) -> Said:
    told = facts["parameters"]
    wanted = {"owner_role": zone.owner, "retention_days": str(zone.retention_days)}
    wrong = [f"{key} is {told.get(key) or 'missing'}" for key in wanted if told.get(key) != wanted[key]]
    if told.get("data_classification") not in CLASSES:
        wrong.append("data_classification is missing")
    return not wrong, "; ".join(
        wrong
    ) or f"{zone.owner}, {told['data_classification']}, {zone.retention_days} days"


def _encryption(zone: Zone, facts: Facts, bucket: Facts) -> Said:
    plain, all_of = facts["ciphers"].count(""), len(facts["ciphers"])
    default = "on" if bucket["encrypts"] else "off"
    return bucket["encrypts"] and not plain, f"{plain} of {all_of} objects are plain; default is {default}"


def _tls(zone: Zone, facts: Facts, bucket: Facts) -> Said:
    for statement in bucket["policy"]:
        bound = statement.get("Condition", {}) == {"Bool": {"aws:SecureTransport": "false"}}
        whole = [statement.get("Action"), statement.get("Principal")] in (
            ["s3:*", "*"],
            ["s3:*", {"AWS": "*"}],
        )
        if statement["Effect"] == "Deny" and bound and whole:
            return True, f"statement {statement.get('Sid', 'without a name')}"
    return False, "no statement denies all where aws:SecureTransport is false"


def _public(zone: Zone, facts: Facts, bucket: Facts) -> Said:
    settings = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    off = [name for name in settings if not bucket["block"].get(name)]
    return not off and not bucket["public"], f"off: {', '.join(off) or 'none'}; public: {bucket['public']}"


def _versions(zone: Zone, facts: Facts, bucket: Facts) -> Said:
    return bucket["versioning"] == "Enabled", bucket["versioning"]


def _retention(zone: Zone, facts: Facts, bucket: Facts) -> Said:
    for rule in bucket["lifecycle"]:
        prefix = rule.get("Filter", {}).get("Prefix", rule.get("Prefix"))
        days = rule.get("Expiration", {}).get("Days")
        old = rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays")
        if rule["Status"] == "Enabled" and prefix == zone.keep and days == zone.retention_days and old:
            return True, f"{days} days, old versions {old} more"
    return False, f"no rule expires {zone.keep} after {zone.retention_days} days"


def _labels(zone: Zone, facts: Facts, bucket: Facts) -> Said:
    has, wanted = bucket["tags"].get(LABEL, "missing"), facts["parameters"].get("data_classification")
    return has in CLASSES and wanted in CLASSES and CLASSES.index(has) >= CLASSES.index(
        wanted
    ), f"{LABEL}: {has}"


def _access(zone: Zone, facts: Facts, bucket: Facts) -> Said:
    held = {arn.rpartition("/")[2] for arn in facts["readers"]}
    lacking = [arn.rpartition("/")[2] for arn in facts["wanted_readers"] if arn not in facts["readers"]]
    state = "registered" if facts["registered"] else "not registered"
    said = f"SELECT for {', '.join(sorted(held)) or 'nobody'}"
    return facts["registered"] and not lacking, f"{state}; {said}; lacking: {', '.join(lacking) or 'none'}"


def _quality(zone: Zone, facts: Facts, bucket: Facts) -> Said:
    promised, rows = facts["promised_rows"], facts["rows"]
    same = facts.get("promised_objects", facts["objects"]) == facts["objects"]
    what = "objects as recorded" if same else "other objects than recorded"
    return rows == promised and same, f"{rows:,} rows, {promised:,} recorded; {what}"


def _lineage(zone: Zone, facts: Facts, bucket: Facts) -> Said:
    by, _, at = facts["parameters"].get("made_by", "").rpartition(" at ")
    if not by or facts["newest"] is None:
        return False, "the catalogue does not say what made it"
    late = facts["newest"] > datetime.fromisoformat(at) + LATE
    return not late, f"{by}{'; an object is younger' if late else ''}"


def _consent(zone: Zone, facts: Facts, bucket: Facts) -> Said:
    kind = facts["parameters"].get("data_classification", "")
    if kind == "internal":
        return None, "no data about people was found"
    basis = facts["parameters"].get("legal_basis", "")
    return bool(basis), basis or f"{kind} data, and no legal basis is recorded"


def _training(zone: Zone, facts: Facts, bucket: Facts) -> Said:
    if "features" not in facts:
        return None, "no model learns from this zone"
    inside = sorted(set(facts["features"]) & set(facts["personal"]))
    return not inside, f"{len(facts['features'])} features, personal: {', '.join(inside) or 'none'}"


LABEL = "eba:data-classification"
RULES: Mapping[str, tuple[Callable[[Zone, Facts, Facts], Said], str]] = {
    "catalogue": (_catalogue, "glue GetTable"),
    "encryption": (_encryption, "s3 HeadObject, GetBucketEncryption"),
    "tls": (_tls, "s3 GetBucketPolicy"),
    "public": (_public, "s3 GetPublicAccessBlock, GetBucketPolicyStatus"),
    "versions": (_versions, "s3 GetBucketVersioning"),
    "retention": (_retention, "s3 GetBucketLifecycleConfiguration"),
    "labels": (_labels, "s3 GetBucketTagging, glue GetTable"),
    "access": (_access, "lakeformation DescribeResource, ListPermissions"),
    "quality": (_quality, "s3 ListObjectsV2, GetObject (the files' ends)"),
    "lineage": (_lineage, "glue GetTable, s3 ListObjectsV2"),
    "consent": (_consent, "glue GetTable"),
    "training": (_training, "s3 GetObject (the schema, a sample)"),
}
"""The check of each rule, and the calls whose answers it judges."""


def audited(
    zones: Iterable[Zone], rules: Iterable[str], facts: Mapping[str, Facts], bucket: Facts
) -> list[Result]:
    """What each rule says of each zone."""
    return [
        Result(rule, zone.id, *RULES[rule][0](zone, facts[zone.id], bucket), RULES[rule][1])
        for rule, zone in itertools.product(rules, zones)
    ]


def _own(prefix: str, team: str) -> str:
    """`eba/d1/raw/` -> `eba/d1/blue/raw/`, as `rb.key` places what a team makes."""
    event, card, rest = prefix.split("/", 2)
    return f"{event}/{card}/{team}/{rest}" if team else prefix


def open_key(rule: str, done: Iterable[str]) -> str:
    """The word for a failing rule's card: the rule, with a number where its earlier cards are done already."""
    taken = set(done)
    return next(key for n in itertools.count(1) if (key := rule if n == 1 else f"{rule}-{n}") not in taken)


# What can be applied at once; each can be applied again


def keep_no_longer(session: Any, zones: Sequence[Zone], facts: Mapping[str, Facts], context: Facts) -> None:
    """Lifecycle rules for the zones; the bucket's other rules stay."""
    s3, bucket = session.client("s3"), zones[0].bucket
    ours = [
        {
            "ID": "-".join(["eba", *([zone.team] if zone.team else []), zone.id]),
            "Status": "Enabled",
            "Filter": {"Prefix": zone.keep},
            "Expiration": {"Days": zone.retention_days},
            "NoncurrentVersionExpiration": {"NoncurrentDays": context["old_versions_days"]},
        }
        for zone in zones
    ]
    names = {rule["ID"] for rule in ours}
    others = [rule for rule in bucket_facts(s3, bucket)["lifecycle"] if rule.get("ID") not in names]
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": others + ours})


def label(session: Any, zones: Sequence[Zone], facts: Mapping[str, Facts], context: Facts) -> None:
    """The bucket's tag for the strictest class of its zones; its other tags stay."""
    s3, bucket = session.client("s3"), zones[0].bucket
    strictest = max((facts[z.id]["parameters"]["data_classification"] for z in zones), key=CLASSES.index)
    tags = bucket_facts(s3, bucket)["tags"] | {LABEL: strictest}
    s3.put_bucket_tagging(
        Bucket=bucket, Tagging={"TagSet": [{"Key": k, "Value": v} for k, v in tags.items()]}
    )


def grant(session: Any, zones: Sequence[Zone], facts: Mapping[str, Facts], context: Facts) -> None:
    """Register the zones in hybrid mode, in which IAM's permissions go on to count, and grant SELECT to their readers."""
    lake = session.client("lakeformation")
    for zone in zones:
        found = facts[zone.id]
        if not found["registered"]:
            how = {"UseServiceLinkedRole": True, "HybridAccessEnabled": True}
            lake.register_resource(ResourceArn=zone.arn(context["partition"]), **how)
        for reader in set(found["wanted_readers"]) - set(found["readers"]):
            lake.grant_permissions(
                Principal={"DataLakePrincipalIdentifier": reader},
                Resource={"Table": {"DatabaseName": context["database"], "Name": zone.id}},
                Permissions=["SELECT", "DESCRIBE"],
            )


REMEDIES = {"keep_no_longer": keep_no_longer, "label": label, "grant": grant}
"""What governance.yml may name under `apply`."""
