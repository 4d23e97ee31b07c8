"""A folder with a folder of images for each class, as Keras's ``image_dataset_from_directory`` reads; by Pillow.

The folders of the classes may lie in ``train``, ``val`` and ``test``. Hidden files and files that are no images are
left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np

from search.data.labels import sort_classes
from search.data.raw import RawDataset
from search.data.read_options import ReadOptions
from search.data.readers.images import ImageSource, decode_images, split_parts
from search.data.readers.naming import PART_WORDS
from search.errors import UserError

IGNORED_NAMES = frozenset({"thumbs.db", "desktop.ini", "__macosx", "icon\r"})
"""What operating systems put into folders, besides hidden files."""
USUAL_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
"""Ends of the names of most images; the others are asked of Pillow, which loads all its formats for that."""

STUB_FORMATS = frozenset({"BUFR", "GRIB", "HDF5"})
"""Formats that Pillow recognizes and cannot decode; HDF5 files are data sets."""


def is_visible(name: str) -> bool:
    """Returns whether a file or folder is the user's own."""
    return not name.startswith(".") and name.lower() not in IGNORED_NAMES


def find_class_folders(root: Path) -> dict[str, dict[str, list[str]]]:
    """Returns the paths of image files by part ("train" if there are no parts) and class, sorted.

    Empty where there are no such folders.

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
    sources = [ImageSource(name=os.path.relpath(file, root), open=partial(Path, file)) for _, _, file in entries]
    decoded = decode_images(lambda: sources, options, where=str(root))
    parts = split_parts(decoded, [part for part, _, _ in entries], [label for _, label, _ in entries])
    return RawDataset(
        parts=parts,
        source=f"{decoded.kind} in {len(names):,} folders",
        class_names=tuple(names),
        notes=(*decoded.notes, *_inner_folder_notes(found)),
        is_resized=True,
        sizes=decoded.sizes,
    )


@cache
def _pillow_suffixes() -> frozenset[str]:
    from PIL import Image

    return frozenset(suffix for suffix, form in Image.registered_extensions().items() if form not in STUB_FORMATS)


def _inner_folder_notes(found: Mapping[str, Mapping[str, Sequence[str]]]) -> tuple[str, ...]:
    """Returns a line on classes whose images all lie in several folders below their own, which may be the classes."""
    nested: dict[str, int] = {}
    for classes in found.values():
        for name, files in classes.items():
            folders = {file.rpartition(os.sep)[0] for file in files}
            if len(folders) > 1 and not any(folder.endswith(f"{os.sep}{name}") for folder in folders):
                nested[name] = len(folders)
    if not nested:
        return ()
    name, count = next(iter(nested.items()))
    more = f", as those in {len(nested) - 1} others" if len(nested) > 1 else ""
    return (f"the {count} folders in {name} are read as one class{more}; give {name} itself to tell them apart",)


def is_image_file(path: str | Path) -> bool:
    """Returns whether a file is an image by its name."""
    _, dot, suffix = str(path).rpartition(".")
    suffix = f"{dot}{suffix.lower()}"
    return suffix in USUAL_SUFFIXES or suffix in _pillow_suffixes()


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if is_visible(path.name) and _is_folder(path))


def _has_images(folder: Path) -> bool:
    return any(is_visible(path.name) and is_image_file(path) for path in folder.iterdir())


def _is_folder(entry: os.DirEntry[str] | Path) -> bool:
    """Returns whether an entry is a folder; a link that leads to itself is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _images_by_class(root: Path) -> dict[str, list[str]]:
    """Returns the sorted image files of each folder of a folder, those in folders below included."""
    by_class = {folder.name: sorted(_walk(str(folder), {_identity(root)})) for folder in _folders(root)}
    return {name: files for name, files in by_class.items() if files}


def _identity(folder: str | Path) -> tuple[int, int]:
    status = Path(folder).stat()
    return status.st_dev, status.st_ino


def _walk(folder: str, seen: set[tuple[int, int]]) -> Iterator[str]:
    """Yields the image files in a folder and those below it; follows links, to each folder once."""
    if (identity := _identity(folder)) in seen:
        raise UserError(
            f"A link leads back to a folder above it, or to one that is read already. Received: {folder}.",
            hint="Remove the link, or copy what it means.",
        )
    seen.add(identity)
    with os.scandir(folder) as scanned:
        entries = list(scanned)
    for entry in entries:
        name = entry.name
        is_usual = not name.startswith(".") and name[name.rfind(".") :].lower() in USUAL_SUFFIXES
        if not is_usual and not is_visible(name):
            continue
        if _is_folder(entry):
            yield from _walk(entry.path, seen)
        elif is_usual or is_image_file(name):
            yield entry.path


def fingerprint_text(found: Mapping[str, Mapping[str, Sequence[str]]], root: Path) -> str:
    """Returns names, sizes and times of all files, which change when the data do; reading thousands takes minutes."""
    start, lines = len(str(root)), list[str]()
    for part, classes in found.items():
        for name, files in classes.items():
            lines.append(f"{part} {name}")
            # One after the other: threads that ask for sizes and times wait for the interpreter's lock
            statuses = zip(files, map(os.stat, files), strict=True)
            lines += [f"{file[start:]} {it.st_size} {it.st_mtime_ns}" for file, it in statuses]
    return "\n".join(lines)
