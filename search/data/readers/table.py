"""Tables of pixels as text, by pandas: CSV or TSV, an image a line, with its label first, last or by name.

Lines are read in blocks, so that memory holds the pixels once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np

from search.data.raw import RawDataset, RawPart
from search.data.read_options import ReadOptions
from search.data.readers.naming import parse_name
from search.data.readers.stored import check_expansion
from search.errors import UserError

MAX_COLUMNS = 50_000
"""Columns of a table; a color image of 128 x 128 has 49,153. pandas takes minutes for more, whatever their lines."""
MAX_LINE_BYTES = 2**20
BLOCK_VALUES = 4_000_000
"""Values of the lines that are read at once; pandas takes 8 bytes for each."""
SCAN_BYTES = 2**22
LABEL_NAMES = ("label", "labels", "class", "target", "y", "digit", "category")
INDEX_NAMES = ("", "id", "index", "unnamed: 0", "image_id", "imageid")
"""Columns that number the images."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """How the lines of a table are made: their separator, the columns' names if the first line holds them."""

    separator: str
    columns: tuple[str, ...] | None
    count: int


def read_tables(files: Sequence[Path], options: ReadOptions) -> RawDataset:
    """Returns the data set of one file, or of several whose names say which part they hold.

    Raises:
        UserError: They hold no images with labels, or are damaged.
    """
    parts: dict[str, RawPart] = {}
    notes: list[str] = []
    named = [(parse_name(file.stem)[0] or "", file) for file in files] if len(files) > 1 else [("train", files[0])]
    for part, file in sorted((item for item in named if item[0]), key=lambda item: (item[0] != "train", item[1])):
        if part in parts:
            raise UserError(
                f"Several tables may be the {part} part. Received: {file.name} and another in {file.parent}.",
                hint="Put the tables of one data set into a folder of their own.",
            )
        read = _read_table(file, options, pixels=parts["train"].images.shape[1] if "train" in parts else None)
        if read is None:
            notes.append(f"left out, as it has no labels: {file.name}")
        else:
            parts[part] = read
    if "train" not in parts:
        names = ", ".join(file.name for file in files)
        raise UserError(
            f"The tables hold no training images with labels. Expected: train.csv, and perhaps val.csv and test.csv. "
            f"Received: {names}.",
            hint="Name the file itself with --dataset, or name the files after their parts.",
        )
    return RawDataset(parts=parts, source="images as lines of a table", notes=tuple(notes))


def _read_table(path: Path, options: ReadOptions, *, pixels: int | None) -> RawPart | None:
    """Returns the images and labels of a table; None if it has the pixels of the training images and no labels."""
    try:
        layout = _find_layout(path)
        if pixels is not None and layout.count - len(_index_columns(layout)) == pixels:
            return None
        values, first, last = _read_values(path, layout)
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text: {error.reason}. Expected: a table in UTF-8.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
    return _separate_labels(path, layout, values, first, last, options)


def _find_layout(path: Path) -> _Layout:
    """Returns how the lines of a table are made, by the first two.

    Raises:
        UserError: Lines are too long, or there are none.
    """
    _check_lines(path)
    with path.open(encoding="utf-8-sig") as file:
        lines = [line.strip("\r\n") for line in (file.readline(), file.readline())]
    if not lines[1].strip():
        raise UserError(f"{path} is no table of images. Expected: a line an image, two or more. Received: one or none.")
    separator = next((mark for mark in "\t;," if mark in lines[1]), r"\s+")
    fields = _split(lines[0], separator)
    if len(fields) < 3 or len(fields) > MAX_COLUMNS:
        raise UserError(
            f"{path} is no table of images. Expected: 3 to {MAX_COLUMNS:,} columns, a label and pixels. "
            f"Received: {len(fields):,} in the first line.",
            hint="The columns may be separated by commas, tabs, semicolons or spaces.",
        )
    return _Layout(separator=separator, columns=tuple(fields) if _is_header(fields) else None, count=len(fields))


