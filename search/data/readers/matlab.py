"""MATLAB files by SciPy, versions 4 to 7; version 7.3 is HDF5. Every numeric variable of the file, by its name.

A file that is named after its part, such as SVHN's ``train_32x32.mat``, gives it to its variables.

SciPy reads a variable at once, so memory must hold it; version 7.3 is read in blocks.
"""

from __future__ import annotations

import struct
import zlib
from functools import partial
from pathlib import Path

import numpy as np

from search.data.readers.hdf5 import list_hdf5
from search.data.readers.stored import StoredArray
from search.errors import UserError

VERSION_7_3 = b"MATLAB 7.3"
HEADER_BYTES = 128
TYPES = {
    "double": "f8", "single": "f4", "logical": "u1", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2",
    "int32": "i4", "uint32": "u4", "int64": "i8", "uint64": "u8", "char": "U1",
}  # fmt: skip
"""MATLAB's names of types to NumPy's; others (cells, structures, objects) are not read."""
READ_ERRORS = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    NotImplementedError,
    struct.error,
    zlib.error,
    MemoryError,
)
"""What SciPy raises for a damaged file."""


def list_matlab(path: Path) -> list[StoredArray]:
    """Returns the arrays of a file.

    Raises:
        UserError: The file cannot be read or is damaged.
    """
    from scipy.io import whosmat
    from scipy.io.matlab import MatReadError

    try:
        with path.open("rb") as file:
            if file.read(len(VERSION_7_3)) == VERSION_7_3:
                return list_hdf5(path, is_matlab=True)
        _check_elements(path)
        variables = whosmat(path, appendmat=False)
    except (*READ_ERRORS, MatReadError) as error:
        raise _damaged_file_error(path, error) from error
    return [
        StoredArray(
            name=name,
            shape=tuple(shape),
            dtype=np.dtype(TYPES[kind]),
            stored_bytes=path.stat().st_size,
            load=partial(_read_variable, path, name),
            is_whole=True,
        )
        for name, shape, kind in variables
        if kind in TYPES
    ]


def _check_elements(path: Path) -> None:
    """Raises a ValueError for a file of version 5 to 7 that ends within a variable; SciPy lists those before it."""
    size, start = path.stat().st_size, HEADER_BYTES
    with path.open("rb") as file:
        mark = file.read(HEADER_BYTES)[-2:]
        if mark not in (b"IM", b"MI"):
            return
        while start < size:
            file.seek(start)
            (length,) = struct.unpack("<4xI" if mark == b"IM" else ">4xI", file.read(8))
            start += 8 + length
    if start != size:
        raise ValueError(f"{size} bytes of {start}")


def _read_variable(path: Path, name: str) -> np.ndarray:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        array: np.ndarray = loadmat(path, variable_names=[name], appendmat=False)[name]
    except (*READ_ERRORS, MatReadError) as error:
        raise _damaged_file_error(path, error) from error
    return np.char.rstrip(array) if array.dtype.kind == "U" else array


def _damaged_file_error(path: Path, error: Exception) -> UserError:
    return UserError(f"{path} is not a whole MATLAB file: {error}.", hint="Download or copy the file again.")
