"""Small data sets, and the files they come in."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

IDX_NAMES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


def small_arrays(**changes: np.ndarray) -> dict[str, np.ndarray]:
    """60 training and 12 test images of 4 x 5 pixels in three classes, with some arrays replaced."""
    pixels = np.random.default_rng(0).integers(0, 256, size=(72, 4, 5), dtype=np.uint8)
    labels = (np.arange(72) % 3).astype(np.uint8)
    arrays = {"x_train": pixels[:60], "y_train": labels[:60], "x_test": pixels[60:], "y_test": labels[60:]}
    return {**arrays, **changes}


def save_npz(path: Path, **changes: np.ndarray) -> str:
    """Writes ``small_arrays`` as an archive and returns its path as a user would type it."""
    np.savez(path, **small_arrays(**changes))
    return str(path)


def to_idx(array: np.ndarray) -> bytes:
    """The bytes of an IDX file that holds a uint8 array."""
    return struct.pack(f">I{array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


def save_idx(folder: Path, arrays: Mapping[str, np.ndarray], *, gzipped: bool = False, separator: str = "-") -> str:
    """Writes arrays as the four IDX files and returns the folder's path as a user would type it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        content = to_idx(array)
        file = IDX_NAMES[name].replace("-idx", f"{separator}idx") + (".gz" if gzipped else "")
        (folder / file).write_bytes(gzip.compress(content) if gzipped else content)
    return str(folder)


def tree(folder: Path) -> set[str]:
    """Everything in a folder, as paths relative to it."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
