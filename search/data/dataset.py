"""Data sets: prepared once by the coordinator, opened by every worker.

    prepare            coordinator, once    finds, checks and caches a data set; returns plain values
    import_prepared    another machine      caches a data set that was prepared elsewhere
    open_training      every worker         maps the training images, their labels and groups
    open_test          verification only    maps the test images and their labels
    open_test_groups   coordinator          maps the groups of the test images, for the intervals of reports
    find_prepared      reproduction         finds cached data by their hash
    find_test_images   reports              maps the test images of recorded data, if they are on this machine

Uses no splits, batches or Keras.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from search.data import cache
from search.data.cache import arrays_sha256
from search.data.canonical import CLASS_NAMES, IS_VALIDATION, READING, WHITE, make_canonical
from search.data.mnist import ARCHIVE_READ_ERRORS, EMBEDDED_MNIST, MNIST_SHA256
from search.data.read_options import ReadOptions
from search.data.sources import find_source
from search.errors import FatalError
from search.files import draft_of

TEST_GROUPS = "groups_test"
"""Name of the array of the test images' groups."""
UNHASHED = frozenset({TEST_GROUPS, CLASS_NAMES, READING, WHITE})
"""Arrays that decide no result: groups of test images only widen intervals, the others say how the data were read."""
READING_VERSION = 3
"""Raised by a change of how data are read, so that caches of earlier versions are not used."""
INFO_NAME = "info.json"
"""File in the folder of cached data that describes them, so that they are found by their hash."""
CACHE_REPAIR_HINT = "Run the command again: the cache is repaired when a study starts."


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetInfo:
    """A prepared data set, in plain values that are sent to other processes.

    Args:
        name: The name as given, or the name of the file or folder.
        sha256: Hash of the decoded arrays that decide results, 64 hexadecimal digits; does not depend on the file
            format. Groups of the test images and names of classes are left out, and the writers of the embedded MNIST.
        image_shape: (height, width, channels).
        classes: Number of classes; labels are 0 to classes - 1.
        training_count: Number of training images, before any split.
        test_count: Number of test images.
        has_groups: Whether each training image has a group, such as its writer.
        equal_images: Number of test images that equal a training image to the bit.
        folder: Path of the cache folder that holds the arrays.
        files: SHA-256 of each array's file there, by the file's name.
        class_names: Names of the classes; empty if these are the numbers from 0.
        given_validation: Number of the training images that the data set aside for validation; 0 if it does not.
        reading: Lines that say how the data were read.
        test_class_counts: Number of test images of each class.
        white: The value that was white in the data as given; None if they are standardized, or unknown.
        loader: Module of Keras whose ``load_data`` returns the same data; empty for a user's own.
    """

    name: str
    sha256: str
    image_shape: tuple[int, int, int]
    classes: int
    training_count: int
    test_count: int
    has_groups: bool
    equal_images: int
    folder: str
    files: Mapping[str, str]
    class_names: tuple[str, ...] = ()
    given_validation: int = 0
    reading: tuple[str, ...] = ()
    test_class_counts: tuple[int, ...] = ()
    white: float | None = None
    loader: str = ""

    @property
    def caution(self) -> str:
        """What lessens the worth of a test error on these data, as a clause; usually empty."""
        if not self.equal_images:
            return ""
        return f"{self.equal_images:,} test images equal a training image; their error says little"

    def class_name(self, label: int) -> str:
        """Returns the name of a class, or its number."""
        return self.class_names[label] if self.class_names else str(label)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> DatasetInfo:
        """Returns the data set that ``dataclasses.asdict`` described."""
        tuples = ("image_shape", "class_names", "reading", "test_class_counts")
        return cls(**{**document, **{name: tuple(document[name]) for name in tuples if name in document}})


@dataclass(frozen=True, slots=True, eq=False)
class LabeledImages:
    """Images with their labels, as read-only memory maps.

    Args:
        images: (count, height, width, channels), uint8 in 0..255, float32 in [0, 1], or standardized float32.
        labels: (count,) int64, 0 to classes - 1.
        groups: (count,) integers or strings that name where each image came from, or None.
        verifiers: Of the mapped files.
        is_validation: (count,) bool, the training images that the data set aside for validation, or None.
        class_names: Names of the classes, in recorded data that are shown; empty if these are the numbers from 0.
    """

    images: np.ndarray
    labels: np.ndarray
    groups: np.ndarray | None
    verifiers: tuple[cache.FileVerifier, ...] = ()
    is_validation: np.ndarray | None = None
    class_names: tuple[str, ...] = ()

    def verify(self) -> None:
        """Checks the mapped files: hashes them the first time, and again if they were touched.

        Raises:
            FatalError: A file is damaged.
        """
        for verifier in self.verifiers:
            if not verifier.is_intact():
                raise FatalError(
                    f"The cached data were damaged while in use. Received: {verifier.path}.", hint=CACHE_REPAIR_HINT
                )


