"""A worker on a node of a cluster, as a Ray actor: it trains in one thread, and answers calls in others.

    put      takes a trial or a cancellation
    listen   waits for what the trial says: a long poll, called again and again

Travels to its node by value, and imports this package there only once it has found it in the coordinator's versions: a
node where it is missing or another one can say so. What it needs comes with it (``WorkerPayload``); the node shares no
folder
with the coordinator. Files that a trial leaves for the coordinator come back as messages.
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

FILE_FIELDS = ("predictions_to", "model_to")
"""Fields of a trial that name files which it leaves for the coordinator."""


class Actor:
    """One worker.

    Args:
        required_versions: Versions that the coordinator has, by package; and Python's.
        payload: A pickled ``WorkerPayload``.
        arrays: A list of the reference to the data set's arrays, in Ray's object store; in a list, Ray leaves it one.
    """

    def __init__(self, required_versions: Mapping[str, str], payload: bytes, arrays: list[Any]) -> None:
        self._outbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._version_mismatch = describe_version_mismatch(required_versions)
        self._files: dict[Any, list[tuple[Path, str]]] = {}
        if not self._version_mismatch:
            from search.execution.worker_loop import Inbox

            self._inbox = Inbox()
            self._scratch = Path(tempfile.mkdtemp(prefix="keras-image-search-"))
            threading.Thread(target=self._run, args=(payload, arrays[0]), daemon=True).start()

    def put(self, message: Any) -> None:
        """Takes a message; a trial's files go to a folder of this node first."""
        changes: dict[str, str] = {}
        for field in FILE_FIELDS:
            if (path := getattr(message, field, None)) is not None:
                changes[field] = str(self._scratch / f"{message.number}-{Path(path).name}")
                self._files.setdefault(message.key, []).append((Path(changes[field]), path))
        self._inbox.put(dataclasses.replace(message, **changes) if changes else message)

    def poll(self, seconds: float) -> tuple[str, str, float, list[Any]]:
        """Returns the node's id, why it refuses to work, its memory in MiB, and what was said since the last call.

        Args:
            seconds: How long to wait for something.
        """
        import psutil
        import ray

        messages = []
        try:
            messages.append(self._outbox.get(timeout=0.0 if self._version_mismatch else seconds))
            while True:
                messages.append(self._outbox.get_nowait())
        except queue.Empty:
            pass
        memory_mib = psutil.Process().memory_info().rss / 2**20
        return ray.get_runtime_context().get_node_id(), self._version_mismatch, memory_mib, messages

    def _run(self, pickled: bytes, arrays: Any) -> None:
        """Runs trials for ever; whatever keeps it from that is said."""
        from search.execution.messages import WorkerUnusable

        try:
            payload = pickle.loads(pickled)
            os.environ.update(payload.environment)  # before anything imports Keras
            from search.execution.worker_loop import run_worker_loop

            run_worker_loop(payload.unpack(self._scratch, arrays), self._inbox, self._send)
        except Exception:  # noqa: BLE001 - a thread's end that nobody hears of would look like a hung worker
            self._outbox.put(WorkerUnusable(traceback.format_exc()))

    def _send(self, message: Any) -> None:
        """Sends a message; the files that a trial left go before its end."""
        from search.execution.base import Finished
        from search.execution.messages import FileProduced

        if isinstance(message, Finished):
            for file, path in self._files.pop(message.key, ()):
                if file.is_file():
                    self._outbox.put(FileProduced(path, file.read_bytes()))
                    file.unlink()
        self._outbox.put(message)


def describe_version_mismatch(required: Mapping[str, str]) -> str:
    """Returns in which versions this node differs, in words; empty where it does not."""
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
    """Returns what of a version must agree: of Python's, what it pickles and compiles by."""
    return ".".join(version.split(".")[:2]) if name == "python" else version
