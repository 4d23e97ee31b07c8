"""What cheap trainings tell: perfect where they have the order of the full ones, nothing where they do not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from search.compare.recorded.fidelity import predictors
from search.compare.recorded.recordings import read_recording


def test_what_has_the_order_of_the_full_trainings_predicts_them(path: Path) -> None:
    recording = read_recording(path)
    by_name = {predictor.name: predictor for predictor in predictors(recording)}
    short = by_name["2 complete epochs, calibrated loss"]
    assert short.trainings == 50
    assert (short.to_error, short.to_loss, short.to_loss_of_best) == pytest.approx((1.0, 1.0, 1.0), abs=0.01)
    assert by_name["10 epochs cut at 3, error"].to_loss == pytest.approx(1.0, abs=0.01)  # errors end at 90 %


def test_reversed_short_trainings_predict_the_opposite(path: Path) -> None:
    recording = read_recording(path)
    reversed_ = [
        dataclasses.replace(training, curve=-training.curve) if training.epochs == 2 else training
        for training in recording.trainings
    ]
    found = predictors(dataclasses.replace(recording, trainings=reversed_))
    short = next(predictor for predictor in found if predictor.name == "2 complete epochs, error")
    assert short.to_error == pytest.approx(-1.0)


def test_too_few_trainings_tell_nothing(path: Path) -> None:
    recording = read_recording(path)
    assert predictors(dataclasses.replace(recording, trainings=recording.trainings[:4])) == ()
