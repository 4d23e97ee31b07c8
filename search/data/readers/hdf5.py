"""HDF5 files by h5py (extra ``hdf5``): every data set of the file, by its path, such as ``train/data``.

Large ones are read in blocks.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from search.data.readers.stored import StoredArray
from search.data.spill import BLOCK_BYTES, map_blocks
from search.errors import UserError, missing_extra

STRING_BYTES = 16
"""Bytes assumed of a string of variable length, whose length only reading tells."""


def list_hdf5(path: Path, *, is_matlab: bool = False) -> list[StoredArray]:
    """Returns the arrays of a file. Links to other files are not followed.

    Args:
        path: The file.
        is_matlab: Whether MATLAB wrote it, which stores arrays with their dimensions reversed.

    Raises:
        UserError: h5py is missing, or the file is damaged.
    """
    if importlib.util.find_spec("h5py") is None:
        raise missing_extra("Reading an HDF5 file", "hdf5")
    import h5py

    found: list[StoredArray] = []

    def add(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset) or item.shape is None or item.is_virtual or item.external:
            return
        is_text = h5py.check_string_dtype(item.dtype) is not None and item.dtype.hasobject
        if item.dtype.kind not in "biufS" and not is_text:
            return
        found.append(
            StoredArray(
                name=name,
                shape=item.shape[::-1] if is_matlab else item.shape,
                dtype=np.dtype(f"S{STRING_BYTES}") if is_text else item.dtype,
                stored_bytes=item.id.get_storage_size(),
                load=partial(_read_dataset, path, name, is_text=is_text, is_matlab=is_matlab),
            )
        )

    try:
        with h5py.File(path, "r") as file:
            file.visititems(add)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise _damaged_file_error(path, error) from error
    return found


def _read_dataset(path: Path, name: str, *, is_text: bool, is_matlab: bool) -> np.ndarray:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            stored = file[name]
            is_small = stored.ndim == 0 or stored.nbytes <= BLOCK_BYTES
            if is_text:
                array = np.array(stored.asstr()[()], dtype=str)
            else:
                array = stored[()] if is_small else map_blocks(_slices(stored))
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise _damaged_file_error(path, error) from error
    return array.T if is_matlab else array


def _slices(stored: Any) -> Iterator[np.ndarray]:
    """Yields an array in blocks of whole chunks, since each chunk is decompressed as a whole."""
    chunk = stored.chunks[0] if stored.chunks else 1
    row_bytes = max(1, stored.nbytes // len(stored))
    step = max(1, BLOCK_BYTES // (chunk * row_bytes)) * chunk
    for start in range(0, len(stored), step):
        yield stored[start : start + step]


def _damaged_file_error(path: Path, error: Exception) -> UserError:
    return UserError(f"{path} is not a whole HDF5 file: {error}.", hint="Download or copy the file again.")
