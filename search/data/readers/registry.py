"""Finds the reader of a path, by what the files hold and by their names. Called by ``search.data.sources``."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from search.data.cache import file_sha256
from search.data.raw import RawDataset
from search.data.read_options import ReadOptions
from search.data.readers.arrays import companions, read_arrays
from search.data.readers.class_folders import (
    find_class_folders,
    fingerprint_text,
    is_image_file,
    is_visible,
    read_class_folders,
)
from search.data.readers.hdf5 import list_hdf5
from search.data.readers.idx import is_idx, list_idx
from search.data.readers.matlab import list_matlab
from search.data.readers.npy import list_npy
from search.data.readers.npz import list_npz
from search.data.readers.parquet import read_parquet
from search.data.readers.stored import StoredArray
from search.data.readers.table import read_tables
from search.errors import UserError

FORMS_HINT = (
    "Data sets are an .npz file; a folder with a folder of images for each class; a CSV file; .npy, IDX, HDF5, MATLAB "
    "or Parquet files. docs/data.md shows each."
)
START_BYTES = 16
"""Bytes of a file that tell its form."""

Read = Callable[[Sequence[Path], ReadOptions], RawDataset]


def _arrays(list_arrays: Callable[[Path], list[StoredArray]], form: str) -> Read:
    def read(files: Sequence[Path], options: ReadOptions) -> RawDataset:
        return read_arrays(files, list_arrays, form=form)

    return read


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A form of files.

    Args:
        form: Its name in messages.
        magic: How files begin; empty if that does not tell.
        suffixes: How their names end, in lower case; asked where no file begins so.
        read: Reads files that make one data set.
        takes_companions: Whether a file alone is a part of a data set, whose others lie beside it.
    """

    form: str
    magic: tuple[bytes, ...] = ()
    suffixes: tuple[str, ...] = ()
    read: Read
    takes_companions: bool = False


READERS: Mapping[str, Reader] = {
    "idx": Reader(form="IDX", suffixes=("ubyte", "ubyte.gz"), read=_arrays(list_idx, "IDX"), takes_companions=True),
    "npz": Reader(form=".npz", magic=(b"PK\x03\x04",), suffixes=(".npz",), read=_arrays(list_npz, ".npz")),
    "npy": Reader(
        form=".npy", magic=(b"\x93NUMPY",), suffixes=(".npy",), read=_arrays(list_npy, ".npy"), takes_companions=True
    ),
    "parquet": Reader(form="Parquet", magic=(b"PAR1",), suffixes=(".parquet",), read=read_parquet),
    "hdf5": Reader(
        form="HDF5", magic=(b"\x89HDF\r\n\x1a\n",), suffixes=(".h5", ".hdf5", ".hdf"), read=_arrays(list_hdf5, "HDF5")
    ),
    "matlab": Reader(form="MATLAB", magic=(b"MATLAB ",), suffixes=(".mat",), read=_arrays(list_matlab, "MATLAB")),
    "table": Reader(form="CSV", suffixes=(".csv", ".tsv", ".txt", ".tab", ".data"), read=read_tables),
}
"""Forms of files; in a folder that holds several, the first is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundData:
    """A data set that was found.

    Args:
        fingerprint: Changes with the content.
        read: Reads it.
    """

    fingerprint: str
    read: Callable[[ReadOptions], RawDataset]


def find_reader(path: Path) -> FoundData:
    """Returns how a file or folder is read.

    Raises:
        UserError: No reader takes it.
        OSError: It cannot be opened.
    """
    return _find_in_folder(path) if path.is_dir() else _find_file(path)


def _find_file(path: Path) -> FoundData:
    reader = _reader_of(path)
    if reader is None:
        raise _pickle_error(path) if _is_pickle(path) else _unknown_error(path)
    files = [path]
    if reader.takes_companions:
        others = [other for other in _visible_files(path.parent) if _reader_of(other) is reader]
        files = companions(path, others)
    return _found(reader, files)


def _find_in_folder(root: Path) -> FoundData:
    by_form: dict[str, list[Path]] = {}
    visible = _visible_files(root)
    for file in visible if not any(map(is_image_file, visible)) else ():
        if (reader := _reader_of(file)) is not None:
            by_form.setdefault(reader.form, []).append(file)
    if READERS["idx"].form in by_form:
        return _found(READERS["idx"], by_form[READERS["idx"].form])
    if found := find_class_folders(root):
        text = fingerprint_text(found, root)
        return FoundData(
            fingerprint=hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest(),
            read=partial(read_class_folders, root),
        )
    for reader in READERS.values():
        if files := by_form.get(reader.form):
            return _found(reader, files)
    if (inner := root / "data").is_dir() and (files := sorted(inner.glob("*.parquet"))):  # as Hugging Face's hub has it
        return _found(READERS["parquet"], files)
    if any(map(is_image_file, visible)):
        raise UserError(
            f"The images have no classes. Expected: a folder of images for each class. Received: images in {root}.",
            hint="Make a folder for each class, named after it, and move its images there.",
        )
    folders = [path for path in root.iterdir() if is_visible(path.name) and path.is_dir()]
    if len(folders) == 1 and any(map(is_image_file, _visible_files(folders[0]))):
        raise UserError(
            "The images have one class. Expected: a folder of images for each class. "
            f"Received: {folders[0].name} alone in {root}.",
            hint="Make a folder for each class, named after it, and move its images there.",
        )
    if pickles := [file for file in visible if _is_pickle(file)]:
        raise _pickle_error(pickles[0])
    raise _unknown_error(root)


def _found(reader: Reader, files: Sequence[Path]) -> FoundData:
    hashes = "".join(f"{file.name} {file_sha256(file)}\n" for file in files)
    return FoundData(
        fingerprint=hashlib.sha256(hashes.encode(errors="surrogateescape")).hexdigest(),
        read=partial(reader.read, files),
    )


def _visible_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if is_visible(path.name) and path.is_file())


def _reader_of(path: Path) -> Reader | None:
    """Returns the reader of a file; None if there is none."""
    start = _start_of(path)
    if _is_pickle(path):
        return None
    name = path.name.lower()
    for reader in READERS.values():
        if any(start.startswith(magic) for magic in reader.magic):
            return reader
    if is_idx(path):
        return READERS["idx"]
    return next((reader for reader in READERS.values() if name.endswith(reader.suffixes)), None)


def _start_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(START_BYTES)


def _is_pickle(path: Path) -> bool:
    start = _start_of(path)
    return len(start) > 1 and start[0] == 0x80 and start[1] in range(2, 6)


def _pickle_error(path: Path) -> UserError:
    return UserError(
        f"{path} is a Python pickle, which is never loaded: that could run any code.",
        hint="If its author is trusted, load it yourself and save its arrays: numpy.savez_compressed(path, "
        "x_train=..., y_train=..., x_test=..., y_test=...).",
    )


def _unknown_error(path: Path) -> UserError:
    if path.is_file() and is_image_file(path):
        return UserError(
            f"One image is no data set. Received: {str(path)!r}.",
            hint="Give the folder that holds a folder of images for each class.",
        )
    return UserError(f"There is no data set that can be read. Received: dataset={str(path)!r}.", hint=FORMS_HINT)
