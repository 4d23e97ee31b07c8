"""A worker on a node of a cluster, as a Ray actor: it trains in one thread and answers calls in others.

    put    takes a trial or a cancellation
    poll   waits for the trial's messages: a long poll, called again and again

The actor travels to its node by value. It imports this package there only if the node has the coordinator's versions,
so that a node where the package is missing or differs can report it. The node shares no folder with the coordinator:
what the actor needs comes as its ``WorkerPayload``, and files that a trial writes go back as messages.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import pickle
import platform
import queue
import tempfile
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Actor:
    """One worker.

    Args:
        required_versions: The coordinator's versions by package, and of Python.
        payload: A pickled ``WorkerPayload``.
        arrays: A list of the reference to the data set's arrays in Ray's object store. Outside of a list, Ray would
            resolve the reference.
    """

    def __init__(self, required_versions: Mapping[str, str], payload: bytes, arrays: list[Any]) -> None:
        self._outbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._version_mismatch = describe_version_mismatch(required_versions)
        self._ray_threads: set[int] = set()
        self._files: dict[Any, list[tuple[Path, str]]] = {}
        if not self._version_mismatch:
            import psutil

            from search.execution.worker_loop import Inbox

            # Ray's own threads, which use 0.02 of a core whatever the trial does.
            self._ray_threads = {thread.id for thread in psutil.Process().threads()}
            self._inbox = Inbox()
            self._scratch = Path(tempfile.mkdtemp(prefix="keras-image-search-"))
            threading.Thread(target=self._run, args=(payload, arrays[0]), daemon=True).start()

    def put(self, message: Any) -> None:
        """Takes a message; the paths of a trial's files are replaced by paths of this node."""
        from search.execution.messages import RunTrial

        if isinstance(message, RunTrial):
            files = dataclasses.replace(
                message.files,
                model=self._scratch_path(message.trial, message.files.model),
                predictions=self._scratch_path(message.trial, message.files.predictions),
            )
            message = dataclasses.replace(message, files=files)
        self._inbox.put(message)

    def poll(self, seconds: float) -> tuple[str, str, float, float, list[Any]]:
        """Returns the node's id, its version mismatch, memory in MiB, CPU seconds of its trials, and messages since.

        Args:
            seconds: How long to wait for a message.
        """
        import psutil
        import ray

        node_id = ray.get_runtime_context().get_node_id()
        if self._version_mismatch:
            return node_id, self._version_mismatch, 0.0, 0.0, []
        from search.execution.worker_backend import CPU_TIME_FIELDS

        messages = []
        try:
            messages.append(self._outbox.get(timeout=seconds))
            while True:
                messages.append(self._outbox.get_nowait())
        except queue.Empty:
            pass
        process = psutil.Process()
        memory_mib, cpu_seconds = process.memory_info().rss / 2**20, sum(process.cpu_times()[:CPU_TIME_FIELDS])
        self._ray_threads.add(threading.get_native_id())
        cpu_seconds -= sum(
            thread.user_time + thread.system_time for thread in process.threads() if thread.id in self._ray_threads
        )
        return node_id, "", memory_mib, cpu_seconds, messages

    def _scratch_path(self, trial: Any, path: str | None) -> str | None:
        """Returns where a trial writes a file on this node; the file is sent when the trial has ended."""
        if path is None:
            return None
        scratch_path = self._scratch / f"{trial.number}-{Path(path).name}"
        self._files.setdefault(trial.key, []).append((scratch_path, path))
        return str(scratch_path)

    def _run(self, pickled: bytes, arrays: Any) -> None:
        """Runs trials for ever; any error is sent as a message."""
        from search.execution.messages import WorkerUnusable

        try:
            payload = pickle.loads(pickled)
            os.environ.update(payload.environment)  # before anything imports Keras
            from search.execution.worker_loop import run_worker_loop

            run_worker_loop(payload.unpack(self._scratch, arrays), self._inbox, self._send)
        except Exception:  # noqa: BLE001 - a thread that ends silently would look like a hung worker
            self._outbox.put(WorkerUnusable(traceback.format_exc()))

    def _send(self, message: Any) -> None:
        """Sends a message; the files of a finished trial go before it."""
        from search.execution.base import Finished
        from search.execution.messages import FileProduced

        if isinstance(message, Finished):
            for file, path in self._files.pop(message.key, ()):
                if file.is_file():
                    self._outbox.put(FileProduced(path, file.read_bytes()))
                    file.unlink()
        self._outbox.put(message)


def describe_version_mismatch(required: Mapping[str, str]) -> str:
    """Returns the versions in which this node differs, in words; empty if there are none."""
    installed = {"python": platform.python_version()}
    for package in required.keys() - installed.keys():
        try:
            installed[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            installed[package] = "none"
    return ", ".join(
        f"{name} {installed[name]} instead of {version}"
        for name, version in sorted(required.items())
        if _comparable_version(name, installed[name]) != _comparable_version(name, version)
    )


def _comparable_version(name: str, version: str) -> str:
    """Returns the part of a version that must agree: Python's minor version, by which it pickles and compiles."""
    return ".".join(version.split(".")[:2]) if name == "python" else version
