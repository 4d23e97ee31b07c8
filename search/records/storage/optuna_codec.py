"""How one trial stands in Optuna's storage: its fields, its state, and as JSON attributes what Optuna has no field for.

Pure, both ways. Called by who writes and who reads a ledger.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from optuna.trial import FrozenTrial, TrialState, create_trial

from search.errors import FatalError
from search.optuna_domains import to_optuna_distributions
from search.records.record import StudyHeader, TrialRecord
from search.trial import EpochReport, Outcome, Phase, State, Trial

TRIAL_KEY, OUTCOME_KEY, REPORT_KEY_PREFIX = "trial", "outcome", "report "
"""Attributes of a trial: what it is, how it ended, and each epoch by its number."""
OPTUNA_STATES: Mapping[State, TrialState] = {
    State.COMPLETE: TrialState.COMPLETE,
    State.PAUSED: TrialState.PRUNED,
    State.PRUNED: TrialState.PRUNED,
    State.FAILED: TrialState.FAIL,
    State.INTERRUPTED: TrialState.FAIL,
}


def encode_running_trial(header: StudyHeader, trial: Trial, **more: Any) -> FrozenTrial:
    """Returns a trial as Optuna is to see it; only those of the search have parameters that its tools can compare."""
    is_search = trial.phase is Phase.SEARCH
    return create_trial(
        state=TrialState.RUNNING,
        params=dict(trial.config) if is_search else {},
        distributions=to_optuna_distributions(header.space, trial.config) if is_search else {},
        user_attrs={TRIAL_KEY: trial.to_json(), **more},
    )


def objective_values(outcome: Outcome) -> list[float] | None:
    """Returns the values that Optuna is to see: of a trial that was stopped early the last that it reported."""
    error, is_known = outcome.error_percent, OPTUNA_STATES[outcome.state] is not TrialState.FAIL
    return [error] if is_known and error is not None and math.isfinite(error) else None


def decode_trial_record(number: int, attributes: Mapping[str, Any], started: datetime | None = None) -> TrialRecord:
    """Returns what the attributes of a trial say.

    Raises:
        FatalError: They are those of another version.
    """
    outcome = attributes.get(OUTCOME_KEY)
    try:
        return TrialRecord(
            trial=Trial.from_json(attributes[TRIAL_KEY]),
            outcome=Outcome.from_json(outcome) if outcome else None,
            started=started.astimezone(UTC).isoformat(timespec="seconds") if started else "",
            reports=() if outcome else _decode_reports(attributes),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FatalError(
            f"The ledger holds a trial that this version cannot read: number {number} of its phase "
            f"({type(error).__name__}: {error}).",
            hint="Read it with the version that wrote it, or start another study with --study NAME.",
        ) from error


def _decode_reports(attributes: Mapping[str, Any]) -> tuple[EpochReport, ...]:
    reports = [EpochReport.from_json(value) for name, value in attributes.items() if name.startswith(REPORT_KEY_PREFIX)]
    return tuple(sorted(reports, key=lambda report: report.epoch))
