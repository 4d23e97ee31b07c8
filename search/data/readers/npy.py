"""Single arrays in NumPy's format: images in one ``.npy`` file, their labels in another. Never unpickled."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from search.data.readers.stored import StoredArray
from search.errors import UserError


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], Literal["C", "F"]]:
    """Returns the shape, type and order of the axes in the header of an array.

    Raises:
        ValueError: It is damaged, or of a version that only arrays of records have.
    """
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"an array of format {version}")
    shape, is_fortran, dtype = readers[version](file)
    if any(side < 0 for side in shape):
        raise ValueError(f"an array of shape {shape}")
    return shape, dtype, "F" if is_fortran else "C"


def check_is_data(name: str, dtype: np.dtype[Any]) -> None:
    """Refuses Python objects.

    Raises:
        UserError: The array holds Python objects.
    """
    if dtype.hasobject:
        raise UserError(
            f"{name} cannot be read: Object arrays are not loaded. Expected: numbers or fixed-width strings.",
            hint="Object arrays are refused because unpickling them could run code. Save x_train with "
            "dtype uint8 or float32, y_train with an integer dtype, and groups as integers or strings.",
        )


def list_npy(path: Path) -> list[StoredArray]:
    """Returns the array of a file, by its header alone; its name is the file's.

    Raises:
        UserError: The file cannot be read or is damaged.
    """
    try:
        with path.open("rb") as file:
            shape, dtype, _ = read_header(file)
            start = file.tell()
        stored = path.stat().st_size - start
        array = StoredArray(
            name=path.stem,
            shape=shape,
            dtype=dtype,
            stored_bytes=stored,
            load=partial(_read_file, path, dtype, is_filled=stored > 0),
        )
        if not dtype.hasobject and array.expanded_bytes != stored:
            raise ValueError(f"{stored} bytes of the {array.expanded_bytes} of its shape")
    except (OSError, ValueError, EOFError) as error:
        raise UserError(
            f"{path} is not a whole .npy file: {error}.", hint="Copy the file again, or save it with numpy.save."
        ) from error
    return [array]


def _read_file(path: Path, dtype: np.dtype[Any], *, is_filled: bool) -> np.ndarray:
    """Returns the array as a memory map of the file itself; an empty one cannot be mapped."""
    check_is_data(path.stem, dtype)
    array: np.ndarray = np.load(path, mmap_mode="r" if is_filled else None, allow_pickle=False)
    return array
