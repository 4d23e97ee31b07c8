"""Tests the counts, the best error and the remaining time where short and full trials and test runs mix."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from makers import complete, trial

from search.cli.display import describe_trial_end
from search.cli.progress_state import ProgressState
from search.execution.virtual import SimulatedEpoch, SimulatedTrial, VirtualExecutor
from search.records.record import StudyRecord
from search.records.storage.file_ledger import FileLedger
from search.session.callbacks import Callback
from search.session.parallelism.policy import ChosenBy, Parallelism, WorkerLayout
from search.session.plan import Plan, make_plan
from search.session.session import Session
from search.session.settings import from_mapping
from search.session.timetable import Timetable
from search.study.time_budget import InterruptHandler, TimeBudget
from search.trial import BASELINE, EpochReport, Outcome, Phase, State, Trial

TWO = WorkerLayout(workers=2, threads=1)


@pytest.fixture
def plan(tmp_path: Path, small_mnist: Path, cache_dir: Path) -> Callable[..., Plan]:
    """Makes plans for two workers whose throughput was measured."""

    def make(**options: object) -> Plan:
        where = {"dataset": small_mnist, "cache_dir": cache_dir, "studies_dir": tmp_path / "studies", "seed": 1}
        prepared = make_plan(from_mapping({**where, "engine": "optuna", "sampler": "mutation", **options}))
        chosen = Parallelism(layout=TWO, chosen_by=ChosenBy.MEASURED, images_per_second={TWO: 5_000.0})
        return replace(prepared, chosen_parallelism=chosen)

    return make


def progress(prepared: Plan, now: Callable[[], float] = lambda: 10.0) -> ProgressState:
    with FileLedger.in_memory(prepared.location, prepared.header) as ledger:
        budget = TimeBudget(
            ledger,
            timeout=prepared.settings.timeout,
            estimate_verification=lambda: 0.0,
            interrupt=InterruptHandler(),
            session_seconds=now,
        )
        return ProgressState(prepared, ledger.read(), budget)


def short_trial(number: int) -> Trial:
    return trial(number, epochs=2, is_short=True, origin="found")


def screened(error_percent: float) -> Outcome:
    return replace(complete(error_percent, epochs=2), state=State.SCREENED)


def test_short_trials_are_counted_apart_and_none_is_the_best(plan: Callable[..., Plan]) -> None:
    state = progress(plan(timeout=600))
    for run, outcome in ((trial(0, epochs=10), complete(1.5)), (short_trial(1), screened(0.2))):
        state.record_start(run)
        assert state.record_end(run, outcome) is (run.number == 0)
    assert state.best_error_percent == 1.5
    assert (state.trials_ended, state.short_trials_ended) == (2, 1)
    assert "1 full, 1 short" in state.status_line()


def test_a_test_run_beside_the_search_does_not_end_it_on_the_display(plan: Callable[..., Plan]) -> None:
    state = progress(plan(timeout=600))
    run = trial(0, epochs=10, phase=Phase.VERIFICATION, source_trial=0, replicate=0)
    searched = short_trial(0)  # of the same number
    for started in (run, searched):
        state.record_start(started)
        state.record_epoch(started, EpochReport(epoch=1, training_loss=1.0, seconds=2.0))
    line = state.status_line()
    assert "short 1/2" in line
    assert "test 1/10" in line
    state.record_end(run, complete(0.5, epochs=10))
    state.record_end(searched, screened(0.4))
    assert state.verification_runs is None
    assert "0 full, 1 short" in state.status_line()
    state.start_replication(3)
    assert "0/3 runs" in state.status_line()


def test_the_line_fits_with_two_workers(plan: Callable[..., Plan]) -> None:
    state = progress(plan(timeout=1800), now=lambda: 700.0)
    for number in range(12):
        run = trial(number, epochs=10, origin="found" if number else BASELINE)
        state.record_start(run)
        state.record_end(run, complete(1.5 - number / 100, epochs=10))
    for number in range(12, 40):
        state.record_start(short_trial(number))
        state.record_end(short_trial(number), screened(1.0))
    running = (trial(40, epochs=10, origin="found"), trial(1, epochs=10, phase=Phase.VERIFICATION))
    for run in running:
        state.record_start(run)
        state.record_epoch(run, EpochReport(epoch=9, training_loss=1.0, seconds=2.0))
    assert len(state.status_line()) <= 80, state.status_line()
    assert state.status_line().endswith("left")


def test_with_a_time_limit_that_verification_uses_up_the_rest_of_it_is_left(plan: Callable[..., Plan]) -> None:
    state = progress(plan(timeout=600))
    assert state.eta_seconds() == 590.0
    state.start_replication(2)
    assert state.eta_seconds() == 590.0


def test_a_line_about_a_short_trial_says_so() -> None:
    line = describe_trial_end(short_trial(4), screened(0.9), is_best=False)
    assert "short, 2 epochs" in line
    assert "complete" not in line
    assert "short" not in describe_trial_end(trial(4), complete(0.9), is_best=True)


class Watched(Callback):
    """Notes, whenever something happens, what is shown as left; the clock is the executor's."""

    def __init__(self, executor: VirtualExecutor) -> None:
        self._executor, self.shown = executor, list[tuple[float, float | None]]()

    def on_session_start(self, plan: Any, record: StudyRecord, budget: TimeBudget) -> None:
        self.state = ProgressState(plan, record, budget)

    def on_trial_start(self, trial: Trial) -> None:
        self.state.record_start(trial)

    def on_epoch_end(self, trial: Trial, report: EpochReport) -> None:
        self.state.record_epoch(trial, report)

    def on_trial_end(self, trial: Trial, outcome: Outcome) -> None:
        self.state.record_end(trial, outcome)

    def on_tick(self) -> None:
        self.shown.append((self._executor.now, self.state.eta_seconds()))


def test_what_is_left_is_what_then_passes_where_short_and_full_trials_mix(plan: Callable[..., Plan]) -> None:
    def course(run: Trial) -> SimulatedTrial:
        chance = random.Random(run.training_key)
        seconds = 2.0 if run.phase is Phase.SEARCH else 2.4
        floor = chance.uniform(0.5, 2.0)
        epochs = range(1, run.epochs + 1)
        return SimulatedTrial(
            epochs=tuple(SimulatedEpoch(error_percent=floor + 5.0 / epoch, seconds=seconds) for epoch in epochs)
        )

    prepared = plan(trials=60, replicates=3)
    executor = VirtualExecutor(course, slots=2)
    watched = Watched(executor)
    with FileLedger.in_memory(prepared.location, prepared.header) as ledger:
        budget = TimeBudget(
            ledger,
            timeout=None,
            estimate_verification=lambda: 0.0,
            interrupt=(interrupt := InterruptHandler()),
            session_seconds=lambda: executor.now,
        )
        session = Session(
            plan=prepared,
            ledger=ledger,
            executor=executor,
            budget=budget,
            interrupt=interrupt,
            timetable=Timetable(prepared, ledger, elapsed_seconds=budget.elapsed_seconds),
            callback=watched,
        )
        watched.on_session_start(prepared, ledger.read(), budget)
        session.search()
    whole = executor.now + 3 * 24.0 / 2  # the winner's test runs follow
    for share in (0.25, 0.5, 0.75):
        now, eta = next((now, eta) for now, eta in watched.shown if now >= share * executor.now)
        assert eta is not None
        assert abs(eta - (whole - now)) < 0.3 * whole
