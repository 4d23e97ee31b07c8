"""Company: other coordinators may work on the same study, and its source hears what they do.

    next    decides on a trial and records it, in a turn; what the others have begun is heard first
    hear    takes in how their trials go on and end, and what dead ones left

Where a coordinator is alone, nobody is heard, and a turn costs nothing. Called by ``search.study.loop``.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from search.records.ledger import Ledger
from search.records.writing import TurnLostError
from search.study.sources import reclaim
from search.trial import Trial

if TYPE_CHECKING:
    from search.study.loop import Listener, Source

LISTEN_SECONDS, SWEEP_SECONDS = 1.0, 5.0
"""Time between two looks at what others do, and at whether they live."""


class Company:
    """Stands between a source and those that work on the same study.

    Args:
        source: Says which trial comes next, and hears of the others'.
        ledger: Records them.
        listener: Hears how the others' end.
    """

    def __init__(self, source: Source, ledger: Ledger, listener: Listener) -> None:
        self._source, self._ledger, self._listener = source, ledger, listener
        self._listened = self._swept = float("-inf")
        self._waits = False

    def next(self) -> Trial | None:
        """Returns the next trial, recorded as begun, or None when there is none now."""
        while True:
            trial = None
            try:
                with self._ledger.turn():
                    self._take_in()
                    if (trial := self._source.next()) is not None:
                        self._ledger.begin(trial)
                return trial
            except TurnLostError:
                if trial is not None and self._ledger.has_begun(trial):
                    return trial
                if trial is not None:
                    self._source.withdraw(trial)

    def hear(self) -> bool:
        """Takes in what the others do, now and then; returns whether the source may answer otherwise for it."""
        now = time.monotonic()
        if not self._ledger.is_shared or now - self._listened < LISTEN_SECONDS:
            return False
        self._listened = now
        if now - self._swept > SWEEP_SECONDS:
            self._swept = now
            reclaim(self._ledger)
        return self._take_in()

    def wait(self) -> bool:
        """Says whether trials of others are to be waited for; pauses for a moment, and tells it once."""
        if not (count := self._source.elsewhere):
            return False
        if not self._waits:
            self._listener.waiting(count)
        self._waits = True
        time.sleep(LISTEN_SECONDS)
        return True

    def _take_in(self) -> bool:
        has_changed = False
        for known in self._ledger.news(self._source.phase):
            if not self._source.hear(known):
                continue
            has_changed = True
            if known.outcome is not None:
                self._listener.heard(known.trial, known.outcome)
        return has_changed
