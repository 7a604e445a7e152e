"""The metrics review: agenda, trends of the figures, what to decide, and the page that the meeting looks at. Plain data."""

from __future__ import annotations

import datetime as dt
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import kpis
import yaml

from kit.errors import PlanError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Line", "dashboard", "draw", "lines", "page", "read"]

Kept = Mapping[str, Any]
"""What O4 keeps of one run: at (ISO), readings (as `kpis.Reading`)."""

SHOWS = ("actions", "breaches", "trends", "missing", "decisions", "notes")
"""The parts of the page that an item of the agenda can be about."""


@dataclass(frozen=True)
class Line:
    """A figure in the review: its latest reading, the values up to now, and where they go (better, worse, same, new, missing)."""

    kpi: kpis.Kpi
    value: float | None
    why: str
    state: str
    values: tuple[tuple[str, float], ...]
    trend: str


def read(file: Path) -> dict[str, Any]:
    """The review in `file`.

    Raises:
        PlanError: the agenda does not fit its time, shows what the page has not, or a group of figures has no decision.
    """
    found: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    minutes = sum(item["minutes"] for item in found["agenda"])
    if minutes != found["cadence"]["minutes"]:
        raise PlanError(
            f"{file.name}: the agenda takes {minutes} minutes, the meeting {found['cadence']['minutes']}.",
            "Shorten an item or lengthen the meeting.",
        )
    for item in found["agenda"]:
        if item["shows"] not in SHOWS:
            raise PlanError(
                f'{file.name}: the page has no part "{item["shows"]}".', f"Known: {', '.join(SHOWS)}."
            )
    if lacking := [group for group in kpis.GROUPS if not found["decisions"].get(group)]:
        raise PlanError(
            f"{file.name}: no decision for the group {lacking[0]}.", "Say what is asked of the product owner."
        )
    return found


def lines(figures: Sequence[kpis.Kpi], kept: Sequence[Kept]) -> list[Line]:
    """Each figure over what O4 kept, judged by today's targets; a figure that no run has is missing.

    Args:
        figures: as `kpis.read` gives them.
        kept: the runs of O4 in any order.
    """
    runs = sorted(kept, key=lambda run: dt.datetime.fromisoformat(run["at"]))
    found = []
    for kpi in figures:
        told = [
            (run["at"], reading) for run in runs for reading in run["readings"] if reading["id"] == kpi.id
        ]
        values = tuple((at, float(r["value"])) for at, r in told if r["value"] is not None)
        latest = told[-1][1] if told and told[-1][0] == runs[-1]["at"] else ABSENT
        now, why = latest["value"], latest["why"]
        found.append(Line(kpi, now, why, kpis.state(kpi, now), values, _trend(kpi, now, values)))
    return found


ABSENT: Mapping[str, Any] = {"value": None, "why": "the last run has it not"}


def _trend(kpi: kpis.Kpi, now: float | None, values: Sequence[tuple[str, float]]) -> str:
    if now is None:
        return "missing"
    if len(values) < 2:
        return "new"
    step = (now - values[-2][1]) * (1 if kpi.better == "higher" else -1)
    return "same" if step == 0 else "better" if step > 0 else "worse"


def draw(ax: Axes, line: Line) -> None:
    """The values of a line over the runs of O4, with its target (dashed) and its threshold (dotted)."""
    ax.plot(range(1, len(line.values) + 1), [value for _, value in line.values], marker="o", color="tab:blue")
    ax.axhline(line.kpi.target, color="#1b7837", linestyle="--", linewidth=1)
    ax.axhline(line.kpi.threshold, color="#b2182b", linestyle=":", linewidth=1)
    ax.set_title(textwrap.fill(line.kpi.title, 32), fontsize=8)
    ax.set_ylabel(textwrap.fill(line.kpi.unit, 14), fontsize=7)
    ax.set_xticks(range(1, len(line.values) + 1, 1 + len(line.values) // 8))


def dashboard(
    figures: Sequence[kpis.Kpi], namespace: str, endpoints: Sequence[tuple[str, str]], region: str
) -> dict[str, Any]:
    """The body of a CloudWatch dashboard: a graph for each group of figures with their thresholds, and one for the endpoints.

    Args:
        figures: as `kpis.read` gives them.
        namespace: where O4 puts them.
        endpoints: pairs of endpoint and variant.
        region: where the metrics are.
    """
    widgets = []
    for group in kpis.GROUPS:
        of = [kpi for kpi in figures if kpi.group == group]
        metrics = [[namespace, kpi.id, "Group", group, {"label": f"{kpi.title} ({kpi.unit})"}] for kpi in of]
        marks = [{"label": f"act: {kpi.title}", "value": kpi.threshold} for kpi in of]
        widgets.append(_graph(f"Figures: {group}", metrics, region, "Maximum", {"horizontal": marks}))
    calls = [
        ["AWS/SageMaker", name, "EndpointName", e, "VariantName", v] for e, v in endpoints for name in CALLS
    ]
    if calls:
        widgets.append(_graph("Endpoints: calls and errors", calls, region, "Sum"))
        slow = [["AWS/SageMaker", "ModelLatency", "EndpointName", e, "VariantName", v] for e, v in endpoints]
        widgets.append(_graph("Endpoints: model latency in µs, 99th percentile", slow, region, "p99"))
    for n, widget in enumerate(widgets):
        widget |= {"x": 12 * (n % 2), "y": 6 * (n // 2), "width": 12, "height": 6}
    return {"widgets": widgets}


CALLS = ("Invocations", "Invocation4XXErrors", "Invocation5XXErrors")


def _graph(
    title: str, metrics: list[Any], region: str, statistic: str, marks: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    shown = {
        "title": title,
        "metrics": metrics,
        "region": region,
        "stat": statistic,
        "period": 300,
        "view": "timeSeries",
    }
    return {"type": "metric", "properties": {**shown, **({"annotations": marks} if marks else {})}}


def sparkline(values: Sequence[float], width: int = 120, height: int = 28) -> str:
    """The points of an SVG polyline through the values, oldest first; one value is a line in the middle."""
    low, high = min(values), max(values)
    tall = (high - low) or 1.0
    if len(values) == 1:
        values = [*values, *values]
    step = width / (len(values) - 1)
    middle = high == low
    return " ".join(
        f"{n * step:.1f},{height / 2 if middle else height - 3 - (value - low) / tall * (height - 6):.1f}"
        for n, value in enumerate(values)
    )


def page(
    review: Mapping[str, Any],
    found: Sequence[Line],
    actions: Sequence[Mapping[str, str]],
    event: str,
    at: dt.datetime,
) -> str:
    """The review pack as one self-contained HTML document that loads nothing; all text is escaped.

    Args:
        review: as `read` gives it.
        found: as `lines` gives it.
        actions: what was decided before: card, title, owner, state, evidence.
        event: its name.
        at: when it was drawn up.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"sparkline": lambda line: sparkline([value for _, value in line.values])}
    template = environment.get_template("metrics_review.html")
    return template.render(
        review=review, lines=found, actions=actions, event=event, at=at, groups=kpis.GROUPS
    )
