"""IAM policies evaluated: may this principal do this to that? Pure functions on plain data.

Sources, all in the IAM User Guide (docs.aws.amazon.com/IAM/latest/UserGuide/):
- the order of layers, what each limits, the table of principals that a resource policy names directly, the
  exceptions of trust and key policies: reference_policies_evaluation-logic_policy-eval-denyallow
- two accounts, both must allow: reference_policies_evaluation-logic-cross-account
- `Principal`, what naming an account delegates: reference_policies_elements_principal, ..._notprincipal
- boundaries and session policies limit and never grant: access_policies_boundaries, access_policies
- service control policies: every level from the root down must allow; the management account and
  service-linked roles are exempt: Organizations User Guide, orgs_manage_policies_scps_evaluation
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from kit.local_aws import conditions
from kit.local_aws.conditions import Context

__all__ = [
    "Decision",
    "Match",
    "Policies",
    "Policy",
    "Request",
    "Verdict",
    "account_of",
    "document",
    "evaluate",
    "worst",
]

Verdict = Literal["allowed", "explicitDeny", "implicitDeny"]

# These resources have a policy that must itself let the principal in, be it through the account.
_RESOURCE_MUST_ALLOW = ("sts:assumerole", "kms:")


@dataclass(frozen=True)
class Policy:
    """A document under the name that answers call it by; `text` as it was written, where that is known."""

    name: str
    document: Mapping[str, Any]
    text: str = ""


@dataclass(frozen=True)
class Request:
    """Who wants to do what to which resource.

    principal: ARN of a user, role, role session, federated user or account root; a service such as
    `sagemaker.amazonaws.com`; empty for an anonymous caller. role: the ARN of the role behind a session,
    needed where the role has a path. owner: the account of the resource where its ARN does not say it.
    context: condition keys with one or many values.
    """

    action: str
    resource: str = "*"
    principal: str = ""
    role: str = ""
    owner: str = ""
    context: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Policies:
    """All that may have a say: None is "there is none", which is not the same as one that allows nothing.

    scps: a level each from the organization's root to the account; None where none apply. session: what was
    passed when the session was made. resource: None leaves it out, as a simulation without it does; that of a
    resource without a policy has no statements, and lets in no one from another account.
    """

    identity: tuple[Policy, ...] = ()
    resource: Policy | None = None
    boundary: Policy | None = None
    session: tuple[Policy, ...] | None = None
    scps: tuple[tuple[Policy, ...], ...] | None = None


@dataclass(frozen=True)
class Match:
    """A statement that applies: its layer (a field of `Policies`), its policy and its place from 0 on.

    grant: how a resource policy names the principal: `direct`, `role` (the role of the session) or `account`.
    """

    layer: str
    policy: Policy
    statement: int
    sid: str
    effect: str
    grant: str = ""


@dataclass(frozen=True)
class Decision:
    """The outcome; `layers` has the verdict of each layer present; `missing` the keys asked for and not given.

    `missing` counts identity and resource policies only, as AWS's simulator does.
    """

    verdict: Verdict
    matched: tuple[Match, ...]
    missing: tuple[str, ...]
    layers: Mapping[str, Verdict]
    cross_account: bool


def account_of(arn: str) -> str:
    """The account number in an ARN; empty where there is none."""
    parts = arn.split(":", 5)
    return parts[4] if len(parts) == 6 and len(parts[4]) == 12 and parts[4].isdigit() else ""


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def document(text: str, *, resource: bool = False) -> dict[str, Any]:
    """The policy in `text`; `resource`: one that is attached to a resource and so names principals.

    Raises ValueError with what is wrong: no JSON, or not the grammar of the policy language
    (reference_policies_grammar).
    """
    try:
        policy = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(policy, dict) or not policy.get("Statement"):
        raise ValueError("a policy needs at least one Statement")
    if policy.get("Version", "2008-10-17") not in ("2012-10-17", "2008-10-17"):
        raise ValueError(f"Version {policy['Version']} is not a version of the policy language")
    for number, statement in enumerate(_listed(policy["Statement"]), start=1):
        if problem := _problem(statement, resource):
            raise ValueError(f"statement {number}: {problem}")
    return policy


def _problem(statement: Any, resource: bool) -> str:
    if not isinstance(statement, dict):
        return "not an object"
    if statement.get("Effect") not in ("Allow", "Deny"):
        return "Effect is neither Allow nor Deny"
    elements = {name: [one for one in (name, f"Not{name}") if one in statement] for name in _PAIRS}
    for name, present in elements.items():
        if len(present) > 1:
            return f"{name} and Not{name} exclude each other"
    if not elements["Action"]:
        return "Action is missing"
    if not elements["Resource"] and not resource:
        return "Resource is missing"
    if bool(elements["Principal"]) != resource:
        return "Principal is missing" if resource else "an identity-based policy has no Principal"
    condition = statement.get("Condition", {})
    if not isinstance(condition, dict) or not all(isinstance(keys, dict) for keys in condition.values()):
        return "Condition is not an object of operators with keys"
    try:
        for name in condition:
            conditions.operator(name)
    except ValueError as error:
        return str(error)
    return ""


_PAIRS = ("Action", "Resource", "Principal")


def _grant(named: Any, request: Request) -> str:
    """How a `Principal` element names the caller; empty if it does not."""
    caller, account = request.principal, account_of(request.principal)
    kind, _, name = caller.split(":", 5)[-1].partition("/")
    behind = {caller} if kind == "role" else {request.role} - {""}
    if kind in ("assumed-role", "federated-user"):
        parent = "role" if kind == "assumed-role" else "user"
        partition = caller.split(":", 2)[1]
        behind.add(f"arn:{partition}:iam::{account}:{parent}/{name.split('/')[0]}")
    grants = set()
    for what, who in named.items() if isinstance(named, dict) else [("AWS", named)]:
        for one in _listed(who):
            if what == "AWS" and one == "*":
                grants.add("direct")
            elif what == "AWS" and caller and one in behind:
                grants.add("role")
            elif caller and one == caller:
                grants.add("direct")
            elif what == "AWS" and account and (one == account or _root(one) == account):
                grants.add("account")
    return next((grant for grant in ("direct", "role", "account") if grant in grants), "")


def _root(arn: str) -> str:
    return account_of(arn) if arn.endswith(":root") else ""


def _names_action(statement: Mapping[str, Any], action: str) -> bool:
    element = "NotAction" if "NotAction" in statement else "Action"
    named = any(conditions.matches(one, action, ignore_case=True) for one in _listed(statement[element]))
    return named == (element == "Action")


def _covers(
    statement: Mapping[str, Any], resource: str, known: Context, variables: bool, missing: set[str]
) -> bool:
    """Is it about this resource? A trust policy names none; `NotResource` that cannot be known covers none."""
    element = "NotResource" if "NotResource" in statement else "Resource"
    texts = _listed(statement.get(element, "*"))
    places = [conditions.resolved(text, known, missing) if variables else text for text in texts]
    named = any(place is not None and conditions.arn_matches(place, resource) for place in places)
    return named if element == "Resource" else not named and None not in places


def _applying(
    layer: str, policy: Policy, request: Request, known: Context, missing: set[str]
) -> Iterator[Match]:
    """The statements of a policy that this request meets, whatever their effect."""
    variables = policy.document.get("Version") == "2012-10-17"
    for number, statement in enumerate(_listed(policy.document["Statement"])):
        grant = ""
        if layer == "resource":
            named = _grant(statement.get("Principal", statement.get("NotPrincipal", {})), request)
            grant = named if "Principal" in statement else "" if named else "direct"
            if not grant:
                continue
        if (
            _names_action(statement, request.action)
            and _covers(statement, request.resource, known, variables, missing)
            and conditions.holds(statement.get("Condition", {}), known, variables, missing)
        ):
            yield Match(layer, policy, number, statement.get("Sid", ""), statement["Effect"], grant)


def _verdict(matched: Iterable[Match]) -> Verdict:
    effects = {match.effect for match in matched}
    return "explicitDeny" if "Deny" in effects else "allowed" if "Allow" in effects else "implicitDeny"


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The most restrictive verdict; `allowed` where there is none."""
    found = set(verdicts)
    return (
        "explicitDeny"
        if "explicitDeny" in found
        else "implicitDeny"
        if "implicitDeny" in found
        else "allowed"
    )


