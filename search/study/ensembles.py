"""Ensembles of the finalists: the mean of their verification models' predictions of the test images.

Two are formed, without training and without test labels: one of every finalist's models, and one of the models and
weights that a greedy selection on the validation images chooses. Called by ``search.session.run`` after verification.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from search.records.ledger import Ledger
from search.records.record import EnsembleRecord, StudyRecord, TrialRecord
from search.study.verification import finalists
from search.training import predictions
from search.training.predictions import SavedPredictions
from search.trial import BASELINE, Phase, State

MEAN, GREEDY = "mean", "greedy"
"""Origins of the ensembles: all finalists' models, and those of the greedy selection."""
GREEDY_ROUNDS = 25
"""Models that the greedy selection adds; its result is the best set on the way."""


def record_ensembles(ledger: Ledger, *, count: int) -> None:
    """Forms and records the ensembles of the recorded verification runs; deletes predictions that are not needed.

    Forms none if another coordinator ran some of them and keeps their predictions in a folder of its own.

    Args:
        ledger: The study's, open for writing.
        count: Number of finalists, without the baseline.
    """
    record = ledger.read()
    finalist_numbers = [finalist.trial.number for finalist in finalists(record, count)]
    runs = _complete_runs(record, finalist_numbers)
    models = {
        number: saved for number in runs if (saved := _load_predictions(ledger, Phase.VERIFICATION, number)) is not None
    }
    if ledger.is_shared and len(models) < len(runs):
        return
    recorded = [(ensemble.origin, ensemble.weights) for ensemble in record.ensembles]
    for origin, weights in _ensemble_weights(ledger, {number: runs[number] for number in models}).items():
        if len(weights) > 1 and (origin, weights) not in recorded:
            ledger.record_ensemble(_ensemble(origin, weights, models, runs))
    _delete_other_predictions(ledger, keep=finalist_numbers)


def _complete_runs(record: StudyRecord, chosen: Sequence[int]) -> dict[int, TrialRecord]:
    return {
        run.trial.number: run
        for run in record.trials_in_phase(Phase.VERIFICATION)
        if run.trial.source_trial in chosen and run.outcome and run.outcome.state is State.COMPLETE
    }


def _ensemble_weights(ledger: Ledger, runs: Mapping[int, TrialRecord]) -> dict[str, dict[int, float]]:
    """Returns each ensemble's weights by the number of a verification run."""
    source_trials = {
        number: run.trial.source_trial for number, run in runs.items() if run.trial.source_trial is not None
    }
    proposed = {number for number, run in runs.items() if run.trial.origin != BASELINE}
    validation = {
        trial: saved
        for trial in sorted(set(source_trials.values()))
        if (saved := _load_predictions(ledger, Phase.SEARCH, trial))
    }
    greedy_counts = greedy_weights(validation)
    replicate_counts = Counter(source_trials.values())
    return {
        MEAN: {number: 1.0 / len(proposed) for number in sorted(proposed)},
        GREEDY: {
            number: greedy_counts[source_trials[number]] / replicate_counts[source_trials[number]]
            for number in sorted(source_trials)
            if source_trials[number] in greedy_counts
        },
    }


def greedy_weights(validation: Mapping[int, SavedPredictions]) -> dict[int, float]:
    """Returns the weights, 1 in all, of the trials whose mean prediction has the least validation error.

    In each round it adds the model with which the mean's error is least, and of equal errors the cross-entropy. A model
    may be added several times.

    Args:
        validation: Predictions of the same validation images by trial number.

    Source: Caruana et al., "Ensemble Selection from Libraries of Models", ICML 2004, sections 2.1 and 2.2.
    """
    if not validation:
        return {}
    labels = next(iter(validation.values())).labels
    probabilities = {trial: saved.probabilities.astype(np.float32) for trial, saved in validation.items()}
    total = np.zeros_like(next(iter(probabilities.values())))
    selected: list[int] = []
    best: tuple[tuple[float, float], int] | None = None
    for _ in range(GREEDY_ROUNDS):
        merits = {trial: _error_and_loss(total + array, labels) for trial, array in probabilities.items()}
        trial = min(merits, key=lambda trial: (merits[trial], trial))
        selected.append(trial)
        total += probabilities[trial]
        if best is None or merits[trial] < best[0]:
            best = (merits[trial], len(selected))
    assert best is not None
    counts = Counter(selected[: best[1]])
    return {trial: times / best[1] for trial, times in counts.items()}


def _error_and_loss(total: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Returns the share classified wrongly and the mean cross-entropy, of probabilities up to a factor."""
    true_class = total[np.arange(len(labels)), labels] / total.sum(axis=1)
    wrong = float((total.argmax(axis=1) != labels).mean())
    return wrong, float(-np.log(np.clip(true_class, 1e-7, 1.0)).mean())


def _ensemble(
    origin: str,
    weights: Mapping[int, float],
    models: Mapping[int, SavedPredictions],
    runs: Mapping[int, TrialRecord],
) -> EnsembleRecord:
    """Returns the ensemble of models by their weights, scored on the test images."""
    labels = models[next(iter(weights))].labels
    mean = sum(weight * models[run].probabilities.astype(np.float32) for run, weight in weights.items())
    predicted = np.asarray(mean).argmax(axis=1)
    misclassified = np.flatnonzero(predicted != labels)
    outcomes = [outcome for run in weights if (outcome := runs[run].outcome) is not None]
    return EnsembleRecord(
        origin=origin,
        weights=weights,
        error_percent=100.0 * len(misclassified) / len(labels),
        balanced_error_percent=predictions.balanced_error_percent(predicted, labels),
        scored_images=len(labels),
        parameter_count=sum(outcome.parameter_count or 0 for outcome in outcomes),
        misclassified=tuple(misclassified.tolist()),
        predicted_classes=tuple(predicted[misclassified].tolist()),
    )


def _load_predictions(ledger: Ledger, phase: Phase, number: int) -> SavedPredictions | None:
    return predictions.load(predictions.file_path(ledger.folder, phase, number))


def _delete_other_predictions(ledger: Ledger, *, keep: Sequence[int]) -> None:
    """Deletes validation predictions of trials that are no finalists."""
    kept = {predictions.file_path(ledger.folder, Phase.SEARCH, number) for number in keep}
    for file in (ledger.folder / "predictions").glob(f"{Phase.SEARCH.value}-*"):
        if file not in kept:
            file.unlink(missing_ok=True)
