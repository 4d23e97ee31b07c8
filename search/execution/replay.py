"""Learning curves replayed from a recorded study, to simulate schedulers and engines on a virtual clock.

Used as the source of courses::

    VirtualExecutor(Replay(record).course, slots=1000)

What a trial does is a function of the record and its config alone:

    recorded config, run to its end       its own curve
    recorded config that failed           its own curve, and the same failure
    recorded config that was stopped      its own curve, then on in parallel to the nearest complete one
    any other config                      the curve of the nearest complete one

Nearest is the least sum, over the space's parameters, of differences from 0 to 1: on the parameter's own scale for
numbers, 1 for two different choices and for a parameter that counts in one of the two only; of several the one with the
lowest number. Knows recorded search trials; no engine, no ledger and no Keras.
"""

from __future__ import annotations

import math

import numpy as np

from search.errors import UserError
from search.execution.virtual import SimulatedEpoch, SimulatedTrial
from search.records.record import StudyRecord
from search.trial import Config, EpochReport, Outcome, Phase, State, Trial, config_key
from spaces.domains import Choice, Domain, Value
from spaces.space import Space


class Replay:
    """Says of any trial what would happen to it, going by a recorded study.

    Args:
        record: The study; its search trials are used, at least one of which ran to its end.

    Raises:
        UserError: None did.
    """

    def __init__(self, record: StudyRecord) -> None:
        ended = [(known.trial.config, known.outcome) for known in record.trials_in_phase(Phase.SEARCH) if known.outcome]
        complete = [(config, outcome) for config, outcome in ended if outcome.state is State.COMPLETE]
        if not complete:
            raise UserError(
                "Only a study in which a search trial ran to its end can be replayed. "
                f"Received: {record.header.name!r}, with {len(ended)} ended trials, none of them complete."
            )
        self._space = record.header.space
        self._whole = [_steps(outcome) for _, outcome in complete]
        self._points = np.array([_point(self._space, config) for config, _ in complete])
        # Of several trials of one config the one that went furthest is kept, as it comes last.
        furthest = sorted(ended, key=lambda known: len(known[1].history))
        self._own = {config_key(config): outcome for config, outcome in furthest}

    def course(self, trial: Trial) -> SimulatedTrial:
        """Returns what happens to a trial.

        Raises:
            UserError: It is longer than the recorded ones.
        """
        outcome = self._own.get(config_key(trial.config))
        own = _steps(outcome) if outcome is not None else ()
        if outcome is not None and outcome.state is State.FAILED:
            return SimulatedTrial(epochs=own, failure_cause=outcome.cause, message=outcome.message)
        steps = own if len(own) >= trial.last_epoch else _continued(own, self._nearest(trial.config))
        if len(steps) < trial.last_epoch:
            raise UserError(
                f"The recorded trials are too short. Expected: trials of {len(steps)} epochs at most. "
                f"Received: one of {trial.last_epoch}."
            )
        return SimulatedTrial(epochs=steps)

    def _nearest(self, config: Config) -> tuple[SimulatedEpoch, ...]:
        apart = np.minimum(np.abs(self._points - _point(self._space, config)), 1.0).sum(axis=1)
        return self._whole[int(apart.argmin())]


def _steps(outcome: Outcome) -> tuple[SimulatedEpoch, ...]:
    """Returns the epochs of a trial; the first also bears what no epoch accounts for, such as building the model."""
    if not outcome.history:
        return ()
    beside = max(0.0, sum(outcome.seconds.values()) - sum(report.seconds for report in outcome.history))
    first, *rest = outcome.history
    return (_step(first, beside), *(_step(report) for report in rest))


def _step(report: EpochReport, beside: float = 0.0) -> SimulatedEpoch:
    return SimulatedEpoch(error_percent=report.error_percent, seconds=report.seconds + beside)


def _continued(own: tuple[SimulatedEpoch, ...], other: tuple[SimulatedEpoch, ...]) -> tuple[SimulatedEpoch, ...]:
    """Returns a curve that goes on in parallel to another, at the pace of its own last epoch."""
    if not own:
        return other
    last, beside = own[-1], other[: len(own)][-1]
    return own + tuple(
        SimulatedEpoch(
            error_percent=_moved(last.error_percent, beside.error_percent, step.error_percent), seconds=last.seconds
        )
        for step in other[len(own) :]
    )


def _moved(error: float | None, before: float | None, after: float | None) -> float | None:
    """Returns an error in percent moved as another moved; None where one of them is not known."""
    if error is None or before is None or after is None:
        return None
    return min(100.0, max(0.0, error + after - before))


def _point(space: Space, config: Config) -> list[float]:
    """Returns a config as coordinates, such that differences above 1 mean no more than 1."""
    return [_coordinate(domain, config[name]) if name in config else -1.0 for name, domain in space.parameters.items()]


def _coordinate(domain: Domain, value: Value) -> float:
    """Returns a number's place in its range, in [0, 1], or a choice's in its list."""
    if isinstance(domain, Choice):
        return float(domain.options.index(value))
    ends_and_value = (float(number) for number in (domain.low, domain.high, value))
    low, high, here = (math.log(number) if domain.log else number for number in ends_and_value)
    return (here - low) / (high - low) if high > low else 0.0
