"""What D6 keeps in a feature store: records and label events from a table of features, the two joins, their score, the cost.

Shapes: `Records.frame` has a row for each record (record_id, event_time in seconds since 1970, a column for each feature),
`Records.events` one for each label (event_id, record_id, asked_at in seconds since 1970, target).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from kit.errors import DataError

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "Records",
    "differing",
    "flattery",
    "joined",
    "monthly_cost",
    "names",
    "records",
    "stale",
]

ID, TIME = "record_id", "event_time"
RESERVED = {"is_deleted", "write_time", "api_invocation_time", "year", "month", "day", "hour", ID, TIME}
"""Names that the service, the offline store's partitions or the records themselves use."""
DAY = 86_400.0
LATEST = 4e9
"""Seconds since 1970, in the year 2096. Numbers of a time column that, taken for days, stay below it count days."""


@dataclass(frozen=True)
class Records:
    """What goes into the group, the labels that ask for it, the feature of each column, and what was made of the plan."""

    frame: pd.DataFrame
    events: pd.DataFrame
    features: Mapping[str, str]
    said: tuple[str, ...]


def names(columns: Sequence[str]) -> dict[str, str]:
    """The feature name of each column: letters, digits and single underscores, at most 64, no two alike but for case."""
    taken, found = set(RESERVED), {}
    for column in columns:
        plain = re.sub(r"[^a-z0-9]+", "_", column.lower()).strip("_") or "feature"
        stem = plain = plain[:60].rstrip("_")
        number = 1
        while plain in taken:
            number += 1
            plain = f"{stem}_{number}"
        taken.add(plain)
        found[column] = plain
    return found


def _clock(rows: pd.DataFrame, schema: Mapping[str, Any], in_order: bool, loaded: float) -> tuple[Any, str]:
    """The event time of each row in seconds since 1970, and how it was found. NaN where a row has no time."""
    time_column = schema["time"]
    if time_column:
        values = rows[time_column]
        numbers = pd.to_numeric(values, errors="coerce")
        if not pd.api.types.is_datetime64_any_dtype(values) and numbers.notna().any():
            numbers = numbers - min(0.0, numbers.min() - 1)
            days = numbers.max() * DAY <= LATEST
            unit = "days" if days else "seconds since 1970"
            return numbers * (
                DAY if days else 1.0
            ), f"event time: {time_column}, whose numbers are taken for {unit}"
        moments = pd.to_datetime(values, errors="coerce", utc=True, format="ISO8601")
        since = (moments - pd.Timestamp(0, tz="UTC")).dt.total_seconds()
        return since, f"event time: {time_column}"
    if in_order and schema["id"]:
        behind = rows[schema["row_number"]].max() - rows[schema["row_number"]]
        return (
            loaded - behind,
            "NO TIME COLUMN: event time is the time of loading, rows a second apart in their order",
        )
    return pd.Series(loaded, rows.index), "NO TIME COLUMN: event time is the time of loading"


def records(
    rows: pd.DataFrame, schema: Mapping[str, Any], *, in_time_order: bool, loaded: float, limit: int
) -> Records:
    """Records and label events of D3's rows, at most about `limit` records, of whole ids.

    A label event asks for an id's features just before its next row is there, and its answer is that row's target. Where no
    id has a second row, each record is put in a day before as well, with the same values, so that one of two is later.

    Args:
        rows: D3's splits, one after the other.
        schema: D3's schema.
        in_time_order: whether rows come in time order although no column says when.
        loaded: now, in seconds since 1970.

    Raises:
        DataError: no row has a time.
    """
    event_time, of_time = _clock(rows, schema, in_time_order, loaded)
    id_column = schema["id"] or schema["row_number"]
    said = [f"record id: {id_column}" if schema["id"] else f"NO ID COLUMN: record id is {id_column}", of_time]
    order = [ID, TIME, schema["row_number"]]
    marked = schema.get("synthetic") in rows
    made_up = rows[schema["synthetic"]].astype(bool) if marked else pd.Series(False, rows.index)
    all_of = rows.assign(**{ID: rows[id_column].astype(str), TIME: event_time})[~made_up].sort_values(order)
    dated = all_of.dropna(subset=[TIME])
    if dated.empty:
        raise DataError(
            f"No row has a time in {schema['time']}.", "Mend data › time in the plan, or leave it empty."
        )
    kept = dated.drop_duplicates([ID, TIME], keep="last")
    left_out = {
        "that are synthetic": int(made_up.sum()),
        "without a time": len(all_of) - len(dated),
        "whose id and time another one has": len(dated) - len(kept),
    }
    said += [f"LEFT OUT: {count:,} rows {why}" for why, count in left_out.items() if count]
    kept = kept[_hash(kept[ID]) % math.ceil(len(kept) / limit) == 0].reset_index(drop=True)
    features = names(
        [name for one in schema["features"] for name in (one["name"], one.get("indicator")) if name]
    )
    later = kept.groupby(ID).shift(-1)
    has = later[TIME].notna()
    answers, asked = later[schema["target"]], later[TIME] - (later[TIME] - kept[TIME]).clip(upper=2.0) / 2
    frame = kept[[ID, TIME, *features]].rename(columns=features)
    if not has.any():
        said += [
            "NO ID HAS A SECOND RECORD: each is put in a day before, too, with the same values, so no score can change"
        ]
        has, answers, asked = has | True, kept[schema["target"]], kept[TIME] - 1
        frame = pd.concat([frame.assign(**{TIME: frame[TIME] - DAY}), frame], ignore_index=True)
    events = pd.DataFrame({ID: kept[ID], "asked_at": asked, "target": answers})[has].reset_index(drop=True)
    events.insert(0, "event_id", range(len(events)))
    return Records(_typed(frame), events.astype({"target": float}), features, tuple(said))


