"""Every registered executor passes the contract with real workers; executors broken on purpose do not."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from doubles import InstantExecutor
from executor_contract import ExecutorContract, trial
from vectorized_job import QUICKLY_COMPILED

from search.execution.base import Event, Executor, Finished, TrialKey
from search.execution.ordered import OrderedExecutor
from search.session.executors import EXECUTORS, make_executor
from search.session.parallelism.policy import ChosenBy, Parallelism, WorkerLayout
from search.session.plan import make_plan
from search.session.settings import ExecutorName, from_mapping
from search.trial import NO_FILES, Cause, Outcome, State, Trial, TrialFiles

NEEDED_MODULES = {ExecutorName.VECTORIZED: "jax"}
REGISTERED = [
    pytest.param(name, marks=[pytest.mark.slow] if name in NEEDED_MODULES else [])
    for name in EXECUTORS
    if name is not ExecutorName.RAY
]
"""A registered executor is covered without another line here; Ray's in ``tests/faults/test_cluster.py``."""


@pytest.fixture(scope="module")
def registered(
    request: pytest.FixtureRequest, small_mnist: Path, cache_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Executor]:
    """Two real workers of a registered executor, kept warm over the tests of this module."""
    if (module := NEEDED_MODULES.get(request.param)) and importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    folder = tmp_path_factory.mktemp("study")
    folders = {"cache_dir": cache_dir, "studies_dir": folder, "reports_dir": folder}
    options = {"dataset": small_mnist, "space": "cnn", "seed": 0, "devices": "cpu", "workers": 2, **folders}
    plan = make_plan(from_mapping({**options, "executor": request.param.value}))
    parallelism = Parallelism(layout=WorkerLayout(2, 1), chosen_by=ChosenBy.SPECIFIED)
    with pytest.MonkeyPatch.context() as patch:
        if request.param in NEEDED_MODULES:
            patch.setenv("XLA_FLAGS", QUICKLY_COMPILED)
        with closing(make_executor(plan, parallelism, log_dir=folder)) as executor:
            yield executor


@pytest.mark.parametrize("registered", REGISTERED, indirect=True)
class TestRegistered(ExecutorContract):
    @pytest.fixture
    def executor(self, registered: Executor) -> Executor:
        return registered


@pytest.mark.parametrize("registered", [ExecutorName.LOCAL], indirect=True)
class TestOrdered(ExecutorContract):
    @pytest.fixture
    def executor(self, registered: Executor) -> Executor:
        return OrderedExecutor(registered)


class OutcomeDroppingExecutor(InstantExecutor):
    """Drops every second outcome."""

    _count = 0

    def collect(self, timeout: float) -> list[Event]:
        events = super().collect(timeout)
        for event in events:
            self._count += isinstance(event, Finished)
        return [event for event in events if not (isinstance(event, Finished) and self._count % 2)]


class DuplicatingExecutor(InstantExecutor):
    """Delivers every event twice."""

    def collect(self, timeout: float) -> list[Event]:
        return super().collect(timeout) * 2


class WrongCauseExecutor(InstantExecutor):
    """Cancels with a cause of its own."""

    def cancel(self, key: TrialKey, cause: Cause) -> None:
        super().cancel(key, Cause.KILLED)


class EarlyFinishExecutor(InstantExecutor):
    """Ends a trial as it begins."""

    def submit(self, trial: Trial, files: TrialFiles = NO_FILES) -> None:
        self._waiting = Finished(trial.key, Outcome(state=State.COMPLETE))
        super().submit(trial, files)

    def collect(self, timeout: float) -> list[Event]:
        self._running.clear()
        return [self._waiting]


class LeakingExecutor(InstantExecutor):
    """Never frees a slot."""

    def submit(self, trial: Trial, files: TrialFiles = NO_FILES) -> None:
        assert len(self.ran) < self._slots
        super().submit(trial, files)


class InventingExecutor(InstantExecutor):
    """Ends a trial that was never submitted."""

    def collect(self, timeout: float) -> list[Event]:
        return super().collect(timeout) or [Finished(trial(0).key, Outcome(state=State.COMPLETE))]


BROKEN: list[tuple[type[InstantExecutor], str]] = [
    (OutcomeDroppingExecutor, "test_trials_run_side_by_side_and_end_once"),
    (DuplicatingExecutor, "test_trials_run_side_by_side_and_end_once"),
    (DuplicatingExecutor, "test_reports_come_in_order_and_before_the_end"),
    (EarlyFinishExecutor, "test_reports_come_in_order_and_before_the_end"),
    (WrongCauseExecutor, "test_a_cancelled_trial_ends_as_interrupted"),
    (LeakingExecutor, "test_a_slot_is_free_again_after_its_trial"),
    (InventingExecutor, "test_collect_returns_when_nothing_happens"),
    (InstantExecutor, "test_a_failing_trial_is_an_outcome"),
]


def test_every_test_of_the_contract_has_a_broken_executor() -> None:
    assert {test for _, test in BROKEN} == {name for name in dir(ExecutorContract) if name.startswith("test_")}


@pytest.mark.parametrize(("broken", "test"), BROKEN)
def test_the_contract_catches_a_broken_executor(broken: type[InstantExecutor], test: str) -> None:
    with pytest.raises(AssertionError):
        getattr(ExecutorContract(), test)(broken(slots=2))