def default_cache_dir() -> Path:
    """Returns this user's cache folder by the conventions of the operating system."""
    return platformdirs.user_cache_path("keras-image-search", appauthor=False)


def datasets_folder(cache_dir: Path | None) -> Path:
    """Returns the folder of the cached data sets; None for ``default_cache_dir``."""
    return (cache_dir or default_cache_dir()).absolute() / "datasets"


def prepare(dataset: str, cache_dir: Path | None = None, options: ReadOptions | None = None) -> DatasetInfo:
    """Finds a data set, brings it into canonical form, and keeps it in the cache unless it is there undamaged.

    Args:
        dataset: "mnist" (embedded), "fashion_mnist" or "cifar10" (downloaded by Keras), or the path of a file or folder
            that a reader of ``search.data.readers`` takes.
        cache_dir: The cache folder; None for ``default_cache_dir``.
        options: How the data are read; None to read them as they are.

    Raises:
        UserError: There is no such data set, it cannot be used, or the cache cannot be written.
        FatalError: The embedded MNIST is missing or damaged.
    """
    source, options = find_source(dataset), options or ReadOptions()
    fingerprint = hashlib.sha256(f"{READING_VERSION} {options} {source.fingerprint}".encode()).hexdigest()
    folder = datasets_folder(cache_dir) / _folder_name(source.name, fingerprint)
    files = cache.ensure_cached(folder, lambda: make_canonical(source.read(options), options))
    info = _read_info(folder)
    if info is None or info.files != files or not info.test_class_counts:  # the last: by an older version
        info = _describe(folder, files, known_sha256=source.sha256 if options == ReadOptions() else None)
        with contextlib.suppress(OSError), draft_of(folder / INFO_NAME) as draft:
            draft.write_text(json.dumps(dataclasses.asdict(info)), encoding="utf-8")
    return dataclasses.replace(
        info, name=source.name, folder=str(folder), loader=source.loader if options == ReadOptions() else ""
    )


def _describe(folder: Path, files: Mapping[str, str], *, known_sha256: str | None) -> DatasetInfo:
    """Returns the data set in a folder of the cache, named after the folder."""
    arrays = {path.stem: cache.open_array(folder, path.stem) for path in folder.glob("*.npy")}
    height, width, channels = arrays["x_train"].shape[1:]
    return DatasetInfo(
        name=folder.name,
        sha256=known_sha256 or hash_results(arrays),
        image_shape=(height, width, channels),
        classes=int(arrays["y_train"].max()) + 1,
        training_count=len(arrays["x_train"]),
        test_count=len(arrays["x_test"]),
        has_groups="groups_train" in arrays,
        equal_images=_count_equal(arrays["x_train"], arrays["x_test"]),
        folder=str(folder),
        files=files,
        class_names=tuple(map(str, arrays.get(CLASS_NAMES, ()))),
        given_validation=int(arrays[IS_VALIDATION].sum()) if IS_VALIDATION in arrays else 0,
        reading=tuple(map(str, arrays.get(READING, ()))),
        white=float(arrays[WHITE][0]) if WHITE in arrays else None,
        test_class_counts=tuple(np.bincount(arrays["y_test"]).tolist()),
    )


def _count_equal(training_images: np.ndarray, test_images: np.ndarray) -> int:
    """Returns the number of test images that equal a training image, by hashes of 64 bits."""
    known = {hash(image.tobytes()) for image in training_images}
    return sum(hash(image.tobytes()) in known for image in test_images)


