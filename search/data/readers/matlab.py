"""MATLAB files by SciPy, versions 4 to 7; version 7.3 is HDF5. Every numeric variable of the file, by its name.

A file that is named after its part, such as SVHN's ``train_32x32.mat``, gives it to its variables.

SciPy reads a variable at once, so memory must hold it; version 7.3 is read in blocks. SciPy believes the lengths within
compressed variables, whatever the shape says, so these are decompressed piece by piece before.
"""

from __future__ import annotations

import math
import struct
import zlib
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from search.data.readers.hdf5 import list_hdf5
from search.data.readers.stored import MAX_EXPANSION, SMALL_BYTES, StoredArray, check_ratio
from search.errors import UserError

VERSION_7_3 = b"MATLAB 7.3"
HEADER_BYTES = 128
COMPRESSED = 15
"""Type of a compressed variable."""
ZLIB_EXPANSION = 1032
"""Bytes that zlib makes of one at most."""
PIECE_BYTES = 2**20
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
        expanded = _measure_elements(path)
        variables = whosmat(path, appendmat=False)
        if len(expanded) != len(variables):
            expanded = [max(expanded, default=0)] * len(variables)
        for (name, shape, kind), size in zip(variables, expanded, strict=True):
            if kind in TYPES and size > max(SMALL_BYTES, 4 * math.prod(shape) * np.dtype(TYPES[kind]).itemsize):
                raise ValueError(f"{name} has {size} bytes or more for the shape {tuple(shape)}")
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


def _measure_elements(path: Path) -> list[int]:
    """Returns the bytes that each compressed variable of a file of version 5 to 7 expands to; 0 if they are few.

    Raises:
        ValueError: The file ends within a variable; SciPy lists those before it.
        UserError: A variable expands too far.
    """
    size, start, expanded = path.stat().st_size, HEADER_BYTES, list[int]()
    with path.open("rb") as file:
        mark = file.read(HEADER_BYTES)[-2:]
        if mark not in (b"IM", b"MI"):
            return []
        while start < size:
            file.seek(start)
            kind, length = struct.unpack("<II" if mark == b"IM" else ">II", file.read(8))
            is_large = kind == COMPRESSED and ZLIB_EXPANSION * length > SMALL_BYTES
            expanded.append(_expanded_bytes(file, length) if is_large else 0)
            check_ratio(f"A variable of {path.name}", expanded=expanded[-1], stored=length)
            start += 8 + length
    if start != size:
        raise ValueError(f"{size} bytes of {start}")
    return expanded


def _expanded_bytes(file: BinaryIO, length: int) -> int:
    """Returns the bytes of a compressed variable, counted up to the first that are too many."""
    decompressor, expanded, most = zlib.decompressobj(), 0, max(SMALL_BYTES, MAX_EXPANSION * length)
    while length > 0 and (piece := file.read(min(length, PIECE_BYTES))):
        length -= len(piece)
        while piece and expanded <= most:
            expanded += len(decompressor.decompress(piece, PIECE_BYTES))
            piece = decompressor.unconsumed_tail
    return expanded


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
