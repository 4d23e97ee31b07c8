"""A folder with a folder of images for each class, as Keras's ``image_dataset_from_directory`` reads; by Pillow.

The folders of the classes may lie in ``train``, ``val`` and ``test``. Hidden files and files that are no images are
left out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from search.data.labels import sort_classes
from search.data.raw import RawDataset, RawPart
from search.data.read_options import ReadOptions
from search.data.readers.images import ImageSource, decode_images
from search.data.readers.naming import PART_WORDS
from search.errors import UserError

IGNORED_NAMES = frozenset({"thumbs.db", "desktop.ini", "__macosx", "icon\r"})
"""What operating systems put into folders, besides hidden files."""


def is_visible(name: str) -> bool:
    """Returns whether a file or folder is the user's own."""
    return not name.startswith(".") and name.lower() not in IGNORED_NAMES


def find_class_folders(root: Path) -> dict[str, dict[str, list[Path]]]:
    """Returns the image files by part ("train" if there are no parts) and class, sorted; empty without such folders.

    Raises:
        UserError: A link leads back to a folder above it.
        OSError: A folder cannot be read.
    """
    folders = _folders(root)
    if len(folders) == 1 and folders[0].name.lower() not in PART_WORDS and not _has_images(root):
        return find_class_folders(folders[0])  # as archives are unpacked
    parts = {PART_WORDS[folder.name.lower()]: folder for folder in folders if folder.name.lower() in PART_WORDS}
    found = {part: _images_by_class(folder) for part, folder in parts.items()} if "train" in parts else {}
    if not any(found.get("train", {}).values()):
        found = {"train": _images_by_class(root)}
    return {part: classes for part, classes in found.items() if classes}


def read_class_folders(root: Path, options: ReadOptions) -> RawDataset:
    """Returns the data set in a folder.

    Raises:
        UserError: It cannot be used.
    """
    found = find_class_folders(root)
    names = sort_classes(np.array(sorted({name for classes in found.values() for name in classes}))).tolist()
    entries = [
        (part, names.index(name), file)
        for part, classes in found.items()
        for name in names
        for file in classes.get(name, ())
    ]
    sources = [ImageSource(name=str(file.relative_to(root)), open=_opener(file)) for _, _, file in entries]
    decoded = decode_images(sources, options, where=str(root))
    kept_parts = np.array([entries[index][0] for index in decoded.indices])
    labels = np.array([entries[index][1] for index in decoded.indices])
    parts = {
        part: RawPart(images=decoded.images[kept_parts == part], labels=labels[kept_parts == part])
        for part in found
        if (kept_parts == part).any()
    }
    if "train" not in parts:
        raise UserError(f"No training image can be read. Received: dataset={str(root)!r}.")
    return RawDataset(
        parts=parts,
        source=f"{decoded.kind} in {len(names):,} folders",
        class_names=tuple(names),
        notes=decoded.notes,
        is_resized=True,
    )


def _opener(file: Path) -> Callable[[], Path]:
    return lambda: file


@cache
def _image_suffixes() -> frozenset[str]:
    from PIL import Image

    return frozenset(Image.registered_extensions())


def is_image_file(path: Path) -> bool:
    """Returns whether a file is an image by its name."""
    return path.suffix.lower() in _image_suffixes()


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if is_visible(path.name) and _is_folder(path))


def _has_images(folder: Path) -> bool:
    return any(is_visible(path.name) and is_image_file(path) for path in folder.iterdir())


def _is_folder(path: Path) -> bool:
    """Returns whether a path is a folder; a link that leads to itself is none."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _images_by_class(root: Path) -> dict[str, list[Path]]:
    """Returns the sorted image files of each folder of a folder, those in folders below included."""
    by_class = {folder.name: sorted(_walk(folder, (_identity(root),))) for folder in _folders(root)}
    return {name: files for name, files in by_class.items() if files}


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _walk(folder: Path, above: Sequence[tuple[int, int]]) -> Iterator[Path]:
    """Yields the image files in a folder and those below it; follows links."""
    if (identity := _identity(folder)) in above:
        raise UserError(
            f"A link leads back to a folder above it. Received: {folder}.",
            hint="Remove the link, or copy what it means.",
        )
    with os.scandir(folder) as entries:
        visible = [entry for entry in entries if is_visible(entry.name)]
    for entry in visible:
        path = Path(entry.path)
        if _is_folder(path):
            yield from _walk(path, (*above, identity))
        elif is_image_file(path):
            yield path


def fingerprint_text(found: Mapping[str, Mapping[str, Sequence[Path]]], root: Path) -> str:
    """Returns names, sizes and times of all files, which change when the data do; reading thousands takes minutes."""
    lines = []
    for part, classes in found.items():
        for name, files in classes.items():
            for file in files:
                status = file.stat()
                lines.append(f"{part} {name} {file.relative_to(root)} {status.st_size} {status.st_mtime_ns}")
    return "\n".join(lines)
