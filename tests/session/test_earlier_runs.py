"""The baseline's test runs of another study are taken over where training them again would repeat them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from virtual_runs import play

from search.execution.base import Event, Finished
from search.execution.virtual import SimulatedEpoch, SimulatedTrial, VirtualExecutor
from search.leaderboard.compute import compute
from search.records.record import StudyRecord, TrialRecord
from search.session.plan import Plan, make_plan
from search.session.settings import from_mapping
from search.trial import BASELINE, NO_FILES, Phase, State, Trial, TrialFiles

HERE = {"device": "CPU", "backend": "tensorflow", "threads": 1, "processor": "this", "versions": {"keras": "3"}}


class Machine(VirtualExecutor):
    """Simulated trials that ran in an environment; lists those that were submitted."""

    def __init__(self, environment: dict[str, object]) -> None:
        epoch = SimulatedEpoch(error_percent=2.0, seconds=1.0)
        super().__init__(lambda trial: SimulatedTrial(epochs=(epoch,) * trial.epochs), slots=2)
        self._environment, self.submitted = environment, list[Trial]()

    def submit(self, trial: Trial, files: TrialFiles = NO_FILES) -> None:
        self.submitted.append(trial)
        super().submit(trial, files)

    def collect(self, timeout: float) -> list[Event]:
        return [
            Finished(event.key, replace(event.outcome, environment=self._environment))
            if isinstance(event, Finished)
            else event
            for event in super().collect(timeout)
        ]


@pytest.fixture
def run(tmp_path: Path, small_mnist: Path, cache_dir: Path) -> Callable[..., tuple[StudyRecord, list[Trial]]]:
    """Runs a study in one folder of studies; returns its record and the trials that it ran."""

    def make(study: str, environment: dict[str, object] = HERE, **options: object) -> tuple[StudyRecord, list[Trial]]:
        where = {"dataset": small_mnist, "cache_dir": cache_dir, "studies_dir": tmp_path / "studies"}
        fixed = {"epochs": 3, "pruner": "none", "sampler": "random", "workers": 2, "trials": 4}
        plan: Plan = make_plan(from_mapping({**where, **fixed, "study": study, **options}))
        machine = Machine(environment)
        return play(plan, machine)[0], machine.submitted

    return make


def of_baseline(record: StudyRecord) -> list[TrialRecord]:
    return [run for run in record.trials_in_phase(Phase.VERIFICATION) if run.trial.origin == BASELINE]


def test_equal_runs_of_the_baseline_are_taken_over(run: Callable[..., tuple[StudyRecord, list[Trial]]]) -> None:
    first, _ = run("first", seed=1)
    second, ran = run("second", seed=2)
    taken, original = of_baseline(second), of_baseline(first)
    assert [each.trial.seed for each in taken] == [each.trial.seed for each in original]
    assert [each.trial.replicate for each in taken] == [0, 1, 2]
    assert {(each.state, each.copied_from) for each in taken} == {(State.COMPLETE, "first")}
    assert not any(trial.phase is Phase.VERIFICATION and trial.origin == BASELINE for trial in ran)
    others = [each for each in second.trials_in_phase(Phase.VERIFICATION) if each.trial.origin != BASELINE]
    assert others
    assert not any(each.copied_from for each in others)
    assert second.test_evaluations == len(others) + len(second.ensembles), "those that were taken over count there"
    (section,) = compute([second]).sections
    assert [row.copied_from for row in section.rows if row.is_baseline] == ["first"]
    assert all(row.test_error.n == 3 for row in section.rows if row.test_error is not None)
    again, ran = run("second", seed=2)
    assert (again.trials, ran) == (second.trials, [])


@pytest.mark.parametrize(
    ("environment", "options"),
    [
        ({**HERE, "processor": "another"}, {}),
        ({**HERE, "threads": 2}, {}),
        ({**HERE, "versions": {"keras": "4"}}, {}),
        ({}, {}),
        (HERE, {"replicates": 2}),
        (HERE, {"epochs": 4}),
        (HERE, {"fix": {"batch_size": 100}}),
    ],
)
def test_other_runs_are_not(
    environment: dict[str, object],
    options: dict[str, object],
    run: Callable[..., tuple[StudyRecord, list[Trial]]],
) -> None:
    run("first", seed=1)
    second, _ = run("second", environment, seed=2, **options)
    assert of_baseline(second)
    assert not any(each.copied_from for each in of_baseline(second))
