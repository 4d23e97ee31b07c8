"""Misclassified images and the confusion matrix, with pixels and classes of the real data set."""

from __future__ import annotations

import base64
import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from search.data.dataset import LabeledImages, find_test_images
from search.leaderboard.board import Row
from search.report.confusion import MAX_IMAGES, find_misclassifications, png_data_uri
from tests.leaderboard.records import searched, study, verified
from tests.report import studies
from tests.report.studies import curve, missed


def winner(*runs: tuple[list[int], list[int]], images: int = 10_000) -> Row:
    """A row with misclassified images."""
    ended = [missed(wrong, predicted, images) for wrong, predicted in runs]
    record = study(searched(3, curve(0.5)), verified(3, ended))
    return studies.board([record]).sections[0].ranked[0]


@pytest.fixture(scope="module")
def mnist() -> LabeledImages:
    found = find_test_images(studies.MNIST_SHA256)
    assert found is not None
    return found


def pixels(uri: str) -> np.ndarray:
    assert uri.startswith("data:image/png;base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_what_most_seeds_miss_comes_first_with_true_and_predicted_class(mnist: LabeledImages) -> None:
    found = find_misclassifications(winner(([8, 5], [6, 0]), ([8], [9]), ([8, 7], [6, 1])), mnist)
    assert [(one.index, one.seed_count, one.predicted) for one in found.shown] == [
        (8, 3, (6, 9)),
        (5, 1, (0,)),
        (7, 1, (1,)),
    ]
    assert [one.true for one in found.shown] == [int(mnist.labels[index]) for index in (8, 5, 7)]
    assert (
        found.seed_count,
        found.missed_by_any_seed,
        found.missed_by_all_seeds,
        found.image_count,
        found.missing_reason,
    ) == (3, 3, 1, 10_000, "")


def test_a_picture_is_the_image_itself(mnist: LabeledImages) -> None:
    found = find_misclassifications(winner(([8], [6])), mnist)
    assert (pixels(found.shown[0].data_uri) == mnist.images[8][..., 0]).all()


def test_classes_have_the_names_of_the_data(mnist: LabeledImages) -> None:
    named = dataclasses.replace(mnist, class_names=tuple("abcdefghij"))
    assert find_misclassifications(winner(([8], [6])), named).class_name(6) == "g"
    assert find_misclassifications(winner(([8], [6])), mnist).class_name(6) == "6"


def test_the_matrix_counts_the_mean_over_seeds(mnist: LabeledImages) -> None:
    true = int(mnist.labels[8])
    confusion = find_misclassifications(winner(([8], [3]), ([8], [6]), ([], [])), mnist).confusion
    assert confusion.images_per_class == tuple(np.bincount(mnist.labels).tolist())
    matrix = np.array(confusion.matrix)
    assert matrix.shape == (10, 10)
    assert matrix[true, 3] == matrix[true, 6] == pytest.approx(1 / 3)
    assert matrix.sum() == pytest.approx(2 / 3)


def test_of_many_mistakes_the_first_are_shown(mnist: LabeledImages) -> None:
    found = find_misclassifications(winner((list(range(200)), [0] * 200)), mnist)
    assert (found.missed_by_any_seed, len(found.shown)) == (200, MAX_IMAGES)


def test_without_the_data_indices_are_left() -> None:
    found = find_misclassifications(winner(([8, 5], [6, 0])), None)
    assert [(one.index, one.true, one.data_uri) for one in found.shown] == [(5, None, ""), (8, None, "")]
    assert found.confusion is None
    assert "not on this machine" in found.missing_reason


def test_a_record_without_predicted_classes_still_shows_its_pictures(mnist: LabeledImages) -> None:
    found = find_misclassifications(winner(([8], [])), mnist)
    assert found.shown[0].data_uri and found.shown[0].predicted == ()
    assert found.confusion is None
    assert "does not hold the predicted classes" in found.missing_reason


def test_a_test_set_that_is_too_small_is_not_the_one() -> None:
    other = LabeledImages(np.zeros((5, 28, 28, 1), np.uint8), np.zeros(5, np.int64), None)
    assert "not on this machine" in find_misclassifications(winner(([8], [6])), other).missing_reason


def test_a_row_without_a_record_of_its_mistakes_has_none(mnist: LabeledImages) -> None:
    record = study(searched(3, curve(0.5)), verified(3, (0.5, 0.6)))
    assert find_misclassifications(studies.board([record]).sections[0].ranked[0], mnist) is None


def test_a_row_without_misclassified_images(mnist: LabeledImages) -> None:
    found = find_misclassifications(winner(([], []), ([], [])), mnist)
    assert (found.missed_by_any_seed, found.shown, found.confusion.pairs) == (0, (), ())


def test_many_classes_are_listed_and_not_tabled() -> None:
    labels = np.arange(60) % 30
    test = LabeledImages(np.zeros((60, 4, 4, 1), np.uint8), labels, None)
    confusion = find_misclassifications(winner(([5, 35, 7], [6, 6, 29]), images=60), test).confusion
    assert confusion.matrix == ()
    assert [(pair.true, pair.predicted, pair.images_per_seed) for pair in confusion.pairs] == [
        (5, 6, 2.0),
        (7, 29, 1.0),
    ]


def test_pictures_of_colours_fractions_and_large_images() -> None:
    generator = np.random.default_rng(0)
    colours = generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert (pixels(png_data_uri(colours)) == colours).all()
    fractions = generator.random((6, 5, 1), dtype=np.float32)
    assert np.abs(pixels(png_data_uri(fractions)) / 255 - fractions[..., 0]).max() <= 0.5 / 255 + 1e-6
    large = generator.integers(0, 256, (300, 200, 3), dtype=np.uint8)
    assert pixels(png_data_uri(large)).shape == (75, 50, 3)
