"""The file formats of data sets: one NPZ archive, or a folder of four IDX files. Called by ``sources``.

NPZ archives are read completely, which verifies their checksums, and never unpickled. IDX is the format in which MNIST
and similar data sets are published; its files may be gzipped.

Source: Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database, section "File formats".
"""

from __future__ import annotations

import gzip
import io
import lzma
import math
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from search.errors import UserError

IDX_FILES: Mapping[str, str] = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
"""Array names to the canonical names of their files."""

IDX_MAGIC = 0x0800
"""The first four bytes, big-endian: this (unsigned bytes) plus the number of dimensions."""

GZIP_MAGIC = b"\x1f\x8b"


def find_idx_files(folder: Path) -> dict[str, Path]:
    """Returns the path of each array's file.

    Raises:
        UserError: A file is missing.
    """
    found = {array: _find_file(folder, name) for array, name in IDX_FILES.items()}
    missing = [IDX_FILES[array] for array, path in found.items() if path is None]
    if missing:
        raise UserError(
            f"The folder lacks IDX files. Expected: {', '.join(missing)}. Received: dataset={str(folder)!r}.",
            hint="Put the four files there, gzipped (.gz) or not, or pass the path of a .npz file.",
        )
    return {array: path for array, path in found.items() if path is not None}


def _find_file(folder: Path, name: str) -> Path | None:
    """Returns the file of that name or of a usual variant of it, such as ``train-images.idx3-ubyte.gz``."""
    stems = (name, name.replace("-idx", ".idx"))
    paths = (folder / f"{stem}{suffix}" for stem in stems for suffix in ("", ".gz"))
    return next((path for path in paths if path.is_file()), None)


def read_idx_files(files: Mapping[str, Path]) -> dict[str, np.ndarray]:
    """Returns the arrays of four files: images (count, height, width) and labels (count,), uint8.

    Raises:
        UserError: A file cannot be read, is damaged, or is not an IDX file.
    """
    return {array: read_idx(path, dimensions=3 if array.startswith("x_") else 1) for array, path in files.items()}


def read_idx(path: Path, *, dimensions: int) -> np.ndarray:
    """Returns the unsigned bytes of one IDX file as an array of that many dimensions.

    Raises:
        UserError: The file cannot be read, has another magic number, or is shorter or longer than its header says.
    """
    content, start = _read_decompressed(path), 4 + 4 * dimensions
    magic = int.from_bytes(content[:4], "big")
    if magic != IDX_MAGIC + dimensions:
        raise _damaged_file_error(path, f"Expected: magic number {IDX_MAGIC + dimensions}. Received: {magic}")
    if len(content) < start:
        raise _damaged_file_error(path, f"Expected: a header of {start} bytes. Received: {len(content)} bytes in all")
    shape = struct.unpack_from(f">{dimensions}I", content, offset=4)
    if len(content) != start + math.prod(shape):
        raise _damaged_file_error(
            path, f"Expected: {start + math.prod(shape)} bytes for shape {shape}. Received: {len(content)}"
        )
    if 0 in shape:
        raise _damaged_file_error(path, f"Expected: something in it. Received: shape {shape}")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def _read_decompressed(path: Path) -> bytes:
    """Returns a file's bytes, decompressed if they are gzipped, whatever its name."""
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(GZIP_MAGIC) else content
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged_file_error(path, f"Received: {error}") from error


def _damaged_file_error(path: Path, reason: str) -> UserError:
    return UserError(f"{path} is not a whole IDX file. {reason}.", hint="Download or copy the file again.")


REQUIRED_ARRAYS = ("x_train", "y_train", "x_test", "y_test")
OPTIONAL_ARRAYS = ("groups_train", "groups_test")

SAVE_HINT = (
    "Save it with numpy.savez_compressed(path, x_train=..., y_train=..., x_test=..., y_test=...), "
    "and groups_train=... and groups_test=... where images come from writers or patients."
)

ARCHIVE_READ_ERRORS = (
    OSError,
    EOFError,
    MemoryError,
    RuntimeError,
    ValueError,
    lzma.LZMAError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What the zip and NumPy readers raise for a damaged, encrypted or oversized archive."""


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Returns the archive's arrays by name; ignores arrays that are not part of a data set.

    Raises:
        UserError: The file is not an archive, is damaged, lacks an array, or holds Python objects.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            present = [name.removesuffix(".npy") for name in archive.namelist()]
            _check_required_arrays(present, path)
            return {
                name: _read_array(archive, name) for name in (*REQUIRED_ARRAYS, *OPTIONAL_ARRAYS) if name in present
            }
    except ARCHIVE_READ_ERRORS as error:
        raise UserError(
            f"The data set cannot be read: {error}. Expected: a whole .npz file. Received: dataset={str(path)!r}.",
            hint=f"Copy or make the file again. {SAVE_HINT}",
        ) from error


def _check_required_arrays(present: list[str], path: Path) -> None:
    missing = [name for name in REQUIRED_ARRAYS if name not in present]
    if missing:
        raise UserError(
            f"The data set lacks {', '.join(missing)}. Received: {', '.join(present) or 'nothing'} in {path}.",
            hint=SAVE_HINT,
        )


def _read_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """Returns one array; reads it to its end, where ``zipfile`` compares the checksum."""
    content = archive.read(f"{name}.npy")
    try:
        return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except ValueError as error:
        raise UserError(
            f"{name} cannot be read: {error}. Expected: an array of numbers or fixed-width strings.",
            hint="Object arrays are refused because unpickling them could run code. Save x_train with "
            "dtype uint8 or float32, y_train with an integer dtype, and groups as integers or strings.",
        ) from error
