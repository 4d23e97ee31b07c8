"""Executors on scripted workers: which worker gets which trial, and what the end of a worker costs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from search.data.dataset import DatasetInfo
from search.errors import FatalError
from search.execution.base import Finished
from search.execution.messages import Capacity, Message, Ready, Request, RunTrial
from search.execution.pool import PoolExecutor
from search.execution.vectorized import VectorizedExecutor
from search.execution.worker_backend import Worker, WorkerBackend, WorkerExit
from search.protocol import EvaluationProtocol, Split
from search.training.runtime import Device, Runtime
from search.training.task import Task
from search.trial import Cause, Outcome, State, Trial


class ScriptedWorker(Worker):
    """Records what it was sent."""

    node = ""

    def __init__(self, slot: int) -> None:
        self.slot, self.is_alive = slot, True
        self.sent: list[int] = []
        self.capacities: list[Capacity] = []

    def send(self, message: Request) -> None:
        if isinstance(message, RunTrial):
            self.sent.append(message.trial.number)
        elif isinstance(message, Capacity):
            self.capacities.append(message)

    def has_message(self) -> bool:
        return False

    def memory_mib(self) -> float:
        return 0.0

    def cpu_seconds(self) -> float:
        return 0.0

    def kill(self) -> None:
        self.is_alive = False

    def reap(self) -> WorkerExit:
        self.is_alive = False
        return WorkerExit(cause=Cause.KILLED, message="killed")


class ScriptedBackend(WorkerBackend):
    """Two slots, and the messages of the next wait."""

    slots = 2

    def __init__(self) -> None:
        self.workers: list[ScriptedWorker] = []
        self.next_messages: list[tuple[Worker, Message | None]] = []

    def start_worker(self, slot: int) -> Worker:
        self.workers.append(ScriptedWorker(slot))
        return self.workers[-1]

    def wait(self, workers: Sequence[Worker], timeout: float) -> list[tuple[Worker, Message | None]]:
        received, self.next_messages = self.next_messages, []
        return received

    def close(self) -> None:
        pass


def make_trial(number: int) -> Trial:
    return Trial(number=number, config={}, seed=number, epochs=1)


@pytest.fixture
def backend() -> ScriptedBackend:
    return ScriptedBackend()


@pytest.fixture
def task() -> Task:
    dataset = DatasetInfo(
        name="none", sha256="", image_shape=(1, 1, 1), classes=2, training_count=1, test_count=1, has_groups=False,
        equal_images=0, folder="", files={},
    )  # fmt: skip
    protocol = EvaluationProtocol(dataset="none", data_sha256="", split=Split.BLOCK, epochs=1)
    return Task(protocol=protocol, dataset=dataset, space_source="cnn", runtime=Runtime(device=Device.CPU))


@pytest.fixture
def pool(backend: ScriptedBackend, task: Task) -> PoolExecutor:
    return PoolExecutor(backend, task)


@pytest.mark.parametrize("then", [Ready(), None])
def test_messages_of_two_workers_at_once(pool: PoolExecutor, backend: ScriptedBackend, then: Message | None) -> None:
    pool.submit(make_trial(0))
    pool.submit(make_trial(1))
    first, second = backend.workers
    backend.next_messages = [(first, Ready())]
    pool.collect(0.0)
    backend.next_messages = [(first, Finished(make_trial(0).key, Outcome(state=State.COMPLETE))), (second, then)]
    assert [event.key[1] for event in pool.collect(0.0)] == [0]
    assert first.sent == [0, 1]  # it was free before the other was ready
    assert second.sent == []
    assert first.is_alive
    assert list(pool.running) == [make_trial(1).key]


def test_a_worker_stays_in_its_slot_which_says_what_gpu_it_uses(pool: PoolExecutor, backend: ScriptedBackend) -> None:
    pool.submit(make_trial(0))
    pool.submit(make_trial(1))
    first, second = backend.workers
    for heard in (
        [(first, Ready())],
        [(first, Finished(make_trial(0).key, Outcome(state=State.COMPLETE)))],
        [(second, None)],
    ):
        backend.next_messages = list(heard)
        pool.collect(0.0)
    pool.submit(make_trial(2))
    assert sorted(worker.slot for worker in backend.workers if worker.is_alive) == [0, 1]


def test_a_worker_that_is_ready_takes_over_from_one_that_waits_for_room(
    pool: PoolExecutor, backend: ScriptedBackend
) -> None:
    pool.submit(make_trial(0))
    pool.submit(make_trial(1))
    first, second = backend.workers
    backend.next_messages = [(first, Ready()), (first, Finished(make_trial(0).key, Outcome(state=State.COMPLETE)))]
    pool.collect(0.0)
    assert (first.sent, second.sent) == ([0, 1], [])
    backend.next_messages = [(first, Finished(make_trial(1).key, Outcome(state=State.COMPLETE)))]
    assert [event.key[1] for event in pool.collect(0.0)] == [1]
    assert not pool.running


def test_a_worker_that_dies_before_it_is_ready_is_restarted_three_times_at_most(
    pool: PoolExecutor, backend: ScriptedBackend
) -> None:
    pool.submit(make_trial(0))
    for count in (2, 3):
        backend.next_messages = [(backend.workers[-1], None)]
        assert pool.collect(0.0) == []
        assert len(backend.workers) == count
    backend.next_messages = [(backend.workers[-1], None)]
    with pytest.raises(FatalError, match="could not start"):
        pool.collect(0.0)


@pytest.fixture
def vectorized(
    backend: ScriptedBackend, task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> VectorizedExecutor:
    """One device, which measures how many of at most 64 trials it takes."""
    monkeypatch.setattr("search.execution.vectorized.LocalWorkerBackend", lambda *_, **__: backend)
    return VectorizedExecutor(task, workers=64, log_dir=tmp_path, probe_config={})


def test_a_process_killed_while_it_measures_measures_with_half_as_many_and_keeps_its_trials(
    vectorized: VectorizedExecutor, backend: ScriptedBackend
) -> None:
    vectorized.submit(make_trial(0))
    for _ in range(2):
        backend.next_messages = [(backend.workers[-1], None)]
        assert vectorized.collect(0.0) == []
    assert [worker.capacities[0].probe_size for worker in backend.workers] == [8, 4, 2]
    assert [worker.sent for worker in backend.workers] == [[0], [0], [0]]
    assert vectorized.slots == 2
    backend.next_messages = [(backend.workers[-1], Ready(capacity=5))]
    vectorized.collect(0.0)
    assert vectorized.slots == 5


def test_a_process_killed_while_it_trains_costs_its_trials_and_half_of_its_capacity(
    vectorized: VectorizedExecutor, backend: ScriptedBackend
) -> None:
    for number in range(2):
        vectorized.submit(make_trial(number))
    backend.next_messages = [(backend.workers[0], Ready(capacity=6))]
    vectorized.collect(0.0)
    vectorized.cancel(make_trial(1).key, Cause.TIMEOUT)
    backend.next_messages = [(backend.workers[0], None)]
    outcomes = {event.key[1]: event.outcome for event in vectorized.collect(0.0) if isinstance(event, Finished)}
    assert {number: (outcome.state, outcome.cause) for number, outcome in outcomes.items()} == {
        0: (State.FAILED, Cause.KILLED),
        1: (State.INTERRUPTED, Cause.TIMEOUT),
    }
    assert vectorized.slots == 3
    vectorized.submit(make_trial(2))
    assert backend.workers[-1].capacities[0].max_trials == 3


def test_cancelled_trials_of_a_process_that_is_not_ready_end_at_once(
    vectorized: VectorizedExecutor, backend: ScriptedBackend
) -> None:
    vectorized.submit(make_trial(0))
    vectorized.cancel(make_trial(0).key, Cause.TIMEOUT)
    (finished,) = vectorized.collect(0.0)
    assert isinstance(finished, Finished)
    assert (finished.outcome.state, finished.outcome.cause) == (State.INTERRUPTED, Cause.TIMEOUT)
    assert not backend.workers[0].is_alive
