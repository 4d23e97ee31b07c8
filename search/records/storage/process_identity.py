"""Identity of the process that runs a study, in a file beside the study's lock.

Readers must not try the lock: a run that starts at that moment would be refused. A file that a killed coordinator left
behind is recognized by its process, which has ended or was started at another time. Called by the ledgers and by
``search.records.status``.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from search.files import draft_of

COORDINATOR_FILE = "coordinator.json"
START_TIME_TOLERANCE_SECONDS = 2.0
"""Largest difference between two start times of the same process; the boot time has a resolution of a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coordinator:
    """A process that runs a study.

    Args:
        pid: Process id.
        host: Host name.
        after_boot: Seconds from the machine's boot to the start of the process, independent of clock changes.
        since: When it opened the study, ISO 8601, UTC.
    """

    pid: int
    host: str
    after_boot: float
    since: str

    @property
    def is_on_this_host(self) -> bool:
        """Whether it runs, or ran, on this machine; processes of other machines cannot be checked."""
        return self.host == socket.gethostname()


def current_process() -> Coordinator:
    """Returns the identity of this process."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Coordinator(
        pid=os.getpid(), host=socket.gethostname(), after_boot=_seconds_after_boot(psutil.Process()), since=now
    )


def write_coordinator(folder: Path) -> None:
    """Writes the identity of this process into a study's folder, which it has locked."""
    with draft_of(folder / COORDINATOR_FILE) as draft:
        draft.write_text(json.dumps(asdict(current_process())) + "\n", encoding="utf-8")


def remove_coordinator(folder: Path) -> None:
    """Deletes the file; call it before the lock is released."""
    (folder / COORDINATOR_FILE).unlink(missing_ok=True)


def read_coordinator(folder: Path) -> Coordinator | None:
    """Returns the process that runs a study, or None if none does.

    A process of another machine is returned as long as its file exists.
    """
    try:
        coordinator = Coordinator(**json.loads((folder / COORDINATOR_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return coordinator if not coordinator.is_on_this_host or is_alive(coordinator) else None


def is_alive(coordinator: Coordinator) -> bool:
    """Returns whether a process of this machine still runs."""
    try:
        process = psutil.Process(coordinator.pid)
        is_same = abs(_seconds_after_boot(process) - coordinator.after_boot) < START_TIME_TOLERANCE_SECONDS
        return is_same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _seconds_after_boot(process: psutil.Process) -> float:
    return round(float(process.create_time() - psutil.boot_time()), 2)
