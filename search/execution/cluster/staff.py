"""Workers on a Ray cluster: where there is room for them, how they are started, heard and refused.

Ray decides on which node an actor runs. Here it is only asked: how many there is room for, and which nodes are left
out, for other versions of what trials depend on.
"""

from __future__ import annotations

import contextlib
import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.errors import FatalError
from search.execution.cluster import actor as actors
from search.execution.cluster.connection import Connection
from search.execution.cluster.packet import pack
from search.execution.cluster.worker import RayWorker, death_of
from search.execution.messages import Alive, Left, Message, Unfit
from search.execution.staff import Death, Staff, Worker
from search.training.data import read_arrays
from search.training.runtime import versions
from search.training.task import Task
from search.trial import Cause

ROOM_SECONDS = 60.0
"""How long a search waits for room where the cluster has none at all."""
NODE_LABEL = "ray.io/node-id"
"""Ray's own label of each node."""

Tell = Callable[[str], None]
"""Takes a sentence that whoever watches should know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What is wanted of a cluster.

    Args:
        workers: At most so many; None for as many as there is room for.
        cpus: Of each: its threads.
        gpus: Share of a GPU of each, 0 on a CPU.
    """

    workers: int | None
    cpus: int
    gpus: float = 0.0

    def fit(self, resources: dict[str, float]) -> int:
        """Returns how many workers fit into these."""
        by_cpu = int(resources.get("CPU", 0.0) / self.cpus)
        return min(by_cpu, int(resources.get("GPU", 0.0) / self.gpus + 1e-6)) if self.gpus else by_cpu

    def __str__(self) -> str:
        """Returns such as "CPU 1, GPU 0.5"."""
        return f"CPU {self.cpus}, GPU {self.gpus:g}" if self.gpus else f"CPU {self.cpus}"


