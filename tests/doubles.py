"""Executors that run nothing, for tests of what stands above them: they answer at once, late, or wrongly on purpose."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Mapping
from pathlib import Path

from search.execution.base import Event, Executor, Finished, Reported, TrialKey
from search.trial import NO_FILES, Cause, EpochReport, Outcome, State, Trial, TrialFiles, epoch_checkpoint_path

Curve = Callable[[Trial, int], float]


def bowl(trial: Trial, epoch: int) -> float:
    """A smooth error in percent: best at learning_rate 0.01, falling with epochs."""
    rate = trial.config.get("learning_rate", 0.001)
    return 1.0 + abs(rate - 0.01) * 100 + 1.0 / epoch


class InstantExecutor(Executor):
    """Each collect advances one running trial by one epoch; which one, a seeded generator decides."""

    def __init__(self, *, slots: int = 1, curve: Curve = bowl, seed: int = 0) -> None:
        self._slots, self._curve, self._random = slots, curve, random.Random(seed)
        self._running: dict[TrialKey, tuple[Trial, list[EpochReport]]] = {}
        self._cancelled: dict[TrialKey, Cause] = {}
        self._saved: dict[str | None, list[EpochReport]] = {}
        self._restored: dict[TrialKey, list[EpochReport]] = {}
        self.ran: list[Trial] = []
        self.files: dict[TrialKey, TrialFiles] = {}
        self.closed = False

    @property
    def slots(self) -> int:
        return self._slots

    @property
    def running(self) -> Mapping[TrialKey, Trial]:
        return {key: trial for key, (trial, _) in self._running.items()}

    def submit(self, trial: Trial, files: TrialFiles = NO_FILES) -> None:
        assert len(self._running) < self._slots
        self._running[trial.key] = (trial, [])
        self._restored[trial.key] = list(self._saved.get(files.resume_from, ()))
        self.ran.append(trial)
        self.files[trial.key] = files

    def collect(self, timeout: float) -> list[Event]:
        if not self._running:
            return []
        key = self._random.choice(sorted(self._running))
        trial, history = self._running[key]
        if key in self._cancelled or len(history) == trial.last_epoch:
            del self._running[key]
            return [Finished(key, self._outcome(trial, history, self._cancelled.pop(key, None)))]
        if self._restored[key]:
            history.append(self._restored[key].pop(0))
            return [Reported(key, history[-1])]
        try:
            error = self._curve(trial, len(history) + 1)
        except ArithmeticError as failure:
            del self._running[key]
            cause = Cause.NOT_FINITE
            return [Finished(key, Outcome(state=State.FAILED, cause=cause, message=str(failure)))]
        history.append(
            EpochReport(epoch=len(history) + 1, training_loss=1.0, metrics={"loss": 1.0, "error_percent": error})
        )
        checkpoint = self.files[key].checkpoint
        if len(history) in (*trial.rungs, trial.last_epoch) and checkpoint and len(history) < trial.epochs:
            self._save(epoch_checkpoint_path(checkpoint, len(history)), history)
        return [Reported(key, history[-1])]

    def _outcome(self, trial: Trial, history: list[EpochReport], cause: Cause | None) -> Outcome:
        is_whole, is_over = len(history) == trial.epochs, len(history) == trial.last_epoch
        if (checkpoint := self.files[trial.key].checkpoint) is not None and not is_over:
            self._save(checkpoint, [*history, *self._restored[trial.key]])
        return Outcome(
            state=(State.COMPLETE if is_whole else State.PAUSED) if is_over else State.INTERRUPTED,
            cause=None if is_over else cause,
            metrics=history[-1].metrics if history else {},
            history=tuple(history),
            seconds={"fit": float(len(history))},
        )

    def _save(self, path: str, history: list[EpochReport]) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()
        self._saved[path] = [dataclasses.replace(report, restored=True) for report in history]

    def cancel(self, key: TrialKey, cause: Cause) -> None:
        self._cancelled.setdefault(key, cause)

    def close(self) -> None:
        self.closed = True
