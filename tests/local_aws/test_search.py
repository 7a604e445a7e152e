"""Which values are tried: within their ranges, on their scale, none twice, and the same again for the same seed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.local_aws.protocol import AwsError
from kit.local_aws.search import Range, Search, combinations, read_ranges, seed_of

RATE = Range("rate", "Continuous", 0.001, 1.0, scaling="Logarithmic")
MOMENTUM = Range("momentum", "Continuous", 0.5, 0.999, scaling="ReverseLogarithmic")
DEPTH = Range("depth", "Integer", 1, 12)
MODE = Range("mode", "Categorical", values=("a", "b", "c"))


def loss(values: dict[str, str]) -> float:
    return abs(float(values["rate"]) - 0.05) + 0.01 * abs(int(values["depth"]) - 6)


def drawn(search: Search, count: int, results: bool = True) -> list[dict[str, str]]:
    found = []
    for number in range(count):
        found.append(search.ask())
        search.tell(number, loss(found[-1]) if results else None)
    return found


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), strategy=st.sampled_from(["Bayesian", "Random"]), maximize=st.booleans()
)
def test_values_lie_in_their_ranges_and_come_again_with_the_seed(
    seed: int, strategy: str, maximize: bool
) -> None:
    ranges = (DEPTH, MODE, MOMENTUM, RATE)
    found = drawn(Search(ranges, strategy, seed, maximize), 8)
    assert found == drawn(Search(ranges, strategy, seed, maximize), 8)
    for values in found:
        assert list(values) == ["depth", "mode", "momentum", "rate"]
        assert values["depth"] in {str(n) for n in range(1, 13)}
        assert values["mode"] in MODE.values
        assert 0.5 <= float(values["momentum"]) <= 0.999
        assert 0.001 <= float(values["rate"]) <= 1.0


def test_a_logarithmic_scale_gives_each_order_of_magnitude_its_share() -> None:
    found = drawn(Search((DEPTH, RATE), "Random", 0, True), 300)
    below = sum(float(values["rate"]) < 0.01 for values in found) / 300
    assert 0.25 < below < 0.42  # one of three; on a linear scale it were one of a hundred
    found = drawn(Search((MOMENTUM,), "Random", 0, True), 300, results=False)
    close = sum(float(values["momentum"]) > 0.99 for values in found) / 300
    assert 0.28 < close < 0.46  # log(0.01 / 0.001) of log(0.5 / 0.001)


@pytest.mark.parametrize("strategy", ["Bayesian", "Random", "Grid"])
def test_no_combination_comes_twice_and_a_finite_space_is_tried_to_the_end(strategy: str) -> None:
    ranges = (MODE, Range("other", "Categorical", values=("x", "y")))
    search = Search(ranges, strategy, 5, maximize=True)
    found = drawn(search, int(combinations(ranges)), results=False)
    assert len({tuple(values.values()) for values in found}) == 6


def test_the_bayesian_strategy_finds_better_values_than_the_random_one() -> None:
    def least(strategy: str, seed: int) -> float:
        return min(map(loss, drawn(Search((DEPTH, RATE), strategy, seed, False), 24)))

    assert sum(least("Bayesian", n) for n in range(12)) < 0.6 * sum(least("Random", n) for n in range(12))


def test_a_search_learns_from_earlier_trials_that_fit_its_ranges() -> None:
    cold, warm = (Search((DEPTH, RATE), "Bayesian", 1, False) for _ in range(2))
    earlier = [{"depth": str(d), "rate": str(r)} for d in (5, 6, 7) for r in (0.04, 0.05, 0.06)]
    earlier += [{"depth": str(d), "rate": str(r)} for d in (1, 2, 11) for r in (0.5, 0.9, 0.002)]
    assert all(warm.know(values, loss(values)) for values in earlier)
    assert min(map(loss, drawn(warm, 3))) < min(map(loss, drawn(cold, 3)))
    assert not warm.know({"depth": "6", "rate": "2.0"}, 0.0)
    assert not warm.know({"depth": "six", "rate": "0.1"}, 0.0)
    assert not warm.know({"depth": "6"}, 0.0)
    assert Search((MODE,), "Bayesian", 1, True).know({"mode": "a", "more": "1"}, 1.0)


@pytest.mark.parametrize(
    ("low", "high", "scaling"),
    [
        ("0.001", "0.1", "Logarithmic"),
        ("0.01", "0.5", "Linear"),
        ("0", "1000", "Linear"),
        ("-5", "500", "Linear"),
    ],
)
def test_auto_searches_wide_positive_ranges_by_orders_of_magnitude(low: str, high: str, scaling: str) -> None:
    item = {"Name": "x", "MinValue": low, "MaxValue": high, "ScalingType": "Auto"}
    [found] = read_ranges({"ContinuousParameterRanges": [item]})
    assert found.scaling == scaling


@pytest.mark.parametrize("value", ["inf", "nan", "", "one"])
def test_a_range_without_two_numbers_is_refused(value: str) -> None:
    for kind in ("Continuous", "Integer"):
        item = {"Name": "x", "MinValue": "0", "MaxValue": value}
        with pytest.raises(AwsError, match="must have two"):
            read_ranges({f"{kind}ParameterRanges": [item]})


def test_a_name_belongs_to_one_range() -> None:
    item: dict[str, Any] = {"Name": "x", "MinValue": "0", "MaxValue": "1"}
    with pytest.raises(AwsError, match="more than once"):
        read_ranges({"ContinuousParameterRanges": [item], "IntegerParameterRanges": [item]})


def test_the_seed_is_the_one_given_or_follows_from_the_configuration() -> None:
    assert seed_of({"RandomSeed": 11}) == 11
    config = {"Strategy": "Random", "ParameterRanges": {"IntegerParameterRanges": []}}
    assert seed_of(config) == seed_of(dict(reversed(config.items())))
    assert seed_of(config) != seed_of({**config, "Strategy": "Bayesian"})
