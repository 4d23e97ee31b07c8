"""Arrays in files: shape and type are known from a header, the values are read when they are needed.

Refuses what would expand beyond the memory or the disk before anything is decompressed. Used by every reader.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import psutil

from search.data.spill import BLOCK_BYTES, check_space
from search.errors import UserError

MAX_EXPANSION = 100
"""Bytes in memory per byte in the file. Digits on black reach about 20 as floats, zeros 229 to 1,030."""
SMALL_BYTES = 256 * 2**20
"""Arrays of up to this size may expand further, such as masks that are nearly empty."""

COPIES = 2
"""How often images are in memory while they are brought into canonical form."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoredArray:
    """An array in a file.

    Args:
        name: Its name there.
        shape: Its shape, as the file says.
        dtype: Its type.
        stored_bytes: Bytes that it takes in the file.
        load: Reads it, into a temporary file that is mapped if it is large.
        is_whole: Whether reading takes the memory of the whole array.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    stored_bytes: int
    load: Callable[[], np.ndarray]
    is_whole: bool = False

    @property
    def expanded_bytes(self) -> int:
        """Bytes that it takes in memory."""
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self) -> np.ndarray:
        """Returns the array.

        Raises:
            UserError: It would take too much memory or disk, or cannot be read.
        """
        if self.is_whole:
            check_expansion(self.name, expanded=self.expanded_bytes, stored=self.stored_bytes)
        else:
            check_ratio(self.name, expanded=self.expanded_bytes, stored=self.stored_bytes)
            if self.expanded_bytes > BLOCK_BYTES:
                check_space(f"The images {self.name}", self.expanded_bytes)
        return self.load()


def check_expansion(name: str, *, expanded: int, stored: int) -> None:
    """Checks the size of an array before it is read into memory.

    Args:
        name: What it is called in the message.
        expanded: Bytes that it would take in memory.
        stored: Bytes that it takes in its file.

    Raises:
        UserError: It would not fit into the free memory, or its file is too small to hold it.
    """
    check_ratio(name, expanded=expanded, stored=stored)
    if COPIES * expanded > (free := psutil.virtual_memory().available):
        raise UserError(
            f"{name} does not fit into memory. Expected: at most half of the {free:,} free bytes. "
            f"Received: {expanded:,} bytes.",
            hint="Store fewer or smaller images, or uint8 in place of floats; or save the arrays as an .npz file, "
            "which takes little memory to read.",
        )


def check_ratio(name: str, *, expanded: int, stored: int) -> None:
    """Checks that a file is not too small to hold its data.

    Args:
        name: What they are called in the message.
        expanded: Bytes that they take when they are read.
        stored: Bytes that they take in their file.

    Raises:
        UserError: It is.
    """
    if expanded > max(SMALL_BYTES, MAX_EXPANSION * stored):
        raise UserError(
            f"{name} would expand from {stored:,} to {expanded:,} bytes or more. Expected: at most {MAX_EXPANSION} "
            "times as many; more is a damaged or malicious file.",
            hint="Make the file again, without compression if the data are this uniform.",
        )
