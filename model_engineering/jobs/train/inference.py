"""Serves the model: raw rows in, predictions out, by the transformer that made the features it was trained on (transformer.py).

The four functions are those that SageMaker's scikit-learn image calls. Requests are JSON Lines (one object a line), JSON (an
object, a list of them, or {"instances": [...]}), or CSV (with a header, or the schema's columns in their order).

What a row may and must have is in schema.json under "request", one entry a column. A column that a row may lack counts as a
missing value, and is filled as in training; a category that training did not see is "(other)"; columns that the schema does not
know are ignored. A column that a row must have is there to make a date's features, or to count the earlier rows of its id: where
it is lacking, nobody can say what training would have seen, so the row is refused. Null says that nobody knows it: no date, no
earlier rows. Earlier rows are counted among those of the same request, so send them along, or send their number as "rows before".

A payload that cannot be read this way gets status 400 and says why.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault(
    "OMP_WAIT_POLICY", "PASSIVE"
)  # idle threads sleep and do not spin; read when libraries are loaded

import numpy as np
import pandas as pd
import transformer

JSON_LINES = ("application/jsonlines", "application/x-jsonlines", "application/jsonl", "application/x-ndjson")
MANY = 100_000
"""Rows from which LightGBM's threads are worth their waiting for each other; below, one thread is as fast, and far faster on
a busy machine."""


class BadPayload(ValueError):
    """The request cannot be read as rows of the schema's columns."""


@dataclass(frozen=True)
class Model:
    """What `model_fn` loads: a scikit-learn pipeline or a LightGBM booster; what a request holds; what features are made of it
    and how; and how a score becomes a label."""

    predictor: Any
    schema: Mapping[str, Any]
    recipe: Mapping[str, Any]
    about: Mapping[str, Any]


# --- the four functions


def model_fn(model_dir: str) -> Model:
    """The model in `model_dir`, as the training job wrote it."""
    folder = Path(model_dir)
    schema = json.loads((folder / "schema.json").read_text(encoding="utf-8"))
    about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    return Model(load(folder / about["file"]), schema, transformer.load(folder), about)


def input_fn(body: str | bytes, content_type: str) -> list[dict[str, Any]] | BadPayload:
    """The request's rows, or what is wrong with it: `output_fn` can answer with status 400, an exception here cannot."""
    try:
        return rows(body.decode("utf-8-sig") if isinstance(body, bytes) else body, content_type)
    except BadPayload as error:
        return error
    except UnicodeDecodeError:
        return BadPayload("The request is not UTF-8.")


def predict_fn(data: list[Any] | BadPayload, model: Model) -> list[dict[str, Any]] | BadPayload:
    """One prediction a row: {"prediction", "probability"} for classification, {"prediction"} for regression."""
    if isinstance(data, BadPayload):
        return data
    try:
        features = transformer.features(frame(data, model.schema), model.recipe)
    except BadPayload as error:
        return error
    except transformer.BadRows as error:
        return BadPayload(str(error))
    exact = calibrated(score(model.predictor, features, model.recipe), model.about)
    scores = [
        float(f"{s:.12g}") for s in exact
    ]  # sums of a batch and of a row alone differ in the last digits
    if model.schema["problem"] == "regression":
        return [{"prediction": s} for s in scores]
    return [{"prediction": int(s >= model.about["threshold"]), "probability": s} for s in scores]


def output_fn(predictions: list[dict[str, Any]] | BadPayload, accept: str) -> Any:
    """The response as (body, content type): JSON Lines, CSV (probability first) or JSON {"predictions": [...]}."""
    if isinstance(predictions, BadPayload):
        return refusal(str(predictions))
    kind = accept.split(",")[0].split(";")[0].strip().lower()
    if kind in JSON_LINES:
        return "".join(json.dumps(p) + "\n" for p in predictions), kind
    if kind == "text/csv":
        lines = [[p[k] for k in ("probability", "prediction") if k in p] for p in predictions]
        return "".join(",".join(map(repr, line)) + "\n" for line in lines), kind
    if kind in ("", "*/*", "application/*", "application/json"):
        return json.dumps({"predictions": predictions}), "application/json"
    return refusal(f"{kind} cannot be sent: ask for application/json, application/jsonlines or text/csv.")


def refusal(why: str) -> Any:
    """A response with status 400. Werkzeug is what the serving image's Flask is made of, so it is always there."""
    from werkzeug.wrappers import Response

    return Response(json.dumps({"error": why}) + "\n", status=400, mimetype="application/json")


# --- from a request to rows


