"""moto's objects as bytes and back. What cannot be pickled as it is, or is large and known anyway, is taken apart here.

- AWS's own managed policies (4 MB of text in each account) are named, not written.
- The content of an S3 object lies in a file of its own (object_files); events of a log stream and metric data are written apart, as they
  come (keeper), so that the rest stays small.
"""

from __future__ import annotations

import functools
import io
import pickle
import threading
from typing import Any

__all__ = ["dumps", "loads"]

_LOCKS = {type(threading.Lock()): threading.Lock, type(threading.RLock()): threading.RLock}


def dumps(value: Any) -> bytes:
    """The object as bytes. Raises pickle.PicklingError, TypeError or AttributeError for what cannot be pickled."""
    stream = io.BytesIO()
    _Pickler(stream, 5).dump(value)
    return stream.getvalue()


def loads(data: bytes) -> Any:
    """The object again; it is one that `dumps` wrote."""
    return pickle.loads(data)


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        """How an object is written, where Python's own way will not do."""
        kind = type(value)
        if kind in _LOCKS:
            return _LOCKS[kind], ()
        if kind is threading.Condition:
            return threading.Condition, ()
        if reduce := _reducers().get(kind):
            return reduce(value)
        if kind.__module__.startswith("cryptography.") and hasattr(value, "private_bytes"):
            return _private_key, (_pem(value),)
        return NotImplemented


@functools.cache
def _reducers() -> dict[type, Any]:
    from moto.cloudwatch.models import CloudWatchBackend
    from moto.iam.models import AWSManagedPolicy, IAMBackend
    from moto.logs.models import LogStream
    from moto.s3.models import FakeBucket, FakeKey
    from moto.s3.utils import _VersionedKeyStore

    return {
        AWSManagedPolicy: lambda one: (
            _policy,
            (one.account_id, one.partition, one.arn, one.attachment_count),
        ),
        IAMBackend: _iam,
        CloudWatchBackend: lambda one: (_new, (CloudWatchBackend,), {**one.__dict__, "metric_data": []}),
        LogStream: lambda one: (_new, (LogStream,), {**one.__dict__, "events": []}),
        FakeBucket: lambda one: (_new, (FakeBucket,), {**one.__dict__, "keys": _VersionedKeyStore()}),
        FakeKey: _key,
        _VersionedKeyStore: lambda one: (_versions, (dict(one.lists()),)),
    }


def _iam(backend: Any) -> Any:
    from moto.iam.models import AWSManagedPolicy

    own = {arn: one for arn, one in backend.managed_policies.items() if type(one) is not AWSManagedPolicy}
    state = {**backend.__dict__, "managed_policies": own, "aws_managed_policies": []}
    return _new, (type(backend),), state, None, None, _restore_iam


def _new(kind: Any) -> Any:
    return kind.__new__(kind)


def _restore_iam(backend: Any, state: dict[str, Any]) -> None:
    backend.__dict__.update(state)
    known = _policies(backend.account_id, backend.partition)
    backend.aws_managed_policies = list(known.values())
    backend.managed_policies = {**known, **state["managed_policies"]}


@functools.cache
def _policies(account: str, partition: str) -> dict[str, Any]:
    """AWS's managed policies in an account, by ARN; one object each, however many values name it."""
    from moto.iam.models import IAMBackend

    return {one.arn: one for one in IAMBackend(partition, account).aws_managed_policies}


def _policy(account: str, partition: str, arn: str, attached: int) -> Any:
    one = _policies(account, partition)[arn]
    one.attachment_count = attached
    return one


def _versions(lists: dict[str, list[Any]]) -> Any:
    from moto.s3.utils import _VersionedKeyStore

    made = _VersionedKeyStore()
    for name, versions in lists.items():
        dict.__setitem__(made, name, versions)
    return made


def _key(one: Any) -> Any:
    state = {name: value for name, value in one.__dict__.items() if name not in ("_value_buffer", "lock")}
    return _restored_key, (state, one._value_buffer)


def _restored_key(state: dict[str, Any], content: Any) -> Any:
    from moto.s3.models import FakeKey

    made: Any = _new(FakeKey)
    made.__dict__.update(state)
    made._value_buffer, made.lock = content, threading.Lock()
    return made


def _pem(key: Any) -> bytes:
    from cryptography.hazmat.primitives import serialization

    plain = serialization.NoEncryption()
    pem: bytes = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    return pem


def _private_key(pem: bytes) -> Any:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return load_pem_private_key(pem, None)
