"""Every executor passes the contract with real workers; executors broken on purpose do not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from doubles import InstantExecutor
from executor_contract import ExecutorContract

from search.data.dataset import prepare
from search.execution.base import Event, Executor, Finished, TrialKey
from search.execution.local import local_executor
from search.execution.ordered import OrderedExecutor
from search.execution.vectorized import VectorizedExecutor
from search.protocol import EvaluationProtocol, Split
from search.training.runtime import Backend, Device, Runtime
from search.training.task import Task
from search.trial import Cause, Outcome, State, Trial


@pytest.fixture(scope="module")
def local(small_mnist: Path, cache_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
    """Real worker processes, kept warm over the tests of this module."""
    dataset = prepare(str(small_mnist), cache_dir)
    protocol = EvaluationProtocol(dataset=dataset.name, data_sha256=dataset.sha256, split=Split.STRATIFIED)
    task = Task(protocol=protocol, dataset=dataset, space_source="cnn", runtime=Runtime(device=Device.CPU))
    with closing(local_executor(task, workers=2, log_dir=tmp_path_factory.mktemp("logs"))) as executor:
        yield executor


class TestLocal(ExecutorContract):
    @pytest.fixture
    def executor(self, local: Executor) -> Executor:
        return local


class TestOrderedLocal(ExecutorContract):
    @pytest.fixture
    def executor(self, local: Executor) -> Executor:
        return OrderedExecutor(local)


@pytest.fixture(scope="module")
def vectorized(small_mnist: Path, cache_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
    """A real worker process that trains populations, kept warm over the tests of this module."""
    pytest.importorskip("jax", reason="JAX is not installed: pip install '.[jax]'")
    dataset = prepare(str(small_mnist), cache_dir)
    protocol = EvaluationProtocol(dataset=dataset.name, data_sha256=dataset.sha256, split=Split.STRATIFIED)
    runtime = Runtime(backend=Backend.JAX, device=Device.CPU)
    task = Task(protocol=protocol, dataset=dataset, space_source="cnn", runtime=runtime)
    with closing(VectorizedExecutor(task, workers=2, log_dir=tmp_path_factory.mktemp("logs"))) as executor:
        yield executor


@pytest.mark.slow
class TestVectorized(ExecutorContract):
    @pytest.fixture
    def executor(self, vectorized: Executor) -> Executor:
        return vectorized


class OutcomeDroppingExecutor(InstantExecutor):
    """Forgets every second outcome."""

    _count = 0

    def collect(self, timeout: float) -> list[Event]:
        events = super().collect(timeout)
        for event in events:
            self._count += isinstance(event, Finished)
        return [event for event in events if not (isinstance(event, Finished) and self._count % 2)]


class DuplicatingExecutor(InstantExecutor):
    """Says everything twice."""

    def collect(self, timeout: float) -> list[Event]:
        return super().collect(timeout) * 2


class WrongCauseExecutor(InstantExecutor):
    """Cancels with a cause of its own."""

    def cancel(self, key: TrialKey, cause: Cause) -> None:
        super().cancel(key, Cause.KILLED)


class EarlyFinishExecutor(InstantExecutor):
    """Ends a trial as it begins."""

    def submit(self, trial: Trial) -> None:
        self._waiting = Finished(trial.key, Outcome(state=State.COMPLETE))
        super().submit(trial)

    def collect(self, timeout: float) -> list[Event]:
        self._running.clear()
        return [self._waiting]


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (OutcomeDroppingExecutor, "test_trials_run_side_by_side_and_end_once"),
        (DuplicatingExecutor, "test_trials_run_side_by_side_and_end_once"),
        (DuplicatingExecutor, "test_reports_come_in_order_and_before_the_end"),
        (EarlyFinishExecutor, "test_reports_come_in_order_and_before_the_end"),
        (WrongCauseExecutor, "test_a_cancelled_trial_ends_as_interrupted"),
        (InstantExecutor, "test_a_failing_trial_is_an_outcome"),
    ],
)
def test_the_contract_catches_a_broken_executor(broken: type[InstantExecutor], test: str) -> None:
    with pytest.raises(AssertionError):
        getattr(ExecutorContract(), test)(broken(slots=2))
