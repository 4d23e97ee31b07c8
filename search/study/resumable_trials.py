"""The trials that an engine may resume, and the checkpoints that a search still needs.

Called by ``search.study.search_source``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from search.records.record import TrialRecord
from search.study.checkpoint_store import CheckpointStore, ResumableTrial
from search.trial import State


class ResumableTrials:
    """Keeps the checkpoints of trials that run, will run again or may be resumed, and deletes all others.

    Args:
        checkpoints: Those of the study.
        recorded: The recorded search trials.
        may_resume: Returns whether the engine may resume the trial of a number; see ``Engine.may_resume``.
    """

    def __init__(
        self, checkpoints: CheckpointStore, recorded: Iterable[TrialRecord], *, may_resume: Callable[[int], bool]
    ) -> None:
        self._checkpoints, self._may_resume = checkpoints, may_resume
        self._held: set[str] = set()  # training keys of the trials that run or will run again
        self._waiting = {record.trial.number: waiting for record in recorded if (waiting := _resumable(record))}

    def get(self, number: int) -> ResumableTrial | None:
        """Returns the paused or pruned trial of a number; None if that trial cannot be resumed."""
        return self._waiting.get(number)

    def hold(self, training_key: str) -> None:
        """Keeps the checkpoints of a training, which runs or will run again."""
        self._held.add(training_key)

    def release(self, training_key: str) -> None:
        """Notes that no trial continues a training."""
        self._held.discard(training_key)

    def drop(self, training_key: str) -> None:
        """Releases a training that starts over, and deletes its checkpoints."""
        self.release(training_key)
        self._checkpoints.delete(training_key)

    def end(self, record: TrialRecord) -> None:
        """Notes how a trial ended. The checkpoints of an interrupted trial are kept: it will run again."""
        trial, outcome = record.trial, record.outcome
        if outcome is not None and outcome.state is not State.INTERRUPTED:
            self.release(trial.training_key)
            waiting = _resumable(record)
            if waiting is not None:
                self._waiting[trial.number] = waiting
            self._checkpoints.delete(trial.training_key, keep=waiting)
        self._delete_unneeded()
        self._checkpoints.trim(waiting for waiting in self._waiting.values() if waiting.training_key not in self._held)

    def clean(self, *, orphans: bool) -> None:
        """Deletes what earlier sessions left.

        Args:
            orphans: Whether to delete the checkpoints that belong to no trial known here.
        """
        self._delete_unneeded()
        if orphans:
            self._checkpoints.delete_orphans(self._waiting.values(), self._held)
        self._checkpoints.trim(self._waiting.values())

    def _delete_unneeded(self) -> None:
        """Deletes the checkpoints of paused or pruned trials that the engine will not resume."""
        for number in [number for number in self._waiting if not self._may_resume(number)]:
            dropped = self._waiting.pop(number)
            if dropped.training_key not in self._held | {waiting.training_key for waiting in self._waiting.values()}:
                self._checkpoints.delete(dropped.training_key)


def _resumable(record: TrialRecord) -> ResumableTrial | None:
    """Returns a paused or pruned trial as one to resume; None for any other."""
    outcome = record.outcome
    if outcome is None or outcome.state not in (State.PAUSED, State.PRUNED) or outcome.error_percent is None:
        return None
    return ResumableTrial(
        training_key=record.trial.training_key,
        seed=record.trial.seed,
        epoch=len(outcome.history),
        error_percent=outcome.error_percent,
    )
