"""The cache of decompressed data sets: one folder each, so that all workers map the same pages into memory.

A folder is replaced atomically under a lock, and made again if it was damaged. ``FileVerifier`` detects damage while
the files are in use. Damage is found by the hash of a file's bytes; the hash of the arrays identifies a data set and is
recorded with every study. Called by ``dataset`` and ``sources``.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from filelock import FileLock

from search.errors import UserError


def file_sha256(path: Path) -> str:
    """Returns the SHA-256 of a file's bytes, 64 hexadecimal digits.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def arrays_sha256(arrays: Mapping[str, np.ndarray]) -> str:
    """Returns the SHA-256 over the name, type, shape and bytes of every array, by name; 64 hexadecimal digits.

    Args:
        arrays: C-contiguous arrays by name.
    """
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data)
    return digest.hexdigest()


MANIFEST = "manifest.json"
"""Maps the name of every array's file to its SHA-256."""


class FileVerifier:
    """Checks whether a file still has its hash, mostly by its size and times alone.

    The file is hashed the first time and whenever these changed. It is kept open: a file that was removed or replaced
    stays intact for the processes that have mapped it.

    Args:
        path: The file.
        sha256: The expected hash of its bytes.

    Raises:
        OSError: There is no such file.
    """

    def __init__(self, path: Path, sha256: str) -> None:
        self.path, self._sha256 = path, sha256
        self._descriptor = os.open(path, os.O_RDONLY)
        self._verified_status: tuple[int, int, int] | None = None
        weakref.finalize(self, os.close, self._descriptor)

    def is_intact(self) -> bool:
        """Returns whether the hash is right; reads the file itself, since a map of a shortened file raises SIGBUS."""
        status = os.fstat(self._descriptor)
        current_status = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if current_status != self._verified_status:
            with os.fdopen(self._descriptor, "rb", closefd=False) as file:
                file.seek(0)
                if hashlib.file_digest(file, "sha256").hexdigest() != self._sha256:
                    return False
            self._verified_status = current_status
        return True


def ensure_cached(folder: Path, read_arrays: Callable[[], Mapping[str, np.ndarray]]) -> Mapping[str, str]:
    """Makes sure that the folder holds the arrays undamaged; reads them from their source only if it does not.

    Returns the SHA-256 of each array's file, by the file's name.

    Args:
        folder: Their folder, one ``NAME.npy`` each.
        read_arrays: Returns the C-contiguous arrays by name.

    Raises:
        UserError: The folder cannot be written, or the disk is full; nothing is left behind.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            return read_valid_manifest(folder) or _replace_folder(folder, read_arrays())
    except OSError as error:
        raise UserError(
            f"The data set cannot be written to the cache: {error.strerror or error}. Received: {str(folder)!r}.",
            hint="Free some space there, or choose another folder with --cache-dir.",
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


def read_valid_manifest(folder: Path) -> Mapping[str, str]:
    """Returns the SHA-256 of each array's file in an undamaged folder, by the file's name, else an empty mapping."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        hashes = _hash_files(folder)
    except (OSError, ValueError):
        return {}
    return hashes if manifest == hashes else {}


def _hash_files(folder: Path) -> dict[str, str]:
    return {path.name: file_sha256(path) for path in sorted(folder.glob("*.npy"))}


def _replace_folder(folder: Path, arrays: Mapping[str, np.ndarray]) -> Mapping[str, str]:
    """Replaces the folder in one step, and returns its manifest.

    The lock is held, so an existing ``.partial`` folder was left by a killed process.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir()
        for name, array in arrays.items():
            _write_array(partial / f"{name}.npy", array)
        hashes = _hash_files(partial)
        (partial / MANIFEST).write_text(json.dumps(hashes, indent=1), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
        return hashes
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_array(path: Path, array: np.ndarray) -> None:
    """Writes one array as ``numpy.save`` does, whose error on a full disk has no errno."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.data)
