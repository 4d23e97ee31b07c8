"""The model predicts what is smooth, keeps the spread, and says how well it predicts."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from makers import TINY
from scipy.stats import spearmanr
from sklearn.ensemble import ExtraTreesRegressor

from search.compare.recorded.forest import TREES, fit_forest
from search.compare.recorded.model import encode, load_model
from search.errors import UserError
from tests.compare.recorded.made_up import EPOCHS, SHORT, VALIDATION_IMAGES, true_error, write


def test_a_forest_predicts_as_scikit_learn_does() -> None:
    rng = np.random.default_rng(0)
    features, targets = rng.random((60, 5)).astype(np.float32), rng.random((60, 3))
    theirs = ExtraTreesRegressor(n_estimators=TREES, random_state=0).fit(features, targets)
    forest, rows = fit_forest(features, targets), rng.random((20, 5)).astype(np.float32)
    assert np.allclose([forest.predict(row) for row in rows], theirs.predict(rows))


def test_new_configurations_are_ranked(path: Path) -> None:
    model, generator = load_model(path), random.Random(7)
    configs = [TINY.sample(generator) for _ in range(60)]
    predicted = [model.error_percent(config) for config in configs]
    assert spearmanr(predicted, [true_error(config) for config in configs]).statistic > 0.8
    quality = model.quality[0]
    assert quality.spearman > 0.7
    assert 0.5 < quality.r2 < 1
    assert quality.seeds == pytest.approx(0.02, rel=0.7)  # the spread that was made up, from ten pairs
    assert quality.residual > quality.seeds


def test_noise_is_repeatable_and_shared_by_both_lengths(path: Path) -> None:
    model, config = load_model(path), TINY.sample(random.Random(8))
    assert model.curves(config, 3).full_error.tolist() == model.curves(config, 3).full_error.tolist()
    noisy = [model.curves(config, seed) for seed in range(100)]
    full = [curves.full_loss[-1] for curves in noisy]
    short = [curves.short_loss[-1] for curves in noisy]
    assert len(set(full)) > 10
    assert spearmanr(full, short).statistic > 0.9  # one training of a recorded configuration gave both


def test_a_recorded_configuration_is_predicted_as_recorded_with_the_noise_of_seeds(path: Path) -> None:
    model = load_model(path)
    errors = [model.error_percent(TINY.baseline, seed) for seed in range(100)]
    assert model.error_percent(TINY.baseline) == pytest.approx(true_error(TINY.baseline), rel=0.05)
    assert np.std(np.log(errors)) == pytest.approx(0.02, rel=0.7)


def test_a_simulated_trial_has_its_length_whole_images_and_the_search_s_seconds(path: Path) -> None:
    model = load_model(path)
    full, short = (model.simulated_trial(TINY.baseline, is_short=is_short, noise_seed=1) for is_short in (False, True))
    assert (len(full.epochs), len(short.epochs)) == (EPOCHS, SHORT)
    images = [epoch.error_percent * VALIDATION_IMAGES / 100 for epoch in full.epochs]
    assert images == pytest.approx(np.round(images))
    assert all(epoch.calibrated_loss > 0 for epoch in full.epochs)
    # Building took a second, and an epoch half a second on a quarter of the work.
    assert model.seconds(TINY.baseline, 4) == pytest.approx(1.0 + 4 * 4 * 0.5, rel=0.01)
    assert sum(epoch.seconds for epoch in short.epochs) == pytest.approx(1.0 + 2 * 2.0, rel=0.01)


def test_features_tell_inactive_parameters_from_values() -> None:
    adam = encode(TINY, TINY.baseline)
    sgd = encode(TINY, {**TINY.baseline, "optimizer": "sgd", "momentum": 0.0})
    assert adam.shape == sgd.shape
    assert (adam.min(), sgd.min()) == (-1.0, 0.0)
    assert sgd.max() == 1.0


def test_too_few_trainings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Too few configurations"):
        load_model(write(tmp_path / "few.jsonl", 10))


def test_without_processor_seconds_the_cost_model_predicts_them(path: Path, tmp_path: Path) -> None:
    busy = tmp_path / "busy.jsonl"
    busy.write_text(path.read_text().replace('"cpu_seconds": ', '"unknown": '))
    model = load_model(busy)
    seconds = [model.seconds(TINY.baseline, epochs) for epochs in (0, 2, 10)]
    assert seconds[0] > 0
    assert seconds[2] - seconds[0] == pytest.approx(5 * (seconds[1] - seconds[0]))
    assert "seconds of an epoch" not in [quality.name for quality in model.quality]
    assert "seconds of an epoch" in [quality.name for quality in load_model(path).quality]
