"""How much time a study may still take, over all its sessions, and whether somebody asked it to stop.

A time budget has two moments. At the first, when what is left is what verification will take, the search ends. At the
second, the deadline, everything does, verification included.
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
"""Time between two looks at the ledger; what a killed session loses of its time account at most."""
RESERVE_MARGIN = 1.25
"""What is reserved for verification, in parts of its estimate. Two runs of the same large network at once slow each
other down: they took 175 s where its search trial, beside a smaller one, had taken 108. With 1.1 a default run was cut
before its last run."""
WARM_UP_SECONDS = 15.0
"""Time that workers take to import Keras, at most; verification that begins with a session waits for it."""
GRACE_SECONDS = 20.0
"""Time a trial is given to stop at a step boundary; to start a new worker costs half of it."""
FINAL_GRACE_SECONDS = 1.5
"""The same once the time is over or somebody waits for the end, so that a deadline is kept to within 5 s; the reports
take two of them."""


def stopwatch(started_at: float | None = None) -> Callable[[], float]:
    """Returns a function that returns the seconds since a moment of the monotonic clock; since now where none is given.

    The wall clock may be set back; this one is not.
    """
    start = time.monotonic() if started_at is None else started_at
    return lambda: time.monotonic() - start


class InterruptHandler:
    """Turns Ctrl-C into a wish: the first stops the study in good order, the second at once.

    SIGTERM counts as Ctrl-C. Outside the main thread, where Python allows no handlers, nothing is changed.
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
        """Puts the former handlers back."""
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def grace_seconds(self) -> float:
        """Returns the seconds that a cancelled trial is given to stop by itself."""
        return FINAL_GRACE_SECONDS if self.is_requested else GRACE_SECONDS

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.is_requested:
            raise KeyboardInterrupt
        self.is_requested = True


class TimeBudget:
    """Says when the search must end, so that verification still fits into the time, and when everything must.

    Args:
        ledger: Keeps the account.
        timeout: Seconds of all sessions together; None for no bound.
        estimate_verification: Returns the seconds that verification would take now, as estimated; None where the time
            does not
            include it, and so does not cut it.
        interrupt: Somebody's wish to stop.
        session_seconds: Returns the seconds of this session; a stopwatch where not given.
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
        """Whether the time has ended search or verification in this session."""

    def elapsed_seconds(self) -> float:
        """Returns the seconds of all sessions so far."""
        return self._earlier_seconds + self._session_seconds()

    @property
    def is_interrupted(self) -> bool:
        """Whether somebody asked to stop."""
        return self._interrupt.is_requested

    @property
    def is_exhausted(self) -> bool:
        """Whether the deadline has passed, or the same budget was used up before."""
        return self._was_exhausted or (self._timeout is not None and self.elapsed_seconds() >= self._timeout)

    @property
    def includes_verification(self) -> bool:
        """Whether verification belongs to what is timed."""
        return self._estimate_verification is not None

    def verification_seconds(self) -> float:
        """Returns what verification would take as estimated lately; 0 while nothing could be verified."""
        return self._estimate

    def reserved_seconds(self) -> float:
        """Returns the seconds that are kept for verification."""
        if not self._estimate:
            return 0.0
        return RESERVE_MARGIN * self._estimate + max(0.0, WARM_UP_SECONDS - self._session_seconds())

    def grace_seconds(self) -> float:
        """Returns the seconds that a cancelled trial is given to stop by itself; few once the deadline has passed."""
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
        """Returns a time budget, in whole seconds, with which another session finishes the verification alone."""
        self._refresh(force=True)
        seconds = self.elapsed_seconds() + RESERVE_MARGIN * self._estimate + WARM_UP_SECONDS
        return max(math.floor(seconds), math.floor(self._ledger.read().exhausted_seconds) + 1)

    def _refresh(self, *, force: bool = False) -> None:
        """Writes the account and asks for the estimate, once in a while."""
        if force or self._session_seconds() - self._refreshed_at > REFRESH_SECONDS:
            self._ledger.record_spent_seconds(self.elapsed_seconds())
            self._refreshed_at = self._session_seconds()
            self._estimate = self._estimate_verification() if self._estimate_verification else 0.0
