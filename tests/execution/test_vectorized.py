"""The vectorized executor on real processes: trials that leave a population, deaths, and a whole study."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from executor_contract import drain, outcomes
from vectorized_job import QUICKLY_COMPILED

import search
from search.data.dataset import prepare
from search.execution.base import Event, Finished, Reported
from search.execution.vectorized import PROBE_POPULATION_SIZE, VectorizedExecutor
from search.execution.worker_state import WorkerLimits
from search.protocol import EvaluationProtocol, Split
from search.training.runtime import Backend, Device, Runtime
from search.training.task import Task
from search.trial import Cause, Phase, State, Trial
from spaces import registry

pytest.importorskip("jax", reason="JAX is not installed: pip install '.[jax]'")
pytestmark = pytest.mark.slow
SHAPE = {"hidden_layers": 1, "width_1": 64, "activation": "relu", "batch_norm": False, "optimizer": "adam"}
SHAPE |= {
    "batch_size": 100,
    "dropout": 0.1,
    "dropout_input": 0.1,
    "rotation": 0.0,
    "shift": 0,
    "zoom": 0.0,
    "shear": 0.0,
    "elastic": 0.0,
}
LONG = 10_000


@pytest.fixture(autouse=True)
def _quickly_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the worker processes, which compile more than they train."""
    monkeypatch.setenv("XLA_FLAGS", QUICKLY_COMPILED)


def trial(number: int, epochs: int) -> Trial:
    config = {**registry.load("mlp").baseline, "width_1": 64}
    return Trial(number=number, config=config, seed=number, epochs=epochs)


def task_of(small_mnist: Path, cache_dir: Path, gpus: tuple[str, ...] = ()) -> Task:
    """A task on the CPU; each of the given "GPUs" is a process on it."""
    dataset = prepare(str(small_mnist), cache_dir)
    protocol = EvaluationProtocol(dataset=dataset.name, data_sha256=dataset.sha256, split=Split.STRATIFIED)
    runtime = Runtime(backend=Backend.JAX, device=Device.CPU, gpus=gpus)
    return Task(protocol=protocol, dataset=dataset, space_source="mlp", runtime=runtime)


def processes() -> list[psutil.Process]:
    """The worker processes, oldest first."""
    children = psutil.Process().children()
    alive = [child for child in children if child.status() != psutil.STATUS_ZOMBIE]  # of other tests in this process
    workers = [child for child in alive if "search.execution.vectorized_worker" in child.cmdline()]
    return sorted(workers, key=lambda worker: worker.create_time())


def until(executor: VectorizedExecutor, kind: type[Event], count: int = 1) -> list[Event]:
    """Collects until ``count`` trials have an event of a kind, and returns all events."""
    events: list[Event] = []
    while len({event.key for event in events if isinstance(event, kind)}) < count:
        events += executor.collect(60)
    return events


def test_members_leave_their_population_and_a_death_costs_all_of_it(
    small_mnist: Path, cache_dir: Path, tmp_path: Path
) -> None:
    task = task_of(small_mnist, cache_dir)
    with closing(VectorizedExecutor(task, workers=3, log_dir=tmp_path)) as executor:
        for number, epochs in enumerate((LONG, LONG, 3)):
            executor.submit(trial(number, epochs))
        events = until(executor, Finished)
        assert outcomes(events) == {2: State.COMPLETE}
        pid = next(event.outcome.environment["pid"] for event in events if isinstance(event, Finished))

        executor.cancel((Phase.SEARCH, 0), Cause.TIMEOUT)
        assert outcomes(until(executor, Finished)) == {0: State.INTERRUPTED}
        assert set(executor.running) == {(Phase.SEARCH, 1)}
        until(executor, Reported)

        executor.submit(trial(3, LONG))
        os.kill(pid, signal.SIGKILL)
        events = drain(executor)
        assert outcomes(events) == {1: State.FAILED, 3: State.FAILED}
        assert {event.outcome.cause for event in events if isinstance(event, Finished)} == {Cause.KILLED}
        assert executor.slots == 1

        executor.submit(trial(4, 1))
        assert outcomes(drain(executor)) == {4: State.COMPLETE}


