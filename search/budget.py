"""How much time a study may still take, over all its sessions, and whether somebody asked it to stop."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from search.ledger import Ledger
from search.trial import Cause

LOOK_SECONDS = 5.0
"""Time between two looks at the ledger; what a killed session loses of its time account at most."""


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

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


class Budget:
    """Says when the search must end, so that verification still fits into the time.

    Args:
        ledger: Keeps the account.
        timeout: Seconds of all sessions together, verification included; None for no bound.
        reserve: Returns the seconds that verification would take now.
        interrupt: Somebody's wish to stop.
    """

    def __init__(
        self, ledger: Ledger, *, timeout: float | None, reserve: Callable[[], float], interrupt: Interrupt
    ) -> None:
        self._ledger, self._timeout, self._reserve, self._interrupt = ledger, timeout, reserve, interrupt
        record = ledger.read()
        self._before, self._began = record.spent_seconds, time.monotonic()
        self._is_exhausted = timeout is not None and timeout <= record.exhausted_seconds
        self._reserved, self._looked = 0.0, float("-inf")

    def spent(self) -> float:
        """Returns the seconds of all sessions so far."""
        return self._before + time.monotonic() - self._began

    @property
    def is_stopping(self) -> bool:
        """Whether somebody asked to stop."""
        return self._interrupt.asked

    def stop_search(self) -> Cause | None:
        """Returns why the search must end now, or None."""
        self._look()
        is_spent = self._timeout is not None and self.spent() + self._reserved >= self._timeout
        if self._is_exhausted or is_spent:
            return Cause.TIMEOUT
        return self.stop_verification()

    def stop_verification(self) -> Cause | None:
        """Returns why verification must end now, or None; it is never cut by time, only by a wish."""
        self._look()
        return Cause.CANCELLED if self._interrupt.asked else None

    def _look(self) -> None:
        """Writes the account and asks for the reserve, once in a while."""
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self._ledger.spend(self.spent())
            self._reserved, self._looked = self._reserve(), time.monotonic()
