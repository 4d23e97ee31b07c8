"""The sources of data sets: the embedded MNIST, Keras's downloads, files and folders. Called by ``dataset``.

Finds and reads them; ``canonical`` brings them into one form, and ``cache`` keeps them.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from search.data.canonical import make_canonical
from search.data.mnist import (
    EMBEDDED_MNIST,
    MNIST_SHA256,
    REINSTALL_HINT,
    WRITERS_SHA256,
    check_embedded,
    read_mnist_writers,
)
from search.data.raw import RawDataset, raw_from_arrays
from search.data.read_options import ReadOptions
from search.data.readers.naming import SAVE_HINT, assemble
from search.data.readers.npz import list_npz
from search.data.readers.registry import FORMS_HINT, find_reader
from search.errors import FatalError, UserError, unknown_name


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSource:
    """A data set that was found but not read yet.

    Args:
        name: The name as given, or the name of the file or folder.
        fingerprint: Changes with the content, and is cheaper to compute.
        read: Returns the data as they stand in their files; raises UserError if they cannot be read.
        sha256: Hash by which studies name the data, if it is known before and the data are read as they are; else it
            is computed from the arrays.
        loader: Module of Keras whose ``load_data`` returns the same data; empty for a user's own.
    """

    name: str
    fingerprint: str
    read: Callable[[ReadOptions], RawDataset]
    sha256: str | None = None
    loader: str = ""


def find_source(dataset: str) -> DatasetSource:
    """Returns the source of a data set.

    Args:
        dataset: A key of ``NAMED_SOURCES``, or the path of a file or folder.

    Raises:
        UserError: There is no such data set, or its files cannot be opened.
    """
    if dataset in NAMED_SOURCES:
        return NAMED_SOURCES[dataset]
    try:
        path = Path(dataset).expanduser()
        if path.is_file() or path.is_dir():
            found = find_reader(path)
            name = path.name if path.is_file() else path.resolve().name
            return DatasetSource(name=name, fingerprint=found.fingerprint, read=found.read)
    except (OSError, RuntimeError) as error:  # RuntimeError: an unknown home, or a link that leads to itself
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"The data set cannot be read: {reason}. Received: dataset={dataset!r}.") from error
    raise UserError(
        f"There is no such data set, file or folder. Received: dataset={dataset!r}.",
        hint=f"{unknown_name('data set', dataset.lower(), NAMED_SOURCES).hint} Or give the path of a file or folder. "
        f"{FORMS_HINT}",
    )


def _read_embedded_mnist(options: ReadOptions) -> RawDataset:
    """Returns the MNIST of this package with its writers, verified by their hashes."""
    try:
        raw = assemble(list_npz(EMBEDDED_MNIST), source="images", where=str(EMBEDDED_MNIST))
        arrays = make_canonical(raw, ReadOptions())
    except UserError as error:
        raise FatalError(f"The embedded MNIST cannot be read. {error.message}", hint=REINSTALL_HINT) from error
    arrays = {name: array for name, array in arrays.items() if name.startswith(("x_", "y_"))}
    check_embedded("MNIST", arrays, MNIST_SHA256)
    return raw_from_arrays({**arrays, **read_mnist_writers()}, "images")


def _load_from_keras(name: str, options: ReadOptions) -> RawDataset:
    """Returns a data set that Keras downloads into its own cache."""
    from keras import datasets

    try:
        with contextlib.redirect_stdout(
            sys.stderr
        ):  # Keras draws its progress bar on standard output, which is for JSON
            (x_train, y_train), (x_test, y_test) = getattr(datasets, name).load_data()
    except Exception as error:  # keras.utils.get_file raises a bare Exception when it cannot download
        raise UserError(
            f"Keras could not load the data set: {error}. Received: dataset={name!r}.",
            hint="Connect to the internet, or fetch the data set elsewhere and give its path with --dataset: "
            f"a folder with its four IDX files, or a .npz file. {SAVE_HINT}",
        ) from error
    return raw_from_arrays({"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}, "images")


NAMED_SOURCES: Mapping[str, DatasetSource] = {
    "mnist": DatasetSource(
        name="mnist",
        fingerprint=f"{WRITERS_SHA256[:8]}{MNIST_SHA256}",  # caches of versions without writers are not used
        read=_read_embedded_mnist,
        sha256=MNIST_SHA256,
    ),
    **{
        name: DatasetSource(
            name=name, fingerprint="keras", read=partial(_load_from_keras, name), loader=f"keras.datasets.{name}"
        )
        for name in ("fashion_mnist", "cifar10")
    },
}
"""Data sets by name."""
