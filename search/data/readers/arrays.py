"""Data sets as arrays, in one file or several of a folder: NPZ, NPY, IDX, HDF5, MATLAB. Called by ``registry``."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from search.data.raw import RawDataset
from search.data.readers.naming import PART_WORDS, assemble, parse_name
from search.data.readers.stored import StoredArray

_WORD = re.compile(r"[^A-Za-z0-9]+")


def read_arrays(files: Sequence[Path], list_arrays: Callable[[Path], list[StoredArray]], *, form: str) -> RawDataset:
    """Returns the data set whose arrays are in some files of one form.

    Args:
        files: One file, or several of a folder; then the names of the files are part of the names of the arrays.
        list_arrays: Returns the arrays of a file.
        form: The form in words, such as ".npz".

    Raises:
        UserError: A file is damaged, or images or labels are missing.
    """
    where = str(files[0] if len(files) == 1 else files[0].parent)
    arrays: list[StoredArray] = []
    for file in files:
        listed = list_arrays(file)
        is_named = len(files) == 1 and parse_name(file.stem)[0] is None
        prefix = "" if is_named or (len(listed) == 1 and listed[0].name in (file.stem, file.name)) else f"{file.stem}/"
        arrays += [dataclasses.replace(array, name=f"{prefix}{array.name}") for array in listed]
    return assemble(_without_stray_prefix(arrays), source=f"images in {form}", where=where)


def _without_stray_prefix(arrays: list[StoredArray]) -> list[StoredArray]:
    """Returns arrays of one file under their own names if these say their parts; the file's name is then a title."""
    own = [array.name.partition("/")[2] or array.name for array in arrays]
    prefixes = {array.name.partition("/")[0] for array in arrays if "/" in array.name}
    if len(prefixes) == 1 and any(parse_name(name)[0] is not None for name in own):
        return [dataclasses.replace(array, name=name) for array, name in zip(arrays, own, strict=True)]
    return arrays


def companions(path: Path, candidates: Sequence[Path]) -> list[Path]:
    """Returns the files of a folder that belong to one of them: with the same words in their names before the part.

    ``emnist-letters-train-images-idx3-ubyte`` belongs to ``emnist-letters-test-labels-idx1-ubyte`` and not to the files
    of ``emnist-digits``.
    """
    return [file for file in candidates if _title(file) == _title(path)]


def _title(path: Path) -> tuple[str, ...]:
    """Returns the words of a file's name before the first that names a part or a role."""
    words = []
    for word in _WORD.split(path.name):
        part, role, _ = parse_name(word)
        if part is not None or role is not None or word.lower() in PART_WORDS:
            break
        words.append(word.lower())
    return tuple(words)
