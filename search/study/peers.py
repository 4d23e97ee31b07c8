"""Synchronises a trial source with other coordinators of the same study.

    next    chooses a trial and records it while other coordinators are excluded
    sync    observes other coordinators' trials, and interrupts the trials of dead coordinators

With a ledger that is not shared there is nothing to observe, and ``next`` costs nothing. Called by
``search.study.loop``.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from search.records.ledger import Ledger, TransactionLostError
from search.study.interfaces import LoopCallback, TrialSource
from search.study.retries import RetryPolicy
from search.trial import Cause, Outcome, Phase, State, Trial, final_metrics

SYNC_SECONDS, RECLAIM_SECONDS = 1.0, 5.0
"""Least time between two reads of other coordinators' trials, and between two searches for dead coordinators."""


class PeerSync:
    """Keeps a source up to date with other coordinators.

    Args:
        source: Chooses the trials, and observes those of others.
        retries: Observe them too, by phase.
        ledger: Records them.
        callback: Notified of the ends of others' trials.
    """

    def __init__(
        self, source: TrialSource, retries: Mapping[Phase, RetryPolicy], ledger: Ledger, callback: LoopCallback
    ) -> None:
        self._source, self._retries, self._ledger, self._callback = source, retries, ledger, callback
        self._synced_at = self._reclaimed_at = float("-inf")
        self._is_waiting = False

    def next(self) -> Trial | None:
        """Returns the next trial, recorded as begun; None if there is none now."""
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
        """Observes other coordinators if it is time to; returns whether the source may have a next trial for it."""
        now = time.monotonic()
        if not self._ledger.is_shared or now - self._synced_at < SYNC_SECONDS:
            return False
        self._synced_at = now
        if now - self._reclaimed_at > RECLAIM_SECONDS:
            self._reclaimed_at = now
            interrupt_orphans(self._ledger)
        return self._apply_changes()

    def wait_for_peers(self) -> bool:
        """Returns whether other coordinators still run trials; if so, sleeps for a moment and notifies once."""
        if not (count := self._source.running_elsewhere):
            return False
        if not self._is_waiting:
            self._callback.on_waiting_for_peers(count)
        self._is_waiting = True
        time.sleep(SYNC_SECONDS)
        return True

    def _apply_changes(self) -> bool:
        has_changed = False
        changes = [record for phase in self._source.phases for record in self._ledger.changes(phase)]
        for record in changes:
            if self._source.observe(record):
                has_changed = True
                if record.outcome is not None:
                    self._retries[record.trial.phase].observe(record.trial, record.outcome)
                    self._callback.on_trial_end_elsewhere(record.trial, record.outcome)
        return has_changed


def interrupt_orphans(ledger: Ledger) -> int:
    """Records the unfinished trials of dead coordinators as interrupted; returns how many there were.

    The epochs that they reported count for every budget.
    """
    orphans, cause = ledger.orphans(), Cause.COORDINATOR_DIED
    spent_seconds = ledger.read().spent_seconds if orphans else 0.0
    for record in orphans:
        outcome = Outcome(
            state=State.INTERRUPTED,
            metrics=final_metrics(record.reports),
            history=record.reports,
            elapsed_seconds=spent_seconds,
            cause=cause,
            message=cause.value,
        )
        ledger.finish(record.trial, outcome)
    return len(orphans)
