"""Whole searches on a made-up recording: real engines and rivals through the real loop."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest

from search.compare.recorded.contenders import RIVALS, parse_contender
from search.compare.recorded.simulate import RecordedSpec, SearchResult, simulate, table_name
from search.compare.spec import RunKey
from search.errors import UserError

BUDGET = 240.0
CONTENDERS = ("optuna:mutation", "optuna:tpe", "keras-tuner:hyperband", *(f"rival:{name}" for name in RIVALS))


@pytest.fixture(autouse=True)
def skip_what_is_not_installed(request: pytest.FixtureRequest) -> None:
    """CFO needs an extra; without it, see the test of that."""
    callspec = getattr(request.node, "callspec", None)
    if callspec is not None and callspec.params.get("name") == "rival:cfo":
        pytest.importorskip("flaml", reason="needs the extra bench (flaml)")


def run(path: Path, name: str, repeat: int = 0, budget: float = BUDGET) -> SearchResult:
    spec = RecordedSpec(recordings=(path,), engines=(parse_contender(name),), budgets=(budget,))
    return simulate(spec, RunKey(engine=name, table=table_name(path, budget), repeat=repeat))


@pytest.mark.parametrize("name", CONTENDERS)
def test_a_search_is_reproducible_and_keeps_to_its_time(path: Path, name: str) -> None:
    first, again = (dataclasses.replace(run(path, name), engine_seconds=0.0) for _ in range(2))
    assert first == again
    assert 0 < first.busy_share <= 1
    assert first.full_trials >= 2  # the baseline and the recipe


def test_recipes_alone_gain_nothing(path: Path) -> None:
    result = run(path, "rival:recipes")
    assert (result.gain_points, result.full_trials, result.short_trials) == (0.0, 2, 0)


def test_mutants_are_trained_in_full_and_generations_briefly_first(path: Path) -> None:
    mutation, generations = run(path, "rival:mutation"), run(path, "rival:generations")
    assert mutation.short_trials == 0
    assert mutation.full_trials > 5
    assert generations.short_trials >= 10
    assert 2 < generations.full_trials < generations.short_trials
    assert min(mutation.busy_share, generations.busy_share) > 0.8


def test_more_time_never_does_without_the_baseline_and_a_search_gains(path: Path) -> None:
    none = run(path, "rival:generations", budget=1.0)
    assert none.full_trials == 0
    assert none.gain_points > 0  # the baseline is worse than the recipe
    gains = [run(path, "rival:generations", repeat).observed_gain_points for repeat in range(3)]
    assert max(gains) < 0


def test_a_pruner_is_for_engines_that_take_one() -> None:
    assert parse_contender("optuna:tpe").pruner == "asha"
    assert parse_contender("optuna:tpe", pruner="median").pruner == "median"
    assert parse_contender("optuna:mutation", pruner="median").pruner == "none"
    with pytest.raises(UserError, match="generations"):
        parse_contender("rival:generation")


def test_numbers_below_one_are_refused(path: Path) -> None:
    for changes in ({"repeats": 0}, {"workers": 0}, {"engines": ()}, {"budgets": ()}):
        with pytest.raises(UserError, match="at least one"):
            RecordedSpec(**{"recordings": (path,), "engines": (parse_contender("rival:recipes"),), **changes})
    with pytest.raises(UserError, match="--budget"):
        RecordedSpec(recordings=(path,), engines=(parse_contender("rival:recipes"),), budgets=(0.0, 5.0))


def test_without_flaml_the_extra_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flaml.tune", None)
    with pytest.raises(UserError, match=r"pip install '\.\[bench\]'"):
        run(path, "rival:cfo")
