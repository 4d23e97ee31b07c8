"""Company: other coordinators may work on the same study, and its source hears what they do.

    next    decides on a trial and records it, in a turn; what the others have begun is heard first
    hear    takes in how their trials go on and end, and what dead ones left

Where a coordinator is alone, nobody is heard, and a turn costs nothing. Called by ``search.study.loop``.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from search.records.ledger import Ledger, TransactionLostError
from search.study.search_source import interrupt_orphans
from search.trial import Trial

if TYPE_CHECKING:
    from search.study.loop import LoopCallback, TrialSource

SYNC_SECONDS, RECLAIM_SECONDS = 1.0, 5.0
"""Time between two looks at what others do, and at whether they live."""


class PeerSync:
    """Stands between a source and those that work on the same study.

    Args:
        source: Says which trial comes next, and hears of the others'.
        ledger: Records them.
        callback: Hears how the others' end.
    """

    def __init__(self, source: TrialSource, ledger: Ledger, callback: LoopCallback) -> None:
        self._source, self._ledger, self._callback = source, ledger, callback
        self._synced_at = self._reclaimed_at = float("-inf")
        self._is_waiting = False

    def next(self) -> Trial | None:
        """Returns the next trial, recorded as begun, or None when there is none now."""
        while True:
            trial = None
            try:
                with self._ledger.exclusive():
                    self._apply_changes()
                    if (trial := self._source.next()) is not None:
                        self._ledger.begin(trial)
                return trial
            except TransactionLostError:
                if trial is not None and self._ledger.has_begun(trial):
                    return trial
                if trial is not None:
                    self._source.undo_next(trial)

    def sync(self) -> bool:
        """Takes in what the others do, now and then; returns whether the source may answer otherwise for it."""
        now = time.monotonic()
        if not self._ledger.is_shared or now - self._synced_at < SYNC_SECONDS:
            return False
        self._synced_at = now
        if now - self._reclaimed_at > RECLAIM_SECONDS:
            self._reclaimed_at = now
            interrupt_orphans(self._ledger)
        return self._apply_changes()

    def wait_for_peers(self) -> bool:
        """Says whether trials of others are to be waited for; pauses for a moment, and tells it once."""
        if not (count := self._source.running_elsewhere):
            return False
        if not self._is_waiting:
            self._callback.on_waiting_for_peers(count)
        self._is_waiting = True
        time.sleep(SYNC_SECONDS)
        return True

    def _apply_changes(self) -> bool:
        has_changed = False
        for record in self._ledger.changes(self._source.phase):
            if not self._source.observe(record):
                continue
            has_changed = True
            if record.outcome is not None:
                self._callback.on_trial_end_elsewhere(record.trial, record.outcome)
        return has_changed
