"""Arrays of a notebook as a data set: a file in the cache, named by what it holds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from search.data.dataset import default_cache_dir
from search.errors import UserError
from search.files import draft_of, write_errors

NAMES = ("x_train", "y_train", "x_test", "y_test")


def save_arrays(data: Sequence[Any], cache_dir: Path | None = None) -> Path:
    """Writes arrays to an .npz file in the cache, unless it is there, and returns its path.

    Args:
        data: (x_train, y_train), (x_train, y_train, x_test, y_test), or ((x_train, y_train), (x_test, y_test)) as
            Keras's data sets return. Images have any shape that ``docs/data.md`` lists.
        cache_dir: The cache folder; None for the default.

    Raises:
        UserError: These are other than two or four arrays, or their lengths differ.
    """
    if len(data) == 2 and all(isinstance(part, (tuple, list)) and len(part) == 2 for part in data):
        data = (*data[0], *data[1])
    is_array = not isinstance(data, (tuple, list))  # iterating over one gives its images
    arrays = [np.asarray(data)] if is_array else [_as_array(part) for part in data[: len(NAMES)]]
    if is_array or len(data) not in (2, 4) or any(not array.shape or array.dtype == object for array in arrays):
        shapes = ", ".join(f"{array.dtype} of shape {array.shape}" for array in arrays)
        more = len(data) - len(NAMES)
        raise UserError(
            "data takes (x_train, y_train), or x_test and y_test as well. "
            f"Received: {shapes}{f' and {more:,} more' if not is_array and more > 0 else ''}.",
            hint="Labels are one-dimensional or one-hot arrays, of one type and without gaps; images have equal sizes.",
        )
    for images, labels in zip(arrays[::2], arrays[1::2], strict=True):
        if len(images) != len(labels):
            raise UserError(f"Images and labels differ in number. Received: {len(images):,} and {len(labels):,}.")
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    path = (cache_dir or default_cache_dir()) / "arrays" / f"arrays-{digest.hexdigest()[:8]}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_errors(path, "arrays"), draft_of(path) as draft, draft.open("wb") as file:
            np.savez(file, allow_pickle=False, **dict(zip(NAMES, arrays, strict=False)))
    return path


def _as_array(part: Any) -> np.ndarray:
    """Returns an array; text, which pandas keeps as objects, as an array of strings.

    Raises:
        UserError: It is a list of arrays of several shapes.
    """
    try:
        array = np.asarray(part)
    except ValueError as error:
        raise UserError(
            "data takes arrays. Received: a list whose parts differ in shape.", hint="Resize the images to one size."
        ) from error
    is_text = array.dtype == object and array.ndim == 1 and all(isinstance(value, str) for value in array)
    return array.astype(str) if is_text else array
