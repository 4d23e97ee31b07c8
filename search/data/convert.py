"""Writes a data set in canonical form as an ``.npz`` file. Called by ``data convert``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from search.data.canonical import READING, WHITE, make_canonical
from search.data.dataset import hash_results
from search.data.read_options import ReadOptions
from search.data.sources import find_source
from search.errors import UserError
from search.files import draft_of, write_errors

SUFFIX = ".npz"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertedDataset:
    """A data set that was written.

    Args:
        sha256: Its hash; that of the data set that was read by the same options.
        reading: Lines that say how it was read.
    """

    sha256: str
    reading: tuple[str, ...]


def convert(dataset: str, out: Path, options: ReadOptions) -> ConvertedDataset:
    """Reads a data set and writes it, whole or not at all.

    Args:
        dataset: Name or path of the data set.
        out: The file, ``*.npz``.
        options: How the data are read.

    Raises:
        UserError: The data cannot be read, or the file cannot be written.
        FatalError: The disk is full.
    """
    if out.suffix.lower() != SUFFIX:
        raise UserError(
            f"The file's name must end in {SUFFIX}. Received: {str(out)!r}.", hint=f"Name it {out.with_suffix(SUFFIX)}."
        )
    arrays = make_canonical(find_source(dataset).read(options), options)
    reading = tuple(map(str, arrays.pop(READING)))
    arrays.pop(WHITE, None)  # the file holds scaled pixels
    with write_errors(out, "data set"), draft_of(out, suffix=SUFFIX) as draft:
        np.savez_compressed(draft, allow_pickle=False, **arrays)
    return ConvertedDataset(sha256=hash_results(arrays), reading=reading)
