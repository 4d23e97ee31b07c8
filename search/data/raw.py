"""A data set as it stands in its files.

Made by ``search.data.readers``; brought into one form by ``search.data.canonical``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RawPart:
    """The training, validation or test images as they stand in a file.

    Args:
        images: Of any shape and type that ``search.data.shapes`` and ``search.data.pixels`` understand.
        labels: Of any form that ``search.data.labels`` understands.
        groups: (count,) integers or strings, or None.
    """

    images: np.ndarray
    labels: np.ndarray
    groups: np.ndarray | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RawDataset:
    """A data set as it stands in its files.

    Args:
        parts: By name: "train", and perhaps "val" and "test".
        source: What the images are, in the plural, such as "JPEGs in 10 folders".
        class_names: Names of the classes if labels are indices into them, else empty.
        notes: What the user should know of the reading, such as files that were left out.
        is_resized: Whether the reader has applied the image size and the channels of the options.
        sizes: What sizes the images had that the reader has resized, such as "32 x 32" or "7 sizes"; else empty.
    """

    parts: Mapping[str, RawPart]
    source: str
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    is_resized: bool = False
    sizes: str = ""


def raw_from_arrays(arrays: Mapping[str, np.ndarray], source: str) -> RawDataset:
    """Returns the data set of arrays with their usual names, ``x_train``, ``y_train`` and so on."""
    parts = {
        part: RawPart(images=arrays[f"x_{part}"], labels=arrays[f"y_{part}"], groups=arrays.get(f"groups_{part}"))
        for part in ("train", "val", "test")
        if f"x_{part}" in arrays
    }
    return RawDataset(parts=parts, source=source)
