"""The coordinator's sign: which process runs a study, left in the study's folder beside the lock.

Whoever only wants to know whether a study runs must not try its lock: a run that starts at that moment would be
refused. The sign can be read by anyone at any time. One that a killed coordinator left is told by its process, which is
gone, or is another one that was given the same number.
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
"""How far two accounts of when a process started may lie apart; the time of booting is known to a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coordinator:
    """A process that runs a study.

    Args:
        pid: Its number.
        host: The machine it runs on.
        after_boot: Seconds between the machine's start and its own, which no change of the clock moves.
        since: When it took the study up, ISO 8601, UTC.
    """

    pid: int
    host: str
    after_boot: float
    since: str

    @property
    def is_on_this_host(self) -> bool:
        """Whether it runs, or ran, on this machine; of others it cannot be said whether they live."""
        return self.host == socket.gethostname()


def current_process() -> Coordinator:
    """Returns the sign of this process."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Coordinator(
        pid=os.getpid(), host=socket.gethostname(), after_boot=_seconds_after_boot(psutil.Process()), since=now
    )


def write_coordinator(folder: Path) -> None:
    """Leaves the sign of this process in a study's folder, which it has locked."""
    with draft_of(folder / COORDINATOR_FILE) as draft:
        draft.write_text(json.dumps(asdict(current_process())) + "\n", encoding="utf-8")


def remove_coordinator(folder: Path) -> None:
    """Takes the sign away; to be called before the lock is released."""
    (folder / COORDINATOR_FILE).unlink(missing_ok=True)


def read_coordinator(folder: Path) -> Coordinator | None:
    """Returns who runs a study, or None where nobody does.

    One on another machine is returned as long as its sign stands; see ``is_near``.
    """
    try:
        coordinator = Coordinator(**json.loads((folder / COORDINATOR_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return coordinator if not coordinator.is_on_this_host or is_alive(coordinator) else None


def is_alive(coordinator: Coordinator) -> bool:
    """Says whether a process of this machine still runs."""
    try:
        process = psutil.Process(coordinator.pid)
        is_same = abs(_seconds_after_boot(process) - coordinator.after_boot) < START_TIME_TOLERANCE_SECONDS
        return is_same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _seconds_after_boot(process: psutil.Process) -> float:
    return round(float(process.create_time() - psutil.boot_time()), 2)
