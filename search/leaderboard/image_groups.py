"""Groups of the test images, such as their writers: the units that a test set is a sample of.

Images of one writer are alike, so a test set tells less than the same number of independent images. Called by
``compute``; ``variance`` sums results by group.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Self

import numpy as np

from search.data.mnist import MNIST_SHA256, read_mnist_writers
from search.records.record import StudyRecord


@dataclass(frozen=True, slots=True, eq=False)
class ImageGroups:
    """The group of each test image.

    Args:
        codes: (images,) integers from 0, equal for images of one group.
        sizes: (groups,) number of images of each group.
    """

    codes: np.ndarray
    sizes: np.ndarray

    @classmethod
    def of(cls, groups: np.ndarray) -> Self | None:
        """Returns the groups that (images,) integers or strings name; None for fewer than two."""
        names, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        return cls(codes, sizes) if len(names) > 1 else None


def image_groups(studies: Iterable[StudyRecord]) -> ImageGroups | None:
    """Returns the groups of the test images of studies of the same data; None where no study knows them.

    MNIST is recognized by the data's hash, so that studies of versions without groups get its writers too.
    """
    for study in studies:
        if study.header.protocol.data_sha256 == MNIST_SHA256:
            return _mnist_writers()
        if study.test_groups:
            return ImageGroups.of(np.asarray(study.test_groups))
    return None


@cache
def _mnist_writers() -> ImageGroups | None:
    return ImageGroups.of(read_mnist_writers()["groups_test"])
