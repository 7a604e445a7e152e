"""Who signed a request: a user, the session of a role, the account's root, one of AWS's services, or nobody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from kit.local_aws.policy import Policy
from kit.local_aws.principals import stored

__all__ = ["SERVICE_KEY", "Caller", "caller"]

SERVICE_KEY = "AKIALOCALAWSSERVER00"  # signs what the services of the local AWS ask each other


@dataclass(frozen=True)
class Caller:
    """Who signed a request. arn: as policies name it; entity: the ARN of the user, of the role of the session, or of the root.

    tags: of the session; passed_on: those that its own sessions get too; policy: what was passed with it; issued: when it was
    made. service: it is one of AWS's own.
    """

    arn: str
    entity: str
    account: str
    key: str
    session: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    passed_on: Mapping[str, str] = field(default_factory=dict)
    policy: Policy | None = None
    issued: datetime | None = None
    service: bool = False


def caller(access_key: str, home: str) -> Caller | None:
    """Who an access key id belongs to; None for no key.

    home: the account of the local AWS. A key that no account gave to anybody is taken for that of its root.
    """
    from moto.iam.models import iam_backends
    from moto.sts.models import sts_backends

    if not access_key:
        return None
    if access_key == SERVICE_KEY:
        return Caller("sagemaker.amazonaws.com", "", home, access_key, service=True)
    account = next(
        (one for one, held in list(iam_backends.items()) if access_key in held["aws"].access_keys), home
    )
    root = Caller(f"arn:aws:iam::{account}:root", f"arn:aws:iam::{account}:root", account, access_key)
    key = iam_backends[account]["aws"].access_keys.get(access_key)
    if key is None:
        return root
    if key.user_name:
        user = iam_backends[account]["aws"].get_user(key.user_name)
        return Caller(user.arn, user.arn, account, access_key)
    session = sts_backends[account]["aws"].get_assumed_role_from_access_key(access_key)
    if session is None:
        return root
    return Caller(
        arn=session.arn,
        entity=session.role_arn,
        account=account,
        key=access_key,
        session=session.session_name,
        tags=getattr(session, "tags", {}),
        passed_on=getattr(session, "passed_on", {}),
        policy=stored("SessionPolicy", session.policy) if session.policy else None,
        issued=key.create_date,
    )
