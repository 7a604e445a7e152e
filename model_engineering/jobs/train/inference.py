"""Serves the model: raw rows in, predictions out. The same cleaning, encoding and scaling as in training, from schema.json.

The four functions are those that SageMaker's scikit-learn image calls. Requests are JSON Lines (one object a line), JSON (an
object, a list of them, or {"instances": [...]}), or CSV (with a header, or the schema's columns in their order). A column that
a row lacks is a missing value, and is filled as in training; a category that training did not see is "(other)"; columns that
the schema does not know are ignored. A payload that cannot be read this way gets status 400 and says why.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault(
    "OMP_WAIT_POLICY", "PASSIVE"
)  # idle threads sleep and do not spin; read when libraries are loaded

import numpy as np
import pandas as pd

MISSING, OTHER = "(missing)", "(other)"
BLANK = " \t\n\r"
JSON_LINES = ("application/jsonlines", "application/x-jsonlines", "application/jsonl", "application/x-ndjson")
MANY = 100_000
"""Rows from which LightGBM's threads are worth their waiting for each other; below, one thread is as fast, and far faster on
a busy machine."""


class BadPayload(ValueError):
    """The request cannot be read as rows of the schema's columns."""


@dataclass(frozen=True)
class Model:
    """What `model_fn` loads: a scikit-learn pipeline or a LightGBM booster, the schema, and how a score becomes a label."""

    predictor: Any
    schema: Mapping[str, Any]
    about: Mapping[str, Any]


# --- the four functions


def model_fn(model_dir: str) -> Model:
    """The model in `model_dir`, as the training job wrote it."""
    folder = Path(model_dir)
    schema = json.loads((folder / "schema.json").read_text(encoding="utf-8"))
    about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    return Model(load(folder / about["file"]), schema, about)


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
        table = frame(data, model.schema)
    except BadPayload as error:
        return error
    exact = score(model.predictor, transform(table, model.schema), model.schema)
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
    """The rows as a table of the schema's columns, all text or None.

    Raises:
        BadPayload: none of the schema's columns is there, a CSV row has too many or too few values, or a value is a list or an
            object.
    """
    columns = schema["columns"]
    if isinstance(data[0], list):
        header = [c.strip() for c in data[0]]
        named = set(header) & set(columns)
        if len(named) > len(columns) / 2 and len(data) > 1:
            body = data[1:]
        elif named and len(data) == 1:
            raise BadPayload("The CSV has a header and no rows.")
        else:
            header, body = list(columns), list(data)
        for n, row in enumerate(body, 1):
            if len(row) != len(header):
                raise BadPayload(
                    f"Row {n} of the CSV has {len(row)} values; expected {len(header)}: {_some(header)}."
                )
        data = [dict(zip(header, row, strict=True)) for row in body]
    for n, row in enumerate(data, 1):
        if not any(c in row for c in columns):
            raise BadPayload(f"Row {n} has none of the model's columns: {_some(columns)}.")
    return pd.DataFrame(
        {c: [_text(row.get(c), c, n) for n, row in enumerate(data, 1)] for c in columns}, dtype=object
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (", …" if len(names) > 12 else "")


def _text(value: Any, column: str, row: int) -> str | None:
    """A value as the text that the table had it as; None if there is none."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (list, dict)):
        raise BadPayload(
            f"Row {row}: {column} is a {'list' if isinstance(value, list) else 'object'}, not a value."
        )
    return str(value).lower() if isinstance(value, bool) else str(value)


# --- from raw rows to what the model was trained on


def transform(table: pd.DataFrame, schema: Mapping[str, Any]) -> pd.DataFrame:
    """The features of raw rows: numbers filled, winsorised and scaled; categories among those of train.

    `table` has the schema's columns as text or None. What is learned here is nothing: all numbers come from the schema.
    """
    words = schema["missing_words"]
    out: dict[str, Any] = {}
    for spec in schema["features"]:
        name = spec["name"]
        text = table[name].astype(object).str.strip(BLANK)
        missing = [*words.get("*", ()), *words.get(name, ())]
        text = text.mask(text.isin(["", *missing]) | text.isna(), None)
        numbers = np.array([_number(t) for t in text], dtype=float)
        numbers[np.isin(numbers, [_number(w) for w in missing])] = np.nan
        if spec["kind"] == "numeric":
            filled = np.where(np.isnan(numbers), spec["fill"], numbers)
            out[name] = (np.clip(filled, spec["low"], spec["high"]) - spec["center"]) / spec["scale"]
            if "indicator" in spec:
                out[spec["indicator"]] = np.isnan(numbers).astype(float)
        else:
            text = text.mask(np.isin(numbers, [_number(w) for w in missing]), None)
            known = set(spec["categories"][:-2])
            out[name] = [MISSING if t is None else t if t in known else OTHER for t in text]
    return pd.DataFrame(out)


def _number(text: str | None) -> float:
    """Text as a finite number; NaN if it is none."""
    try:
        value = float(text) if text is not None and "_" not in text else np.nan
    except ValueError:
        return np.nan
    return value if np.isfinite(value) else np.nan


# --- the model


def names(schema: Mapping[str, Any]) -> list[str]:
    """The features' columns in the order in which the model takes them."""
    return [n for s in schema["features"] for n in (s["name"], s.get("indicator")) if n]


def codes(features: pd.DataFrame, schema: Mapping[str, Any]) -> np.ndarray:
    """Features as numbers: a category as its place in the schema's list, as LightGBM takes it."""
    places = {
        s["name"]: {c: n for n, c in enumerate(s["categories"])}
        for s in schema["features"]
        if "categories" in s
    }
    columns = [features[n].map(places[n]) if n in places else features[n] for n in names(schema)]
    return np.column_stack([np.asarray(c, dtype=float) for c in columns])


def load(file: Path) -> Any:
    """The model in a file: LightGBM's own text format, or a scikit-learn pipeline."""
    if file.suffix == ".txt":
        import lightgbm

        return lightgbm.Booster(model_file=str(file))
    import joblib

    return joblib.load(file)


def score(predictor: Any, features: pd.DataFrame, schema: Mapping[str, Any]) -> np.ndarray:
    """The chance of the positive label, or the predicted number, of each row."""
    if hasattr(predictor, "predict_proba"):
        return np.asarray(predictor.predict_proba(features[names(schema)])[:, 1])
    if hasattr(predictor, "named_steps"):
        return np.asarray(predictor.predict(features[names(schema)]))
    threads = 0 if len(features) > MANY else 1
    return np.asarray(predictor.predict(codes(features, schema), num_threads=threads))