class RayStaff(Staff):
    """The actors of one search.

    Args:
        connection: To the cluster; closed with the staff.
        task: What all trials share.
        demand: What is wanted.
        cache_dir: Folder for data on each node; None for the platform's.
        tell: Hears what the cluster lacks.
    """

    def __init__(
        self,
        connection: Connection,
        task: Task,
        demand: Demand,
        *,
        cache_dir: str | None = None,
        tell: Tell = lambda _: None,
    ) -> None:
        import ray

        ray.cloudpickle.register_pickle_by_value(actors)
        self._connection, self._demand, self._tell = connection, demand, tell
        self._versions = versions("keras", task.runtime.backend.value, "numpy", "keras-image-search")
        self._packed = pickle.dumps(pack(task, cache_dir=cache_dir, gpu_share=demand.gpus))
        self._arrays = ray.put(dict(read_arrays(task.dataset)))
        self._class = ray.remote(actors.Actor)
        self._hired: set[RayWorker] = set()
        self._refused: dict[str, str] = {}
        self._at_work = float("-inf")  # when one of them was last known to be placed
        room = self._capacity()
        if room == 0 or (demand.workers is not None and room < demand.workers):
            asked = f"{demand.workers} workers" if demand.workers else "a worker"
            tell(f"The cluster has no room for {asked} of {demand}, but for {room} now; more join as there is room.")

    @property
    def slots(self) -> int:
        """As many as were asked for, but no more than there is room for now."""
        self._hired = {worker for worker in self._hired if worker.death is None}
        free = len(self._hired) + self._demand.fit(dict(self._connection.latest.free))
        return max(1, min(free, self._capacity(), self._demand.workers or free))

    def hire(self, slot: int) -> RayWorker:
        """Asks for an actor; Ray starts it where and when there is room."""
        worker = RayWorker(self._start())
        self._hired.add(worker)
        return worker

    def wait(self, workers: Sequence[Worker], timeout: float) -> list[tuple[Worker, Message | None]]:
        """Takes the polls that came back; a worker that waits for room is no worse than one that works."""
        import ray

        polled = {worker.said: worker for worker in workers if isinstance(worker, RayWorker)}
        if not polled:
            time.sleep(timeout)
            return []
        self._check()
        back, _ = ray.wait(list(polled), num_returns=1, timeout=timeout)
        if back:
            back, _ = ray.wait(list(polled), num_returns=len(polled), timeout=0)
        news: list[tuple[Worker, Message | None]] = [
            (polled[said], message) for said in back for message in self._hear(polled[said])
        ]
        return news + [(worker, Alive()) for worker in polled.values() if not worker.name and not worker.death]

    def close(self) -> None:
        """Leaves the cluster as it was found."""
        self._connection.close()

    def _start(self) -> Any:  # noqa: ANN401 - a handle
        """Returns a new actor, kept from the nodes that were refused."""
        others = {"label_selector": {NODE_LABEL: f"!in({','.join(self._refused)})"}} if self._refused else {}
        wanted = self._class.options(
            num_cpus=self._demand.cpus,
            num_gpus=self._demand.gpus,
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=4,
            **others,
        )
        return wanted.remote(self._versions, self._packed, [self._arrays])

    def _hear(self, worker: RayWorker) -> list[Message | None]:
        """Returns what a poll that came back brought."""
        import ray
        from ray.exceptions import RayError

        try:
            node_id, refusal, worker.memory, said = ray.get(worker.said)
        except RayError as error:
            worker.death = death_of(error)
            return [None]
        worker.name = self._connection.name(node_id)
        if refusal:
            self._refuse(worker, node_id, refusal)
            return []
        messages: list[Message | None] = []
        for message in said:
            if isinstance(message, Left):
                self._keep(message)
            elif isinstance(message, Unfit):
                worker.death = Death(cause=Cause.CRASHED, message=f"Node {worker.name}.", words=message.message)
                messages.append(None)
            else:
                messages.append(message)
        worker.listen()
        return messages

    def _refuse(self, worker: RayWorker, node_id: str, reason: str) -> None:
        """Leaves a node out, and starts its worker elsewhere.

        Raises:
            FatalError: No other is left.
        """
        if node_id not in self._refused:
            self._refused[node_id] = reason
            self._tell(f"Node {worker.name} is left out: it has {reason}.")
        worker.kill()
        if not self._connection.latest.nodes.keys() - self._refused.keys():
            named = "; ".join(f"{self._connection.name(one)}: {why}" for one, why in self._refused.items())
            raise FatalError(
                f"Every node of the cluster has other versions than this machine. Received: {named}.",
                hint="Install the same versions on the nodes and here, and run the same command again.",
            )
        worker.replace(self._start())

    def _check(self) -> None:
        """Looks after a search that can do nothing.

        Raises:
            FatalError: The cluster is lost, or has had no room for a single worker for too long.
        """
        nodes = self._connection.latest.nodes
        now, hired = time.monotonic(), [worker for worker in self._hired if worker.death is None]
        if any(worker.name for worker in hired):
            self._at_work = now
        since = max(self._at_work, min((worker.hired for worker in hired), default=now))
        if now - since < ROOM_SECONDS:
            return
        has = "; ".join(
            f"{node.name}: CPU {node.resources.get('CPU', 0):g}, GPU {node.resources.get('GPU', 0):g}"
            for node in nodes.values()
        )
        raise FatalError(
            f"The cluster had no room for a worker within {ROOM_SECONDS:.0f} s. Expected: {self._demand} on one node. "
            f"Received: {has}.",
            hint="Others may use it: ray status says so. Else ask for less with --threads, or --devices cpu.",
        )

    def _capacity(self) -> int:
        """Returns how many workers fit onto the nodes, were they empty."""
        nodes = self._connection.latest.nodes
        return sum(self._demand.fit(dict(node.resources)) for one, node in nodes.items() if one not in self._refused)

    def _keep(self, left: Left) -> None:
        """Writes a file that a trial has left; a trial whose file cannot be kept is no worse for it."""
        path = Path(left.path)
        draft = path.with_name(f"{path.name}.part")
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(left.content)
            draft.replace(path)
