"""How far the error of a run may lie from a recorded one when nothing but chance differs.

By what the study's own test runs show of seeds; where it has too few, by what so many images allow. Pure; called by
``search.reproduction.reproduce``.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import stdev

from scipy.special import ndtri, stdtrit

from search.leaderboard.statistics import CONFIDENCE, Interval, prediction_interval
from search.records.record import StudyRecord, TrialRecord
from search.trial import Outcome, Phase, State

TWO_SIDED_QUANTILE = (1 + CONFIDENCE) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """Where the error of such a run lies with 95 % probability.

    Args:
        interval: In percent.
        basis: What it rests on, in words.
    """

    interval: Interval
    basis: str


def error_tolerance(record: StudyRecord, trial_record: TrialRecord, reproduced: Outcome) -> Tolerance | None:
    """Returns where the error lies of a run that shares no random numbers with a recorded one; None without an error.

    Args:
        record: The study.
        trial_record: The recorded run.
        reproduced: The run that was made again, for how many images it was scored on.
    """
    outcome = trial_record.outcome
    if outcome is None or outcome.error_percent is None:
        return None
    errors = _row_errors(record, trial_record)
    if len(errors) > 1 and trial_record.trial.phase is not Phase.SEARCH:
        next_run = prediction_interval(errors)
        assert next_run is not None, "there are several"
        return Tolerance(interval=next_run, basis=f"one more seed beside the row's {len(errors)}")
    if len(errors) > 1 and outcome.state is State.COMPLETE:
        # Two runs, each of them off by what the row's test runs show of seeds.
        half_width = float(stdtrit(len(errors) - 1, TWO_SIDED_QUANTILE)) * stdev(errors) * sqrt(2)
        return _centered_tolerance(
            outcome.error_percent, half_width, f"two seeds that spread as the row's {len(errors)} test runs do"
        )
    images = reproduced.scored_images or outcome.scored_images
    return _binomial_tolerance(outcome.error_percent, images) if images else None


def _binomial_tolerance(error_percent: float, images: int) -> Tolerance:
    """Returns where a second model lies that is as good as the first, and errs on other images.

    Source: the normal approximation of the difference of two binomial shares. Models that err on the same images
    differ by less.
    """
    share = max(error_percent / 100, 1 / images)
    half_width = 100 * float(ndtri(TWO_SIDED_QUANTILE)) * sqrt(2 * share * (1 - share) / images)
    return _centered_tolerance(
        error_percent, half_width, f"two models that err alike on {images:,} images; no spread of seeds is recorded"
    )


def _centered_tolerance(error_percent: float, half_width: float, basis: str) -> Tolerance:
    return Tolerance(interval=Interval(error_percent - half_width, error_percent + half_width), basis=basis)


def _row_errors(record: StudyRecord, trial_record: TrialRecord) -> tuple[float, ...]:
    """Returns the test errors of the row that a run belongs to, in percent."""
    row = trial_record.trial.number if trial_record.trial.phase is Phase.SEARCH else trial_record.trial.source_trial
    phase = Phase.VERIFICATION if trial_record.trial.phase is Phase.SEARCH else trial_record.trial.phase
    runs = [one.outcome for one in record.trials_in_phase(phase) if one.trial.source_trial == row and one.outcome]
    return tuple(run.error_percent for run in runs if run.state is State.COMPLETE and run.error_percent is not None)
