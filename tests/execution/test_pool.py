"""The pool of workers, whatever they are: who is handed which trial when several things are heard at once."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from search.data.dataset import DatasetInfo
from search.execution.base import Finished
from search.execution.messages import Cancel, Message, Ready, RunTrial
from search.execution.pool import PoolExecutor
from search.execution.worker_backend import Worker, WorkerBackend, WorkerExit
from search.protocol import EvaluationProtocol, Split
from search.training.runtime import Device, Runtime
from search.training.task import Task
from search.trial import Cause, Outcome, State, Trial


class ScriptedWorker(Worker):
    """Says what its staff is told to; remembers what it was sent."""

    node = ""

    def __init__(self, slot: int) -> None:
        self.slot, self.is_alive = slot, True
        self.sent: list[int] = []

    def send(self, message: RunTrial | Cancel) -> None:
        if isinstance(message, RunTrial):
            self.sent.append(message.trial.number)

    def has_message(self) -> bool:
        return False

    def memory_mib(self) -> float:
        return 0.0

    def kill(self) -> None:
        self.is_alive = False

    def reap(self) -> WorkerExit:
        self.is_alive = False
        return WorkerExit(cause=Cause.KILLED, message="killed")


class ScriptedBackend(WorkerBackend):
    """Two places, and what is heard next."""

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
def pool(backend: ScriptedBackend) -> PoolExecutor:
    dataset = DatasetInfo(
        name="none", sha256="", image_shape=(1, 1, 1), classes=2, training_count=1, test_count=1, has_groups=False,
        folder="", files={},
    )  # fmt: skip
    protocol = EvaluationProtocol(dataset="none", data_sha256="", split=Split.BLOCK, epochs=1)
    task = Task(protocol=protocol, dataset=dataset, space_source="cnn", runtime=Runtime(device=Device.CPU))
    return PoolExecutor(backend, task)


@pytest.mark.parametrize("then", [Ready(), None])
def test_an_end_and_news_of_another_worker_at_once(
    pool: PoolExecutor, backend: ScriptedBackend, then: Message | None
) -> None:
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