def _check_lines(path: Path) -> None:
    """Raises a UserError for a line of more than ``MAX_LINE_BYTES``, which pandas would read at once."""
    length = 0
    with path.open("rb") as file:
        while block := file.read(SCAN_BYTES):
            if b"\0" in block:
                raise UserError(f"{path} is no text. Expected: a table of pixels, such as CSV. Received: zero bytes.")
            ends = np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n"))
            longest = (
                max(length + int(ends[0]), int(np.diff(ends).max(initial=0))) if len(ends) else length + len(block)
            )
            length = len(block) - 1 - int(ends[-1]) if len(ends) else longest
            if max(longest, length) > MAX_LINE_BYTES:
                raise UserError(
                    f"{path} has lines of more than {MAX_LINE_BYTES:,} bytes. Expected: a line an image, of at most "
                    f"{MAX_COLUMNS:,} columns.",
                    hint="Large images are better kept as image files, in a folder for each class.",
                )


def _split(line: str, separator: str) -> list[str]:
    fields = line.split() if separator == r"\s+" else line.split(separator)
    return [field.strip().strip('"') for field in fields]


def _is_header(fields: Sequence[str]) -> bool:
    """Returns whether a line holds names: mostly words, or the numbers of the columns as pandas writes them."""
    words = sum(not _NUMBER.fullmatch(field) for field in fields)
    if words > len(fields) // 2:
        return True
    numbers = [int(field) for field in fields if field.isdecimal()]
    is_counted = len(numbers) > 2 and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    return is_counted and numbers[0] in (0, 1) and len(numbers) >= len(fields) - 1


def _index_columns(layout: _Layout) -> list[int]:
    return [index for index, name in enumerate(layout.columns or ()) if name.lower() in INDEX_NAMES and index == 0]