def evaluate(request: Request, policies: Policies) -> Decision:
    """Decide a request. Raises ValueError where a policy has an operator that does not exist.

    An explicit deny anywhere wins. Else, within one account, identity-based policies grant what boundary,
    session policies and service control policies let through, and a resource policy grants as well: to
    whom it names directly, whatever boundary and session leave out; to the role of a session within their
    limits; to an account only what its own policies grant. Across accounts both sides must allow.
    """
    known = conditions.context(request.context)
    missing: set[str] = set()
    account = account_of(request.principal)
    owner = account_of(request.resource) or request.owner or account
    cross = bool(account) and owner != account and policies.resource is not None

    def found(layer: str, among: Iterable[Policy], keys: set[str]) -> list[Match]:
        return [match for policy in among for match in _applying(layer, policy, request, known, keys)]

    matches = {"identity": found("identity", policies.identity if account else (), missing)}
    layers: dict[str, Verdict] = {"identity": _verdict(matches["identity"])}
    if request.principal.endswith(":root"):
        matches["identity"], layers["identity"] = [], "allowed"  # the account's root user has no policies
    if policies.resource:
        matches["resource"] = found("resource", [policies.resource], missing)
        layers["resource"] = _verdict(matches["resource"])
    if policies.boundary and account:
        matches["boundary"] = found("boundary", [policies.boundary], set())
        layers["boundary"] = _verdict(matches["boundary"])
    if policies.session is not None or ":federated-user/" in request.principal:
        matches["session"] = found("session", policies.session or (), set())
        layers["session"] = _verdict(matches["session"])
    if policies.scps is not None and account and ":role/aws-service-role/" not in request.role:
        levels = [found("scps", level, set()) for level in policies.scps]
        matches["scps"] = [match for level in levels for match in level]
        layers["scps"] = worst(_verdict(level) for level in levels)

    grants = {match.grant for match in matches.get("resource", []) if match.effect == "Allow"}
    limits = all(layers.get(layer, "allowed") == "allowed" for layer in ("boundary", "session"))
    own = layers["identity"] == "allowed" and limits
    if cross:
        allowed = own and bool(grants)
    elif request.action.lower().startswith(_RESOURCE_MUST_ALLOW) and policies.resource:
        allowed = "direct" in grants or ("role" in grants and limits) or ("account" in grants and own)
    else:
        allowed = "direct" in grants or ("role" in grants and limits) or own
    verdict: Verdict = "allowed" if allowed and layers.get("scps", "allowed") == "allowed" else "implicitDeny"
    if "explicitDeny" in layers.values():
        verdict = "explicitDeny"
    return Decision(
        verdict=verdict,
        matched=tuple(match for found_in in matches.values() for match in found_in),
        missing=tuple(sorted(missing)),
        layers=layers,
        cross_account=cross,
    )
