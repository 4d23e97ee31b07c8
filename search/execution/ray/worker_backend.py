"""Workers on a Ray cluster: how many fit, how they are started, read and refused.

Ray decides on which node an actor runs. The backend only asks how many workers fit, and excludes nodes
with other versions of the packages that trials depend on.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.data.dataset import read_arrays
from search.errors import FatalError
from search.execution.messages import FileProduced, Message, WorkerHeartbeat, WorkerUnusable
from search.execution.ray import actor as actors
from search.execution.ray.connection import ClusterConnection
from search.execution.ray.worker import RayWorker, worker_exit_of
from search.execution.worker_backend import Worker, WorkerBackend, WorkerExit
from search.files import draft_of
from search.training.runtime import package_versions
from search.training.task import Task
from search.trial import Cause

PLACEMENT_TIMEOUT_SECONDS = 60.0
"""How long a search without a single placed worker waits for the cluster."""
NODE_LABEL = "ray.io/node-id"
"""Ray's own label of each node."""

Notify = Callable[[str], None]
"""Called with a sentence for the user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceRequest:
    """What the workers need of a cluster.

    Args:
        workers: Upper bound on the workers; None for as many as fit.
        cpus: Cores of each worker: its threads.
        gpus: GPUs of each worker, in (0, 1]; 0 on a CPU.
    """

    workers: int | None
    cpus: int
    gpus: float = 0.0

    def max_workers(self, resources: dict[str, float]) -> int:
        """Returns how many workers fit into resources by Ray's names."""
        by_cpu = int(resources.get("CPU", 0.0) / self.cpus)
        return min(by_cpu, int(resources.get("GPU", 0.0) / self.gpus + 1e-6)) if self.gpus else by_cpu

    def __str__(self) -> str:
        """Returns such as "CPU 1, GPU 0.5"."""
        return f"CPU {self.cpus}, GPU {self.gpus:g}" if self.gpus else f"CPU {self.cpus}"


