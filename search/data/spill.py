"""Arrays in a temporary file in place of memory, written in blocks. Called by readers and by ``canonical``.

The file has no name; it goes with the last array that maps it. The kernel keeps in memory what fits and needs no swap
space for the rest, so data sets of any size are prepared in little memory.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal

import numpy as np

from search.errors import UserError

BLOCK_BYTES = 2**24
"""Bytes of images that are in memory at once."""
COPIES = 4
"""How often images are on disk while they are prepared at most, the cache included."""
DISK_FOLDER = Path("/var/tmp")
"""Folder for large temporary files; ``/tmp`` is memory on many systems."""
_SPACE_HINT = "Free some space there, or name another folder with the environment variable TMPDIR."


def blocks_of(images: np.ndarray, indices: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """Yields images in blocks of about ``BLOCK_BYTES``.

    Args:
        images: (count, ...), also a memory map.
        indices: Which images, ascending; None for all.
    """
    step = max(1, BLOCK_BYTES // max(1, images[:1].nbytes))
    for start in range(0, len(images) if indices is None else len(indices), step):
        yield images[start : start + step] if indices is None else images[indices[start : start + step]]


def map_blocks(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """Returns blocks behind each other, as a memory map of a temporary file.

    Args:
        blocks: Arrays of one type whose shapes differ in the first axis only; without any, the result is empty.

    Raises:
        UserError: The disk is full, or the folder cannot be written.
    """
    count, block = 0, np.empty(0, np.uint8)
    with _temporary_file() as file:
        for block in blocks:
            with _write_errors():
                file.write(np.ascontiguousarray(block).data)
            count += len(block)
        with _write_errors():
            file.flush()
            return np.memmap(file, block.dtype, "r", shape=(count, *block.shape[1:])) if count else block[:0]


def map_stream(
    stream: IO[bytes], shape: tuple[int, ...], dtype: np.dtype, *, order: Literal["C", "F"] = "C"
) -> np.ndarray:
    """Returns the array whose bytes come next in a stream: a small one in memory, else as a memory map.

    Args:
        stream: Is read as far as the array goes.
        shape: Shape of the array.
        dtype: Its type, no Python objects.
        order: "C" if the last axis varies fastest, "F" if the first.

    Raises:
        EOFError: The stream ends before.
        UserError: The disk is full, or the folder cannot be written.
    """
    missing = math.prod(shape) * dtype.itemsize
    if missing <= BLOCK_BYTES:
        content = stream.read(missing)
        _check_length(content, missing)
        return np.frombuffer(content, dtype).reshape(shape, order=order)
    with _temporary_file() as file:
        while missing:
            content = stream.read(min(missing, BLOCK_BYTES))
            _check_length(content, 1)
            missing -= len(content)
            with _write_errors():
                file.write(content)
        with _write_errors():
            file.flush()
            return np.memmap(file, dtype, "r", shape=shape, order=order)


def _check_length(content: bytes, expected: int) -> None:
    if len(content) < expected:
        raise EOFError(f"it ends {expected - len(content):,} bytes or more before its last value")


def _temporary_file() -> IO[bytes]:
    with _write_errors():
        return tempfile.TemporaryFile(dir=_folder(), buffering=2**20)


@contextmanager
def _write_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"The images cannot be written to a temporary file: {error.strerror or error}. Received: {_folder()}.",
            hint=_SPACE_HINT,
        ) from error


def check_space(name: str, size: int) -> None:
    """Checks that images fit on the disk while they are prepared.

    Args:
        name: What they are called in the message.
        size: Their bytes.

    Raises:
        UserError: They do not.
    """
    folder = _folder()
    if COPIES * size > (free := shutil.disk_usage(folder).free):
        raise UserError(
            f"{name} do not fit on the disk. Expected: at most a quarter of the {free:,} free bytes of {folder}. "
            f"Received: {size:,} bytes.",
            hint=f"Make them smaller with --image-size. {_SPACE_HINT}",
        )


def _folder() -> str:
    is_chosen = "TMPDIR" in os.environ or not os.access(DISK_FOLDER, os.W_OK)
    return tempfile.gettempdir() if is_chosen else str(DISK_FOLDER)
