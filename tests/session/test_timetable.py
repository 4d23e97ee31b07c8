"""What is begun in a limited time: whole runs on a virtual clock, whose trials take what the cost model predicts."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from makers import complete
from virtual_runs import play, predicted_course

from search.execution.virtual import VirtualExecutor
from search.records.record import StudyRecord
from search.records.storage.file_ledger import FileLedger
from search.session.costs import PlanCosts
from search.session.parallelism.choose import choose_parallelism
from search.session.plan import Plan, make_plan
from search.session.settings import from_mapping
from search.session.timetable import Timetable
from search.study.time_budget import CLOSING_SECONDS
from search.study.verification import finalists, verification_trials
from search.trial import BASELINE, RECIPE_PREFIX, Cause, Phase, State, Trial

EPOCHS = 10
SAMPLERS = ("mutation", "random")


def error_percent(trial: Trial) -> float:
    """The baseline has the largest error, the recipes the same; what is proposed is better, the later the more."""
    return 5.0 if trial.origin == BASELINE else 3.0 if trial.is_recipe else 3.0 - 0.01 * min(trial.number, 200)


@pytest.fixture
def make(tmp_path: Path, cache_dir: Path) -> Callable[..., Plan]:
    """Makes plans of a study. Its time is a multiple of what the first trainings need in full."""

    def make(share: float | None, **options: object) -> Plan:
        timeout = None if share is None else share * in_full(make(None, **options)) + CLOSING_SECONDS
        where = {"cache_dir": cache_dir, "studies_dir": tmp_path / "studies"}
        fixed = {"study": "timed", "seed": 1, "epochs": EPOCHS, "pruner": "none", "sampler": "mutation", "workers": 1}
        return make_plan(from_mapping({**where, **fixed, "timeout": timeout, **options}))

    return make


def with_workers(plan: Plan) -> Plan:
    """The plan, with workers that start at once."""
    return replace(plan, chosen_parallelism=replace(choose_parallelism(plan), start_seconds=0.0))


def in_full(plan: Plan) -> float:
    """The seconds in which baseline and first recipe are trained in full and verified once."""
    costs = PlanCosts.of(with_workers(plan))
    return costs.first_seconds(costs.first_configs.values(), epochs=EPOCHS)


def run(plan: Plan, *, factor: float = 1.0) -> tuple[StudyRecord, float]:
    """Runs a study, or continues it; returns the record and the seconds.

    Args:
        plan: The run.
        factor: How much slower the machine is than that of the shipped cost model.
    """
    executor = VirtualExecutor(predicted_course(plan, error_percent, factor=factor), slots=plan.settings.workers)
    return play(plan, executor)[0], executor.now


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_time_is_used_and_nothing_is_begun_that_cannot_end(
    make: Callable[..., Plan], sampler: str, workers: int
) -> None:
    plan = make(7.0, sampler=sampler, workers=workers)
    record, seconds = run(plan)
    assert seconds <= plan.settings.timeout
    # What a random sampler proposes may be too large for the time that is left, however often it is asked.
    assert seconds >= 0.97 * plan.settings.timeout or sampler == "random"
    assert {known.state for known in record.trials} <= {State.COMPLETE, State.SCREENED}
    assert verification_trials(record, count=1, replicates=1) == [], "all that is compared was verified"


def test_a_short_training_of_another_recipe_is_not_tested_while_the_first_runs(make: Callable[..., Plan]) -> None:
    record, _ = run(make(7.0, workers=2))
    first, *others = [known for known in record.trials_in_phase(Phase.SEARCH) if known.trial.is_recipe]
    assert not first.trial.is_short
    assert any(other.outcome.elapsed_seconds < first.outcome.elapsed_seconds for other in others)
    assert not any(known.trial.is_short for known in record.trials_in_phase(Phase.VERIFICATION))


def test_a_recipe_that_was_screened_and_is_trained_in_full_keeps_its_name(make: Callable[..., Plan]) -> None:
    def best_is_the_last_recipe(trial: Trial) -> float:
        return 3.0 - 0.1 * names.index(trial.origin) if trial.is_recipe else 4.0

    plan = with_workers(make(12.0))
    names = [f"{RECIPE_PREFIX}{name}" for name in plan.header.space.recipes]
    executor = VirtualExecutor(predicted_course(plan, best_is_the_last_recipe), slots=plan.settings.workers)
    record, _ = play(plan, executor)
    (last,) = {known.trial.origin for known in finalists(record, 1) if known.trial.is_recipe}
    assert last == names[-1]
    trained = [known for known in record.trials_in_phase(Phase.SEARCH) if known.trial.origin == last]
    assert {known.trial.is_short for known in trained} == {True, False}


def test_a_recipe_that_was_left_out_is_tried_where_training_is_faster_than_planned(make: Callable[..., Plan]) -> None:
    plan = with_workers(make(3.0))
    left_out = {f"{RECIPE_PREFIX}{name}" for name in {*plan.header.space.recipes} - {*PlanCosts.of(plan).recipes}}
    assert left_out
    for factor, is_tried in ((1.0, False), (0.3, True)):
        record, seconds = run(replace(plan, header=replace(plan.header, name=f"at-{factor}")), factor=factor)
        assert seconds <= plan.settings.timeout
        assert (left_out <= {known.trial.origin for known in record.trials}) == is_tried


def test_no_worker_waits_for_the_test_run_of_another(make: Callable[..., Plan]) -> None:
    plan = make(1.3, workers=2)
    record, seconds = run(plan)
    busy = sum(sum(known.outcome.seconds.values()) for known in record.trials)
    assert busy >= 0.9 * plan.settings.workers * seconds


@pytest.mark.parametrize("factor", [1.0, 1.1, 1.4])
@pytest.mark.parametrize("share", [1.0, 1.3])
def test_a_machine_that_slows_down_still_verifies_the_best_recipe(
    make: Callable[..., Plan], share: float, factor: float
) -> None:
    plan = make(share, workers=2)
    record, seconds = run(plan, factor=factor)
    assert seconds <= plan.settings.timeout
    tested = record.trials_in_phase(Phase.VERIFICATION)
    assert {known.trial.source_trial for known in tested if known.state is State.COMPLETE} >= {0, 1}
    assert verification_trials(record, count=1, replicates=1) == []


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("factor", [1.6, 2.5, 4.0])
def test_on_a_machine_that_is_much_slower_than_measured_the_first_trials_begin_again(
    make: Callable[..., Plan], factor: float, workers: int
) -> None:
    plan = make(1.2, workers=workers)
    record, seconds = run(plan, factor=factor)
    assert seconds <= plan.settings.timeout
    slow = [known for known in record.trials if known.outcome.cause is Cause.TOO_SLOW]
    assert 1 <= len(slow) <= workers
    assert all(known.trial.phase is Phase.SEARCH and len(known.history) < EPOCHS / 2 for known in slow)
    rows = finalists(record, 1)
    assert [row.trial.is_recipe for row in rows] == [False, True]
    assert len({row.trial.epochs for row in rows}) == 1, "they are comparable"
    assert rows[0].trial.is_short
    assert verification_trials(record, count=1, replicates=1) == []


def test_the_best_configuration_was_found_by_the_search(make: Callable[..., Plan]) -> None:
    record, _ = run(make(12.0))
    baseline, recipe, best = finalists(record, 1)
    assert (baseline.trial.origin, recipe.trial.is_recipe, best.trial.origin) == (BASELINE, True, "found")
    assert not best.trial.is_short


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_in_little_time_the_first_trials_are_shortened_and_marked(
    make: Callable[..., Plan], sampler: str, workers: int
) -> None:
    plan = make(0.6, sampler=sampler, workers=workers)
    record, seconds = run(plan)
    assert seconds <= plan.settings.timeout - CLOSING_SECONDS
    searched, tested = record.trials_in_phase(Phase.SEARCH), record.trials_in_phase(Phase.VERIFICATION)
    assert {known.state for known in tested} == {State.COMPLETE}
    assert {known.trial.source_trial for known in tested} >= {0, 1}, "both were verified"
    assert [known.trial.origin == BASELINE for known in searched[:2]] == [True, False]
    assert [known.trial.is_short for known in searched[:2]] == [True, True]
    assert {known.state for known in searched[:2]} == {State.SCREENED}
    assert EPOCHS > searched[0].trial.epochs >= searched[1].trial.epochs
    for known in tested:
        source = searched[known.trial.source_trial].trial
        assert (known.trial.epochs, known.trial.is_short) == (source.epochs, source.is_short)


def test_a_study_whose_first_trials_were_short_trains_them_in_full_in_more_time(make: Callable[..., Plan]) -> None:
    first, _ = run(make(0.4))
    assert all(known.trial.is_short for known in first.trials)
    again, _ = run(make(0.4))
    assert again.trials == first.trials, "the same time again runs nothing"
    more, _ = run(make(12.0))
    assert [known.trial.is_short for known in finalists(more, 1)] == [False] * 3
    assert verification_trials(more, count=1, replicates=1) == []


def test_a_study_without_a_limit_of_time_is_not_shortened(make: Callable[..., Plan]) -> None:
    record, _ = run(make(None, trials=4, sampler="random"), factor=1_000.0)
    assert not any(known.trial.is_short for known in record.trials)
    assert len(record.trials_in_phase(Phase.SEARCH)) == 4
    assert verification_trials(record, count=1, replicates=3) == []


def test_a_run_without_verification_spends_its_time_on_the_search(make: Callable[..., Plan]) -> None:
    plan = make(24.0, finalists=0)
    record, seconds = run(plan)
    assert {known.trial.phase for known in record.trials} == {Phase.SEARCH}
    assert {known.state for known in record.trials} <= {State.COMPLETE, State.SCREENED}
    assert 0.95 * plan.settings.timeout <= seconds <= plan.settings.timeout


def latest(fits: Callable[[float], bool], end: float) -> float:
    """The last time, to a ten-thousandth of the end, at which something that fits at first still fits."""
    seconds = [end * share / 10_000 for share in range(10_000)]
    return seconds[bisect_left(seconds, True, key=lambda now: not fits(now)) - 1]


def test_a_running_trial_may_win_so_that_the_time_of_its_verification_is_kept(make: Callable[..., Plan]) -> None:
    plan = with_workers(make(12.0))
    clock = [0.0]
    with FileLedger.in_memory(plan.location, plan.header) as ledger:
        timetable = Timetable(plan, ledger, elapsed_seconds=lambda: clock[0])
        costs = PlanCosts.of(plan)
        baseline, slow = costs.first_configs.values()
        for number, config in enumerate((baseline, slow)):
            ended = Trial(number=number, config=config, seed=0, epochs=EPOCHS, origin=(BASELINE, "recipe: 1")[number])
            ledger.begin(ended)
            ledger.finish(ended, complete(epochs=EPOCHS))
            timetable.on_trial_end(ended, complete(epochs=EPOCHS))

        def fits(now: float) -> bool:
            clock[0] = now
            return timetable.has_time(baseline, 1)

        before = latest(fits, plan.settings.timeout)
        running = Trial(number=2, config={**slow, "batch_size": 50}, seed=0, epochs=EPOCHS)
        ledger.begin(running)
        timetable.on_trial_start(running)
        after = latest(fits, plan.settings.timeout)
    assert costs.model.trial_seconds(running.config) > costs.model.trial_seconds(slow)
    assert after < before


def test_the_start_of_the_workers_takes_its_time_once(make: Callable[..., Plan]) -> None:
    plan = with_workers(make(1.3))
    starting = replace(plan, chosen_parallelism=replace(plan.parallelism, start_seconds=0.5 * plan.settings.timeout))
    first = plan.header.space.baseline

    def epochs(plan: Plan, *, opened_at: float) -> int:
        clock = [opened_at]
        with FileLedger.in_memory(plan.location, plan.header) as ledger:
            timetable = Timetable(plan, ledger, elapsed_seconds=lambda: clock[0])
            clock[0] = 0.0
            return timetable.first_epochs(first)

    assert epochs(plan, opened_at=0.0) == EPOCHS > epochs(starting, opened_at=0.0)
    assert epochs(starting, opened_at=-plan.settings.timeout) == EPOCHS, "they have started long ago"
