"""Which values a tuning job tries: hyperparameter ranges, and the order in which a strategy goes through them.

The same ranges, strategy, seed and results give the same values. Source: "How hyperparameter tuning works" and "Define
hyperparameter ranges" of the SageMaker developer guide; AWS's Bayesian strategy is not public, Optuna's TPE stands in for it.
"""

from __future__ import annotations

import itertools
import json
import math
import random
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kit.local_aws.protocol import AwsError

__all__ = ["Range", "Search", "combinations", "read_ranges", "seed_of"]

WIDE = 100.0  # from this ratio of largest to smallest on, "Auto" searches a positive range by orders of magnitude
STARTUP = 3  # random trials before TPE: with budgets of 8 to 30 trials it finds better values than with Optuna's own 10
LISTED = 100_000  # combinations that are listed to find one that was not tried
RETRIES = 20


@dataclass(frozen=True)
class Range:
    """One hyperparameter to tune: `kind` Integer or Continuous from `low` to `high`, or Categorical with `values`.

    `scaling`: Linear, Logarithmic or ReverseLogarithmic (by the distance from 1).
    """

    name: str
    kind: str
    low: float = 0.0
    high: float = 0.0
    values: tuple[str, ...] = ()
    scaling: str = "Linear"

    @property
    def size(self) -> float:
        """How many values it has; infinity for a continuous one."""
        if self.kind == "Categorical":
            return len(self.values)
        return self.high - self.low + 1 if self.kind == "Integer" else math.inf

    def every(self) -> Iterator[str]:
        """Each value of a range that is not continuous, as the training job gets it."""
        return iter(self.values or [str(n) for n in range(int(self.low), int(self.high) + 1)])

    def distribution(self) -> Any:
        """Optuna's form of the range."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.kind == "Categorical":
            return CategoricalDistribution(self.values)
        if self.kind == "Integer":
            return IntDistribution(int(self.low), int(self.high), log=self.scaling == "Logarithmic")
        if self.scaling == "ReverseLogarithmic":
            return FloatDistribution(1 - self.high, 1 - self.low, log=True)
        return FloatDistribution(self.low, self.high, log=self.scaling == "Logarithmic")

    def text(self, drawn: Any) -> str:
        """The value that Optuna drew, as the training job gets it: hyperparameters are text."""
        if self.kind == "Continuous" and self.scaling == "ReverseLogarithmic":
            drawn = 1 - drawn
        return repr(min(max(drawn, self.low), self.high)) if self.kind == "Continuous" else str(drawn)

    def drawn(self, text: str) -> Any:
        """The value of another tuning job's trial as Optuna would have drawn it; None where it is not in this range."""
        if self.kind == "Categorical":
            return text if text in self.values else None
        try:
            value = float(text)
        except ValueError:
            return None
        if not self.low <= value <= self.high:
            return None
        if self.kind == "Integer":
            return int(value)
        return 1 - value if self.scaling == "ReverseLogarithmic" else value


