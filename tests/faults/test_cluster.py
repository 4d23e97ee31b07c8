"""The executor on a Ray cluster of several nodes, simulated on this machine: real faults.

The contract of executors is tested on a cluster of one node (``tests/contracts``).
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
from executor_contract import ExecutorContract, drain, outcomes, trial
from waiting import so_far, wait_for

from search.data.dataset import prepare
from search.engines.optuna_engine import OptunaEngine
from search.errors import FatalError
from search.execution.base import Executor, Finished, Reported
from search.execution.local import local_executor
from search.execution.ordered import OrderedExecutor
from search.protocol import EvaluationProtocol, Split
from search.records.opening import open_ledger
from search.records.reader import read_study
from search.records.record import StudyHeader, StudyRecord
from search.records.storage.locations import StudyLocation
from search.session.callbacks import Callback
from search.study.loop import run_loop
from search.study.search_source import SearchSource
from search.training.runtime import Device, Runtime
from search.training.task import Task
from search.trial import Cause, Phase, State, TrialFiles
from spaces import registry
from spaces.restrict import restrict

pytest.importorskip("ray", reason="the extra ray is not installed")
pytestmark = pytest.mark.slow
LONG = 10_000
OLD = "0.0.9"
"""A version of Keras that never was."""


class Machines:
    """A cluster on loopback addresses, one for each node."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        head = {"node_ip_address": "127.0.0.2", "num_cpus": 1, "include_dashboard": False}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.address = self.cluster.address
        self.nodes: dict[str, Any] = {}

    def add(self, address: str, **more: Any) -> None:
        """Adds a node of one core."""
        self.nodes[address] = self.cluster.add_node(num_cpus=1, node_ip_address=address, **more)

    def remove(self, address: str) -> None:
        """Ends a node as a power cut would."""
        self.cluster.remove_node(self.nodes.pop(address), allow_graceful=False)


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """Two nodes of one core, and a third on which another version of Keras seems to be installed."""
    other = tmp_path_factory.mktemp("other")
    (other / f"keras-{OLD}.dist-info").mkdir()
    (other / f"keras-{OLD}.dist-info" / "METADATA").write_text(f"Metadata-Version: 2.1\nName: keras\nVersion: {OLD}\n")
    path = os.pathsep.join([str(other), *filter(None, [os.environ.get("PYTHONPATH")])])
    machines = Machines()
    machines.add("127.0.0.3")
    machines.add("127.0.0.4", env_vars={"PYTHONPATH": path})
    yield machines
    machines.cluster.shutdown()


@pytest.fixture(scope="module")
def task(small_mnist: Path, cache_dir: Path) -> Task:
    dataset = prepare(str(small_mnist), cache_dir)
    protocol = EvaluationProtocol(dataset=dataset.name, data_sha256=dataset.sha256, split=Split.STRATIFIED, epochs=1)
    return Task(protocol=protocol, dataset=dataset, space_source="cnn", runtime=Runtime(device=Device.CPU))


@pytest.fixture(scope="class")
def told() -> list[str]:
    """Sentences for the user."""
    return []


@pytest.fixture(scope="class")
def ray(
    machines: Machines, task: Task, told: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Executor]:
    """Warm workers on all nodes with the right versions; each node has a data cache of its own."""
    from search.execution.ray.executor import ray_executor

    nodes = tmp_path_factory.mktemp("nodes")
    joined = ray_executor(task, address=machines.address, cache_dir=str(nodes), notify=told.append)
    with closing(joined) as executor:
        for number in range(executor.slots):
            executor.submit(trial(number, epochs=1))
        assert outcomes(drain(executor)) == dict.fromkeys(range(3), State.COMPLETE)
        wait_for(lambda: executor.collect(0.1) == [] and executor.slots == 2)  # the first that is ready may run all
        yield executor


def reporting(executor: Executor, count: int) -> None:
    """Returns once ``count`` trials have finished an epoch."""
    reported: set[int] = set()
    while len(reported) < count:
        events = executor.collect(1.0)
        assert not finished(events), events
        reported |= {event.key[1] for event in events if isinstance(event, Reported)}


