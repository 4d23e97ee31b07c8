"""Hashes: of a file's bytes, and of a data set's arrays.

Knows nothing of where either comes from. The cache finds damage by the first; the second is the data set's identity,
recorded with every study.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np


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
