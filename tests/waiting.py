"""Waiting for what another process records: looked at again and again until it is so, or the time is over."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

from search.errors import UserError
from search.records.reader import read_study
from search.records.record import StudyRecord
from search.records.storage.locations import StudyLocation


def so_far(place: StudyLocation, name: str) -> StudyRecord | None:
    """Returns a study as recorded; None before its first session has begun it, when only its folder may be there."""
    try:
        return read_study(place, name)
    except UserError:
        return None


def wait_for(holds: Callable[[], bool], seconds: float = 200.0) -> None:
    """Returns once it is so."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def wait_for_record(
    place: StudyLocation, name: str, holds: Callable[[StudyRecord], bool], session: subprocess.Popen[str]
) -> None:
    """Returns once a study that a session writes is so; the session must not end before."""

    def is_so() -> bool:
        is_over = session.poll() is not None
        record = so_far(place, name)
        if record is not None and holds(record):
            return True
        assert not is_over, session.communicate()
        return False

    wait_for(is_so)