def test_of_two_devices_one_goes_on_when_the_other_is_killed(
    small_mnist: Path, cache_dir: Path, tmp_path: Path
) -> None:
    with closing(
        VectorizedExecutor(task_of(small_mnist, cache_dir, ("0", "1")), workers=4, log_dir=tmp_path)
    ) as executor:
        for number in range(4):
            executor.submit(trial(number, LONG))
        until(executor, Reported, 4)
        first, second = processes()
        first.kill()
        events = until(executor, Finished, 2)
        assert outcomes(events) == {0: State.FAILED, 2: State.FAILED}
        assert (executor.slots, set(executor.running)) == (3, {(Phase.SEARCH, 1), (Phase.SEARCH, 3)})

        executor.submit(trial(4, 1))
        executor.cancel((Phase.SEARCH, 1), Cause.CANCELLED)
        ended = {event.key[1]: event.outcome for event in until(executor, Finished, 2) if isinstance(event, Finished)}
        assert {number: one.state for number, one in ended.items()} == {1: State.INTERRUPTED, 4: State.COMPLETE}
        assert ended[1].environment["pid"] == second.pid
        assert ended[4].environment["pid"] not in (first.pid, second.pid)


def test_a_process_that_has_grown_is_replaced_when_its_last_trial_has_ended(
    small_mnist: Path, cache_dir: Path, tmp_path: Path
) -> None:
    limits = WorkerLimits(memory_mib=1.0)
    with closing(
        VectorizedExecutor(task_of(small_mnist, cache_dir), workers=3, log_dir=tmp_path, limits=limits)
    ) as executor:
        for number, epochs in enumerate((1, LONG)):
            executor.submit(trial(number, epochs))
        events = until(executor, Finished)
        assert (outcomes(events), executor.slots) == ({0: State.COMPLETE}, 1)
        executor.cancel((Phase.SEARCH, 1), Cause.CANCELLED)
        events += until(executor, Finished)
        assert (executor.slots, processes()) == (3, [])
        executor.submit(trial(2, 1))
        events += drain(executor)
        ended = [event.outcome for event in events if isinstance(event, Finished)]
        assert [one.state for one in ended] == [State.COMPLETE, State.INTERRUPTED, State.COMPLETE]
        assert ended[0].environment["pid"] == ended[1].environment["pid"] != ended[2].environment["pid"]


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_device_finds_out_how_many_it_holds(
    small_mnist: Path, cache_dir: Path, tmp_path: Path, *, is_killed: bool
) -> None:
    """A process that is killed while it measures is restarted and measures with fewer trials."""
    said: list[str] = []
    task = task_of(small_mnist, cache_dir)
    probed = VectorizedExecutor(task, workers=64, log_dir=tmp_path, probe_config=trial(0, 1).config, notify=said.append)
    with closing(probed) as executor:
        assert executor.slots == PROBE_POPULATION_SIZE
        executor.submit(trial(0, 1))
        if is_killed:  # while it measures, or before
            processes()[-1].kill()
        assert outcomes(drain(executor)) == {0: State.COMPLETE}
        assert executor.slots == 64
    assert said == ["Up to 64 trials at a time, by measured memory."]


def test_a_study_of_populations_is_like_any_other(small_mnist: Path, cache_dir: Path, tmp_path: Path) -> None:
    study = search.run(
        space="mlp",
        dataset=small_mnist,
        executor="vectorized",
        devices="cpu",
        workers=3,
        trials=5,
        epochs=5,
        replicates=2,
        recipes=False,
        fix=SHAPE,
        seed=0,
        cache_dir=cache_dir,
        studies_dir=tmp_path / "studies",
        reports_dir=tmp_path / "reports",
    )
    ended = [known.outcome for known in study.record.trials if known.outcome]
    searched = study.record.trials_in_phase(Phase.SEARCH)
    assert len(searched) == 5
    assert {one.state for one in ended} == {State.COMPLETE, State.SCREENED}
    assert max(one.environment["population"] for one in ended) == 3
    assert {one.environment["backend"] for one in ended} == {"jax"}
    assert not study.leaderboard().empty