class TestRay(ExecutorContract):
    @pytest.fixture
    def executor(self, ray: Executor) -> Executor:
        return ray

    def test_a_node_of_other_versions_is_left_out_and_named(self, executor: Executor, told: list[str]) -> None:
        assert executor.slots == 2
        (line,) = told
        assert line.startswith("Node 127.0.0.4 is left out")
        assert OLD in line

    def test_files_come_back_from_a_node(self, executor: Executor, tmp_path: Path) -> None:
        kept = tmp_path / "study" / "predictions" / "search-0.npz"
        executor.submit(trial(0, epochs=1), TrialFiles(predictions=str(kept)))
        drain(executor)
        assert [path.name for path in kept.parent.iterdir()] == [kept.name]

    def test_the_same_study_as_by_local_workers(self, executor: Executor, task: Task, tmp_path: Path) -> None:
        with closing(local_executor(task, workers=2, log_dir=tmp_path)) as local:
            ours, theirs = (study(OrderedExecutor(one), tmp_path / str(id(one)), task) for one in (executor, local))
        assert len(ours) == 5
        assert ours == theirs

    def test_a_killed_worker_costs_one_trial(self, executor: Executor) -> None:
        executor.submit(trial(0, epochs=1))
        (pid,) = [event.outcome.environment["pid"] for event in drain(executor) if isinstance(event, Finished)]
        for number in range(2):
            executor.submit(trial(number, epochs=LONG))
        reporting(executor, 2)
        os.kill(pid, signal.SIGKILL)
        (dead,) = next(ended for _ in range(99) if (ended := finished(executor.collect(1.0))))
        assert (dead.outcome.state, dead.outcome.cause) == (State.FAILED, Cause.KILLED)
        executor.cancel((Phase.SEARCH, 1 - dead.key[1]), Cause.TIMEOUT)
        assert set(outcomes(drain(executor)).values()) == {State.INTERRUPTED}
        executor.submit(trial(2, epochs=1))
        assert outcomes(drain(executor)) == {2: State.COMPLETE}

    def test_a_trial_whose_node_is_lost_goes_on_elsewhere(
        self, executor: Executor, machines: Machines, tmp_path: Path
    ) -> None:
        shared = f"file://{tmp_path}/states"
        for number in range(2):
            one = trial(number, epochs=LONG)
            executor.submit(dataclasses.replace(one, rungs=(1,)), TrialFiles(checkpoint=f"{shared}/{number}.npz"))
        reporting(executor, 2)
        machines.remove("127.0.0.3")
        (lost,) = next(ended for _ in range(99) if (ended := finished(executor.collect(1.0))))
        assert (lost.outcome.state, lost.outcome.cause) == (State.FAILED, Cause.NODE_LOST)
        assert lost.outcome.environment == {"node": "127.0.0.3"}
        wait_for(lambda: executor.slots == 1)
        executor.cancel((Phase.SEARCH, 1 - lost.key[1]), Cause.TIMEOUT)
        drain(executor)
        again = dataclasses.replace(trial(lost.key[1], epochs=LONG), target_epoch=2)
        executor.submit(again, TrialFiles(resume_from=f"{shared}/{lost.key[1]}-1.npz"))
        (ended,) = finished(drain(executor))
        assert [report.restored for report in ended.outcome.history] == [True, False]
        assert ended.outcome.environment["node"] == "127.0.0.2"


def finished(events: list[Any]) -> list[Finished]:
    """Returns the Finished events."""
    return [event for event in events if isinstance(event, Finished)]


def study(executor: Executor, folder: Path, task: Task) -> list[tuple[str, float]]:
    """Returns the configurations that a study proposes, and their errors."""
    space = restrict(registry.load("cnn"), fix={"conv_stages": 1, "filters_1": 8, "dense_1": 32}, ranges={})
    header = StudyHeader(
        name="same", space=space, space_source="cnn", protocol=task.protocol, engine="optuna", sampler="tpe",
        pruner="none", seed=3, created="2026-01-01T00:00:00+00:00",
    )  # fmt: skip
    with open_ledger(StudyLocation(studies_dir=folder), header) as ledger:
        engine = OptunaEngine(space, sampler="tpe", pruner="none", seed=3, epochs=1)
        source = SearchSource(engine, ledger, trials=5, recipes=())
        run_loop(source, executor=executor, ledger=ledger, callback=Callback())
        trials = ledger.read().trials
    return [(json.dumps(dict(one.trial.config)), one.outcome.error_percent) for one in trials if one.outcome]


