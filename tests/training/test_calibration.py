"""Cross-entropy after temperature scaling, on drawn logits and labels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from search.training.calibration import calibrated_cross_entropy

IMAGES, CLASSES = 20_000, 10


@pytest.fixture(scope="module")
def logits() -> np.ndarray:
    """Float64 logits (images, classes) of various confidence."""
    return 2.0 * np.random.default_rng(0).standard_normal((IMAGES, CLASSES))


def drawn_labels(probabilities: np.ndarray) -> np.ndarray:
    """Labels drawn from the probabilities, which are then calibrated."""
    draws = np.random.default_rng(1).random((IMAGES, 1))
    return np.minimum((probabilities.cumsum(axis=1) < draws).sum(axis=1), CLASSES - 1)


def plain(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return float(-np.log(probabilities[np.arange(len(labels)), labels]).mean())


def test_calibrated_probabilities_keep_their_cross_entropy(logits: np.ndarray) -> None:
    probabilities = softmax(logits, axis=1)
    labels = drawn_labels(probabilities)
    # The best temperature of a sample differs from 1 by about 1 %; the loss by the square of it.
    assert calibrated_cross_entropy(probabilities, labels) == pytest.approx(plain(probabilities, labels), rel=1e-3)


@pytest.mark.parametrize("scale", [0.25, 0.5, 2.0, 4.0])
def test_the_confidence_of_a_network_does_not_matter(logits: np.ndarray, scale: float) -> None:
    labels = drawn_labels(softmax(logits, axis=1))
    expected = calibrated_cross_entropy(softmax(logits, axis=1), labels)
    assert calibrated_cross_entropy(softmax(scale * logits, axis=1), labels) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("seed", range(5))
def test_it_is_never_above_the_plain_cross_entropy(scale: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    probabilities = softmax(scale * generator.standard_normal((200, CLASSES)), axis=1)
    labels = generator.integers(CLASSES, size=200)
    assert calibrated_cross_entropy(probabilities, labels) <= plain(probabilities, labels) + 1e-9


def test_a_probability_of_0_is_finite() -> None:
    probabilities = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], np.float32)
    assert np.isfinite(calibrated_cross_entropy(probabilities, np.array([0, 1, 1])))
