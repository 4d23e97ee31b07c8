"""IDX files, in which MNIST and similar data sets are published; they may be gzipped.

Source: Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database, section "File formats".
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import IO, cast

import numpy as np

from search.data.readers.stored import StoredArray
from search.data.spill import map_stream
from search.errors import UserError

GZIP_MAGIC = b"\x1f\x8b"
MAX_DIMENSIONS = 4
TYPES: Mapping[int, str] = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
"""The third byte of a file to the type of its values; the fourth is the number of dimensions."""


def list_idx(path: Path) -> list[StoredArray]:
    """Returns the array of a file, by its header alone; its name is the file's.

    Raises:
        UserError: The file cannot be read, or does not begin as an IDX file.
    """
    try:
        with _open(path) as file:
            shape, dtype = _read_header(file, path)
        stored = path.stat().st_size
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged_file_error(path, f"Received: {error}") from error
    return [StoredArray(name=path.name, shape=shape, dtype=dtype, stored_bytes=stored, load=partial(read_idx, path))]


def read_idx(path: Path) -> np.ndarray:
    """Returns the array of one file.

    Raises:
        UserError: The file cannot be read, has another magic number, or is shorter or longer than its header says.
    """
    try:
        with _open(path) as file:
            shape, dtype = _read_header(file, path)
            array = map_stream(file, shape, dtype)
            has_more = bool(file.read(1))  # the end of a gzipped file verifies its checksum
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged_file_error(path, f"Received: {error}") from error
    if has_more:
        raise _damaged_file_error(path, f"Expected: {array.nbytes} bytes for shape {shape}. Received: more")
    return array


def is_idx(path: Path) -> bool:
    """Returns whether a file begins as an IDX file, gzipped or not."""
    try:
        with _open(path) as file:
            start = file.read(4)
    except (OSError, EOFError, zlib.error):
        return False
    return len(start) == 4 and start[:2] == b"\0\0" and start[2] in TYPES and 1 <= start[3] <= MAX_DIMENSIONS


def _open(path: Path) -> IO[bytes]:
    """Opens a file, decompressed if it is gzipped, whatever its name."""
    file = path.open("rb")
    is_gzipped = file.read(2) == GZIP_MAGIC
    file.seek(0)
    if not is_gzipped:
        return file
    file.close()
    return cast(IO[bytes], gzip.open(path))


def _read_header(file: IO[bytes], path: Path) -> tuple[tuple[int, ...], np.dtype]:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in TYPES or not 1 <= magic[3] <= MAX_DIMENSIONS:
        raise _damaged_file_error(path, f"Expected: magic number 2049 or 2051. Received: {magic.hex() or 'nothing'}")
    sides = file.read(4 * magic[3])
    if len(sides) < 4 * magic[3]:
        raise _damaged_file_error(path, f"Expected: a header of {4 + 4 * magic[3]} bytes. Received: {4 + len(sides)}")
    shape = struct.unpack(f">{magic[3]}I", sides)
    if 0 in shape:
        raise _damaged_file_error(path, f"Expected: something in it. Received: shape {shape}")
    return shape, np.dtype(TYPES[magic[2]])


def _damaged_file_error(path: Path, reason: str) -> UserError:
    return UserError(f"{path} is not a whole IDX file. {reason}.", hint="Download or copy the file again.")
