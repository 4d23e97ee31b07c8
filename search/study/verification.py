"""Verification: the best configurations and the baseline, retrained on all training images, tested once.

Which ones they are is chosen by validation error alone. Every configuration gets the same fresh seeds, so that
differences can be paired.
"""

from __future__ import annotations

from search import seeds
from search.records.record import StudyRecord, TrialRecord
from search.trial import BASELINE, Phase, State, Trial, identity

ALL_OVER_TRAINING_SHARE = 6 / 5
"""Verification trains on all training images, the search on five sixths of them."""


def finalists(record: StudyRecord, count: int) -> list[TrialRecord]:
    """Returns the baseline and the ``count`` best other trials by validation error, best first.

    Complete trials come before paused ones, and of these those that went further. The baseline is verified also when
    its search trial failed, since every row is compared with it.
    """
    ended = [known for known in record.phase(Phase.SEARCH) if known.is_settled]
    baseline = [known for known in ended if known.trial.origin == BASELINE]
    furthest: dict[str, TrialRecord] = {}
    for known in ended:
        if known.trial.origin != BASELINE and known.outcome and known.outcome.state in (State.COMPLETE, State.PAUSED):
            furthest[identity(known.trial.config)] = known  # a later trial of the same config went on from the earlier
    return baseline[:1] + sorted(furthest.values(), key=_merit)[:count]


def _merit(known: TrialRecord) -> tuple[int, float]:
    assert known.outcome is not None and known.outcome.error_percent is not None
    return (-known.trial.last_epoch, known.outcome.error_percent)


def replicas(record: StudyRecord, *, count: int, replicates: int) -> list[Trial]:
    """Returns the verification trials still to be run: for each replicate, each finalist.

    Args:
        record: The study.
        count: Finalists beside the baseline.
        replicates: Fresh seeds each.
    """
    recorded = record.phase(Phase.VERIFICATION)
    done = {(known.trial.of, known.trial.replicate) for known in recorded if known.is_settled}
    chosen = [known.trial for known in finalists(record, count)]
    wanted = [(trial, replicate) for replicate in range(replicates) for trial in chosen]
    missing = [(trial, replicate) for trial, replicate in wanted if (trial.number, replicate) not in done]
    return [
        Trial(
            number=len(recorded) + index,
            config=trial.config,
            seed=seeds.derive(record.header.seed, Phase.VERIFICATION, replicate),
            epochs=trial.epochs,
            origin=trial.origin,
            phase=Phase.VERIFICATION,
            of=trial.number,
            replicate=replicate,
        )
        for index, (trial, replicate) in enumerate(missing)
    ]


def repetitions(record: StudyRecord, *, repeats: int) -> list[Trial]:
    """Returns the baseline's repeats under the tutorial protocol that are still to be run."""
    recorded = record.phase(Phase.REPRODUCTION)
    done = {known.trial.replicate for known in recorded if known.is_settled}
    missing = [replicate for replicate in range(repeats) if replicate not in done]
    return [
        Trial(
            number=len(recorded) + index,
            config=record.header.space.baseline,
            seed=seeds.derive(record.header.seed, Phase.REPRODUCTION, replicate),
            epochs=record.header.protocol.epochs,
            origin=BASELINE,
            phase=Phase.REPRODUCTION,
            replicate=replicate,
        )
        for index, replicate in enumerate(missing)
    ]


def estimate_seconds(record: StudyRecord, *, count: int, replicates: int, slots: int) -> float:
    """Estimates the wall-clock seconds that verification would take now, from the finalists' measured seconds.

    Args:
        record: The study.
        count: Finalists beside the baseline.
        replicates: Fresh seeds each.
        slots: Trials at a time.
    """
    chosen = finalists(record, count)
    if count == 0 or not any(known.trial.origin == BASELINE for known in chosen):
        return 0.0  # without the baseline, which is still in training, there is nothing to compare with
    measured = {known.trial.number: _seconds(known) for known in chosen}
    waiting = replicas(record, count=count, replicates=replicates)
    each = [measured[trial.of] for trial in waiting if trial.of is not None]
    # While the last trials run some slots stand empty: on average half of the longest trial.
    return sum(each) / slots + (max(each) / 2 if slots > 1 else 0.0) if each else 0.0


def _seconds(known: TrialRecord) -> float:
    """Estimates one verification run: every epoch, more images than in the search, scored once, not every epoch."""
    assert known.outcome is not None
    seconds, epochs = known.outcome.seconds, max(1, len(known.outcome.history))
    fit = seconds.get("fit", 0.0) / epochs * known.trial.epochs
    return seconds.get("build", 0.0) + fit * ALL_OVER_TRAINING_SHARE + seconds.get("evaluate", 0.0) / epochs
