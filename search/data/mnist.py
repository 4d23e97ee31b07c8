"""The MNIST of this package: its files, its hash, and the writers of its images.

Imports little, since boards know MNIST by its hash. Called by ``sources`` and the leaderboard.
"""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from search.data.cache import arrays_sha256
from search.errors import FatalError

MNIST_SHA256 = "1f48dbc21bb07b821497145f19090855b448d62d1fcf5d59faecebde51d9c292"
"""``arrays_sha256`` of the embedded MNIST in canonical form."""

EMBEDDED_MNIST = Path(__file__).with_name("embedded") / "mnist.npz"
EMBEDDED_WRITERS = EMBEDDED_MNIST.with_name("mnist_writers.npz")
"""The writer of each image of MNIST, as ``groups_train`` and ``groups_test``; not part of its hash."""
WRITERS_SHA256 = "07fd0a3cec6e747f07e3986bd67b7599c511a9c1f89d7dd1d8a281c7d17408bd"
"""``arrays_sha256`` of these two."""
REINSTALL_HINT = "Reinstall this package; a file of its MNIST is missing or damaged."
ARCHIVE_READ_ERRORS = (
    OSError,
    EOFError,
    MemoryError,
    RuntimeError,
    ValueError,
    lzma.LZMAError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What the zip and NumPy readers raise for a damaged, encrypted or oversized archive."""


def read_mnist_writers() -> dict[str, np.ndarray]:
    """Returns the writers of MNIST's images, ``groups_train`` and ``groups_test``, verified by their hash.

    Raises:
        FatalError: The file is missing or damaged.
    """
    try:
        with np.load(EMBEDDED_WRITERS) as archive:
            writers = {name: archive[name] for name in ("groups_train", "groups_test")}
    except (*ARCHIVE_READ_ERRORS, KeyError) as error:
        raise FatalError(f"The writers of MNIST cannot be read. {error}", hint=REINSTALL_HINT) from error
    check_embedded("list of MNIST's writers", writers, WRITERS_SHA256)
    return writers


def read_mnist_test_labels() -> np.ndarray:
    """Returns the (10,000,) classes of MNIST's test images.

    Raises:
        FatalError: The file is missing or damaged.
    """
    try:
        with np.load(EMBEDDED_MNIST) as archive:
            return np.asarray(archive["y_test"], dtype=np.int64)
    except (*ARCHIVE_READ_ERRORS, KeyError) as error:
        raise FatalError(f"The embedded MNIST cannot be read. {error}", hint=REINSTALL_HINT) from error


def check_embedded(what: str, arrays: Mapping[str, np.ndarray], expected: str) -> None:
    """Raises FatalError unless embedded arrays have their published hash."""
    if (received := arrays_sha256(arrays)) != expected:
        message = f"The embedded {what} is not the published one. Expected: sha256={expected}. Received: {received}."
        raise FatalError(message, hint=REINSTALL_HINT)
