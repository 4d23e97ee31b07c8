"""Verification: the best configurations and the baseline, retrained on all training images, tested once.

Which ones they are is chosen by validation error alone. Every configuration gets the same fresh seeds, so that
differences can be paired.
"""

from __future__ import annotations

from search import seeds
from search.records.record import StudyRecord, TrialRecord
from search.trial import BASELINE, Phase, State, Trial, config_key

FULL_TO_TRAINING_RATIO = 6 / 5
"""Verification trains on all training images, the search on five sixths of them."""


def finalists(record: StudyRecord, count: int) -> list[TrialRecord]:
    """Returns the baseline and the ``count`` best other trials by validation error, best first.

    Complete trials come before paused ones, and of these those that went further. The baseline is verified also when
    its search trial failed, since every row is compared with it.
    """
    ended = [trial for trial in record.trials_in_phase(Phase.SEARCH) if trial.is_finished]
    baseline = [trial for trial in ended if trial.trial.origin == BASELINE]
    longest_by_config: dict[str, TrialRecord] = {}
    for trial in ended:
        if trial.trial.origin != BASELINE and trial.outcome and trial.outcome.state in (State.COMPLETE, State.PAUSED):
            longest_by_config[config_key(trial.trial.config)] = (
                trial  # a later trial of the same config went on from the earlier
            )
    return baseline[:1] + sorted(longest_by_config.values(), key=_validation_order)[:count]


def _validation_order(record: TrialRecord) -> tuple[int, float]:
    assert record.outcome is not None and record.outcome.error_percent is not None
    return (-record.trial.last_epoch, record.outcome.error_percent)


def verification_trials(record: StudyRecord, *, count: int, replicates: int) -> list[Trial]:
    """Returns the verification trials still to be run: for each replicate, each finalist.

    Args:
        record: The study.
        count: Finalists beside the baseline.
        replicates: Fresh seeds each.
    """
    recorded = record.trials_in_phase(Phase.VERIFICATION)
    done = {(known.trial.source_trial, known.trial.replicate) for known in recorded if known.is_finished}
    finalist_trials = [known.trial for known in finalists(record, count)]
    wanted = [(trial, replicate) for replicate in range(replicates) for trial in finalist_trials]
    missing = [(trial, replicate) for trial, replicate in wanted if (trial.number, replicate) not in done]
    return [
        Trial(
            number=len(recorded) + index,
            config=trial.config,
            seed=seeds.trial_seed(record.header.seed, Phase.VERIFICATION, replicate),
            epochs=trial.epochs,
            origin=trial.origin,
            phase=Phase.VERIFICATION,
            source_trial=trial.number,
            replicate=replicate,
        )
        for index, (trial, replicate) in enumerate(missing)
    ]


def baseline_trials(record: StudyRecord, *, repeats: int) -> list[Trial]:
    """Returns the baseline's repeats under the tutorial protocol that are still to be run."""
    recorded = record.trials_in_phase(Phase.REPRODUCTION)
    done = {known.trial.replicate for known in recorded if known.is_finished}
    missing = [replicate for replicate in range(repeats) if replicate not in done]
    return [
        Trial(
            number=len(recorded) + index,
            config=record.header.space.baseline,
            seed=seeds.trial_seed(record.header.seed, Phase.REPRODUCTION, replicate),
            epochs=record.header.protocol.epochs,
            origin=BASELINE,
            phase=Phase.REPRODUCTION,
            replicate=replicate,
        )
        for index, replicate in enumerate(missing)
    ]


def estimate_verification_seconds(record: StudyRecord, *, count: int, replicates: int, slots: int) -> float:
    """Estimates the wall-clock seconds that verification would take now, from the finalists' measured seconds.

    Args:
        record: The study.
        count: Finalists beside the baseline.
        replicates: Fresh seeds each.
        slots: Trials at a time.
    """
    finalist_records = finalists(record, count)
    if count == 0 or not any(known.trial.origin == BASELINE for known in finalist_records):
        return 0.0  # without the baseline, which is still in training, there is nothing to compare with
    measured = {known.trial.number: _estimate_run_seconds(known) for known in finalist_records}
    pending = verification_trials(record, count=count, replicates=replicates)
    run_seconds = [measured[trial.source_trial] for trial in pending if trial.source_trial is not None]
    # While the last trials run some slots stand empty: on average half of the longest trial.
    return sum(run_seconds) / slots + (max(run_seconds) / 2 if slots > 1 else 0.0) if run_seconds else 0.0


def _estimate_run_seconds(record: TrialRecord) -> float:
    """Estimates one verification run: every epoch, more images than in the search, scored once, not every epoch."""
    assert record.outcome is not None
    seconds, epochs = record.outcome.seconds, max(1, len(record.outcome.history))
    fit = seconds.get("fit", 0.0) / epochs * record.trial.epochs
    return seconds.get("build", 0.0) + fit * FULL_TO_TRAINING_RATIO + seconds.get("evaluate", 0.0) / epochs
