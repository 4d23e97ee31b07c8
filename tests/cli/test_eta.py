"""Tests the estimated remaining time against whole studies on a virtual clock."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from makers import trial

from search.cli.eta import DurationEstimator
from search.cli.progress_state import ProgressState
from search.execution.virtual import SimulatedEpoch, SimulatedTrial, VirtualExecutor
from search.records.record import StudyRecord
from search.records.storage.file_ledger import FileLedger
from search.session.callbacks import Callback
from search.session.parallelism.choose import choose_parallelism
from search.session.plan import make_plan
from search.session.session import Session
from search.session.settings import from_mapping
from search.session.timetable import Timetable
from search.study.time_budget import InterruptHandler, TimeBudget
from search.study.verification import verification_trials
from search.trial import BASELINE, Cause, EpochReport, Outcome, Phase, State, Trial

EPOCHS = 8
TOLERANCES = {0.25: 0.3, 0.5: 0.2, 0.75: 0.1}
"""How far what is shown as left may be off after that share of a study, as a share of its whole time, in the mean over
``SEEDS``; trials vary from 16 to 96 seconds, so single studies are off by up to half at a quarter."""
SEEDS = (4, 5, 6)


def course(trial: Trial) -> SimulatedTrial:
    """Trials of 2 to 12 seconds an epoch, by their configuration; one in thirteen fails in its third epoch."""
    chance = random.Random(json.dumps(dict(trial.config), sort_keys=True))
    pace = chance.choice((2.0, 3.0, 5.0, 12.0)) * (1.0 if trial.phase is Phase.SEARCH else 6 / 5)
    floor = chance.uniform(0.5, 6.0)
    epochs = range(1, trial.epochs + 1)
    steps = [
        SimulatedEpoch(error_percent=floor + 20.0 / epoch, seconds=pace * chance.uniform(0.8, 1.2)) for epoch in epochs
    ]
    if trial.phase is Phase.SEARCH and trial.number % 13 == 12:
        return SimulatedTrial(epochs=tuple(steps[:2]), failure_cause=Cause.NOT_FINITE)
    return SimulatedTrial(epochs=tuple(steps))


class Watched(Callback):
    """Notes, whenever something happens, what is shown as left; the clock is the executor's."""

    def __init__(self, executor: VirtualExecutor) -> None:
        self._executor, self.shown = executor, list[tuple[float, float | None]]()

    def on_session_start(self, plan: Any, record: StudyRecord, budget: TimeBudget) -> None:
        self.tally = ProgressState(plan, record, budget)

    def on_trial_start(self, trial: Trial) -> None:
        self.tally.record_start(trial)

    def on_epoch_end(self, trial: Trial, report: EpochReport) -> None:
        self.tally.record_epoch(trial, report)

    def on_trial_end(self, trial: Trial, outcome: Outcome) -> None:
        self.tally.record_end(trial, outcome)

    def on_replication_start(self, count: int) -> None:
        self.tally.start_replication(count)

    def on_tick(self) -> None:
        self.shown.append((self._executor.now, self.tally.eta_seconds()))


def play(folder: Path, options: Mapping[str, Any]) -> tuple[list[tuple[float, float | None]], float]:
    """Runs a study; returns what was shown when, and when it ended."""
    plan = make_plan(from_mapping({"seed": 3, **options, "studies_dir": folder, "epochs": EPOCHS, "sampler": "random"}))
    plan = replace(plan, chosen_parallelism=replace(choose_parallelism(plan), start_seconds=0.0))
    executor = VirtualExecutor(course, slots=plan.workers)
    watched, settings = Watched(executor), plan.settings
    with FileLedger.in_memory(plan.location, plan.header) as ledger:

        def verification_seconds() -> float:
            return timetable.verification_seconds()

        budget = TimeBudget(
            ledger,
            timeout=settings.timeout,
            estimate_verification=verification_seconds if settings.finalists else None,
            interrupt=(interrupt := InterruptHandler()),
            session_seconds=lambda: executor.now,
        )
        timetable = Timetable(plan, ledger, elapsed_seconds=budget.elapsed_seconds)
        session = Session(
            plan=plan,
            ledger=ledger,
            executor=executor,
            budget=budget,
            interrupt=interrupt,
            timetable=timetable,
            callback=watched,
        )
        watched.on_session_start(plan, ledger.read(), budget)
        session.search()
        if settings.finalists:
            runs = verification_trials(ledger.read(), count=settings.finalists, replicates=timetable.replicates)
            session.run_trials(runs)
    return watched.shown, executor.now


STUDIES = {
    "trials, one worker": {"trials": 40, "workers": 1, "pruner": "none"},
    "trials, four workers": {"trials": 60, "workers": 4, "pruner": "none"},
    "pruned": {"trials": 60, "workers": 3, "pruner": "median"},
    "halved": {"trials": 60, "workers": 3, "pruner": "asha"},
    "mostly verification": {"trials": 6, "workers": 2, "pruner": "none", "finalists": 3, "replicates": 6},
    "no verification": {"trials": 40, "workers": 2, "pruner": "none", "finalists": 0},
    "epochs": {"total_epochs": 300, "workers": 2, "pruner": "median"},
    "time": {"timeout": 1500, "workers": 2, "pruner": "none"},
    "time enough": {"timeout": 50_000, "trials": 40, "workers": 2, "pruner": "none"},
    "time too short": {"timeout": 600, "trials": 400, "workers": 2, "pruner": "none"},
}


