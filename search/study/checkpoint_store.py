"""The states of unfinished trials on disk: which are kept, for whom, and for how long.

A trial's files are named by its seed, which it keeps when it goes on under another number::

    SEED.npz         the latest state, of a trial that runs or was interrupted
    SEED-EPOCH.npz   the state in which it paused or was stopped after that epoch

Trials write them (``search.training.checkpoint``); here they are found, and deleted. Called by
``search.study.search_source``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from search.training import storage_paths
from search.trial import epoch_checkpoint_path


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumableTrial:
    """A paused or stopped trial that another may go on from.

    Args:
        seed: The trial's.
        epoch: Epochs that it has trained.
        error_percent: Validation error after them, in percent.
    """

    seed: int
    epoch: int
    error_percent: float


class CheckpointStore:
    """The states of one study's trials.

    Args:
        folder: Where they are, perhaps a URL (``search.training.storage_paths``); need not exist. None to keep none at
            all.
        max_kept: How many waiting trials may keep theirs: the best of those that wait at each epoch in turn.
    """

    def __init__(self, folder: Path | None, *, max_kept: float) -> None:
        self._folder, self._max_kept = folder, 0.0 if folder is None else max_kept

    @property
    def keeps_any(self) -> bool:
        """Whether waiting trials may keep any."""
        return self._max_kept > 0

    def latest_path(self, seed: int) -> str | None:
        """Returns where a running trial leaves its latest state; None where none is kept."""
        return None if self._folder is None else str(self._folder / f"{seed}.npz")

    def resume_path(self, seed: int) -> str | None:
        """Returns the last state that a trial left, under this number or its parent's, or None."""
        paths = sorted(self._files(f"{seed}[.-]*npz"), key=lambda path: path.stat().st_mtime_ns)
        return str(paths[-1]) if paths else None

    def delete(self, seed: int, *, keep: ResumableTrial | None = None) -> None:
        """Deletes the states of a trial, but the one in which it waits."""
        for path in self._files(f"{seed}[.-]*"):
            if keep is None or str(path) != self._resumable_path(keep):
                path.unlink(missing_ok=True)

    def trim(self, resumable: Iterable[ResumableTrial]) -> None:
        """Deletes the states of waiting trials beyond those that may be kept; these would begin anew."""
        rank_at_epoch: Counter[int] = Counter()
        ranked: list[tuple[int, int, ResumableTrial]] = []
        for trial in sorted(resumable, key=lambda one: one.error_percent):
            ranked.append((rank_at_epoch[trial.epoch], -trial.epoch, trial))
            rank_at_epoch[trial.epoch] += 1
        for rank, (_, _, trial) in enumerate(sorted(ranked, key=lambda each: each[:2])):
            if rank >= self._max_kept and self._folder is not None:
                storage_paths.as_path(self._resumable_path(trial)).unlink(missing_ok=True)

    def delete_orphans(self, resumable: Iterable[ResumableTrial], requeued_seeds: Iterable[int]) -> None:
        """Deletes what a killed session left: every state but those in which trials wait or that are taken up again.

        Args:
            resumable: The trials that others may go on from.
            requeued_seeds: Seeds of the trials that will be taken up again.
        """
        kept, seeds = {self._resumable_path(one) for one in resumable}, {str(seed) for seed in requeued_seeds}
        for path in self._files("*"):
            if str(path) not in kept and path.name.partition(".")[0].partition("-")[0] not in seeds:
                path.unlink(missing_ok=True)

    def _resumable_path(self, trial: ResumableTrial) -> str:
        return epoch_checkpoint_path(self.latest_path(trial.seed) or "", trial.epoch)

    def _files(self, pattern: str) -> list[Path]:
        return [] if self._folder is None or not self._folder.exists() else list(self._folder.glob(pattern))