def test_a_cluster_without_room_is_an_error_after_a_while(
    machines: Machines, task: Task, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from search.execution.ray import worker_backend
    from search.execution.ray.executor import ray_executor

    monkeypatch.setattr(worker_backend, "PLACEMENT_TIMEOUT_SECONDS", 1.0)
    told: list[str] = []
    on_gpus = dataclasses.replace(task, runtime=Runtime(device=Device.GPU))
    joined = ray_executor(on_gpus, address=machines.address, cache_dir=str(cache_dir), notify=told.append)
    with closing(joined) as executor:
        assert "GPU 1" in told[0]
        executor.submit(trial(0))
        with pytest.raises(
            FatalError, match=r"Expected: CPU 1, GPU 1 on one node. Received: .*127.0.0.2: CPU 1, GPU 0"
        ):
            drain(executor)


def recorded(folder: Path) -> StudyRecord:
    """The study's record."""
    return read_study(StudyLocation(studies_dir=folder / "studies"), "far")


def ended(folder: Path) -> int:
    """Returns how many trials finished by themselves."""
    record = so_far(StudyLocation(studies_dir=folder / "studies"), "far")
    return sum(known.is_finished for known in record.trials) if record is not None else 0


def nodes(folder: Path) -> set[str | None]:
    """Returns the nodes on which trials have ended."""
    return {known.outcome.environment.get("node") for known in recorded(folder).trials if known.outcome}


def actors() -> list[psutil.Process]:
    """Returns the worker processes of the cluster."""
    return [one for one in psutil.process_iter(["cmdline"]) if "ray::Actor" in " ".join(one.info["cmdline"] or ())]


def test_a_search_survives_a_killed_coordinator_and_a_lost_node_and_reports_a_lost_cluster(
    machines: Machines, small_mnist: Path, cache_dir: Path, tmp_path: Path
) -> None:
    machines.add("127.0.0.5")
    command = [
        *(sys.executable, "-m", "search", "run", "--executor", "ray", "--address", machines.address),
        *("--checkpoint-dir", str(tmp_path / "states"), "--dataset", str(small_mnist), "--cache-dir", str(cache_dir)),
        *(
            "--study",
            "far",
            "--seed",
            "0",
            "--epochs",
            "8",
            "--sampler",
            "tpe",
            "--pruner",
            "none",
            "--no-recipes",
            "--finalists",
            "0",
        ),
        *("--fix", "filters_1=8", "--fix", "dense_1=32", "--fix", "conv_stages=1"),
    ]

    def start(trials: int) -> subprocess.Popen[str]:
        words = [*command, "--trials", str(trials)]
        return subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    session = start(4)
    wait_for(lambda: ended(tmp_path) >= 1)
    session.kill()
    session.communicate()
    wait_for(lambda: not actors(), 20)

    session, before = start(7), ended(tmp_path)  # enough that no node is idle when one is lost
    wait_for(lambda: ended(tmp_path) > before)
    machines.remove("127.0.0.5")
    machines.add("127.0.0.6")
    _, said = session.communicate(timeout=300)
    assert session.returncode == 0, said
    trials = recorded(tmp_path).trials
    assert sum(known.is_finished for known in trials) == 7
    causes = [known.outcome.cause for known in trials if known.outcome and not known.is_finished]
    assert Cause.COORDINATOR_DIED in causes
    assert Cause.NODE_LOST in causes
    assert "127.0.0.2" in nodes(tmp_path)

    session, before = start(100), ended(tmp_path)
    # Only then has it joined the cluster, and so has the new node.
    wait_for(lambda: ended(tmp_path) > before and "127.0.0.6" in nodes(tmp_path))
    machines.cluster.remove_node(machines.cluster.head_node, allow_graceful=False)
    _, said = session.communicate(timeout=240)  # its reports take long on a busy machine
    assert session.returncode == 1, said
    assert "The connection to the Ray cluster was lost." in said
    assert "Run the same command again" in said
    assert ended(tmp_path) > 7
