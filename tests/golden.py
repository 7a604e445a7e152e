"""Golden requests: what each runbook asks of AWS, kept in tests/golden/<card>.json so that a change shows and each can be held
against AWS's service models without running anything.

A file has the runbook's own requests and those that it signed as somebody else, by action. Requests that have the same fields and need
the same rights are one, of which the shortest is kept. What differs from run to run and from machine to machine is replaced by
something that is valid in its place. `make golden` writes the files; tests/test_golden.py reads them.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kit import paths, plan, requests
from kit.local_aws import authorization, rules
from kit.local_aws.asks import Ask, Place
from kit.local_aws.protocol import AwsError, operation, problems

__all__ = [
    "ACCOUNT",
    "FOLDER",
    "Golden",
    "all_of",
    "asks",
    "cards",
    "cut",
    "fields",
    "load",
    "made",
    "news",
    "plain",
    "write",
    "wrong",
]

FOLDER = Path(__file__).parent / "golden"
ACCOUNT = "111122223333"
PLACE = Place(ACCOUNT, "us-east-1")
LONGEST = 3000  # characters of a text; longer ones are cut
PAGES = ("NextToken", "nextToken", "ContinuationToken", "Marker", "nextForwardToken")
"""How far a listing got: not sent by the same run another time."""

Golden = dict[str, dict[str, list[dict[str, Any]]]]
"""Who ("own" or "others") -> "service.Action" -> parameters of its requests."""

_START, _END = r"(?<![0-9A-Za-z.])", r"(?![0-9A-Za-z])"
VOLATILE: list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = [
    # Digests may happen to be of digits only: those that would then be taken for something else come first.
    (re.compile(r"(?<=pipelines-)[0-9a-z]{12}(?=-)"), "0" * 12),
    (re.compile(rf"(?<=-)(?!1[78]\d{{8}}{_END})[0-9a-f]{{10}}{_END}"), "0" * 10),
    (re.compile(r"(?<!\d)(?!0{12})\d{12}(?!\d)"), ACCOUNT),  # zeros stand for a digest
    (re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}"), "00000000-0000-0000-0000-000000000000"),
    (
        re.compile(r"(?<=/)\d\d-\d\d-\d{3}(?=-0{8}-)"),
        "00-00-000",
    ),  # the minute and second of what was captured
    (re.compile(r"\b20[2-9]\d-\d\d-\d\d-\d\d-\d\d-\d\d(-\d{3})?\b"), "2026-12-01-00-00-00-000"),
    (re.compile(r"\b20[2-9]\d-[01]\d-[0-3]\dT\d\d:\d\d:\d\d(\.\d+)?"), "2026-12-01T00:00:00"),
    (re.compile(r"\b20[2-9]\d-[01]\d-[0-3]\d\b"), "2026-12-01"),
    (re.compile(r"\b20[2-9]\d/[01]\d/[0-3]\d(/[0-2]\d)?\b"), "2026/12/01/00"),
    (re.compile(r"\b20[2-9]\d[01]\d[0-3]\dT[0-2]\d{5}Z(_[0-9A-Za-z]{16})?"), "20261201T000000Z"),
    (re.compile(r"\b20[2-9]\d[01]\d[0-3]\d-?[0-2]\d{5}\d*\b"), "20261201-000000"),
    (
        re.compile(r"(?<![\d.])1[78]\d{8}(\d{3})?(\.\d+)?(?!\d)"),
        lambda m: f"1796083200{'000' if m[1] else ''}",
    ),
    (re.compile(rf"{_START}[0-7][0-9A-HJKMNP-TV-Z]{{25}}{_END}"), "0" * 26),
    (re.compile(r"\b(ssoins|ps)-[0-9a-z]{16}\b"), lambda m: f"{m[1]}-{'0' * 16}"),
    (re.compile(r"\bd-[0-9a-f]{10}\b"), f"d-{'0' * 10}"),
    (re.compile(rf"{_START}(?=[0-9]*[a-f])(?=[a-f]*\d)[0-9a-f]{{8,}}{_END}"), lambda m: "0" * len(m[0])),
    (re.compile(rf"(?<=-\d\d\d-)[0-9a-f]{{8}}{_END}"), "0" * 8),
    (re.compile(rf"(?<=-)(?=[a-f]*\d|[a-f]{{6}})[0-9a-f]{{6}}{_END}"), "0" * 6),
    (re.compile(rf"(?<=Role-)[0-9A-Za-z]{{12}}{_END}"), "0" * 12),  # of a role that a stack has named
    (re.compile(rf"{_START}-?\d+\.\d{{3,}}{_END}"), "0.5"),
    (re.compile(r"(127\.0\.0\.1|localhost):\d+"), r"\1:5000"),
]
DATA = (
    "Range",
    "ReceiptHandle",
    "RecordIdentifierValueAsString",
    "RecordIdentifiersValueAsString",
    "ValueAsString",
)
TIMES = re.compile(r"(?i)time(stamp)?$")


def plain(value: Any, name: str = "") -> Any:
    """The value with what is volatile replaced; `name` is the member that holds it."""
    if isinstance(value, Mapping):
        return {plain(k): plain(v, k) for k, v in value.items() if k not in PAGES}
    if isinstance(value, list):
        listed = [plain(held, name) for held in value]
        return _one_of_each_folder(listed) if name == "Objects" else listed
    if isinstance(value, str):
        return requests.CUT if name in DATA else _text(value)
    if isinstance(value, float) and round(value, 2) != value:
        return 0.5
    if isinstance(value, int) and not isinstance(value, bool) and TIMES.search(name) and value > 10**9:
        return 1_796_083_200 * (1000 if value > 10**12 else 1)
    return value


def _one_of_each_folder(objects: list[Any]) -> list[Any]:
    """What S3's DeleteObjects is asked to delete, without the others of a runbook's folder: how many there are differs."""
    if not all(isinstance(one, dict) and isinstance(one.get("Key"), str) for one in objects):
        return objects
    return list({(*sorted(one), *one["Key"].split("/")[:2]): one for one in objects}.values())


def _text(text: str) -> str:
    """The text with what is volatile replaced, again until nothing is: what stands for one thing may make another of its neighbours."""
    before = None
    while before != text:
        before = text
        for place, name in ((str(paths.root()), "/kit"), (tempfile.gettempdir(), "/scratch")):
            text = re.sub(rf"{re.escape(place)}(?=/|\b)[^\s\"',:]*", name, text)
        for pattern, instead in VOLATILE:
            text = pattern.sub(instead, text)
        text = text[:LONGEST]
    return text


def fields(service: str, action: str, params: Mapping[str, Any]) -> frozenset[str]:
    """The members that a request has, as paths; what is in a list or a map is there once, whatever its place or key."""
    return frozenset(_fields(operation(service, action).input_shape, params, ""))


def _fields(shape: Any, value: Any, path: str) -> Iterator[str]:
    kind = getattr(shape, "type_name", "")
    if kind == "structure" and isinstance(value, Mapping):
        for name, held in value.items():
            yield f"{path}{name}"
            yield from _fields(shape.members.get(name), held, f"{path}{name}.")
    elif kind in ("list", "map"):
        inner = shape.member if kind == "list" else shape.value
        for held in value.values() if isinstance(value, Mapping) else value:
            yield from _fields(inner, held, f"{path}[].")


def asks(service: str, action: str, params: Mapping[str, Any]) -> tuple[Ask, ...]:
    """What has to be allowed for the request."""
    return authorization.asks(service, action, params, PLACE)


def cut(resource: str) -> str:
    """A resource without what is only this one's: the folder of an object, the beginning of a name."""
    head, found, key = resource.partition(":s3:::")
    if found:
        return head + found + "/".join(key.split("/")[:3])
    return re.sub(r"(?<=\beba-[a-z]\d-).*|(?<=/)\d+$", "*", resource)


