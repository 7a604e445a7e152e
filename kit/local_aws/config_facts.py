"""The facts that rules of AWS Config look at: what an account and region hold, read from moto's backends and the store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kit.local_aws import principals, resources
from kit.local_aws.config_rules import Entity, Facts
from kit.local_aws.policy import document
from kit.local_aws.public_access import Block
from kit.local_aws.store import Context

__all__ = ["gathered"]


def gathered(ctx: Context) -> Facts:
    """What there is now. Resources of global services count in every region, as where AWS Config records them."""
    from moto.iam.models import iam_backends

    iam = iam_backends[ctx.account]["aws"]
    password = iam.account_password_policy
    return Facts(
        account=ctx.account,
        entities=(*_buckets(ctx), *_people(iam), *_sagemaker(ctx), *_detectors(ctx)),
        trails=tuple(_trails(ctx)),
        password=_password(password) if password else None,
    )


def _buckets(ctx: Context) -> Iterator[Entity]:
    from moto.s3.models import s3_backends

    backend = s3_backends[ctx.account]["aws"]
    for held in list(backend.buckets.values()):
        if held.region_name != ctx.region:
            continue
        rule = ((held.encryption or {}).get("Rule") or {}).get("ApplyServerSideEncryptionByDefault", {})
        own = held.public_access_block
        settings = {
            "encryption": rule.get("SSEAlgorithm"),
            "versioning": held.versioning_status,
            "policy": document(held.policy.decode(), resource=True) if held.policy else None,
            "block": resources.bucket_block(held),
            "own_block": resources.bucket_block(held) if own else Block(),
            "acl_public": resources.has_acls(held) and bool(held.acl and held.acl.public_read),
        }
        yield Entity(
            "AWS::S3::Bucket", held.name, backend.tagger.get_tag_dict_for_resource(held.arn), settings
        )


def _people(iam: Any) -> Iterator[Entity]:
    for kind, held in (("User", iam.users), ("Role", iam.roles)):
        for one in list(held.values()):
            tags = {tag["Key"]: tag["Value"] for tag in one.tags or []}
            mfa = bool(getattr(one, "mfa_devices", None))
            yield Entity(f"AWS::IAM::{kind}", one.name, tags, {"mfa": mfa})
    for arn, policy in list(iam.managed_policies.items()):
        if ":aws:policy/" in arn:
            continue
        version = next(one for one in policy.versions if one.version_id == policy.default_version_id)
        written = principals.stored(policy.name, version.document).document
        yield Entity("AWS::IAM::Policy", policy.name, policy.tags or {}, {"document": written})


def _sagemaker(ctx: Context) -> Iterator[Entity]:
    for row in ctx.app.store.rows(ctx, "EndpointConfig"):
        yield Entity(
            "AWS::SageMaker::EndpointConfig", row["EndpointConfigName"], {}, {"key": row.get("KmsKeyId", "")}
        )
    for row in ctx.app.store.rows(ctx, "NotebookInstance"):
        internet = row.get("DirectInternetAccess", "Enabled")
        yield Entity(
            "AWS::SageMaker::NotebookInstance", row["NotebookInstanceName"], {}, {"internet": internet}
        )


def _detectors(ctx: Context) -> Iterator[Entity]:
    from moto.guardduty.models import guardduty_backends
    from moto.securityhub.models import securityhub_backends

    for detector in list(guardduty_backends[ctx.account][ctx.region].detectors.values()):
        if detector.enabled:
            yield Entity("AWS::GuardDuty::Detector", detector.id)
    if securityhub_backends[ctx.account][ctx.region].enabled:
        yield Entity("AWS::SecurityHub::Hub", "default")


def _trails(ctx: Context) -> Iterator[dict[str, Any]]:
    from moto.cloudtrail.models import cloudtrail_backends

    for home, backend in list(cloudtrail_backends[ctx.account].items()):
        for trail in list(backend.trails.values()):
            if home == ctx.region or trail.is_multi_region:
                yield {
                    "name": trail.trail_name,
                    "bucket": trail.bucket_name,
                    "logging": trail.status.is_logging,
                }


def _password(held: Any) -> dict[str, Any]:
    return {
        "RequireUppercaseCharacters": held.require_uppercase_characters,
        "RequireLowercaseCharacters": held.require_lowercase_characters,
        "RequireSymbols": held.require_symbols,
        "RequireNumbers": held.require_numbers,
        "MinimumPasswordLength": held.minimum_password_length,
        "PasswordReusePrevention": held.password_reuse_prevention,
        "MaxPasswordAge": held.max_password_age,
    }