def _hash(values: pd.Series[Any]) -> np.ndarray[Any, Any]:
    """A number for each text, the same in every process."""
    hashed: np.ndarray[Any, Any] = pd.util.hash_array(values.to_numpy(dtype=object))
    return hashed


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with the types that a feature group has: text, and double for every number."""
    numbers = [name for name in frame if pd.api.types.is_numeric_dtype(frame[name])]
    texts = [name for name in frame if name not in numbers]
    return frame.astype(dict.fromkeys(numbers, "float64") | dict.fromkeys(texts, "object"))


# The two joins


def joined(found: Records) -> pd.DataFrame:
    """For each label event the features as known when it asked, computed in pandas: what SQL's answer is held against.

    Columns: event_id, asked_at, event_time and the features; events without an earlier record are not in it.
    """
    left, right = found.events.sort_values("asked_at"), found.frame.sort_values(TIME)
    near = pd.merge_asof(left, right, left_on="asked_at", right_on=TIME, by=ID, direction="backward")
    columns = ["event_id", "asked_at", TIME, *found.features.values()]
    return near.dropna(subset=[TIME]).sort_values("event_id")[columns].reset_index(drop=True)


def stale(frame: pd.DataFrame, online: Mapping[str, Mapping[str, str]]) -> int:
    """Ids whose online record (values as text by name, by id) is not their latest one in the frame."""
    latest = frame.sort_values(TIME).drop_duplicates(ID, keep="last")
    wrong = 0
    for row in latest.to_dict("records"):
        values = {str(name): str(value) for name, value in row.items() if pd.notna(value)}
        wrong += online.get(row[ID]) != values
    return wrong


def differing(one: pd.DataFrame, other: pd.DataFrame) -> int:
    """Rows of two joins that differ, in the last digits of floating point at least; all of them where the rows are others."""
    if one["event_id"].to_list() != other["event_id"].to_list():
        return max(len(one), len(other))
    wrong = pd.Series(False, range(len(one)))
    for name in other:
        left, right = one[name].reset_index(drop=True), other[name].reset_index(drop=True)
        if pd.api.types.is_numeric_dtype(right):
            near = (left.astype(float) - right).abs() <= 1e-12 * (1 + right.abs())
            wrong |= ~(near | (left.isna() & right.isna()))
        else:
            wrong |= left.fillna("").astype(str) != right.fillna("").astype(str)
    return int(wrong.sum())


def flattery(
    found: Records, point: pd.DataFrame, naive: pd.DataFrame, *, classify: bool, folds: int, seed: int
) -> pd.DataFrame:
    """How a linear model scores in each fold (AUC, or R²), an id never on both sides; empty where the labels are too few.

    Columns: `point_in_time` is fitted and judged on what was known; `promised` on the naive join; `kept` is the model of the
    naive join on what is known when it is asked.

    Args:
        point, naive: joins with event_id and the features, as `joined` gives them.
    """
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    columns = list(found.features.values())
    both = found.events[found.events["event_id"].isin(point["event_id"])]
    known, latest = (one.set_index("event_id").loc[both["event_id"], columns] for one in (point, naive))
    truth = both["target"].to_numpy()
    rare = both["target"].value_counts().min() if classify else len(both)
    if len(both) < 20 * folds or rare < 2 * folds or both["target"].nunique() < 2:
        return pd.DataFrame(columns=["point_in_time", "promised", "kept"], dtype=float)
    kind = StratifiedGroupKFold if classify else GroupKFold
    scores = []
    for fit, judge in kind(folds, shuffle=True, random_state=seed).split(known, truth, both[ID]):
        honest, flattered = (_fitted(one.iloc[fit], truth[fit], classify) for one in (known, latest))
        pairs = ((honest, known), (flattered, latest), (flattered, known))
        scores.append([_score(model, x.iloc[judge], truth[judge], classify) for model, x in pairs])
    return pd.DataFrame(scores, columns=["point_in_time", "promised", "kept"])


def _fitted(features: pd.DataFrame, truth: Any, classify: bool) -> Any:
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    words = OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")
    numbers = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler())
    columns = make_column_transformer(words, (numbers, make_column_selector(dtype_include="number")))
    return make_pipeline(columns, LogisticRegression(solver="liblinear") if classify else Ridge()).fit(
        features, truth
    )


def _score(model: Any, features: pd.DataFrame, truth: Any, classify: bool) -> float:
    from sklearn.metrics import r2_score, roc_auc_score

    guess = model.predict_proba(features)[:, 1] if classify else model.predict(features)
    return float((roc_auc_score if classify else r2_score)(truth, guess))


# What it costs


def monthly_cost(
    prices: Mapping[str, float], *, writes: float, reads: float, kilobytes: float, ids: float, files_gb: float
) -> dict[str, float]:
    """USD a month by what is paid for, on demand: a write unit is 1 KB, a read unit 4 KB, the online store by GB and month.

    Args:
        prices: `feature_store` of runbooks/prices.yml.
        writes, reads: of records, a month.
        kilobytes: the size of a record.
        ids: records in the online store.
        files_gb: size of the offline store in GB.
    """
    return {
        "writes": writes / 1e6 * math.ceil(kilobytes) * prices["usd_per_million_writes"],
        "reads": reads / 1e6 * math.ceil(kilobytes / 4) * prices["usd_per_million_reads"],
        "online store": ids * kilobytes / 1e6 * prices["usd_per_gb_online"],
        "offline store": files_gb * prices["usd_per_gb_offline"],
    }
