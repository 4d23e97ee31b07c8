"""Checkpoints of unfinished trials on disk: their paths, and which are kept.

A trial's checkpoints are named by its training key, which it keeps when it resumes under another number::

    KEY.npz         the latest state of a trial that runs or was interrupted
    KEY-EPOCH.npz   the state in which a trial paused or was pruned after that epoch

``search.training.checkpoint`` writes them. Called by ``search.study.search_source``, and by ``search.study.loop`` for
the files of each trial.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from search.files import as_path
from search.training import predictions
from search.trial import Trial, TrialFiles, epoch_checkpoint_path


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumableTrial:
    """A paused or pruned trial that a later trial may resume.

    Args:
        training_key: The trial's.
        seed: The trial's.
        epoch: Epochs that it has trained.
        error_percent: Validation error after them, in percent.
    """

    training_key: str
    seed: int
    epoch: int
    error_percent: float


class CheckpointStore:
    """The checkpoints of one study.

    Args:
        folder: Their folder or URL (``search.files.as_path``), which need not exist; None to keep none.
        max_kept: How many resumable trials keep theirs: the best at each epoch in turn. None for all of them.
    """

    def __init__(self, folder: Path | None, *, max_kept: int | None = None) -> None:
        self._folder = folder
        self._max_kept = 0 if folder is None else math.inf if max_kept is None else max_kept

    @property
    def keeps_any(self) -> bool:
        """Whether resumable trials may keep checkpoints."""
        return self._max_kept > 0

    def latest_path(self, training_key: str) -> str | None:
        """Returns the path of a running trial's latest checkpoint; None if none are kept."""
        return None if self._folder is None else str(self._folder / f"{training_key}.npz")

    def resume_path(self, training_key: str) -> str | None:
        """Returns the last checkpoint that was written of a training, or None."""
        paths = sorted(self._files(f"{training_key}[.-]*npz"), key=lambda path: path.stat().st_mtime_ns)
        return str(paths[-1]) if paths else None

    def delete(self, training_key: str, *, keep: ResumableTrial | None = None) -> None:
        """Deletes the checkpoints of a training except the one that a resumable trial needs."""
        for path in self._files(f"{training_key}[.-]*"):
            if keep is None or str(path) != self._resumable_path(keep):
                path.unlink(missing_ok=True)

    def trim(self, resumable: Iterable[ResumableTrial]) -> None:
        """Deletes the checkpoints of resumable trials beyond ``max_kept``; these would start over."""
        rank_at_epoch: Counter[int] = Counter()
        ranked: list[tuple[int, int, ResumableTrial]] = []
        for trial in sorted(resumable, key=lambda trial: trial.error_percent):
            ranked.append((rank_at_epoch[trial.epoch], -trial.epoch, trial))
            rank_at_epoch[trial.epoch] += 1
        for rank, (_, _, trial) in enumerate(sorted(ranked, key=lambda entry: entry[:2])):
            if rank >= self._max_kept and self._folder is not None:
                as_path(self._resumable_path(trial)).unlink(missing_ok=True)

    def delete_orphans(self, resumable: Iterable[ResumableTrial], requeued: Collection[str]) -> None:
        """Deletes the checkpoints that no trial will resume, such as those of a killed session.

        Args:
            resumable: The trials that later trials may resume.
            requeued: Training keys of the interrupted trials that will run again.
        """
        kept = {self._resumable_path(trial) for trial in resumable}
        for path in self._files("*"):
            if str(path) not in kept and path.name.partition(".")[0].partition("-")[0] not in requeued:
                path.unlink(missing_ok=True)

    def _resumable_path(self, trial: ResumableTrial) -> str:
        return epoch_checkpoint_path(self.latest_path(trial.training_key) or "", trial.epoch)

    def _files(self, pattern: str) -> list[Path]:
        return [] if self._folder is None or not self._folder.exists() else list(self._folder.glob(pattern))


def trial_files(trial: Trial, study_folder: Path, checkpoints: CheckpointStore | None) -> TrialFiles:
    """Returns the files of a trial that is about to run.

    Args:
        trial: The trial.
        study_folder: Takes its predictions.
        checkpoints: Where it resumes from and writes checkpoints to; None if it keeps none.
    """
    return TrialFiles(
        resume_from=None if checkpoints is None else checkpoints.resume_path(trial.training_key),
        checkpoint=None if checkpoints is None else checkpoints.latest_path(trial.training_key),
        predictions=str(predictions.file_path(study_folder, trial.phase, trial.number)),
    )