Key = tuple[str, str, frozenset[str], frozenset[tuple[str, str]]]


def keys(found: Golden) -> dict[Key, dict[str, Any]]:
    """The requests, each by whose it is, its action, its fields and the rights that it needs."""
    held: dict[Key, dict[str, Any]] = {}
    for whose, actions in found.items():
        for named, requested in actions.items():
            service, _, action = named.partition(".")
            for params in requested:
                rights = frozenset((ask.action, cut(ask.resource)) for ask in asks(service, action, params))
                held[whose, named, fields(service, action, params), rights] = params
    return held


def made(log: Path) -> Golden:
    """What a run's log of requests (`kit.requests`) comes to; who asked nothing has no log."""
    found: dict[Key, dict[str, Any]] = {}
    lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    for line in lines:
        sent = json.loads(line)
        whose, named = "own" if sent["own"] else "others", f"{sent['service']}.{sent['action']}"
        for key, params in keys({whose: {named: [plain(sent["params"])]}}).items():
            found[key] = min((found.get(key, params), params), key=_length)
    kept: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for (whose, named, _, _), params in found.items():
        kept[whose][named].append(params)
    return {
        whose: {named: sorted(kept[whose][named], key=_length) for named in sorted(kept[whose])}
        for whose in sorted(kept, reverse=True)
    }