@pytest.mark.parametrize("name", STUDIES)
def test_what_is_left_is_what_then_passes(name: str, tmp_path: Path, small_mnist: Path, cache_dir: Path) -> None:
    options, off = {"dataset": str(small_mnist), "cache_dir": str(cache_dir), **STUDIES[name]}, defaultdict(list)
    for seed in SEEDS:
        shown, whole = play(tmp_path / str(seed), {**options, "seed": seed})
        for share in TOLERANCES:
            now, eta = next((now, eta) for now, eta in shown if now >= share * whole)
            assert eta is not None
            print(f"{name}: at {now:.0f} of {whole:.0f} s {eta:.0f} s were shown as left; {whole - now:.0f} passed")
            off[share].append((eta - (whole - now)) / whole)
        timeout = options.get("timeout")
        assert timeout is None or all(eta <= timeout - now + 1e-6 for now, eta in shown if eta and now < timeout)
    assert {share: fmean(off[share]) for share in off if abs(fmean(off[share])) > TOLERANCES[share]} == {}


def test_the_time_budget_is_a_bound_from_the_start_and_trials_once_an_epoch_is_known(
    tmp_path: Path, small_mnist: Path, cache_dir: Path
) -> None:
    where = {"dataset": str(small_mnist), "cache_dir": str(cache_dir), "workers": 1, "pruner": "none"}
    shown, _ = play(tmp_path / "timed", {**where, "timeout": 1500})
    assert shown[0][1] is not None
    assert shown[0][1] <= 1500
    shown, whole = play(tmp_path / "trials", {**where, "trials": 20})
    assert shown[0][1] is not None, "one epoch of the baseline promises what the rest costs"
    assert 0.2 * whole < shown[0][1] < 5 * whole


def outcome(*seconds: float, state: State = State.COMPLETE, build: float = 0.0) -> Outcome:
    history = tuple(EpochReport(epoch=i + 1, training_loss=1.0, seconds=value) for i, value in enumerate(seconds))
    return Outcome(state=state, history=history, seconds={"build": build, "fit": sum(seconds)})


def test_a_first_trial_is_priced_without_the_warming_up_of_its_worker() -> None:
    pace = DurationEstimator(1)
    assert pace.mean_trial_seconds() is None
    assert pace.remaining_seconds(3, 0.0) is None
    pace.record_start(trial(0), 0.0, is_exempt_from_pruning=True)
    pace.record_end(trial(0), outcome(2.0, 2.0, build=1.0), 15.0)
    assert pace.mean_trial_seconds() == 5.0
    assert pace.remaining_seconds(3, 15.0) == 15.0


def test_pruned_trials_make_the_mean_cheaper_and_a_killed_one_is_priced_by_the_clock() -> None:
    pace = DurationEstimator(1, recorded_outcomes=[outcome(2.0, 2.0, 2.0, 2.0)])
    pace.record_start(trial(1), 0.0, is_exempt_from_pruning=False)
    pace.record_end(trial(1), outcome(2.0, state=State.PRUNED), 2.0)
    assert pace.mean_trial_seconds() == 5.0
    pace.record_start(trial(2), 2.0, is_exempt_from_pruning=False)
    pace.record_end(trial(2), Outcome(state=State.FAILED, cause=Cause.KILLED), 7.0)
    assert pace.mean_trial_seconds() == 5.0


def test_a_running_trial_takes_the_rest_of_a_mean_one_and_then_goes_to_its_end() -> None:
    pace = DurationEstimator(1, recorded_outcomes=[outcome(2.0, 2.0), outcome(2.0)])  # 3 s
    running = trial(5, origin="found")
    pace.record_start(running, 0.0, is_exempt_from_pruning=False)
    assert pace.remaining_seconds(0, 1.0) == 2.0
    pace.record_epoch(running, EpochReport(epoch=1, training_loss=1.0, seconds=2.0))
    assert pace.remaining_seconds(0, 2.0) == 1.0
    pace.record_epoch(running, EpochReport(epoch=2, training_loss=1.0, seconds=2.0))
    assert pace.remaining_seconds(0, 4.0) == 4.0
    assert pace.remaining_seconds(1, 4.0) == 7.0
    baseline = trial(6, origin=BASELINE)
    sure = DurationEstimator(1, recorded_outcomes=[outcome(1.0)])
    sure.record_start(baseline, 0.0, is_exempt_from_pruning=True)
    sure.record_epoch(baseline, EpochReport(epoch=1, training_loss=1.0, seconds=2.0))
    assert sure.remaining_seconds(0, 2.0) == 6.0


def test_restored_epochs_cost_nothing() -> None:
    history = (
        EpochReport(epoch=1, training_loss=1.0, seconds=50.0, restored=True),
        EpochReport(epoch=2, training_loss=1.0, seconds=3.0),
    )
    went_on = Outcome(state=State.COMPLETE, history=history, seconds={"build": 9.0, "fit": 53.0})
    assert DurationEstimator(1, recorded_outcomes=[went_on]).mean_trial_seconds() == 3.0


def test_the_last_trials_leave_workers_without_work() -> None:
    pace = DurationEstimator(4, recorded_outcomes=[outcome(8.0)])
    assert pace.remaining_seconds(8, 0.0) == 8 * 8 / 4 + 8 / 2 * 3 / 4
    assert pace.remaining_seconds(1, 0.0) == 8.0
    assert pace.remaining_seconds(0, 0.0) == 0.0
