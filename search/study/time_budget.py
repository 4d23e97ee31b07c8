"""The time budget of a study over all its sessions, and the handler of Ctrl-C.

``search.session.timetable`` begins only what can end. Should a trial take longer than predicted, the search ends when
the time left is the estimated time of verification. At the deadline everything ends, verification included. Called by
``search.session``.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from search.records.ledger import Ledger
from search.trial import Cause

REFRESH_SECONDS = 5.0
"""Time between two updates of the ledger; a killed session loses at most this much of its recorded time."""
MARGIN = 1.06
"""Predicted seconds are multiplied by this much before they are compared with the time that is left."""
CLOSING_SECONDS = 4.0
"""Time that reports and ensembles take at the end."""
STOP_SECONDS = 2.0
"""Time in which the trials of a search that must end stop and are recorded; what follows can still be begun."""
SUFFICIENT_MARGIN = 1.25
"""Time with which another session certainly finishes verification, as a multiple of its estimate: two runs of a large
network slow each other down."""
WARM_UP_SECONDS = 15.0
"""Upper bound of the time in which that session's workers import Keras."""
GRACE_SECONDS = 20.0
"""Time that a cancelled trial has to stop at a step boundary; starting a new worker takes half of it."""
FINAL_GRACE_SECONDS = 1.5
"""The same after the deadline or after Ctrl-C, so that a deadline is exceeded by at most 5 s; the reports take 2 s."""


def stopwatch(started_at: float | None = None) -> Callable[[], float]:
    """Returns a function that returns the seconds since a time of the monotonic clock; None for now."""
    start = time.monotonic() if started_at is None else started_at
    return lambda: time.monotonic() - start


class InterruptHandler:
    """Handles Ctrl-C and SIGTERM: the first stops the study gracefully, the second at once.

    Outside the main thread, where Python allows no handlers, it does nothing.
    """

    def __init__(self) -> None:
        self.is_requested = False
        self._previous_handlers: dict[int, object] = {}

    def __enter__(self) -> InterruptHandler:
        """Installs the handlers."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous_handlers[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        """Restores the previous handlers."""
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def grace_seconds(self) -> float:
        """Returns the seconds that a cancelled trial has to stop by itself."""
        return FINAL_GRACE_SECONDS if self.is_requested else GRACE_SECONDS

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.is_requested:
            raise KeyboardInterrupt
        self.is_requested = True


class TimeBudget:
    """Determines when the search must end, so that verification fits into the time, and when everything must end.

    Args:
        ledger: Records the seconds.
        timeout: Seconds of all sessions together; None for no limit.
        estimate_verification: Returns the estimated seconds of verification; None if the time does not include it.
        interrupt: Whether the user asked to stop.
        session_seconds: Returns the seconds of this session; None for a stopwatch that starts now.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        timeout: float | None,
        estimate_verification: Callable[[], float] | None,
        interrupt: InterruptHandler,
        session_seconds: Callable[[], float] | None = None,
    ) -> None:
        self._ledger, self._timeout, self._estimate_verification, self._interrupt = (
            ledger,
            timeout,
            estimate_verification,
            interrupt,
        )
        self._session_seconds = session_seconds or stopwatch()
        record = ledger.read()
        self._earlier_seconds = record.spent_seconds
        self._was_exhausted = timeout is not None and timeout <= record.exhausted_seconds
        self._estimate, self._refreshed_at = 0.0, float("-inf")
        self.has_cut_session = False
        """Whether the time budget ended the search or the verification of this session."""

    def elapsed_seconds(self) -> float:
        """Returns the seconds of all sessions so far."""
        return self._earlier_seconds + self._session_seconds()

    @property
    def is_interrupted(self) -> bool:
        """Whether the user asked to stop."""
        return self._interrupt.is_requested

    @property
    def is_exhausted(self) -> bool:
        """Whether the deadline has passed, or an earlier session has used up the same budget."""
        return self._was_exhausted or (self._timeout is not None and self.elapsed_seconds() >= self._timeout)

    @property
    def includes_verification(self) -> bool:
        """Whether the time includes verification."""
        return self._estimate_verification is not None

    def verification_seconds(self) -> float:
        """Returns the latest estimate of the verification that has not begun; 0 while nothing can be verified."""
        return self._estimate

    def reserved_seconds(self) -> float:
        """Returns the seconds before the deadline at which the search must end; 0 while nothing can be verified."""
        return MARGIN * self._estimate + CLOSING_SECONDS + STOP_SECONDS if self._estimate else 0.0

    def grace_seconds(self) -> float:
        """Returns the seconds that a cancelled trial has to stop by itself; few after the deadline."""
        return FINAL_GRACE_SECONDS if self.is_exhausted else self._interrupt.grace_seconds()

    def search_stop_cause(self) -> Cause | None:
        """Returns why the search must end now, or None."""
        self._refresh()
        if self.is_exhausted or (
            self._timeout is not None and self.elapsed_seconds() + self.reserved_seconds() >= self._timeout
        ):
            self.has_cut_session = True
            return Cause.TIMEOUT
        return Cause.CANCELLED if self._interrupt.is_requested else None

    def verification_stop_cause(self) -> Cause | None:
        """Returns why verification must end now, or None."""
        self._refresh()
        if self.includes_verification and self.is_exhausted:
            self.has_cut_session = True
            return Cause.TIMEOUT
        return Cause.CANCELLED if self._interrupt.is_requested else None

    def sufficient_timeout(self) -> int:
        """Returns a time budget, in whole seconds, with which another session finishes the verification."""
        self._refresh(force=True)
        seconds = self.elapsed_seconds() + SUFFICIENT_MARGIN * self._estimate + WARM_UP_SECONDS
        return max(math.floor(seconds), math.floor(self._ledger.read().exhausted_seconds) + 1)

    def _refresh(self, *, force: bool = False) -> None:
        """Records the seconds and updates the estimate, if it is time to."""
        if force or self._session_seconds() - self._refreshed_at > REFRESH_SECONDS:
            self._ledger.record_spent_seconds(self.elapsed_seconds())
            self._refreshed_at = self._session_seconds()
            self._estimate = self._estimate_verification() if self._estimate_verification else 0.0
