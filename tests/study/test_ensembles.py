"""Ensembles from predictions on disk: which models take part, what they give, and that nothing is formed twice."""

from pathlib import Path

import numpy as np
import pytest
from makers import header
from postgres import Server

from search.leaderboard.compute import compute
from search.records.ledger import Ledger
from search.records.opening import open_ledger
from search.records.storage.locations import StudyLocation
from search.study.ensembles import GREEDY, MEAN, greedy_weights, record_ensembles
from search.training import predictions
from search.training.predictions import SavedPredictions
from search.trial import BASELINE, PROPOSED, Outcome, Phase, State, Trial

LABELS = np.arange(200) % 10


def said(wrong: list[int], certainty: float = 0.9) -> SavedPredictions:
    """Returns predictions that are right but for some images, which are taken for the next class."""
    probabilities = np.full((len(LABELS), 10), (1.0 - certainty) / 9)
    given = LABELS.copy()
    given[wrong] = (LABELS[wrong] + 1) % 10
    probabilities[np.arange(len(LABELS)), given] = certainty
    return SavedPredictions(probabilities, LABELS)


def test_predictions_come_back_as_they_were_written(tmp_path: Path) -> None:
    file = predictions.file_path(tmp_path, Phase.VERIFICATION, 3)
    predictions.save(file, said([1, 2]))
    found = predictions.load(file)
    assert found.probabilities.dtype == np.float16
    assert np.abs(found.probabilities - said([1, 2]).probabilities).max() < 0.001
    assert (found.labels == LABELS).all()
    assert [path.name for path in file.parent.iterdir()] == ["verification-3.npz"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"x" * 1000])
def test_damaged_predictions_are_none(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "verification-0.npz"
    file.write_bytes(content)
    assert predictions.load(file) is None
    assert predictions.load(tmp_path / "nothing.npz") is None


def test_the_selection_takes_models_that_err_apart_and_leaves_a_bad_one() -> None:
    bad = list(range(0, 100))
    picked = greedy_weights({1: said([0, 1, 2]), 2: said([3, 4, 5]), 3: said([6, 7, 8]), 9: said(bad)})
    assert picked.keys() == {1, 2, 3}
    assert sum(picked.values()) == pytest.approx(1.0)


def test_the_selection_stays_with_one_model_where_no_other_helps() -> None:
    assert greedy_weights({4: said([]), 5: said([0, 1, 2, 3])}) == {4: 1.0}
    assert greedy_weights({}) == {}


def record_study(ledger: Ledger, *, replicates: int, without: tuple[int, ...] = ()) -> None:
    """Records a baseline and two finalists with their runs, each wrong on images of its own."""
    config = ledger.header.space.baseline
    for number in range(3):
        trial = Trial(
            number=number, config={**config, "width": 4 * (number + 1)}, seed=number, epochs=1,
            origin=PROPOSED if number else BASELINE,
        )  # fmt: skip
        finish(ledger, trial, said([number, 10 + number]))
    for replicate in range(replicates):
        for of in range(3):
            number = 3 * replicate + of
            trial = Trial(
                number=number, config=config, seed=100 + replicate, epochs=1, phase=Phase.VERIFICATION, source_trial=of,
                origin=PROPOSED if of else BASELINE, replicate=replicate,
            )  # fmt: skip
            finish(ledger, trial, None if number in without else said([20 + number, 60 + number, 90]))


def finish(ledger: Ledger, trial: Trial, made: SavedPredictions | None) -> None:
    ledger.begin(trial)
    ledger.finish(
        trial,
        Outcome(
            state=State.COMPLETE,
            metrics={"error_percent": 1.5},
            parameter_count=1000,
            scored_images=200,
            misclassified=(90,),
        ),
    )
    if made is not None:
        predictions.save(predictions.file_path(ledger.folder, trial.phase, trial.number), made)


def test_ensembles_of_a_study(tmp_path: Path) -> None:
    place = StudyLocation(studies_dir=tmp_path)
    with open_ledger(place, header()) as ledger:
        record_study(ledger, replicates=2)
        record_ensembles(ledger, count=2)
        record_ensembles(ledger, count=2)  # nothing new
        record = ledger.read()
        left = sorted(path.name for path in (ledger.folder / "predictions").glob("search-*"))
    mean, greedy = record.ensembles
    assert (mean.origin, greedy.origin) == (MEAN, GREEDY)
    assert mean.weights == {1: 0.25, 2: 0.25, 4: 0.25, 5: 0.25}  # of 1 and 2, not the baseline
    assert sum(greedy.weights.values()) == pytest.approx(1.0)
    assert mean.misclassified == (90,)  # where all err
    assert mean.predicted_classes == (int(LABELS[91]),)
    assert mean.error_percent == 0.5
    assert mean.parameter_count == 4000
    assert left == ["search-0.npz", "search-1.npz", "search-2.npz"]
    assert record.test_evaluations == 6 + 2

    section = compute([record]).sections[0]
    assert [one.error_percent for one in section.ensembles] == [0.5, 0.5]
    best = next(one for one in section.ensembles if MEAN in one.label)
    assert (best.models, best.members) == (4, {1: 0.5, 2: 0.5})
    assert best.interval.low < 0.5 < best.interval.high
    assert all(row.label != MEAN for row in section.rows)


def test_in_a_database_they_are_formed_in_a_turn(tmp_path: Path, postgres: Server) -> None:
    with open_ledger(StudyLocation(studies_dir=tmp_path, storage=postgres.database()), header()) as ledger:
        record_study(ledger, replicates=2)
        for _ in range(2):
            ledger.run_exclusive(lambda: record_ensembles(ledger, count=2))
        ensembles = ledger.read().ensembles
    assert [(ensemble.origin, ensemble.error_percent) for ensemble in ensembles] == [(MEAN, 0.5), (GREEDY, 0.5)]


def test_more_runs_make_another_ensemble_and_the_board_shows_the_last(tmp_path: Path) -> None:
    with open_ledger(StudyLocation(studies_dir=tmp_path), header()) as ledger:
        record_study(ledger, replicates=2, without=(1,))
        record_ensembles(ledger, count=2)
        predictions.save(predictions.file_path(ledger.folder, Phase.VERIFICATION, 1), said([90]))
        record_ensembles(ledger, count=2)
        record = ledger.read()
    assert [len(ensemble.weights) for ensemble in record.ensembles if ensemble.origin == MEAN] == [3, 4]
    shown = [one for one in compute([record]).sections[0].ensembles if MEAN in one.label]
    assert [one.models for one in shown] == [4]


def test_without_predictions_nothing_is_formed(tmp_path: Path) -> None:
    with open_ledger(StudyLocation(studies_dir=tmp_path), header()) as ledger:
        record_study(ledger, replicates=1, without=(0, 1, 2))
        record_ensembles(ledger, count=2)
        assert ledger.read().ensembles == ()


def test_the_balanced_error_is_the_mean_over_the_classes_that_have_images() -> None:
    labels = np.array([0, 0, 0, 0, 2, 2])
    assert predictions.balanced_error_percent(np.array([0, 0, 0, 1, 2, 0]), labels) == pytest.approx((25 + 50) / 2)
