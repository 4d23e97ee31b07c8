"""Comparison of a recorded run with its reproduction: whether equal bits are expected, and else how near its error is.

Equal bits are expected of deterministic runs in equal environments. Otherwise the error is expected in an interval,
from the study's own test runs or from the number of test images. Pure; called by ``search.reproduction.reproduce``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from statistics import stdev
from typing import Any

from scipy.special import ndtri, stdtrit

from search.leaderboard.statistics import CONFIDENCE, Interval, prediction_interval
from search.records.arithmetic import LAYERS_KEY, recorded_layers, with_reliable_kernels
from search.records.record import LEGACY_DEFAULTS, StudyRecord, TrialRecord, flatten
from search.trial import DETERMINISTIC_KEY, RUN_KEYS, Outcome, Phase, State

TWO_SIDED_QUANTILE = (1 + CONFIDENCE) / 2
_IGNORED_KEYS = RUN_KEYS | {"cores", "memory_gib", DETERMINISTIC_KEY}
"""Keys of an environment that are not compared, since a difference changes no result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """Interval that contains the error of another seed with 95 % probability.

    Args:
        interval: In percent.
        basis: What the interval is computed from, for messages.
    """

    interval: Interval
    basis: str


def error_tolerance(record: StudyRecord, trial_record: TrialRecord, reproduced: Outcome) -> Tolerance | None:
    """Returns the interval for the error of a run with other random numbers than a recorded one; None without an error.

    Args:
        record: The study.
        trial_record: The recorded run.
        reproduced: Its reproduction, for the number of scored images.
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
        # The difference of two runs, each with the standard deviation of the row's test runs.
        half_width = float(stdtrit(len(errors) - 1, TWO_SIDED_QUANTILE)) * stdev(errors) * sqrt(2)
        return _centered_tolerance(
            outcome.error_percent, half_width, f"two seeds that spread as the row's {len(errors)} test runs do"
        )
    images = reproduced.scored_images or outcome.scored_images
    return _binomial_tolerance(outcome.error_percent, images) if images else None


def _binomial_tolerance(error_percent: float, images: int) -> Tolerance:
    """Returns the interval for the error of a second, equally good model that misclassifies other images.

    Source: the normal approximation of the difference of two binomial shares. Models that misclassify the same images
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
    runs = [run for run in record.trials_in_phase(phase) if run.trial.source_trial == row]
    return tuple(error for run in runs if (error := run.complete_error_percent) is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentChange:
    """A part of the environment that differs from the recorded one.

    Args:
        name: Its dotted name, such as "versions.keras".
        recorded: The recorded value; None if none was recorded, or not reliably.
        here: The value on this machine; None if it has none.
    """

    name: str
    recorded: Any
    here: Any


def environment_changes(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> tuple[EnvironmentChange, ...]:
    """Returns all differences that may change a result, by name."""
    recorded_values, current_values = (
        flatten({**LEGACY_DEFAULTS, **with_reliable_kernels(environment), **_layers(environment)})
        for environment in (recorded, here)
    )
    return tuple(
        EnvironmentChange(name=name, recorded=recorded_values.get(name), here=current_values.get(name))
        for name in sorted(recorded_values.keys() | current_values.keys())
        if name not in _IGNORED_KEYS and recorded_values.get(name) != current_values.get(name)
    )


def _layers(environment: Mapping[str, Any]) -> dict[str, str]:
    """Returns the layers of an environment, also of one from before they were recorded."""
    layers = recorded_layers(environment) if environment else None
    return {} if layers is None else {LAYERS_KEY: layers.value}


def are_deterministic(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> bool:
    """Returns whether both runs were deterministic in their environments."""
    return bool(recorded.get(DETERMINISTIC_KEY)) and bool(here.get(DETERMINISTIC_KEY))
