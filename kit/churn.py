"""The generated table: customers of a telecom by month, with truths planted in it so that checks can fail.

Nothing in it is real. The same `rows` and `seed` always give the same table; `truths` says what was planted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = ["ACTIVITIES", "CHUNK", "MONTHS", "SEED", "Truths", "chunks", "generate", "truths"]

SEED = 20_261_201
CHUNK = 250_000
"""Rows per chunk: what `chunks` holds in memory at a time. Each chunk has customers of its own."""
MONTHS = tuple(f"2025-{month:02d}-01" for month in range(1, 13))

STAY = 4  # a customer is seen for at most this many months, and no longer than until they churn
DUPLICATES = 0.005  # share of rows that are exact copies of another row
OUTLIERS = 0.002  # share of rows whose charge has its decimal point two places off
WRONG = 0.25  # share of the clear cases of one sales channel whose label was recorded wrong
WRONG_CHANNEL = "partner"
WORSE_GROUP = "60+"
CHEQUE = {"60+": 0.22}  # a proxy: leaving the age band out does not take the bias out

AGE_BANDS = ("18-29", "30-44", "45-59", "60+")
CONTRACTS = ("month-to-month", "one-year", "two-year")
PAYMENTS = ("card", "direct debit", "bank transfer", "cheque")
CHANNELS = ("web", "shop", "phone", "partner")
REGIONS = ("north", "south", "east", "west", "islands")
COLOURS = ("black", "white", "red", "blue", "green")
NAMES = ("ada", "bo", "chen", "dana", "eli", "fatou", "goran", "hana", "ines", "jamal")
COMMENTS = (
    "Called about invoice {}, friendly",
    "Asks for a new router, order {}",
    "Signal is weak at number {} 😕",
    "Thanks for the quick answer 👍 (ticket {})",
    'Wants "fair" prices; ticket {}',
    "Moved house, new meter {}",
)


@dataclass(frozen=True)
class Truths:
    """What was planted in the table of the same `rows` and `seed`.

    `wrong_labels` has one row per wrong label: customer_id, month, recorded, true. Both of a pair of duplicates carry the
    same label; a pair counts once. Shares are of all rows.
    """

    rows: int
    matter: tuple[str, ...]
    noise: tuple[str, ...]
    leaks: tuple[str, ...]
    after_the_fact: tuple[str, ...]
    pii: tuple[str, ...]
    text: tuple[str, ...]
    group_column: str
    worse_group: str
    error_slice: tuple[str, str]
    drift_month: str
    drifted: tuple[str, ...]
    duplicates: int
    outliers: Mapping[str, int]
    missing: Mapping[str, float]
    positive_share: float
    wrong_labels: pd.DataFrame

    @property
    def wrong_share(self) -> float:
        """The share of distinct rows whose label is wrong."""
        return len(self.wrong_labels) / max(1, self.rows - self.duplicates)


def generate(rows: int = 20_000, seed: int = SEED) -> pd.DataFrame:
    """The table: `rows` rows by customer and month, in order of month.

    Charges are in euros a month, usage in gigabytes a month, `tenure_months` in months. Empty cells are NaN or None; some
    categories are the word "unknown". 20,000 rows take a fraction of a second; use `chunks` for more than fits in memory.

    Raises:
        ValueError: fewer than 40 rows are asked for; below that the truths cannot be told from chance.
    """
    import pandas as pd

    parts = list(chunks(rows, seed))
    return parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=True)


def chunks(rows: int, seed: int = SEED) -> Iterator[pd.DataFrame]:
    """The same table in parts of up to `CHUNK` rows, each in order of month."""
    for part, first in _parts(rows, seed):
        yield _frame(part, first)


def truths(rows: int = 20_000, seed: int = SEED) -> Truths:
    """What `generate(rows, seed)` has planted in it."""
    import numpy as np
    import pandas as pd

    wrong, counts, positives, empty = [], np.zeros(2, dtype=int), 0, dict.fromkeys(EMPTY, 0)
    for part, first in _parts(rows, seed):
        frame, original = _frame(part, first), ~part["duplicate"]
        found = part["wrong"] & original
        keys = frame.loc[found, ["customer_id", "month"]]
        wrong.append(
            keys.assign(recorded=part["churned"][found].astype(int), true=part["true"][found].astype(int))
        )
        counts += int(part["duplicate"].sum()), int(part["outlier"].sum())
        positives += int(part["churned"].sum())
        for column in empty:
            empty[column] += int((frame[column].isna() | (frame[column] == "unknown")).sum())
    return Truths(
        rows=rows,
        matter=("contract", "tenure_months", "dropped_calls", "support_calls", "late_payments", "data_gb"),
        noise=("billing_day", "handset_colour", "region"),
        leaks=("cancellation_fee",),
        after_the_fact=("cancellation_fee", "next_month_spend"),
        pii=("email",),
        text=("comment",),
        group_column="age_band",
        worse_group=WORSE_GROUP,
        error_slice=("sales_channel", WRONG_CHANNEL),
        drift_month=MONTHS[-1],
        drifted=("monthly_charge", "data_gb"),
        duplicates=int(counts[0]),
        outliers={"monthly_charge": int(counts[1])},
        missing={column: count / rows for column, count in empty.items()},
        positive_share=positives / rows,
        wrong_labels=pd.concat(wrong, ignore_index=True),
    )


EMPTY = {"data_gb": 0.05, "app_logins": 0.03, "payment_method": 0.04}
"""The columns with missing values and the share that is missing: empty cells, in `payment_method` the word "unknown"."""
ACTIVITIES = ("dropped_calls", "support_calls", "late_payments", "app_logins")
"""The columns that count what a customer did, or met with, in the month."""


def _parts(rows: int, seed: int) -> Iterator[tuple[dict[str, np.ndarray[Any, Any]], int]]:
    """The columns and the hidden truth of each chunk as arrays, and the number of its first customer."""
    if rows < 40:
        raise ValueError(f"At least 40 rows are needed, got {rows}.")
    sizes = [CHUNK] * (rows // CHUNK) + [rows % CHUNK] * bool(rows % CHUNK)
    if sizes[-1] < 40:
        sizes[-2:] = [sizes[-2] - 40, sizes[-1] + 40]
    for number, size in enumerate(sizes):
        yield _part(size, (seed, number)), number * CHUNK


def _part(rows: int, seed: tuple[int, int]) -> dict[str, np.ndarray[Any, Any]]:
    """`rows` rows: customers who come at random, stay up to `STAY` months and leave when they churn."""
    import numpy as np

    rng = np.random.default_rng(seed)
    copies = int(rows * DUPLICATES)
    customers = rows + 100  # more than enough: each has at least one month that counts, or is not used
    person = _people(rng, customers)
    came = rng.integers(1 - STAY, len(MONTHS), customers)
    stay = rng.integers(1, STAY + 1, customers)
    at = np.arange(customers).repeat(stay)
    age = np.arange(stay.sum()) - (stay.cumsum() - stay).repeat(stay)
    month = came[at] + age
    table = {name: values[at] for name, values in person.items()}
    table["tenure_months"] = table["tenure_months"] + age
    _usage(rng, table, month)
    chance = _chance(table)
    true = rng.random(len(at)) < chance
    wrong = (table["sales_channel"] == CHANNELS.index(WRONG_CHANNEL)) & ((chance < 0.12) | (chance > 0.65))
    wrong &= rng.random(len(at)) < WRONG
    churned = true ^ wrong
    before = np.cumsum(churned) - churned
    gone = before - before[np.flatnonzero(age == 0)][at] > 0
    keep = np.flatnonzero(~gone & (month >= 0) & (month < len(MONTHS)))[: rows - copies]
    extra = rng.choice(keep, copies, replace=False)
    rows_of = np.concatenate([keep, extra])
    copied = np.repeat([False, True], [len(keep), copies])
    order = np.lexsort((rng.random(rows), month[rows_of]))
    at, rows_of = at[rows_of][order], rows_of[order]
    part = {name: values[rows_of] for name, values in table.items()}
    part |= {"customer": at, "month": month[rows_of], "duplicate": copied[order], "age": age[rows_of]}
    part |= {"churned": churned[rows_of], "true": true[rows_of], "wrong": wrong[rows_of]}
    _after(np.random.default_rng((*seed, 1)), part)
    return part


def _people(rng: np.random.Generator, count: int) -> dict[str, np.ndarray[Any, Any]]:
    """What stays the same about a customer; categories as the number of the category."""
    import numpy as np

    age = rng.choice(len(AGE_BANDS), count, p=(0.24, 0.31, 0.27, 0.18))
    cheque = np.where(age == AGE_BANDS.index(WORSE_GROUP), CHEQUE[WORSE_GROUP], 0.05)
    contract = rng.choice(len(CONTRACTS), count, p=(0.5, 0.3, 0.2))
    return {
        "age_band": age,
        "region": rng.integers(0, len(REGIONS), count),
        "contract": contract,
        "payment_method": np.where(rng.random(count) < cheque, 3, rng.integers(0, 3, count)),
        "sales_channel": rng.choice(len(CHANNELS), count, p=(0.35, 0.28, 0.2, 0.17)),
        "tenure_months": np.minimum(rng.gamma(1.4, 18.0, count), 90).astype(int) + 1,
        "plan_price": np.round(rng.normal(42, 12, count).clip(12, 95) + 6.0 * (contract == 0), 2),
        "billing_day": rng.integers(1, 29, count),
        "handset_colour": rng.integers(0, len(COLOURS), count),
    }


def _usage(
    rng: np.random.Generator, table: dict[str, np.ndarray[Any, Any]], month: np.ndarray[Any, Any]
) -> None:
    """Adds what a customer did in the month. In the last month prices go up and usage goes down: the drift."""
    import numpy as np

    count, last = len(month), month == len(MONTHS) - 1
    table["data_gb"] = np.round(rng.lognormal(2.2, 0.7, count) * np.where(last, 0.65, 1.0), 2)
    table["monthly_charge"] = np.round(
        (table["plan_price"] + rng.exponential(4.0, count)) * np.where(last, 1.2, 1.0), 2
    )
    table["dropped_calls"] = rng.poisson(rng.gamma(2.0, 1.1, count))
    table["support_calls"] = rng.poisson(0.8, count)
    table["late_payments"] = rng.poisson(0.35, count)
    table["app_logins"] = rng.poisson(9.0, count).astype(float)


def _chance(table: Mapping[str, np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """The chance that the row is recorded as churned: behaviour, and a bias that nobody's behaviour explains."""
    import numpy as np

    monthly = table["contract"] == 0
    score = (
        -3.65
        + np.array([1.1, -0.6, -1.9])[table["contract"]]
        + 1.6 * np.exp(-table["tenure_months"] / 10)
        + 0.36 * table["dropped_calls"]
        + np.where(monthly, 0.75, 0.1) * table["support_calls"]
        + 0.85 * table["late_payments"]
        + 1.5 * (table["data_gb"] < 5)
        + 0.02 * (table["monthly_charge"] - 48)
        - 0.05 * (table["app_logins"] - 9)
        + 1.0 * (table["age_band"] == AGE_BANDS.index(WORSE_GROUP))
    )
    chances: np.ndarray[Any, Any] = 1 / (1 + np.exp(-score))
    return chances


