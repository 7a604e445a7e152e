"""What S3's operations need to be allowed. Pure.

Source: "Actions, resources, and condition keys for Amazon S3" of the Service Authorization Reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote

from kit.local_aws.asks import Ask, Params, Place

__all__ = ["s3"]

_S3 = {
    "HeadBucket": "ListBucket",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListBuckets": "ListAllMyBuckets",
    "ListObjectVersions": "ListBucketVersions",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListParts": "ListMultipartUploadParts",
    "HeadObject": "GetObject",
    "SelectObjectContent": "GetObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "CopyObject": "PutObject",
    "UploadPartCopy": "PutObject",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetBucketNotificationConfiguration": "GetBucketNotification",
    "PutBucketNotificationConfiguration": "PutBucketNotification",
    "GetBucketCors": "GetBucketCORS",
    "PutBucketCors": "PutBucketCORS",
    "DeleteBucketCors": "PutBucketCORS",
    "DeleteBucketTagging": "PutBucketTagging",
    "GetBucketReplication": "GetReplicationConfiguration",
    "PutBucketReplication": "PutReplicationConfiguration",
    "DeleteBucketReplication": "PutReplicationConfiguration",
}
_S3_ACCOUNT = {"GetPublicAccessBlock": "GetAccountPublicAccessBlock"} | dict.fromkeys(
    ("PutPublicAccessBlock", "DeletePublicAccessBlock"), "PutAccountPublicAccessBlock"
)
_VERSIONED = (
    "GetObject",
    "DeleteObject",
    "GetObjectTagging",
    "PutObjectTagging",
    "GetObjectAcl",
    "PutObjectAcl",
)
_S3_KEYS = {
    "Prefix": "s3:prefix",
    "Delimiter": "s3:delimiter",
    "MaxKeys": "s3:max-keys",
    "ACL": "s3:x-amz-acl",
    "ServerSideEncryption": "s3:x-amz-server-side-encryption",
    "SSEKMSKeyId": "s3:x-amz-server-side-encryption-aws-kms-key-id",
    "StorageClass": "s3:x-amz-storage-class",
    "VersionId": "s3:VersionId",
}


def s3(prefix: str, operation: str, params: Params, place: Place) -> Iterator[Ask]:
    """What an operation of S3 or S3 Control asks for: on the bucket, or on each object that it touches."""
    context = {key: str(params[name]) for name, key in _S3_KEYS.items() if params.get(name) not in (None, "")}
    if operation.startswith("List"):
        context.setdefault("s3:prefix", "")
    bucket = params.get("Bucket", "")
    if not bucket:
        name = _S3_ACCOUNT.get(operation, _S3.get(operation, operation))
        yield Ask(f"s3:{name}", "*", context)
        return
    name = _S3.get(operation, operation)
    if name in _VERSIONED and params.get("VersionId"):
        name = name.replace("Object", "ObjectVersion", 1)
    root = f"arn:{place.partition}:s3:::{bucket}"
    keys = [params["Key"]] if params.get("Key") else []
    if operation == "DeleteObjects":
        for entry in params.get("Delete", {}).get("Objects", []):
            version = "Version" if entry.get("VersionId") else ""
            yield Ask(f"s3:DeleteObject{version}", f"{root}/{entry.get('Key', '')}", context)
        return
    if source := params.get("CopySource"):
        path, _, version = unquote(str(source)).lstrip("/").partition("?versionId=")
        read = "s3:GetObjectVersion" if version else "s3:GetObject"
        yield Ask(read, f"arn:{place.partition}:s3:::{path}")
    yield Ask(f"s3:{name}", f"{root}/{keys[0]}" if keys else root, context)
    if operation in ("PutObject", "CopyObject", "CreateMultipartUpload"):
        if params.get("ACL"):
            yield Ask("s3:PutObjectAcl", f"{root}/{keys[0]}", context)
        if params.get("Tagging"):
            yield Ask("s3:PutObjectTagging", f"{root}/{keys[0]}", context)
