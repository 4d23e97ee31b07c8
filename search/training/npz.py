"""NPZ: a data set as one NumPy archive, whether a user's or the embedded MNIST.

Reads every member whole, so that the archive's own checksums are verified, and never unpickles. Knows nothing of what
the arrays hold.
"""

from __future__ import annotations

import io
import lzma
import zipfile
import zlib
from pathlib import Path

import numpy as np

from search.errors import UserError

REQUIRED_ARRAYS = ("x_train", "y_train", "x_test", "y_test")
OPTIONAL_ARRAYS = ("groups_train",)

SAVE_HINT = (
    "Save it with numpy.savez_compressed(path, x_train=..., y_train=..., x_test=..., y_test=...), "
    "and groups_train=... where images come from writers or patients."
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
    """Returns the archive's arrays by name; arrays that are no part of a data set are left alone.

    Raises:
        UserError: The file is no archive, is damaged, lacks an array, or holds Python objects.
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
    """Returns one array, read to its end: only there does ``zipfile`` compare the checksum."""
    content = archive.read(f"{name}.npy")
    try:
        return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except ValueError as error:
        raise UserError(
            f"{name} cannot be read: {error}. Expected: an array of numbers or fixed-width strings.",
            hint="Object arrays are refused because unpickling them could run code. Save x_train with "
            "dtype uint8 or float32, y_train with an integer dtype, and groups_train as integers or strings.",
        ) from error
