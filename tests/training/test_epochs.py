"""How much of an epoch is augmented: clean epochs keep their share of the training in a short trial."""

from __future__ import annotations

import pytest

from search.training.epochs import augmented_images, steps_per_epoch

IMAGES, BATCH_SIZE, FULL_EPOCHS = 1_050, 100, 10


def shares(clean_epochs: int, epochs: int) -> list[int]:
    """Augmented images of each epoch of a trial."""
    config = {"clean_epochs": clean_epochs, "batch_size": BATCH_SIZE}
    return [augmented_images(config, epoch, epochs, IMAGES, full_epochs=FULL_EPOCHS) for epoch in range(epochs)]


@pytest.mark.parametrize("clean_epochs", [0, 1, 3, 10])
def test_whole_epochs_at_the_end_of_a_full_trial_are_clean(clean_epochs: int) -> None:
    assert shares(clean_epochs, FULL_EPOCHS) == [IMAGES] * (FULL_EPOCHS - clean_epochs) + [0] * clean_epochs


def test_a_short_trial_has_the_same_share_of_clean_images() -> None:
    assert shares(2, 5) == [IMAGES] * 4 + [0]
    assert shares(10, 2) == [0, 0]
    assert shares(0, 2) == [IMAGES] * 2


def test_a_part_of_an_epoch_is_a_whole_number_of_steps() -> None:
    # Of 11 steps 0.8 and 0.4 are augmented, to the next whole step.
    assert shares(1, 2) == [IMAGES, 900]
    assert shares(3, 2) == [IMAGES, 400]
    assert shares(7, 2) == [700, 0]


@pytest.mark.parametrize("clean_epochs", range(FULL_EPOCHS + 1))
@pytest.mark.parametrize("epochs", range(1, FULL_EPOCHS + 1))
def test_the_images_are_those_of_the_steps(clean_epochs: int, epochs: int) -> None:
    """A population counts in steps, the trainer in images."""
    for count in shares(clean_epochs, epochs):
        assert count == min(IMAGES, BATCH_SIZE * steps_per_epoch(count, BATCH_SIZE))