def _after(rng: np.random.Generator, part: dict[str, np.ndarray[Any, Any]]) -> None:
    """Adds what is known only later, then the dirt: outliers and missing values. A copy has the dirt of its original."""
    import numpy as np

    months, first = np.unique(part["customer"] * STAY + part["age"], return_inverse=True)
    count = len(months)

    def draw(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        drawn: np.ndarray[Any, Any] = values[first]
        return drawn

    owed = np.where(part["churned"], draw(rng.random(count)) < 0.97, draw(rng.random(count)) < 0.01)
    part["cancellation_fee"] = np.where(owed, np.round(draw(rng.uniform(20, 120, count)), 2), 0.0)
    part["next_month_spend"] = np.round(
        part["monthly_charge"]
        + 0.45 * np.maximum(part["data_gb"] - 8, 0)
        + 2.5 * part["support_calls"]
        + 4.0 * (part["contract"] == 0)
        + draw(rng.normal(0, 5.0, count)),
        2,
    )
    part["outlier"] = draw(rng.random(count)) < OUTLIERS
    part["monthly_charge"] = np.where(
        part["outlier"], np.round(part["monthly_charge"] * 100, 2), part["monthly_charge"]
    )
    for column, share in EMPTY.items():
        empty = draw(rng.random(count)) < share
        part[column] = np.where(empty, len(PAYMENTS) if column == "payment_method" else np.nan, part[column])
    part["said"] = np.where(draw(rng.random(count)) < 0.15, draw(rng.integers(0, len(COMMENTS), count)), -1)
    part["ticket"] = draw(rng.integers(1000, 10_000_000, count))


def _frame(part: Mapping[str, np.ndarray[Any, Any]], first: int) -> pd.DataFrame:
    """A part as the table that people see."""
    import numpy as np
    import pandas as pd

    number = part["customer"] + first
    words = {
        "age_band": AGE_BANDS,
        "region": REGIONS,
        "contract": CONTRACTS,
        "payment_method": (*PAYMENTS, "unknown"),
        "sales_channel": CHANNELS,
        "handset_colour": COLOURS,
    }
    text = {name: np.array(values, dtype=object)[part[name].astype(int)] for name, values in words.items()}
    said = zip(part["said"].tolist(), part["ticket"].tolist(), strict=True)
    return pd.DataFrame(
        {
            "customer_id": [f"C{n:08d}" for n in number.tolist()],
            "month": np.array(MONTHS, dtype=object)[part["month"]],
            "age_band": text["age_band"],
            "region": text["region"],
            "email": [f"{NAMES[n % 10]}.{n}@example.com" for n in number.tolist()],
            "contract": text["contract"],
            "payment_method": text["payment_method"],
            "sales_channel": text["sales_channel"],
            "tenure_months": part["tenure_months"],
            "monthly_charge": part["monthly_charge"],
            "data_gb": part["data_gb"],
            "dropped_calls": part["dropped_calls"],
            "support_calls": part["support_calls"],
            "late_payments": part["late_payments"],
            "app_logins": pd.array(part["app_logins"], dtype="Int64"),
            "billing_day": part["billing_day"],
            "handset_colour": text["handset_colour"],
            "comment": [COMMENTS[s].format(t) if s >= 0 else None for s, t in said],
            "cancellation_fee": part["cancellation_fee"],
            "next_month_spend": part["next_month_spend"],
            "churned": part["churned"].astype(int),
        }
    )
