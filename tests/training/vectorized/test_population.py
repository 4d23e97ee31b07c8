"""The number of rows of a stack."""

from __future__ import annotations

import pytest

from search.training.vectorized.population import stack_size


@pytest.mark.parametrize(
    ("members", "present", "width"),
    [
        (1, 0, 1),
        (5, 0, 8),
        (30, 0, 30),
        (30, 30, 30),
        (16, 30, 30),
        (15, 30, 16),
        (9, 16, 16),
        (8, 16, 8),
        (17, 16, 30),
        (1, 2, 1),
    ],
)
def test_a_stack_is_resized_to_powers_of_two(members: int, present: int, width: int) -> None:
    assert stack_size(members, present, 30) == width
