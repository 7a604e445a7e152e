"""One model's scores, by its own code in a process of its own, so that the code of several archives does not mix.

    python score.py ARCHIVE OUT RAW ROWS SCHEMA [ROWS SCHEMA ...]

Takes the first rows that fit the model: the columns that its features are made of, as the prepare job writes them, or the features
themselves. A model that was trained on rows which were prepared in another way fits none: it gets the raw rows of the same numbers,
as an endpoint would, if the folder RAW is there. Writes OUT (Parquet: row number, score) and prints, as JSON, which rows it took and
what the archive says of the model.
"""

from __future__ import annotations

import importlib
import json
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

UNFIT = 3
"""The exit code that says: the reason is on stderr, in two lines."""


def table(folder: Path) -> Any:
    """All rows of a folder of Parquet files."""
    import pandas as pd

    return pd.concat([pd.read_parquet(file) for file in sorted(folder.rglob("*.parquet"))], ignore_index=True)


def scored(folder: Path, raw: Path, pairs: list[tuple[Path, Path]], out: Path) -> dict[str, Any]:
    """Scores the first rows that fit, or else the raw ones of the first rows."""
    sys.path.insert(0, str(folder / "code"))
    import pandas as pd

    inference, transformer = (importlib.import_module(name) for name in ("inference", "transformer"))
    model = inference.model_fn(str(folder))
    names = inference.names(model.recipe)
    lacking: list[str] = []
    for at, (rows, file) in enumerate(pairs):
        schema = json.loads(file.read_text(encoding="utf-8"))
        if any(schema[key] != model.schema[key] for key in ("problem", "target", "positive")):
            raise Unfit(
                f"It predicts {model.schema['target']}, and the rows are of {schema['target']}.",
                "Compare models of the same target, and of the same kind of problem.",
            )
        if not (differ := transformer.differences(model.recipe, schema)):
            found = table(rows)
            scores = inference.scores(model, found)
        elif made(schema, model.recipe):
            found = table(rows)
            scores = inference.calibrated(inference.score(model.predictor, found, model.recipe), model.about)
        else:
            lacking = lacking or differ
            continue
        pd.DataFrame({"row_number": found[schema["row_number"]], "score": scores}).to_parquet(out)
        return {"rows": at, "about": dict(model.about), "features": len(names)}
    if not raw.is_dir():
        raise Unfit(
            f"No rows fit it: {', '.join(lacking[:8])} is lacking or prepared in another way.",
            "Give the rows and the schema that it was trained on, or those of the prepare job that came before.",
        )
    rows, file = pairs[0]
    number = json.loads(file.read_text(encoding="utf-8"))["row_number"]
    numbers = table(rows)[number]
    try:
        sent = inference.frame(requests(raw, model.schema, numbers, transformer.BEFORE), model.schema)
        features = transformer.features(sent, model.recipe)
    except (inference.BadPayload, transformer.BadRows) as error:
        raise Unfit(f"The raw rows do not fit it: {error}", "Give the raw rows of the split.") from None
    scores = inference.calibrated(inference.score(model.predictor, features, model.recipe), model.about)
    pd.DataFrame({"row_number": numbers, "score": scores}).to_parquet(out)
    return {"rows": 0, "about": dict(model.about), "features": len(names)}


def requests(
    folder: Path, schema: Mapping[str, Any], numbers: Sequence[int], before: str
) -> list[dict[str, Any]]:
    """Raw rows as a request has them: what the model asks for, and `before`, how many earlier rows there are of the row's id.

    numbers: of the rows, as the prepare job counts them: from 1, file by file in the order of their names.
    """
    import pandas as pd
    import pyarrow.parquet as pq

    files = sorted(folder.rglob("*.parquet"))
    if not files:
        raise Unfit(f"{folder.name} has no Parquet file.", "Give the raw rows as Parquet.")
    wanted = {one["column"] for one in schema["request"]}
    read = wanted | {schema["id"], schema["time"]}
    parts = [
        pd.read_parquet(
            file, columns=[n for n in pq.read_schema(file).names if n in read], dtype_backend="pyarrow"
        )
        for file in files
    ]
    whole = pd.concat(parts, ignore_index=True)
    if before in wanted and {schema["id"], schema["time"]} <= set(whole):
        place = pd.Series(pd.factorize(whole[schema["time"]].astype(str), sort=True)[0])
        ids = whole[schema["id"]].astype(object)
        whole[before] = place.groupby(ids, dropna=False).rank(method="min").to_numpy() - 1
    if max(numbers) > len(whole):
        raise Unfit(
            f"There are {len(whole)} raw rows, and no row {max(numbers)}.", "Give the raw rows of the split."
        )
    found = whole[[n for n in whole if n in wanted]].iloc[[n - 1 for n in numbers]].astype(object)
    nothing: Any = None
    plain: list[dict[str, Any]] = [
        dict(zip(found.columns.to_list(), row, strict=True))
        for row in found.where(found.notna(), nothing).to_numpy()
    ]
    return plain


def made(schema: dict[str, Any], recipe: Mapping[str, Any]) -> bool:
    """Whether the rows of this schema are the recipe's features already: the same names and categories, numbers left as they are."""
    here = {spec["name"]: spec.get("categories", []) for spec in schema["features"]}
    limit = sys.float_info.max
    left = all(spec["kind"] == "category" or spec["high"] == limit for spec in schema["features"])
    return left and here == {spec["name"]: spec.get("categories", []) for spec in recipe["features"]}


class Unfit(Exception):
    """The model cannot score the rows: what happened, and what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message}\n{hint}")


def main(archive: Path, out: Path, raw: Path, pairs: list[tuple[Path, Path]]) -> int:
    """Runs it; returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="model-") as scratch:
        try:
            with tarfile.open(archive) as packed:
                packed.extractall(scratch, filter="data")
            if not Path(scratch, "code", "inference.py").is_file():
                raise Unfit(
                    "Its archive has no code/inference.py.", "Give it an archive of the training job of M1."
                )
            print(json.dumps(scored(Path(scratch), raw, pairs, out)))
            return 0
        except (tarfile.TarError, OSError) as error:
            why = str(error).splitlines()[0].rstrip(":")
            print(f"Its archive cannot be read: {why}.\nGive it the model.tar.gz of a job.", file=sys.stderr)
        except Unfit as error:
            print(error, file=sys.stderr)
    return UNFIT


if __name__ == "__main__":
    given = [Path(arg) for arg in sys.argv[1:]]
    sys.exit(main(given[0], given[1], given[2], list(zip(given[3::2], given[4::2], strict=True))))
