"""NPZ archives: read completely, which verifies their checksums, and never unpickled."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from search.data.mnist import ARCHIVE_READ_ERRORS
from search.data.readers.naming import SAVE_HINT
from search.data.readers.npy import check_is_data, read_header
from search.data.readers.stored import StoredArray
from search.data.spill import map_stream
from search.errors import UserError

SUFFIX = ".npy"
DIRECTORY_ENTRY = b"PK\x01\x02"
"""How each entry of a zip archive's directory begins."""


def list_npz(path: Path) -> list[StoredArray]:
    """Returns the arrays of an archive, by the headers alone.

    Raises:
        UserError: The file is not an archive, or is damaged.
    """
    with _read_errors(path), zipfile.ZipFile(path) as archive:
        _check_directory(archive)
        members = [member for member in archive.infolist() if member.filename.endswith(SUFFIX)]
        return [_stored_array(archive, member, path) for member in members]


def _check_directory(archive: zipfile.ZipFile) -> None:
    """Checks that no member is missing in the archive's directory, which has no checksum.

    Raises:
        BadZipFile: An entry takes up later ones as its comment, or has another name than the member.
    """
    for member in archive.infolist():
        if DIRECTORY_ENTRY in member.comment + member.extra:
            raise zipfile.BadZipFile(f"the directory entry of {member.filename} is damaged")
        archive.open(member).close()  # compares the names


def _stored_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> StoredArray:
    name = member.filename.removesuffix(SUFFIX)
    with archive.open(member) as stream:
        shape, dtype, _ = read_header(stream)
        start = stream.tell()
    array = StoredArray(
        name=name,
        shape=shape,
        dtype=dtype,
        stored_bytes=member.compress_size,
        load=partial(_read_member, path, member.filename),
    )
    if not dtype.hasobject and array.expanded_bytes != member.file_size - start:
        raise ValueError(f"{name} has {member.file_size - start} bytes of the {array.expanded_bytes} of its shape")
    return array


def _read_member(path: Path, member: str) -> np.ndarray:
    """Returns one array; reads it to its end, where ``zipfile`` compares the checksum."""
    with _read_errors(path), zipfile.ZipFile(path) as archive, archive.open(member) as stream:
        shape, dtype, order = read_header(stream)
        check_is_data(member.removesuffix(SUFFIX), dtype)
        array = map_stream(stream, shape, dtype, order=order)
        stream.read()
        return array


@contextmanager
def _read_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except ARCHIVE_READ_ERRORS as error:
        raise UserError(
            f"The data set cannot be read: {error}. Expected: a whole .npz file. Received: dataset={str(path)!r}.",
            hint=f"Copy or make the file again. {SAVE_HINT}",
        ) from error
