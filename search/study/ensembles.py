"""Ensembles of the finalists: the mean of what their verification models said of the test images. Nothing is trained.

Two are formed, both without a look at a test label: of every finalist's models, and of those that a greedy selection on
the validation images takes, with the weights that it gives them. The figures are recorded in the ledger like any other
trial's. Called by ``search.session.run`` after verification.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from search.records.ledger import Ledger
from search.records.record import ENSEMBLE_WEIGHTS_KEY, StudyRecord, TrialRecord
from search.study.verification import finalists
from search.training import predictions
from search.training.predictions import SavedPredictions
from search.trial import BASELINE, Outcome, Phase, State, Trial

MEAN, GREEDY = "mean", "greedy"
"""Of all finalists' models, and of those that the greedy selection takes."""
GREEDY_ROUNDS = 25
"""Models that the greedy selection may add; it stays with the best set on the way."""


def record_ensembles(ledger: Ledger, *, count: int) -> None:
    """Forms the ensembles that the recorded verification runs allow, records them, and drops predictions of no use.

    Where another coordinator has run some of them, and keeps their predictions in a folder of its own, none is formed.

    Args:
        ledger: The study's, open for writing.
        count: Finalists beside the baseline.
    """
    record = ledger.read()
    finalist_numbers = [known.trial.number for known in finalists(record, count)]
    runs = _complete_runs(record, finalist_numbers)
    models = {
        number: found for number in runs if (found := _load_predictions(ledger, Phase.VERIFICATION, number)) is not None
    }
    if ledger.is_shared and len(models) < len(runs):
        return
    done = {
        (known.trial.origin, _weights_key(known.trial.engine_metadata.get(ENSEMBLE_WEIGHTS_KEY, {})))
        for known in record.trials_in_phase(Phase.ENSEMBLE)
    }
    number = len(
        record.trials_in_phase(Phase.ENSEMBLE)
    )  # counted here: what a turn has begun is not read before its end
    for origin, weights in _ensemble_weights(ledger, {number: runs[number] for number in models}).items():
        if len(weights) > 1 and (origin, _weights_key(weights)) not in done:
            _record_ensemble(ledger, number, origin, weights, {run: models[run] for run in weights}, runs)
            number += 1
    _delete_other_predictions(ledger, keep=finalist_numbers)


def _complete_runs(record: StudyRecord, chosen: Sequence[int]) -> dict[int, TrialRecord]:
    return {
        known.trial.number: known
        for known in record.trials_in_phase(Phase.VERIFICATION)
        if known.trial.source_trial in chosen and known.outcome and known.outcome.state is State.COMPLETE
    }


def _ensemble_weights(ledger: Ledger, runs: Mapping[int, TrialRecord]) -> dict[str, dict[int, float]]:
    """Returns each ensemble's weights by the number of a verification run."""
    source_trials = {
        number: known.trial.source_trial for number, known in runs.items() if known.trial.source_trial is not None
    }
    proposed = {number for number, known in runs.items() if known.trial.origin != BASELINE}
    validation = {
        trial: said
        for trial in sorted(set(source_trials.values()))
        if (said := _load_predictions(ledger, Phase.SEARCH, trial))
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

    Adds the model that lowers the error of the mean most, again and again, the same one more than once if it helps;
    of equal errors the one with the least cross-entropy.

    Args:
        validation: What each trial's model said of the same validation images, by trial.

    Source: Caruana et al., "Ensemble Selection from Libraries of Models", ICML 2004, sections 2.1 and 2.2.
    """
    if not validation:
        return {}
    labels = next(iter(validation.values())).labels
    probabilities = {trial: one.probabilities.astype(np.float32) for trial, one in validation.items()}
    total = np.zeros_like(next(iter(probabilities.values())))
    selected: list[int] = []
    best: tuple[tuple[float, float], int] | None = None
    for _ in range(GREEDY_ROUNDS):
        merits = {trial: _error_and_loss(total + one, labels) for trial, one in probabilities.items()}
        trial = min(merits, key=lambda one: (merits[one], one))
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


def _record_ensemble(
    ledger: Ledger,
    number: int,
    origin: str,
    weights: Mapping[int, float],
    models: Mapping[int, SavedPredictions],
    runs: Mapping[int, TrialRecord],
) -> None:
    labels = next(iter(models.values())).labels
    mean = sum(weight * models[run].probabilities.astype(np.float32) for run, weight in weights.items())
    predicted = np.asarray(mean).argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    parameter_counts = [
        outcome.parameter_count for run in weights if (outcome := runs[run].outcome) and outcome.parameter_count
    ]
    trial = Trial(
        number=number,
        config={},
        seed=0,
        epochs=0,
        origin=origin,
        phase=Phase.ENSEMBLE,
        engine_metadata={ENSEMBLE_WEIGHTS_KEY: {str(number): weight for number, weight in weights.items()}},
    )
    ledger.begin(trial)
    ledger.finish(
        trial,
        Outcome(
            state=State.COMPLETE,
            metrics={"error_percent": 100.0 * len(wrong) / len(labels)},
            parameter_count=sum(parameter_counts),
            scored_images=len(labels),
            misclassified=tuple(wrong.tolist()),
            predicted_classes=tuple(predicted[wrong].tolist()),
        ),
    )


def _load_predictions(ledger: Ledger, phase: Phase, number: int) -> SavedPredictions | None:
    return predictions.load(predictions.file_path(ledger.folder, phase, number))


def _weights_key(weights: Mapping[int, float] | Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    return tuple(sorted((str(number), weight) for number, weight in weights.items()))


def _delete_other_predictions(ledger: Ledger, *, keep: Sequence[int]) -> None:
    """Deletes validation predictions of trials that are no finalists."""
    kept = {predictions.file_path(ledger.folder, Phase.SEARCH, number) for number in keep}
    for file in (ledger.folder / "predictions").glob(f"{Phase.SEARCH.value}-*"):
        if file not in kept:
            file.unlink(missing_ok=True)