class RayWorkerBackend(WorkerBackend):
    """The actors of one search.

    Args:
        connection: The cluster; closed with the backend.
        task: What all trials share.
        resource_request: What the workers need.
        payload: A pickled ``search.execution.ray.executor.WorkerPayload``, sent to each worker.
        notify: Called with a sentence about what the cluster lacks.
    """

    def __init__(
        self,
        connection: ClusterConnection,
        task: Task,
        resource_request: ResourceRequest,
        *,
        payload: bytes,
        notify: Notify,
    ) -> None:
        import ray

        ray.cloudpickle.register_pickle_by_value(actors)
        self._connection, self._resource_request, self._notify = connection, resource_request, notify
        self._versions = package_versions("keras", task.runtime.backend.value, "numpy", "keras-image-search")
        self._payload = payload
        self._arrays_ref = ray.put(dict(read_arrays(task.dataset)))
        self._actor_class = ray.remote(actors.Actor)
        self._workers: set[RayWorker] = set()
        self._excluded_nodes: dict[str, str] = {}
        self._last_placed_at = float("-inf")  # when a worker was last known to be placed
        self._warn_if_too_small()

    @property
    def slots(self) -> int:
        """As many workers as requested, but no more than fit now."""
        self._workers = {worker for worker in self._workers if worker.worker_exit is None}
        free = len(self._workers) + self._resource_request.max_workers(dict(self._connection.snapshot.available))
        return max(1, min(free, self._capacity(), self._resource_request.workers or free))

    def start_worker(self, slot: int) -> RayWorker:
        """Requests an actor; Ray starts it where and when resources are free."""
        worker = RayWorker(self._start_actor())
        self._workers.add(worker)
        return worker

    def wait(self, workers: Sequence[Worker], timeout: float) -> list[tuple[Worker, Message | None]]:
        """Reads the polls that were answered. A worker that waits for resources counts as alive."""
        import ray

        worker_by_poll = {worker.pending_poll: worker for worker in workers if isinstance(worker, RayWorker)}
        if not worker_by_poll:
            time.sleep(timeout)
            return []
        self._raise_if_unplaced()
        ready, _ = ray.wait(list(worker_by_poll), num_returns=1, timeout=timeout)
        if ready:
            ready, _ = ray.wait(list(worker_by_poll), num_returns=len(worker_by_poll), timeout=0)
        received: list[tuple[Worker, Message | None]] = [
            (worker_by_poll[poll], message) for poll in ready for message in self._receive(worker_by_poll[poll])
        ]
        return received + [
            (worker, WorkerHeartbeat())
            for worker in worker_by_poll.values()
            if not worker.name and not worker.worker_exit
        ]

    def close(self) -> None:
        """Leaves the cluster as it was."""
        self._connection.close()

    def _start_actor(self) -> Any:
        """Returns a new actor, which Ray places on a node that is not excluded."""
        node_filter = (
            {"label_selector": {NODE_LABEL: f"!in({','.join(self._excluded_nodes)})"}} if self._excluded_nodes else {}
        )
        actor_options = self._actor_class.options(
            num_cpus=self._resource_request.cpus,
            num_gpus=self._resource_request.gpus,
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=4,
            **node_filter,
        )
        return actor_options.remote(self._versions, self._payload, [self._arrays_ref])

    def _receive(self, worker: RayWorker) -> list[Message | None]:
        """Returns the messages of an answered poll; None as the last if the worker is dead."""
        import ray
        from ray.exceptions import RayError

        try:
            node_id, version_mismatch, worker.last_memory_mib, worker.last_cpu_seconds, sent = ray.get(
                worker.pending_poll
            )
        except RayError as error:
            worker.worker_exit = worker_exit_of(error)
            return [None]
        worker.name = self._connection.node_name(node_id)
        if version_mismatch:
            self._exclude_node(worker, node_id, version_mismatch)
            return []
        messages: list[Message | None] = []
        for message in sent:
            if isinstance(message, FileProduced):
                self._write_file(message)
            elif isinstance(message, WorkerUnusable):
                worker.worker_exit = WorkerExit(
                    cause=Cause.CRASHED, message=f"Node {worker.name}.", log_tail=message.message
                )
                messages.append(None)
            else:
                messages.append(message)
        worker.poll()
        return messages

    def _exclude_node(self, worker: RayWorker, node_id: str, reason: str) -> None:
        """Excludes a node and requests another actor for its worker.

        Raises:
            FatalError: All nodes are excluded.
        """
        if node_id not in self._excluded_nodes:
            self._excluded_nodes[node_id] = reason
            self._notify(f"Node {worker.name} is left out: it has {reason}.")
        worker.kill()
        if not self._connection.snapshot.nodes.keys() - self._excluded_nodes.keys():
            reasons = "; ".join(
                f"{self._connection.node_name(node)}: {reason}" for node, reason in self._excluded_nodes.items()
            )
            raise FatalError(
                f"Every node of the cluster has other versions than this machine. Received: {reasons}.",
                hint="Install the same versions on the nodes and here, and run the same command again.",
            )
        worker.assign_actor(self._start_actor())

    def _warn_if_too_small(self) -> None:
        """Notifies if fewer workers fit than were requested."""
        request, capacity = self._resource_request, self._capacity()
        if capacity < (request.workers or 1):
            requested = f"{request.workers} workers" if request.workers else "a worker"
            self._notify(
                f"The cluster lacks resources for {requested} of {request}: {capacity} fit now, and more start when "
                "resources become free."
            )

    def _raise_if_unplaced(self) -> None:
        """Checks that a worker could be placed.

        Raises:
            FatalError: The cluster is lost, or no worker could be placed for too long.
        """
        nodes = self._connection.snapshot.nodes
        now, living = time.monotonic(), [worker for worker in self._workers if worker.worker_exit is None]
        if any(worker.name for worker in living):
            self._last_placed_at = now
        since = max(self._last_placed_at, min((worker.requested_at for worker in living), default=now))
        if now - since < PLACEMENT_TIMEOUT_SECONDS:
            return
        node_resources = "; ".join(
            f"{node.name}: CPU {node.resources.get('CPU', 0):g}, GPU {node.resources.get('GPU', 0):g}"
            for node in nodes.values()
        )
        raise FatalError(
            f"No worker could be placed in the cluster within {PLACEMENT_TIMEOUT_SECONDS:.0f} s. "
            f"Expected: {self._resource_request} on one node. "
            f"Received: {node_resources}.",
            hint="ray status shows whether other programs use the cluster. Otherwise request less with --threads, or "
            "--devices cpu.",
        )

    def _capacity(self) -> int:
        """Returns how many workers fit on the empty nodes."""
        nodes = self._connection.snapshot.nodes
        return sum(
            self._resource_request.max_workers(dict(node.resources))
            for node_id, node in nodes.items()
            if node_id not in self._excluded_nodes
        )

    def _write_file(self, file: FileProduced) -> None:
        """Writes a file that a trial has produced; a failed write is ignored."""
        with contextlib.suppress(OSError), draft_of(Path(file.path)) as draft:
            draft.write_bytes(file.content)