def _length(params: Mapping[str, Any]) -> tuple[int, str]:
    text = json.dumps(params, sort_keys=True)
    return len(text), text


def cards(the_plan: plan.Plan) -> dict[str, Path]:
    """The cards that have golden requests, with their notebooks: of those that share one, the first, as which it runs."""
    found: dict[Path, str] = {}
    for card in the_plan.in_order():
        found.setdefault(paths.root() / card.notebook, card.id)
    return {card: notebook for notebook, card in found.items()}


def load(card: str) -> Golden:
    """The golden requests of a card; none where it has no file."""
    file = FOLDER / f"{card}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def write(card: str, found: Golden) -> None:
    """Keep the requests as the card's golden ones."""
    FOLDER.mkdir(exist_ok=True)
    text = json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True)
    (FOLDER / f"{card}.json").write_text(text + "\n", encoding="utf-8")


def news(card: str, found: Golden) -> list[str]:
    """What a run sent that is not among the card's golden requests, a line each."""
    held = keys(load(card))
    known: dict[tuple[str, str], set[frozenset[str]]] = defaultdict(set)
    for whose, named, members, _ in held:
        known[whose, named].add(members)
    lines = []
    for whose, named, members, rights in sorted(set(keys(found)) - set(held), key=str):
        before = known.get((whose, named))
        if before is None:
            lines.append(f"{card}: {named} is new ({whose})")
        elif members not in before:
            closest = min(before, key=lambda other: len(other ^ members))
            differ = [f"+{m}" for m in sorted(members - closest)] + [
                f"-{m}" for m in sorted(closest - members)
            ]
            lines.append(f"{card}: {named} has other fields ({whose}): {' '.join(differ)}")
        else:
            lines.append(
                f"{card}: {named} asks for {' '.join(': '.join(r) for r in sorted(rights))} ({whose})"
            )
    return lines


def wrong(service: str, action: str, params: Mapping[str, Any]) -> list[str]:
    """What AWS's service model, and the rules that it does not hold, say against a request."""
    try:
        shape = operation(service, action).input_shape
    except AwsError as error:
        return [error.message]
    return problems(shape, dict(params)) + [error.message for error in rules.broken(service, action, params)]


def all_of(found: Golden) -> Iterable[tuple[str, str, dict[str, Any]]]:
    """Every request as (service, action, parameters)."""
    for actions in found.values():
        for named, requested in actions.items():
            service, _, action = named.partition(".")
            for params in requested:
                yield service, action, params
