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

LOOK_SECONDS = 5.0
"""Time between two looks at the ledger; what a killed session loses of its time account at most."""
RESERVE_MARGIN = 1.25
"""What is reserved for verification, in parts of its estimate. Two runs of the same large network at once slow each
other down: they took 175 s where its search trial, beside a smaller one, had taken 108. With 1.1 a default run was cut
before its last run."""
WARM_UP_SECONDS = 15.0
"""Time that workers take to import Keras, at most; verification that begins with a session waits for it."""
PATIENCE_SECONDS = 20.0
"""Time a trial is given to stop at a step boundary; to start a new worker costs half of it."""
LAST_SECONDS = 1.5
"""The same once the time is over or somebody waits for the end, so that a deadline is kept to within 5 s; the reports
take two of them."""


def stopwatch(began: float | None = None) -> Callable[[], float]:
    """Returns a function that returns the seconds since a moment of the monotonic clock; since now where none is given.

    The wall clock may be set back; this one is not.
    """
    start = time.monotonic() if began is None else began
    return lambda: time.monotonic() - start


class Interrupt:
    """Turns Ctrl-C into a wish: the first stops the study in good order, the second at once.

    SIGTERM counts as Ctrl-C. Outside the main thread, where Python allows no handlers, nothing is changed.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> Interrupt:
        """Installs the handlers."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        """Puts the former handlers back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def patience(self) -> float:
        """Returns the seconds that a cancelled trial is given to stop by itself."""
        return LAST_SECONDS if self.asked else PATIENCE_SECONDS

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


class Budget:
    """Says when the search must end, so that verification still fits into the time, and when everything must.

    Args:
        ledger: Keeps the account.
        timeout: Seconds of all sessions together; None for no bound.
        verification: Returns the seconds that verification would take now, as estimated; None where the time does not
            include it, and so does not cut it.
        interrupt: Somebody's wish to stop.
        elapsed: Returns the seconds of this session; a stopwatch where not given.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        timeout: float | None,
        verification: Callable[[], float] | None,
        interrupt: Interrupt,
        elapsed: Callable[[], float] | None = None,
    ) -> None:
        self._ledger, self._timeout, self._verification, self._interrupt = ledger, timeout, verification, interrupt
        self._elapsed = elapsed or stopwatch()
        record = ledger.read()
        self._before = record.spent_seconds
        self._is_exhausted = timeout is not None and timeout <= record.exhausted_seconds
        self._estimate, self._looked = 0.0, float("-inf")
        self.ran_out = False
        """Whether the time has ended search or verification in this session."""

    def spent(self) -> float:
        """Returns the seconds of all sessions so far."""
        return self._before + self._elapsed()

    @property
    def is_stopping(self) -> bool:
        """Whether somebody asked to stop."""
        return self._interrupt.asked

    @property
    def is_over(self) -> bool:
        """Whether the deadline has passed, or the same budget was used up before."""
        return self._is_exhausted or (self._timeout is not None and self.spent() >= self._timeout)

    @property
    def includes_verification(self) -> bool:
        """Whether verification belongs to what is timed."""
        return self._verification is not None

    def verification_seconds(self) -> float:
        """Returns what verification would take as estimated lately; 0 while nothing could be verified."""
        return self._estimate

    def reserved(self) -> float:
        """Returns the seconds that are kept for verification."""
        if not self._estimate:
            return 0.0
        return RESERVE_MARGIN * self._estimate + max(0.0, WARM_UP_SECONDS - self._elapsed())

    def patience(self) -> float:
        """Returns the seconds that a cancelled trial is given to stop by itself; few once the deadline has passed."""
        return LAST_SECONDS if self.is_over else self._interrupt.patience()

    def stop_search(self) -> Cause | None:
        """Returns why the search must end now, or None."""
        self._look()
        if self.is_over or (self._timeout is not None and self.spent() + self.reserved() >= self._timeout):
            self.ran_out = True
            return Cause.TIMEOUT
        return Cause.CANCELLED if self._interrupt.asked else None

    def stop_verification(self) -> Cause | None:
        """Returns why verification must end now, or None."""
        self._look()
        if self.includes_verification and self.is_over:
            self.ran_out = True
            return Cause.TIMEOUT
        return Cause.CANCELLED if self._interrupt.asked else None

    def enough_seconds(self) -> int:
        """Returns a time budget, in whole seconds, with which another session finishes the verification alone."""
        self._look(anyway=True)
        enough = self.spent() + RESERVE_MARGIN * self._estimate + WARM_UP_SECONDS
        return max(math.floor(enough), math.floor(self._ledger.read().exhausted_seconds) + 1)

    def _look(self, *, anyway: bool = False) -> None:
        """Writes the account and asks for the estimate, once in a while."""
        if anyway or self._elapsed() - self._looked > LOOK_SECONDS:
            self._ledger.spend(self.spent())
            self._looked = self._elapsed()
            self._estimate = self._verification() if self._verification else 0.0
