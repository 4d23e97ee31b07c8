"""The cache of decompressed data sets: one folder each, so that every worker maps the same pages into memory.

A folder appears whole or not at all, by a rename under a lock, and one that was damaged since is made again. Knows
arrays and files, not what they mean.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from filelock import FileLock

from search.errors import UserError
from search.training.hashes import file_sha256

MANIFEST = "manifest.json"
"""Maps the name of every array's file to its SHA-256."""


def ensure(folder: Path, read: Callable[[], Mapping[str, np.ndarray]]) -> None:
    """Makes sure that the folder holds the arrays undamaged; reads them from their source only if it does not.

    Args:
        folder: Where they belong, one ``NAME.npy`` each.
        read: Returns the C-contiguous arrays by name.

    Raises:
        UserError: The folder cannot be written, or the disk is full; nothing is left behind.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not _is_intact(folder):
                _write(folder, read())
    except OSError as error:
        raise UserError(
            f"The data set cannot be written to the cache: {error.strerror or error}. Received: {str(folder)!r}.",
            hint="Make room there, or choose another folder with --cache-dir.",
        ) from error


def open_array(folder: Path, name: str) -> np.ndarray:
    """Returns one array as a read-only memory map.

    Raises:
        OSError: The file is missing or cannot be read.
        EOFError: The file is empty.
        ValueError: The file is damaged or shorter than its header says.
    """
    array: np.ndarray = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
    return array


def _is_intact(folder: Path) -> bool:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return bool(manifest == _hash_files(folder))
    except (OSError, ValueError):
        return False


def _hash_files(folder: Path) -> dict[str, str]:
    return {path.name: file_sha256(path) for path in sorted(folder.glob("*.npy"))}


def _write(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Replaces the folder in one step; the lock is held, so a ``.partial`` found here was left by a killed process."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir()
        for name, array in arrays.items():
            _save(partial / f"{name}.npy", array)
        (partial / MANIFEST).write_text(json.dumps(_hash_files(partial), indent=1), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _save(path: Path, array: np.ndarray) -> None:
    """Writes one array as ``numpy.save`` would, which on a full disk does not say so (its error has no errno)."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.data)
