"""How one trial stands in Optuna's storage: its fields, its state, and as JSON attributes what Optuna has no field for.

Pure, both ways. Called by who writes and who reads a ledger.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from optuna.trial import FrozenTrial, TrialState, create_trial

from search.errors import FatalError
from search.records.distributions import distributions
from search.records.record import StudyHeader, TrialRecord
from search.trial import EpochReport, Outcome, Phase, State, Trial

TRIAL, OUTCOME, REPORT = "trial", "outcome", "report "
"""Attributes of a trial: what it is, how it ended, and each epoch by its number."""
STATES: Mapping[State, TrialState] = {
    State.COMPLETE: TrialState.COMPLETE,
    State.PAUSED: TrialState.PRUNED,
    State.PRUNED: TrialState.PRUNED,
    State.FAILED: TrialState.FAIL,
    State.INTERRUPTED: TrialState.FAIL,
}


def running(header: StudyHeader, trial: Trial, **more: Any) -> FrozenTrial:  # noqa: ANN401 - JSON
    """Returns a trial as Optuna is to see it; only those of the search have parameters that its tools can compare."""
    searched = trial.phase is Phase.SEARCH
    return create_trial(
        state=TrialState.RUNNING,
        params=dict(trial.config) if searched else {},
        distributions=dict(distributions(header.space, trial.config)) if searched else {},
        user_attrs={TRIAL: dataclasses.asdict(trial), **more},
    )


def values(outcome: Outcome) -> list[float] | None:
    """Returns the values that Optuna is to see: of a trial that was stopped early the last that it reported."""
    error, is_known = outcome.error_percent, STATES[outcome.state] is not TrialState.FAIL
    return [error] if is_known and error is not None and math.isfinite(error) else None


def trial_record(number: int, attributes: Mapping[str, Any], started: datetime | None = None) -> TrialRecord:
    """Returns what the attributes of a trial say.

    Raises:
        FatalError: They are those of another version.
    """
    outcome = attributes.get(OUTCOME)
    try:
        fields = dict(attributes[TRIAL])
        return TrialRecord(
            trial=Trial(**{**fields, "phase": Phase(fields["phase"]), "rungs": tuple(fields.get("rungs", ()))}),
            outcome=Outcome.from_json(outcome) if outcome else None,
            started=started.astimezone(UTC).isoformat(timespec="seconds") if started else "",
            reports=() if outcome else _reports(attributes),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FatalError(
            f"The ledger holds a trial that this version cannot read: number {number} of its phase "
            f"({type(error).__name__}: {error}).",
            hint="Read it with the version that wrote it, or start another study with --study NAME.",
        ) from error


def _reports(attributes: Mapping[str, Any]) -> tuple[EpochReport, ...]:
    known = [EpochReport(**value) for name, value in attributes.items() if name.startswith(REPORT)]
    return tuple(sorted(known, key=lambda report: report.epoch))
