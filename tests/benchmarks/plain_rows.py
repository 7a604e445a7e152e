"""What `bench_rows.py` measures against: the work of D1, D2 and D3 as one writes it with pandas and scikit-learn, in memory.

    python plain_rows.py make FOLDER ROWS     the generated table as CSV and as Parquet, a plan for it, and its contract
    python plain_rows.py D1|D2|D3 FOLDER

It leaves out what only the event needs (S3, the contract, leaks, bias, what a model makes of balancing), so it does less.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SPLITS = ("train", "validation", "test")


def make(folder: Path, rows: int) -> None:
    """The inputs of all steps. The table lies where D1 would write it, so that its making is not counted."""
    import yaml

    from kit import data, plan
    from kit.table import database, literal

    text = (ROOT / "runbooks" / "plan.yml").read_text(encoding="utf-8")
    raw = yaml.safe_load(text)
    raw["data"] |= {"source": "", "rows": rows}
    (folder / "plan.yml").write_text(yaml.safe_dump(raw, default_flow_style=False), encoding="utf-8")
    event = plan.load(folder / "plan.yml")
    source = data.source(event, folder / "home")
    found = data.profile(source, event.data)
    (folder / "raw").mkdir()
    with database() as db:
        file = literal(str(folder / "raw" / "rows.parquet"))
        db.execute(f"copy (select * from {found.table.sql}) to {file} (format parquet, compression zstd)")
    rules = yaml.safe_load((ROOT / "data_engineering" / "data_contract.yml").read_text(encoding="utf-8"))
    promised = {column.name: {"kind": column.kind, **rules["every"]} for column in found.columns}
    for role in ("target", "id", "time"):
        promised[getattr(event.data, role)] |= rules[role]
    promised[event.data.target]["one_of"] = list(found.target)
    (folder / "contract.json").write_text(json.dumps({"columns": promised}), encoding="utf-8")
    (folder / "arguments.json").write_text(json.dumps(data.arguments(event.data)), encoding="utf-8")


def d1(folder: Path) -> None:
    """Profile, contradicting labels, one Parquet file a month with its checksum, and read back."""
    import pandas as pd

    (file,) = (folder / "home" / "data").glob("*.csv")
    table = pd.read_csv(file, dtype=str)
    profile = []
    for name, values in table.items():
        numbers = pd.to_numeric(values, errors="coerce")
        told = [values.isna().sum(), values.nunique(), numbers.notna().sum(), numbers.min(), numbers.max()]
        profile.append((name, *told, values.dropna().min(), values.dropna().max()))
    rest = pd.util.hash_pandas_object(table.drop(columns="churned"), index=False)
    print(profile, int((table["churned"].groupby(rest).transform("nunique") > 1).sum()))
    out, sums = folder / "plain-raw", []
    out.mkdir()
    for month, part in table.groupby("month"):
        part.to_parquet(out / f"{month}.parquet", index=False, compression="zstd")
        sums.append(hashlib.sha256((out / f"{month}.parquet").read_bytes()).hexdigest())
    back = pd.concat([pd.read_parquet(f) for f in sorted(out.iterdir())])
    same = [int(pd.util.hash_pandas_object(t, index=False).sum()) for t in (table, back)]
    assert same[0] == same[1]
    print(sums)


def d2(folder: Path) -> None:
    """Copies, types, missing values, outliers, a split by month without shared ids, scales, weights; three files."""
    import numpy as np
    import pandas as pd

    table = pd.read_parquet(folder / "raw").replace("unknown", None).drop_duplicates()
    table["month"] = pd.to_datetime(table["month"])
    table["churned"] = table["churned"].astype(int)
    rows = table.groupby("month").size().cumsum() / len(table)
    cuts = [rows.index[int(np.argmin(np.abs(rows - share)))] for share in (0.7, 0.85)]
    place = np.searchsorted(np.array(cuts, dtype="datetime64[ns]"), table["month"].to_numpy(), side="left")
    first = pd.Series(place, index=table.index).groupby(table["customer_id"]).transform("min")
    table = table.assign(place=place)[first.to_numpy() == place]
    table = table.drop(columns=["next_month_spend", "email", "cancellation_fee"])
    train = table["place"] == 0
    for name in table.columns.difference(["customer_id", "month", "churned", "place", "age_band"]):
        numbers = pd.to_numeric(table[name], errors="coerce")
        if numbers.notna().sum() < 0.99 * table[name].notna().sum():
            common = table.loc[train, name].value_counts().index[:100]
            table[name] = (
                table[name]
                .where(table[name].isin(common) | table[name].isna(), "(other)")
                .fillna("(missing)")
            )
            continue
        low, high = numbers[train].quantile([0.005, 0.995])
        numbers = numbers.fillna(numbers[train].median()).clip(low, high)
        table[name] = (numbers - numbers[train].mean()) / (numbers[train].std() or 1.0)
    cells = table[train].groupby(["age_band", "churned"], dropna=False)["place"].transform("size")
    groups = table[train].groupby("age_band", dropna=False)["place"].transform("size")
    labels = table[train].groupby("churned")["place"].transform("size")
    table["row_weight"] = groups * labels / (cells * int(train.sum()))
    for at, name in enumerate(SPLITS):
        (folder / "plain" / name).mkdir(parents=True)
        table[table["place"] == at].to_parquet(folder / "plain" / name / "part.parquet", index=False)


def d3(folder: Path) -> None:
    """The same kinds of features, each kind tried on top of the others in five folds of all of train; three files."""
    import numpy as np
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.decomposition import PCA
    from sklearn.feature_selection import mutual_info_classif
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import (
        KBinsDiscretizer,
        OneHotEncoder,
        PolynomialFeatures,
        PowerTransformer,
        StandardScaler,
        TargetEncoder,
    )
    from threadpoolctl import threadpool_limits

    parts = {name: pd.read_parquet(folder / name) for name in SPLITS}
    schema = json.loads((folder / "report" / "schema.json").read_text(encoding="utf-8"))
    numbers = [f["name"] for f in schema["features"] if f["kind"] == "numeric"]
    texts = [f["name"] for f in schema["features"] if f["kind"] == "category"]
    train = parts["train"]
    y = train[schema["target"]]
    strong = np.argsort(-mutual_info_classif(train[numbers], y, random_state=0))[:4]
    best = [numbers[at] for at in strong]
    steps: list[tuple[str, Any, list[str]]] = [
        ("numbers", "passthrough", numbers),
        ("texts", OneHotEncoder(handle_unknown="ignore"), texts),
        ("powers", PowerTransformer(), numbers),
        ("bends", KBinsDiscretizer(4, subsample=None, quantile_method="averaged_inverted_cdf"), best),
        ("encodings", TargetEncoder(), texts),
        ("products", make_pipeline(PolynomialFeatures(interaction_only=True), StandardScaler()), best),
        ("components", PCA(min(5, len(numbers))), numbers),
    ]
    folds = list(GroupKFold(5).split(train, y, train[schema["id"]]))
    for count in range(2, len(steps) + 1):
        model = make_pipeline(ColumnTransformer(steps[:count]), LogisticRegression(max_iter=1000))
        with threadpool_limits(1):  # as the job does: threads that wait for each other are far slower
            print(count, cross_val_score(model, train, y, cv=folds, scoring="roc_auc").mean())
    made = ColumnTransformer(steps, sparse_threshold=0).fit(train, y)
    for name, part in parts.items():
        (folder / "plain-features" / name).mkdir(parents=True)
        out = pd.DataFrame(made.transform(part), columns=[str(n) for n in made.get_feature_names_out()])
        out.to_parquet(folder / "plain-features" / name / "part.parquet", index=False)


if __name__ == "__main__":
    folder = Path(sys.argv[2])
    if sys.argv[1] == "make":
        make(folder, int(sys.argv[3]))
    else:
        {"D1": d1, "D2": d2, "D3": d3}[sys.argv[1]](folder)