def _read_info(folder: Path) -> DatasetInfo | None:
    """Returns the description of the data set in a folder of the cache; None if it has none."""
    try:
        return DatasetInfo.from_json(json.loads((folder / INFO_NAME).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def find_prepared(sha256: str, cache_dir: Path | None = None, *, has_groups: bool = False) -> DatasetInfo | None:
    """Returns an undamaged data set of the cache by its hash, whatever its name; None if there is none.

    Args:
        sha256: Hash of the arrays that decide results, 64 hexadecimal digits.
        cache_dir: The cache folder; None for ``default_cache_dir``.
        has_groups: Whether only data with groups of the training images are taken.
    """
    for file in sorted(datasets_folder(cache_dir).glob(f"*/{INFO_NAME}")):
        info = _read_info(file.parent)
        if info is not None and info.sha256 == sha256 and (info.has_groups or not has_groups):
            with contextlib.suppress(OSError, ValueError):
                if cache.read_valid_manifest(file.parent) == info.files:
                    return dataclasses.replace(info, folder=str(file.parent))
    return None


def hash_results(arrays: Mapping[str, np.ndarray]) -> str:
    """Returns the hash of the arrays that decide results."""
    return arrays_sha256({name: array for name, array in arrays.items() if name not in UNHASHED})


def _folder_name(name: str, fingerprint: str) -> str:
    return f"{re.sub('[^A-Za-z0-9._-]+', '-', name)[:60]}-{fingerprint[:16]}"


def read_arrays(info: DatasetInfo) -> Mapping[str, np.ndarray]:
    """Returns all arrays of a prepared data set by name, as memory maps."""
    folder = Path(info.folder)
    return {Path(name).stem: cache.open_array(folder, Path(name).stem) for name in info.files}


def import_prepared(
    info: DatasetInfo, read_shared_arrays: Callable[[], Mapping[str, np.ndarray]], cache_dir: Path | None = None
) -> DatasetInfo:
    """Returns a data set that was prepared on another machine, cached on this one.

    Args:
        info: The data set as it was prepared.
        read_shared_arrays: Returns its arrays by name; called only if the cache does not hold them undamaged.
        cache_dir: The cache folder; None for ``default_cache_dir``.

    Raises:
        UserError: The cache cannot be written.
        FatalError: The arrays are not those that were prepared.
    """
    folder = datasets_folder(cache_dir) / Path(info.folder).name
    files = cache.ensure_cached(folder, read_shared_arrays)
    if files != info.files:
        raise FatalError(
            f"The data set {info.name} is another here than where it was prepared.", hint=CACHE_REPAIR_HINT
        )
    return dataclasses.replace(info, folder=str(folder))


def open_training(info: DatasetInfo) -> LabeledImages:
    """Returns the training images, their labels and their groups, if the data have some; not yet verified.

    Raises:
        FatalError: They are missing or damaged in the cache.
    """
    groups = ("groups_train",) if info.has_groups else ()
    marks = (IS_VALIDATION,) if info.given_validation else ()
    return _open_arrays(info, ("x_train", "y_train", *groups, *marks), info.training_count)


def open_test(info: DatasetInfo) -> LabeledImages:
    """Returns the test images and their labels. For verification only: nothing may be chosen by them.

    Raises:
        FatalError: They are missing or damaged in the cache.
    """
    return _open_arrays(info, ("x_test", "y_test"), info.test_count)


def open_test_groups(info: DatasetInfo) -> np.ndarray | None:
    """Returns where each test image came from, (count,) integers or strings; None if the data do not say.

    Raises:
        FatalError: They are missing or damaged in the cache.
    """
    if f"{TEST_GROUPS}.npy" not in info.files:
        return None
    return _open_arrays(info, ("x_test", "y_test", TEST_GROUPS), info.test_count).groups


def describe_test_images(info: DatasetInfo) -> tuple[list[int], list[int] | None] | None:
    """Returns the class of each test image, and a number that is equal for images of one group, for a study's record.

    The groups are None if the data do not say. All is None for the embedded MNIST, of which both are always known.

    Raises:
        FatalError: They are missing or damaged in the cache.
    """
    if info.sha256 == MNIST_SHA256:
        return None
    groups = open_test_groups(info)
    numbers = None if groups is None else np.unique(groups, return_inverse=True)[1].tolist()
    return open_test(info).labels.tolist(), numbers


def find_test_images(sha256: str, cache_dir: Path | None = None) -> LabeledImages | None:
    """Returns the test images of recorded data, to show misclassified ones; None if they are not on this machine.

    Prepares nothing: takes the embedded MNIST, or searches the cached data sets.

    Args:
        sha256: Hash of its arrays, 64 hexadecimal digits.
        cache_dir: The cache folder; None for ``default_cache_dir``.
    """
    if sha256 == MNIST_SHA256:
        return _embedded_mnist_test_images()
    info = find_prepared(sha256, cache_dir)
    if info is None:
        return None
    try:
        return dataclasses.replace(open_test(info), class_names=info.class_names)
    except FatalError:  # removed since
        return None


def _embedded_mnist_test_images() -> LabeledImages | None:
    with contextlib.suppress(*ARCHIVE_READ_ERRORS, KeyError), np.load(EMBEDDED_MNIST) as arrays:
        return LabeledImages(arrays["x_test"][..., np.newaxis], arrays["y_test"].astype(np.int64), None)
    return None


def _open_arrays(info: DatasetInfo, names: tuple[str, ...], count: int) -> LabeledImages:
    folder = Path(info.folder)
    try:
        verifiers = [cache.FileVerifier(folder / f"{name}.npy", info.files[f"{name}.npy"]) for name in names]
        arrays = [cache.open_array(folder, name) for name in names]
    except (OSError, EOFError, ValueError) as error:
        raise FatalError(f"The cache has lost its data set {info.name}: {error}.", hint=CACHE_REPAIR_HINT) from error
    if arrays[0].shape[1:] != info.image_shape or any(len(array) != count for array in arrays):
        shapes = ", ".join(str(array.shape) for array in arrays)
        expected = f"Expected: {count} images of shape {info.image_shape}. Received: {shapes} in {info.folder}."
        raise FatalError(f"The cache holds another data set than {info.name}. {expected}", hint=CACHE_REPAIR_HINT)
    opened = dict(zip(names, arrays, strict=True))
    groups = next((opened[name] for name in ("groups_train", TEST_GROUPS) if name in opened), None)
    return LabeledImages(arrays[0], arrays[1], groups, tuple(verifiers), opened.get(IS_VALIDATION))