def _read_values(path: Path, layout: _Layout) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the numbers of all columns, 0 in those of text, and the first and the last column as they are."""
    import pandas as pd

    blocks: list[np.ndarray] = []
    firsts: list[np.ndarray] = []
    lasts: list[np.ndarray] = []
    size = path.stat().st_size
    try:
        with pd.read_csv(
            path,
            sep=layout.separator,
            header=None,
            skiprows=1 if layout.columns else 0,
            chunksize=max(1, BLOCK_VALUES // layout.count),
            encoding="utf-8-sig",
            low_memory=False,
        ) as reader:
            for block in reader:
                blocks.append(_to_numbers(path, block, layout))
                firsts.append(_as_labels(block.iloc[:, 0]))
                lasts.append(_as_labels(block.iloc[:, -1]))
                check_expansion(path.name, expanded=sum(part.nbytes for part in blocks), stored=size)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError, MemoryError, OverflowError) as error:
        raise UserError(
            f"{path} is no table of images: {error}. Expected: {layout.count} columns in each line."
        ) from error
    return np.concatenate(blocks), _join(firsts), _join(lasts)


def _as_labels(column: Any) -> np.ndarray:
    values = column.to_numpy()
    labels: np.ndarray = values if values.dtype.kind in "biuf" else column.astype(str).to_numpy().astype(str)
    return labels


def _join(blocks: Sequence[np.ndarray]) -> np.ndarray:
    """Returns a column of which some blocks may be numbers and others text."""
    if any(block.dtype.kind == "U" for block in blocks):
        blocks = [block.astype(str) for block in blocks]
    return np.concatenate(blocks)


def _to_numbers(path: Path, block: Any, layout: _Layout) -> np.ndarray:
    numeric = block.select_dtypes("number")
    if numeric.shape[1] < block.shape[1]:
        texts = [index for index in range(block.shape[1]) if index not in set(numeric.columns)]
        allowed = {0, block.shape[1] - 1, *_label_columns(layout)}
        if set(texts) - allowed:
            index = next(index for index in texts if index not in allowed)
            name = layout.columns[index] if layout.columns else index + 1
            raise UserError(
                f"{path} holds words among its pixels. Expected: numbers. Received: "
                f"{block.iloc[0, index]!r} in column {name}.",
                hint="Leave only the label and the pixels in the table.",
            )
        numeric = block.copy()
        numeric[texts] = 0
    values: np.ndarray = numeric.to_numpy()
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        line = int(np.argwhere(~np.isfinite(values))[0, 0]) + int(block.index[0]) + (2 if layout.columns else 1)
        raise UserError(
            f"{path} has empty fields or NaN. Expected: {layout.count} numbers in each line. Received: line {line}."
        )
    if values.dtype.kind in "iu" and values.min() >= 0 and values.max() <= 255:
        return values.astype(np.uint8)
    return values.astype(np.int32 if values.dtype.kind in "iu" else np.float32)


def _label_columns(layout: _Layout) -> list[int]:
    names = [name.lower() for name in layout.columns or ()]
    return [names.index(name) for name in LABEL_NAMES if name in names][:1]


def _separate_labels(
    path: Path, layout: _Layout, values: np.ndarray, first: np.ndarray, last: np.ndarray, options: ReadOptions
) -> RawPart:
    """Returns pixels and labels of the lines of a table.

    Raises:
        UserError: No column, or more than one, can be the label.
    """
    dropped = _index_columns(layout)
    named = _label_columns(layout)
    end = values.shape[1] - 1
    if named:
        column = {0: first, end: last}.get(named[0], values[:, named[0]])
        return RawPart(images=np.delete(values, [*dropped, *named], axis=1), labels=column)
    if dropped:
        values, first = values[:, 1:], values[:, 1]
    end = values.shape[1] - 1
    candidates = [
        (np.delete(values, index, axis=1), column)
        for index, column in ((0, first), (end, last))
        if _is_image(end, options) and _may_be_label(column)
    ]
    words = [candidate for candidate in candidates if candidate[1].dtype.kind == "U"]
    candidates = words or candidates or list(_one_hot_candidates(values, options))
    if len(candidates) == 1:
        return RawPart(images=candidates[0][0], labels=candidates[0][1])
    if candidates:
        raise UserError(
            f"The first and the last column of {path.name} may both be the label.",
            hint="Put a header line before the others that names the column of the labels: label.",
        )
    raise UserError(
        f"{path.name} has no labels beside square images. Expected: a label first or last and a square number of "
        f"pixels, such as 785 columns. Received: {layout.count} columns.",
        hint="Name the column of the labels label in a header line; say the size of other images with --image-size.",
    )


def _is_image(pixels: int, options: ReadOptions) -> bool:
    size = options.image_size
    return isqrt(pixels) ** 2 == pixels or (size is not None and size[0] * size[1] == pixels)


def _may_be_label(column: np.ndarray) -> bool:
    """Returns whether a column may be labels: words, or consecutive whole numbers from 0 or 1 that all repeat."""
    classes, counts = np.unique(column, return_counts=True)
    if column.dtype.kind == "U":
        return 2 <= len(classes) <= 1000
    if not 2 <= len(classes) <= 1000 or (classes != np.floor(classes)).any():
        return False
    return classes[0] in (0, 1) and classes[-1] - classes[0] == len(classes) - 1 and bool((counts > 1).all())


def _one_hot_candidates(values: np.ndarray, options: ReadOptions) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns pixels and one-hot labels of tables that end or begin with a column for each class, as Semeion's."""
    found = []
    for classes in range(2, min(101, values.shape[1])):
        if not _is_image(values.shape[1] - classes, options):
            continue
        for labels, pixels in (
            (values[:, -classes:], values[:, :-classes]),
            (values[:, :classes], values[:, classes:]),
        ):
            if ((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all() and labels.any(axis=0).all():
                found.append((pixels, labels))
    return found