def rows(text: str, content_type: str) -> list[Any]:
    """The request as one dict a row, or one list a row where it is CSV without a header.

    Raises:
        BadPayload: it is empty, is not what its content type says, or is of another type.
    """
    kind = (content_type or "application/json").split(";")[0].strip().lower()
    if not text.strip():
        raise BadPayload("The request is empty: send at least one row.")
    if kind in JSON_LINES:
        lines = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
        return [_object(_json(line, f"Line {n}"), f"Line {n}") for n, line in lines]
    if kind == "application/json":
        parsed = _json(text, "The request")
        if isinstance(parsed, dict) and isinstance(parsed.get("instances"), list):
            parsed = parsed["instances"]
        listed = parsed if isinstance(parsed, list) else [parsed]
        if not listed:
            raise BadPayload("The request has no rows: send at least one.")
        return [_object(item, f"Row {n}") for n, item in enumerate(listed, 1)]
    if kind == "text/csv":
        try:
            return [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
        except csv.Error as error:
            raise BadPayload(f"The request is no CSV: {error}.") from None
    raise BadPayload(f"{kind} cannot be read: send application/jsonlines, application/json or text/csv.")


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise BadPayload(f"{where} is no JSON: {error}.") from None


def _object(item: Any, where: str) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise BadPayload(f'{where} is no object: send {{"column": value, ...}}.')
    return item


def frame(data: Sequence[Any], schema: Mapping[str, Any]) -> pd.DataFrame:
    """The rows as a table of the columns that the model knows: values as they were sent, None where there is none.

    Raises:
        BadPayload: none of the schema's columns is there, or one that must be; a CSV row has too many or too few values; a value
            is a list or an object, or is not the number that it should be.
    """
    columns = schema["columns"]
    if isinstance(data[0], list):
        data = _named(data, columns)
    asked = {one["column"]: one for one in schema["request"]}
    for n, row in enumerate(data, 1):
        if not any(c in row for c in columns):
            raise BadPayload(f"Row {n} has none of the model's columns: {_some(columns)}.")
        for column, value in row.items():
            if column in asked and isinstance(value, (list, dict)):
                kind = "a list" if isinstance(value, list) else "an object"
                raise BadPayload(f"Row {n}: {column} is {kind}, not a value.")
        for one in asked.values():
            instead = one.get("unless", "")
            if one["must"] and one["column"] not in row and not (instead and instead in row):
                raise BadPayload(f"Row {n} lacks {one['column']}: {one['says']}.")
    table = pd.DataFrame({c: [row.get(c) for row in data] for c in columns}, dtype=object)
    for name in columns:
        if asked[name]["kind"] == "number" and "fill" not in asked[name]:
            table[name] = _numbers(table[name], name)
        elif asked[name]["kind"] == "date":
            table[name] = [str(v).strip() or None if v is not None else None for v in table[name]]
    if (before := transformer.BEFORE) in asked and any(before in row for row in data):
        if lacking := [n for n, row in enumerate(data, 1) if before not in row]:
            raise BadPayload(f"Row {lacking[0]} lacks {before!r}, which other rows of the request have.")
        table[before] = np.nan_to_num(_numbers([row[before] for row in data], before, least=0.0))
    if schema["row_number"] not in table:
        table[schema["row_number"]] = np.arange(1, len(table) + 1)  # rows of a request come in order of time
    return table


def _named(data: Sequence[list[str]], columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV by column: its header's, if it has one, or the schema's in their order."""
    header = [c.strip() for c in data[0]]
    named = set(header) & set(columns)
    if len(named) > len(columns) / 2 and len(data) > 1:
        body = data[1:]
    elif named and len(data) == 1:
        raise BadPayload("The CSV has a header and no rows.")
    else:
        header, body = list(columns), data
    for n, row in enumerate(body, 1):
        if len(row) != len(header):
            raise BadPayload(
                f"Row {n} of the CSV has {len(row)} values; expected {len(header)}: {_some(header)}."
            )
    return [dict(zip(header, row, strict=True)) for row in body]


def _numbers(values: Iterable[Any], column: str, least: float = -np.inf) -> np.ndarray:
    """A column of numbers that no cleaning fills: NaN where there is none, at least `least`."""
    text = [str(v).strip() if v is not None else "" for v in values]
    found = np.array([transformer.number(t) for t in text], dtype=float)
    wrong = [n for n, t in enumerate(text) if t and not found[n] >= least]
    if wrong:
        least_said = f" of at least {least:g}" if np.isfinite(least) else ""
        raise BadPayload(f"Row {wrong[0] + 1}: {column} is no number{least_said}.")
    return found


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (", …" if len(names) > 12 else "")


# --- the model


def names(recipe: Mapping[str, Any]) -> list[str]:
    """The features in the order in which the model takes them."""
    return [spec["name"] for spec in recipe["features"]]


def codes(features: pd.DataFrame, recipe: Mapping[str, Any]) -> np.ndarray:
    """Features as numbers: a category as its place in the recipe's list, as LightGBM takes it."""
    columns = []
    for spec in recipe["features"]:
        column = features[spec["name"]]
        if "categories" in spec:
            column = column.map({c: n for n, c in enumerate(spec["categories"])})
        columns.append(np.asarray(column, dtype=float))
    return np.column_stack(columns)


def load(file: Path) -> Any:
    """The model in a file: LightGBM's own text format, or a scikit-learn pipeline."""
    if file.suffix == ".txt":
        import lightgbm

        return lightgbm.Booster(model_file=str(file))
    import joblib

    return joblib.load(file)


def scores(model: Model, prepared: pd.DataFrame) -> np.ndarray:
    """What the model answers to rows as the prepare job writes them: the chance of the positive label, or the predicted number."""
    features = transformer.apply(prepared, model.recipe)
    return calibrated(score(model.predictor, features, model.recipe), model.about)


def calibrated(scores: np.ndarray, about: Mapping[str, Any]) -> np.ndarray:
    """The scores on the line through the points of model.json's `calibration` (`x`, `y`); as they are where it has none."""
    line = about.get("calibration")
    return np.interp(scores, line["x"], line["y"]) if line else scores


def score(predictor: Any, features: pd.DataFrame, recipe: Mapping[str, Any]) -> np.ndarray:
    """The model's own scores of rows of features, not calibrated."""
    if hasattr(predictor, "predict_proba"):
        return np.asarray(predictor.predict_proba(features[names(recipe)])[:, 1])
    if hasattr(predictor, "named_steps"):
        return np.asarray(predictor.predict(features[names(recipe)]))
    threads = 0 if len(features) > MANY else 1
    return np.asarray(predictor.predict(codes(features, recipe), num_threads=threads))
