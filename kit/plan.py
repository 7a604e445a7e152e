"""The plan: `runbooks/plan.yml` as frozen dataclasses, validated before anything else happens."""

from __future__ import annotations

import dataclasses
import datetime as dt
import graphlib
import re
import types
import typing
import zoneinfo
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kit import paths
from kit.errors import PlanError, UsageError, did_you_mean
from kit.network import Network

__all__ = [
    "EVENT",
    "LONGEST",
    "NOON",
    "AwsBlock",
    "Data",
    "Event",
    "Plan",
    "Subtask",
    "Workstream",
    "load",
    "read",
]

NOON = "12:00"
"""When a card without a clock time comes in its day: after the morning's ceremonies, before the evening's."""

EVENT = "event"
"""The workstream that ceremonies belong to: the event itself."""

LONGEST = 100_000
"""Minutes that a card may be planned for at most: ten weeks."""

PROBLEMS = ("classification", "regression")


@dataclass(frozen=True)
class Event:
    """When the event is. `dates[n - 1]` is day n; `hours` are its working hours as ("09:00", "17:00")."""

    name: str
    dates: tuple[dt.date, ...]
    time_zone: str = "UTC"
    hours: tuple[str, ...] = ("09:00", "17:00")

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        """The event's time zone."""
        return zoneinfo.ZoneInfo(self.time_zone)


@dataclass(frozen=True)
class Workstream:
    """A lane of the board, who leads it and who is in it.

    `wip` is how many cards should be in Doing at most (0: any); where the plan has teams, `shared` says that the cards
    are done once for all of them.
    """

    id: str
    title: str
    lead: str = ""
    people: tuple[str, ...] = ()
    wip: int = 0
    shared: bool = False


@dataclass(frozen=True)
class Subtask:
    """A card with a runbook. `notebook` is relative to the repository; `needs` are ids of other cards.

    `minutes` is planned time; `at` a clock time such as "09:30", which ceremonies have.
    """

    id: str
    title: str
    notebook: str
    day: int
    minutes: int
    workstream: str = EVENT
    needs: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    review: bool = False
    at: str = ""

    @property
    def label(self) -> str:
        """`D2 · Process the data`"""
        return f"{self.id} · {self.title}"


@dataclass(frozen=True)
class Data:
    """The table of the use case. `missing` maps a column, or "*" for all, to the values that mean "missing" there."""

    target: str
    source: str = ""
    rows: int = 20_000
    positive: str = "1"
    problem: str = "classification"
    id: str = ""
    time: str = ""
    in_time_order: bool = False
    sensitive: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    missing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class AwsBlock:
    """What `target = "aws"` may touch. An empty `account` allows none; an empty `bucket` means eba-<account>-<region>.

    `subnets` and `security_groups` are where jobs and models run; both are empty for SageMaker's own network.
    """

    account: str = ""
    region: str = "us-east-1"
    role: str = "EbaDataScientistExecution"
    bucket: str = ""
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()

    @property
    def network(self) -> Network:
        """The VPC of jobs and models."""
        return Network(self.subnets, self.security_groups)


@dataclass(frozen=True)
class Plan:
    """The whole event. With `teams`, each does the subtasks on cards of its own. `file` is where it was read from."""

    event: Event
    workstreams: tuple[Workstream, ...]
    subtasks: tuple[Subtask, ...]
    data: Data
    aws: AwsBlock = AwsBlock()
    ceremonies: tuple[Subtask, ...] = ()
    teams: tuple[str, ...] = ()
    file: Path = Path("plan.yml")

    @property
    def cards(self) -> tuple[Subtask, ...]:
        """Everything with a runbook: the ceremonies, then the subtasks, as the plan lists them."""
        return self.ceremonies + self.subtasks

    def __getitem__(self, id: str) -> Subtask:
        for subtask in self.cards:
            if subtask.id == id:
                return subtask
        raise UsageError(f'The plan has no card "{id}".', did_you_mean(id, [s.id for s in self.cards]))

    def lane(self, id: str) -> Workstream:
        """The workstream with this id; the event's own lane for ceremonies."""
        if id == EVENT:
            return Workstream(EVENT, "The event")
        for workstream in self.workstreams:
            if workstream.id == id:
                return workstream
        raise UsageError(
            f'The plan has no workstream "{id}".', did_you_mean(id, [w.id for w in self.workstreams])
        )

    def teams_of(self, card: Subtask) -> tuple[str, ...]:
        """The teams that each do this card; ("",) where it is one card for all."""
        each = (
            card.workstream != EVENT and card not in self.ceremonies and not self.lane(card.workstream).shared
        )
        return self.teams if self.teams and each else ("",)

    def team_of(self, card: Subtask, team: str) -> str:
        """Whose card it is when somebody of `team` works on it; "" where it is one card for all.

        Raises:
            UsageError: the plan has no such team, or the card is done by each team and `team` is "".
        """
        self.check_team(team)
        teams = self.teams_of(card)
        if teams == ("",) or team:
            return team if team in teams else ""
        raise UsageError(
            f"{card.id} is done by each team: {', '.join(teams)}.",
            f"Say which is yours: export KIT_TEAM={teams[0]}",
        )

    def check_team(self, team: str) -> None:
        """Raise UsageError if the plan has no such team; "" is none."""
        if team and team not in self.teams:
            none = "It has none: unset KIT_TEAM, or list them in the plan as teams: [...]."
            hint = did_you_mean(team, self.teams) if self.teams else none
            raise UsageError(f'The plan has no team "{team}".', hint)

    def in_order(self) -> tuple[Subtask, ...]:
        """Every card after all that it needs; by day, clock time and place in the plan where `needs` leaves a choice.

        A card without a clock time counts as at noon.
        """
        listed = {s.id: (s.day, s.at or NOON, n) for n, s in enumerate(self.cards)}
        sorter = graphlib.TopologicalSorter({s.id: s.needs for s in self.cards})
        sorter.prepare()
        order: list[Subtask] = []
        ready: list[str] = []
        while sorter.is_active():
            ready += sorter.get_ready()
            ready.sort(key=listed.__getitem__)
            order.append(self[ready.pop(0)])
            sorter.done(order[-1].id)
        return tuple(order)

    def needed_by(self, ids: Iterable[str]) -> set[str]:
        """The ids that must be done before any of `ids`, directly or not."""
        found: set[str] = set()
        todo = list(ids)
        while todo:
            for need in self[todo.pop()].needs:
                if need not in found:
                    found.add(need)
                    todo.append(need)
        return found