def read_ranges(given: Mapping[str, Any]) -> tuple[Range, ...]:
    """The ranges of a request's ParameterRanges, sorted by name. Raises AwsError for one that cannot be searched."""
    found = [_numeric(item, "Integer") for item in given.get("IntegerParameterRanges", [])]
    found += [_numeric(item, "Continuous") for item in given.get("ContinuousParameterRanges", [])]
    for item in given.get("CategoricalParameterRanges", []):
        if len(set(item["Values"])) < len(item["Values"]):
            raise _invalid(f"The values of the categorical hyperparameter [{item['Name']}] must be unique.")
        found.append(Range(item["Name"], "Categorical", values=tuple(item["Values"])))
    names = [one.name for one in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise _invalid(f"The hyperparameter ranges name [{', '.join(twice)}] more than once.")
    return tuple(sorted(found, key=lambda one: one.name))


def _numeric(item: Mapping[str, str], kind: str) -> Range:
    name, scaling = item["Name"], item.get("ScalingType", "Auto")
    try:
        low, high = float(item["MinValue"]), float(item["MaxValue"])
        whole = kind == "Continuous" or (low.is_integer() and high.is_integer())
    except ValueError:
        whole = False
        low = high = math.nan
    said = f"[{item['MinValue']}, {item['MaxValue']}] of the hyperparameter [{name}]"
    if not (whole and math.isfinite(low) and math.isfinite(high)):
        raise _invalid(f"The range {said} must have two {'integers' if kind == 'Integer' else 'numbers'}.")
    if low >= high:
        raise _invalid(f"The MinValue of the range {said} must be less than its MaxValue.")
    if scaling == "Auto":
        scaling = "Logarithmic" if low > 0 and high / low >= WIDE else "Linear"
    if scaling == "Logarithmic" and low <= 0:
        raise _invalid(f"Logarithmic scaling works only for values greater than 0, not for {said}.")
    if scaling == "ReverseLogarithmic":
        if kind == "Integer":
            raise _invalid(f"Reverse logarithmic scaling is for continuous ranges, not for {said}.")
        if low < 0 or high >= 1:
            raise _invalid(f"Reverse logarithmic scaling works only within 0 <= x < 1.0, not for {said}.")
    return Range(name, kind, low, high, scaling=scaling)


def _invalid(message: str) -> AwsError:
    return AwsError("ValidationException", message)


def combinations(ranges: Sequence[Range]) -> float:
    """How many different sets of values there are; infinity with a continuous range."""
    return math.prod(one.size for one in ranges)


def seed_of(config: Mapping[str, Any]) -> int:
    """The seed of a tuning job: its RandomSeed, else one that its configuration decides, so that the same job goes the same way."""
    if config.get("RandomSeed") is not None:
        return int(config["RandomSeed"]) % 2**32
    return zlib.crc32(json.dumps(config, sort_keys=True, default=str).encode())


class Search:
    """Asked for the values of one trial after the other, and told what they led to.

    "Bayesian" goes by the results; "Random" and "Grid" go the same way whatever they were. No set of values comes twice.
    """

    def __init__(self, ranges: Sequence[Range], strategy: str, seed: int, maximize: bool) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        samplers = optuna.samplers
        bayesian = strategy == "Bayesian"
        sampler = (
            samplers.TPESampler(seed=seed, n_startup_trials=STARTUP)
            if bayesian
            else samplers.RandomSampler(seed=seed)
        )
        direction = optuna.study.StudyDirection.MAXIMIZE if maximize else optuna.study.StudyDirection.MINIMIZE
        self._study = optuna.create_study(sampler=sampler, direction=direction)
        self._failed = optuna.trial.TrialState.FAIL
        self._ranges = list(ranges)
        self._distributions = {one.name: one.distribution() for one in ranges}
        self._trials: list[Any] = []
        self._tried: set[tuple[str, ...]] = set()
        self._grid = strategy == "Grid"
        self._random = random.Random(seed)

    def know(self, values: Mapping[str, str], result: float) -> bool:
        """Learn from a trial of an earlier tuning job; False where its values are not in the ranges of this one."""
        import optuna

        drawn = {one.name: one.drawn(values[one.name]) for one in self._ranges if one.name in values}
        if len(drawn) < len(self._ranges) or None in drawn.values():
            return False
        self._study.add_trial(
            optuna.trial.create_trial(params=drawn, distributions=self._distributions, value=result)
        )
        return True

    def ask(self) -> dict[str, str]:
        """The values of the next trial."""
        trial = self._new() if not self._grid else None
        if trial is None:
            values = dict(zip((one.name for one in self._ranges), self._untried(), strict=True))
            drawn = {one.name: one.drawn(values[one.name]) for one in self._ranges}
            self._study.enqueue_trial(drawn)
            trial = self._study.ask(self._distributions)
        else:
            values = self._values(trial)
        self._trials.append(trial)
        self._tried.add(tuple(values.values()))
        return values

    def tell(self, number: int, result: float | None) -> None:
        """What trial `number` (from 0, in the order in which they were asked for) led to; None where it has no result."""
        if result is None:
            self._study.tell(self._trials[number], state=self._failed)
        else:
            self._study.tell(self._trials[number], result)

    def _new(self) -> Any:
        """A trial with values that were not tried; None where the sampler comes back to the same ones."""
        for _ in range(RETRIES):
            trial = self._study.ask(self._distributions)
            if tuple(self._values(trial).values()) not in self._tried:
                return trial
            self._study.tell(trial, state=self._failed)
        return None

    def _values(self, trial: Any) -> dict[str, str]:
        return {one.name: one.text(trial.params[one.name]) for one in self._ranges}

    def _untried(self) -> tuple[str, ...]:
        """In a grid the next combination; else one at random of those that were not tried."""
        every = (found for found in itertools.product(*(one.every() for one in self._ranges)))
        left = (found for found in every if found not in self._tried)
        if self._grid:
            return next(left)
        listed = list(itertools.islice(left, LISTED))
        return self._random.choice(listed)
