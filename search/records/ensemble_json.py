"""The stored form of an ensemble, which is that of a trial without configuration, and of its outcome.

Called by ``study_json`` and by the ledgers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search.records.record import EnsembleRecord
from search.trial import COPIED_FROM_KEY, Outcome, Phase, State, Trial

ENSEMBLE_PHASE = "ensemble"
"""Name that it has in place of a phase."""
_WEIGHTS_KEY = "weights"
"""Key of its weights in its engine metadata."""


def ensemble_to_json(ensemble: EnsembleRecord, number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the stored form of an ensemble, which is that of a trial without configuration, and of its outcome."""
    weights = {str(run): weight for run, weight in ensemble.weights.items()}
    trial = Trial(
        number=number, config={}, seed=0, epochs=0, origin=ensemble.origin, engine_metadata={_WEIGHTS_KEY: weights}
    )
    outcome = Outcome(
        state=State.COMPLETE,
        metrics={
            name: value
            for name in ("error_percent", "balanced_error_percent")
            if (value := getattr(ensemble, name)) is not None
        },
        parameter_count=ensemble.parameter_count,
        environment={COPIED_FROM_KEY: ensemble.copied_from} if ensemble.copied_from else {},
        scored_images=ensemble.scored_images,
        misclassified=ensemble.misclassified,
        predicted_classes=ensemble.predicted_classes,
    )
    return {**trial.to_json(), "phase": ENSEMBLE_PHASE}, outcome.to_json()


def ensemble_from_json(trial: Mapping[str, Any], outcome: Outcome | None, started: str) -> EnsembleRecord | None:
    """Returns an ensemble from its stored form; None if version 0.1.0 was interrupted while it recorded the ensemble.

    Args:
        trial: The trial part.
        outcome: The outcome part.
        started: ISO 8601 time, UTC.
    """
    if outcome is None or outcome.error_percent is None:
        return None
    weights = Trial.from_json({**trial, "phase": Phase.VERIFICATION}).engine_metadata[_WEIGHTS_KEY]
    return EnsembleRecord(
        origin=trial["origin"],
        weights={int(run): weight for run, weight in weights.items()},
        error_percent=outcome.error_percent,
        balanced_error_percent=outcome.balanced_error_percent,
        scored_images=outcome.scored_images or 0,
        parameter_count=outcome.parameter_count or 0,
        misclassified=outcome.misclassified,
        predicted_classes=outcome.predicted_classes,
        started=started,
        copied_from=str(outcome.environment.get(COPIED_FROM_KEY, "")),
    )
