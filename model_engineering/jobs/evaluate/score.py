"""One model's scores, by its own code in a process of its own, so that the code of several archives does not mix.

    python score.py ARCHIVE OUT ROWS SCHEMA [ROWS SCHEMA ...]

Takes the first rows that fit the model: the columns that its features are made of, as the prepare job writes them, or the features
themselves. Writes OUT (Parquet: row number, score) and prints, as JSON, which rows it took and what the archive says of the model.
"""

from __future__ import annotations

import importlib
import json
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

UNFIT = 3
"""The exit code that says: the reason is on stderr, in two lines."""


def table(folder: Path) -> Any:
    """All rows of a folder of Parquet files."""
    import pandas as pd

    return pd.concat([pd.read_parquet(file) for file in sorted(folder.rglob("*.parquet"))], ignore_index=True)


def scored(folder: Path, pairs: list[tuple[Path, Path]], out: Path) -> dict[str, Any]:
    """Scores the first rows that fit."""
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
    raise Unfit(
        f"No rows fit it: {', '.join(lacking[:8])} is lacking or prepared in another way.",
        "Give the rows and the schema that it was trained on, or those of the prepare job that came before.",
    )


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


def main(archive: Path, out: Path, pairs: list[tuple[Path, Path]]) -> int:
    """Runs it; returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="model-") as scratch:
        try:
            with tarfile.open(archive) as packed:
                packed.extractall(scratch, filter="data")
            if not Path(scratch, "code", "inference.py").is_file():
                raise Unfit(
                    "Its archive has no code/inference.py.", "Give it an archive of the training job of M1."
                )
            print(json.dumps(scored(Path(scratch), pairs, out)))
            return 0
        except (tarfile.TarError, OSError) as error:
            why = str(error).splitlines()[0].rstrip(":")
            print(f"Its archive cannot be read: {why}.\nGive it the model.tar.gz of a job.", file=sys.stderr)
        except Unfit as error:
            print(error, file=sys.stderr)
    return UNFIT


if __name__ == "__main__":
    given = [Path(arg) for arg in sys.argv[1:]]
    sys.exit(main(given[0], given[1], list(zip(given[2::2], given[3::2], strict=True))))
