"""Tests what the budget of a run buys, and the lines that tell it before the first trial."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from makers import complete, trial

from search.cli.forecast_view import describe_forecast
from search.engines.hub.samplers.screened_mutation.sampler import SCREENING_RATIO
from search.records.record import StudyRecord, TrialRecord
from search.records.storage.file_ledger import FileLedger
from search.session.costs import PlanCosts
from search.session.forecast import Forecast, make_forecast
from search.session.parallelism.policy import ChosenBy, Parallelism, WorkerLayout
from search.session.plan import Plan, make_plan
from search.session.settings import from_mapping
from search.session.timetable import Timetable
from search.study.time_budget import CLOSING_SECONDS
from search.trial import BASELINE, Config, Phase

IMAGES_PER_SECOND = 5_000.0


@pytest.fixture
def plan(tmp_path: Path, small_mnist: Path, cache_dir: Path) -> Callable[..., Plan]:
    """Makes plans whose throughput was measured."""

    def make(workers: int = 2, images_per_second: float = IMAGES_PER_SECOND, **options: object) -> Plan:
        where = {"dataset": small_mnist, "cache_dir": cache_dir, "studies_dir": tmp_path / "studies", "seed": 1}
        layout = WorkerLayout(workers=workers, threads=1)
        chosen = Parallelism(
            layout=layout, chosen_by=ChosenBy.MEASURED, images_per_second={layout: images_per_second * workers}
        )
        prepared = make_plan(from_mapping({**where, "engine": "optuna", "sampler": "mutation", **options}))
        return replace(prepared, chosen_parallelism=chosen)

    return make


def forecast(prepared: Plan, *records: TrialRecord, elapsed_seconds: float = 0.0) -> Forecast:
    record = StudyRecord(header=prepared.header, trials=records)
    return make_forecast(PlanCosts.of(prepared), record, elapsed_seconds=elapsed_seconds)


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_what_the_time_buys_takes_the_time(workers: int, plan: Callable[..., Plan]) -> None:
    made = forecast(plan(workers, timeout=600))
    assert made.images_per_second == IMAGES_PER_SECOND * workers
    assert 0.8 * 600 < made.search_seconds + made.verification_seconds <= 600 - CLOSING_SECONDS
    assert made.sufficient_timeout is None
    assert made.verified == (BASELINE, "best recipe", "winner")
    more = forecast(plan(workers, timeout=1200))
    assert more.short_trials > made.short_trials > 0
    assert more.full_trials > made.full_trials > 2


def test_seeds_that_leave_no_time_to_search_are_said_with_a_time_that_does(plan: Callable[..., Plan]) -> None:
    crowded = forecast(plan(timeout=600, replicates=100))
    assert crowded.full_trials == crowded.short_trials == 0
    assert crowded.replicates_timeout is not None
    assert f"more than --timeout {crowded.replicates_timeout // 60}m" in " ".join(describe_forecast(crowded))
    enough = forecast(plan(timeout=crowded.replicates_timeout + 60, replicates=100))
    assert enough.replicates_timeout is None
    assert enough.full_trials >= 2


def test_short_trials_take_the_share_of_the_time_that_the_sampler_gives_them(plan: Callable[..., Plan]) -> None:
    made = forecast(plan(timeout=3600))
    assert made.short_epochs == 2
    assert abs(made.short_trials * 2 - SCREENING_RATIO * made.full_trials * 10) <= SCREENING_RATIO * 10


def test_a_number_of_trials_or_epochs_is_kept_to(plan: Callable[..., Plan]) -> None:
    made = forecast(plan(trials=30))
    assert made.short_trials + made.full_trials == 30
    made = forecast(plan(total_epochs=100))
    assert 100 <= 2 * made.short_trials + 10 * made.full_trials < 110


def test_an_engine_without_short_trials_is_forecast_full_ones(plan: Callable[..., Plan]) -> None:
    made = forecast(plan(timeout=600, sampler="random"))
    assert made.short_epochs is None
    assert made.short_trials == 0
    assert made.full_trials > 2


@pytest.mark.parametrize("options", [{}, {"recipes": False}, {"finalists": 0}])
def test_the_time_that_is_called_enough_is_enough(options: dict[str, object], plan: Callable[..., Plan]) -> None:
    options = {"images_per_second": 200.0, **options}
    hurried = forecast(plan(timeout=30, **options))
    assert hurried.first_epochs < 10
    assert hurried.sufficient_timeout is not None
    assert hurried.sufficient_timeout % 60 == 0
    enough = forecast(plan(timeout=hurried.sufficient_timeout, **options))
    assert enough.first_epochs == 10
    assert enough.sufficient_timeout is None
    less = forecast(plan(timeout=hurried.sufficient_timeout - 60, **options))
    assert less.first_epochs < 10


def test_baseline_and_best_recipe_get_the_forecast_epochs_both(plan: Callable[..., Plan]) -> None:
    for timeout in (30, 60, 600):
        prepared = plan(timeout=timeout, images_per_second=200.0)
        with FileLedger.in_memory(prepared.location, prepared.header) as ledger:
            timetable = Timetable(prepared, ledger, elapsed_seconds=lambda: 0.0)
            configs = PlanCosts.of(prepared).first_configs.values()
            until_begin = prepared.parallelism.start_seconds
            expected = forecast(prepared, elapsed_seconds=until_begin).first_epochs
            assert {timetable.first_epochs(config) for config in configs} == {expected}


def test_what_is_recorded_is_not_forecast_again(plan: Callable[..., Plan]) -> None:
    prepared = plan(trials=30)
    recipe, config = next(iter(PlanCosts.of(prepared).recipes.items()))

    def ended(number: int, origin: str, config: Config) -> TrialRecord:
        return TrialRecord(trial=trial(number, origin=origin, config=config, epochs=10), outcome=complete(epochs=10))

    baseline = ended(0, BASELINE, prepared.header.space.baseline)
    made = forecast(prepared, baseline, ended(1, f"recipe: {recipe}", config))
    fresh = forecast(prepared)
    assert made.short_trials + made.full_trials == 28
    assert made.full_trials == fresh.full_trials - 2
    run = trial(config=baseline.trial.config, epochs=10, phase=Phase.VERIFICATION, source_trial=0, replicate=0)
    verified = TrialRecord(trial=run, outcome=complete(epochs=10))
    assert forecast(prepared, baseline, verified).verification_seconds < fresh.verification_seconds


def test_recipes_for_which_the_time_is_too_short_are_named(plan: Callable[..., Plan]) -> None:
    space = plan(timeout=600).header.space
    assert forecast(plan(timeout=36_000)).left_out == ()
    left_out = forecast(plan(timeout=20)).left_out
    assert 0 < len(left_out) < len(space.recipes)
    assert set(left_out) < set(space.recipes)
    assert forecast(plan(timeout=20, recipes=False)).left_out == ()


def test_the_lines_fit_and_tell_what_is_bought(plan: Callable[..., Plan]) -> None:
    made = forecast(plan(timeout=600))
    large = replace(
        made,
        images_per_second=123_456.7,
        baseline_seconds=4000.0,
        recipe_seconds=5000.0,
        short_trials=1_234,
        full_trials=246,
        epochs=50,
        first_epochs=50,
        short_epochs=10,
        search_seconds=27_000.0,
        verification_seconds=3_600.0,
        verified=("baseline", "best recipe", "best 10"),
    )
    hurried = replace(made, first_epochs=3, sufficient_timeout=36_000, images_per_second=None, is_measured=False)
    crowded = replace(large, search_seconds=0.0, full_trials=0, short_trials=0, replicates_timeout=36_000)
    for shown in (made, large, crowded, hurried, replace(hurried, recipe=None, recipe_seconds=None, verified=())):
        lines = describe_forecast(shown)
        assert all(len(line) <= 80 for line in lines), lines
    assert len(describe_forecast(replace(made, left_out=()))) == 3
    assert "the recipes a, b" in describe_forecast(replace(made, left_out=("a", "b")))[3]
    assert "--timeout 600m" in " ".join(describe_forecast(hurried))
    text = " ".join(describe_forecast(made))
    assert f"{made.short_trials} short trials of 2 epochs" in text
    assert f"{made.full_trials} full ones of 10" in text
    assert json.loads(json.dumps(made.to_json()))["short_trials"] == made.short_trials