def load(file: str | Path | None = None) -> Plan:
    """The plan in `file` (default: `paths.plan_file()`).

    Raises:
        PlanError: the file is missing, is not YAML, or does not hold together; the message names the place.
    """
    import yaml

    path = Path(file) if file is not None else paths.plan_file()
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PlanError(
            f"{path}: {error.strerror or error}.", "Set KIT_PLAN, or run inside a clone of the kit."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f" line {where.line + 1}" if where else ""
        raise PlanError(
            f"{path.name}{line}: not readable as YAML ({getattr(error, 'problem', error)}).",
            "Compare its indentation and quotes with the lines around it.",
        ) from None
    return read(raw, path)


def read(raw: Any, file: Path = Path("plan.yml")) -> Plan:
    """The plan in already parsed YAML. Pure; raises PlanError like `load`."""
    if isinstance(raw, dict) and "file" in raw:
        raise PlanError('plan.yml: unknown key "file".', "Remove it.")
    plan: Plan = dataclasses.replace(_built(Plan, raw, "plan.yml"), file=file)
    _validate(plan)
    return plan


def _built(cls: type[Any], raw: Any, where: str) -> Any:
    """`raw` as an instance of the dataclass `cls`, every value of its annotated type."""
    if not isinstance(raw, dict):
        raise PlanError(
            f"{where}: expected keys and values, got {_seen(raw)}.", f"See {cls.__name__} in kit/plan.py."
        )
    hints = typing.get_type_hints(cls)
    for key in raw:
        if key not in hints:
            raise PlanError(f'{where}: unknown key "{key}".', did_you_mean(str(key), hints))
    values = {key: _value(hints[key], value, f"{where} › {key}") for key, value in raw.items()}
    for f in dataclasses.fields(cls):
        required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if required and f.name not in values:
            raise PlanError(f'{where}: "{f.name}" is missing.', "Every key without a default must be there.")
    return cls(**values)


def _value(hint: Any, raw: Any, where: str) -> Any:
    """`raw` as a value of the annotation `hint`; a YAML scalar may stand for a text."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        if not isinstance(raw, list):
            raise PlanError(f"{where}: expected a list, got {_seen(raw)}.", "Write it as [a, b].")
        return tuple(_value(args[0], item, f"{where} › {_name(item, n)}") for n, item in enumerate(raw))
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(raw, dict):
            raise PlanError(f"{where}: expected keys and values, got {_seen(raw)}.", "Write it as {a: b}.")
        return types.MappingProxyType({str(k): _value(args[1], v, f"{where} › {k}") for k, v in raw.items()})
    if hint is Any:
        return raw
    if dataclasses.is_dataclass(hint):
        return _built(typing.cast(type, hint), raw, where)
    if hint is str and isinstance(raw, (int, float)) and not isinstance(raw, bool):
        return str(raw)
    if hint is dt.date and isinstance(raw, dt.date) and not isinstance(raw, dt.datetime):
        return raw
    if type(raw) is not hint:
        raise PlanError(f"{where}: expected {hint.__name__}, got {_seen(raw)}.", "Correct the value.")
    return raw.strip() if isinstance(raw, str) else raw


def _name(item: Any, n: int) -> str:
    """How a message names an item of a list: by its id where it has one, else by its place."""
    return str(item.get("id", n + 1)) if isinstance(item, dict) else str(n + 1)


def _seen(raw: Any) -> str:
    return "nothing" if raw is None else f"{type(raw).__name__} {str(raw)[:40]!r}"


def _validate(plan: Plan) -> None:
    """What types cannot say. Raises PlanError at the first thing that does not hold."""
    _unique("subtask id", [s.id for s in plan.cards])
    _unique("workstream id", [w.id for w in plan.workstreams])
    _unique("team", plan.teams)
    for team in plan.teams:
        if not re.fullmatch("[a-z][a-z0-9]{0,11}", team):
            raise PlanError(
                f'plan.yml › teams: "{team}" cannot be part of a resource\'s name.',
                "Use up to 12 small letters and digits, a letter first: [blue, team2].",
            )
    for lane in plan.workstreams:
        if lane.wip < 0:
            raise PlanError(f"plan.yml › {lane.id} › wip: {lane.wip} is negative.", "0 means no limit.")
    ids = [s.id for s in plan.cards]
    days = len(plan.event.dates)
    if not days:
        raise PlanError("plan.yml › event › dates: the list is empty.", "Give one date per day.")
    try:
        zoneinfo.ZoneInfo(plan.event.time_zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        raise PlanError(
            f'plan.yml › event › time_zone: "{plan.event.time_zone}" is no time zone.',
            "Use an IANA name such as Europe/Berlin.",
        ) from None
    _validate_hours(plan.event.hours)
    for s in plan.cards:
        where = f"plan.yml › {s.id}"
        if s.workstream not in {EVENT, *(w.id for w in plan.workstreams)}:
            raise PlanError(
                f'{where} › workstream: there is no "{s.workstream}".',
                did_you_mean(s.workstream, [w.id for w in plan.workstreams]),
            )
        if not 1 <= s.day <= days:
            raise PlanError(
                f"{where} › day: {s.day} is not in the event's 1 to {days}.",
                "Correct the day, or add a date.",
            )
        if not 0 < s.minutes <= LONGEST:
            raise PlanError(
                f"{where} › minutes: {s.minutes} is not in 1 to {LONGEST:,}.", "Give the planned minutes."
            )
        if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9._-]*", s.id):
            raise PlanError(
                f'{where} › id: "{s.id}" cannot name files and resources.',
                "Use letters, digits, dots, dashes and underscores.",
            )
        if s.at and not re.fullmatch("([01][0-9]|2[0-3]):[0-5][0-9]", s.at):
            raise PlanError(
                f'{where} › at: "{s.at}" is no clock time.', 'Write four digits, in quotes: at: "09:30".'
            )
        for need in s.needs:
            if need not in ids:
                raise PlanError(f'{where} › needs: there is no card "{need}".', did_you_mean(need, ids))
    _validate_cycles(plan.cards)
    if plan.data.problem not in PROBLEMS:
        raise PlanError(
            f'plan.yml › data › problem: "{plan.data.problem}" is not known.',
            did_you_mean(plan.data.problem, PROBLEMS),
        )
    if plan.aws.account and not (plan.aws.account.isdigit() and len(plan.aws.account) == 12):
        raise PlanError(
            f'plan.yml › aws › account: "{plan.aws.account}" is not twelve digits.',
            'Quote it, so that YAML keeps leading zeros: account: "012345678901".',
        )
    _validate_network(plan.aws)


def _validate_network(aws: AwsBlock) -> None:
    for key, prefix, ids in (
        ("subnets", "subnet-", aws.subnets),
        ("security_groups", "sg-", aws.security_groups),
    ):
        for one in ids:
            if not re.fullmatch(f"{prefix}[0-9a-zA-Z]+", one):
                raise PlanError(
                    f'plan.yml › aws › {key}: "{one}" is no id.', f"Ids begin with {prefix}: [{prefix}0abc]."
                )
    if bool(aws.subnets) != bool(aws.security_groups):
        there, lacking = ("subnets", "security_groups") if aws.subnets else ("security_groups", "subnets")
        raise PlanError(
            f"plan.yml › aws: there are {there} and no {lacking}.",
            "A job in a VPC needs both; name both or none.",
        )


def _validate_hours(hours: Sequence[str]) -> None:
    try:
        start, end = (dt.time.fromisoformat(h) for h in hours)
        if start >= end:
            raise ValueError
    except ValueError:
        raise PlanError(
            f"plan.yml › event › hours: {list(hours)} is not a start and a later end.",
            'Write ["09:00", "17:00"].',
        ) from None


def _validate_cycles(cards: Sequence[Subtask]) -> None:
    try:
        graphlib.TopologicalSorter({s.id: s.needs for s in cards}).prepare()
    except graphlib.CycleError as error:
        raise PlanError(
            f"plan.yml: needs go in a circle: {' → '.join(reversed(error.args[1]))}.",
            "Remove one of these needs.",
        ) from None


def _unique(what: str, words: Sequence[str]) -> None:
    for word in words:
        if words.count(word) > 1:
            raise PlanError(
                f'plan.yml: the {what} "{word}" is used {words.count(word)} times.', "Rename all but one."
            )
