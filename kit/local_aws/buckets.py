"""What S3 gives a new bucket and moto does not: no public access, no ACLs, encryption.

Source: "Default settings for new S3 buckets FAQ" (since April 2023) and "Setting default server-side encryption behavior" (since
January 2023) of the Amazon S3 User Guide.
"""

from __future__ import annotations

from typing import Any

from kit.local_aws import public_access, resources
from kit.local_aws.front import action, after
from kit.local_aws.policy import document
from kit.local_aws.protocol import AwsError
from kit.local_aws.store import Context

__all__ = ["complete", "encrypted", "policy_status"]


@after("s3", "CreateBucket")
def complete(ctx: Context, params: dict[str, Any]) -> None:
    """All four public access settings on, objects owned by the bucket's owner, encryption with S3's own keys."""
    from moto.s3.models import PublicAccessBlock

    held = resources.bucket(params["Bucket"])
    if held.public_access_block is None and held.encryption is None:  # made just now
        held.public_access_block = PublicAccessBlock("true", "true", "true", "true")
        held.ownership_rule = params.get("ObjectOwnership") or "BucketOwnerEnforced"
        encrypted(ctx, params)


@after("s3", "DeleteBucketEncryption")
def encrypted(ctx: Context, params: dict[str, Any]) -> None:
    """There is no bucket without encryption: what is deleted becomes that with S3's own keys."""
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": False}
    resources.bucket(params["Bucket"]).encryption = {"Rule": rule}


@action("s3", "GetBucketPolicyStatus")
def policy_status(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """Whether the bucket's policy is public. Raises AwsError NoSuchBucket or NoSuchBucketPolicy."""
    held = resources.bucket(params["Bucket"])
    if held is None:
        raise AwsError("NoSuchBucket", "The specified bucket does not exist", 404)
    if not held.policy:
        raise AwsError("NoSuchBucketPolicy", "The bucket policy does not exist", 404)
    public = public_access.public_policy(document(held.policy.decode(), resource=True))
    return {"PolicyStatus": {"IsPublic": public}}
