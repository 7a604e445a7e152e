"""The report of a window as one HTML file that needs nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TEMPLATE = Path(__file__).with_name("monitor.html.j2")


def page(told: dict[str, Any]) -> str:
    """The report of what monitor.json holds."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    weights = told["weights"]
    moved = sorted(
        weights["now"], key=lambda name: -max(weights["now"][name], weights["then"].get(name, 0.0))
    )[:12]
    return template.render(**told, verdict=verdict(told), moved=moved)


def verdict(told: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What a reader wants to know first: (what, good or bad or unknown, in words)."""
    metrics, quality = told["metrics"], told["quality"]
    drifted = told["drifted"]
    found = [
        ("Data", "bad" if told["violations"] or metrics["Unread"] else "good", "; ".join(told["violations"]) or f"{metrics['Rows']:,} rows, all readable"),
        ("Features", "bad" if drifted else "good", f"{', '.join(drifted)} drifted" if drifted else "none has drifted"),
        ("Predictions", "bad" if metrics["PredictionDrift"] else "good", f"PSI {told['predictions']['psi']:.3f}"),
    ]  # fmt: skip
    if "AttributionDrift" in metrics:
        share = metrics["AttributionDrift"]
        found.append(("Attributions", "good" if share < 0.05 else "bad", f"1 - NDCG {share:.3f}"))
    if quality["value"] is None:
        return [*found, ("Quality", "unknown", f"{quality['labelled']:,} labels so far: too few to say")]
    words = f"{quality['metric'].upper()} {quality['value']:.3f} ({quality['low']:.3f} to {quality['high']:.3f}) on {quality['labelled']:,} labels"
    if quality["promised"] is not None:
        words += f"; promised {quality['promised']:.3f}"
    state = "unknown" if quality["loss"] is None else "bad" if quality["loss"] else "good"
    return [*found, ("Quality", state, words)]
