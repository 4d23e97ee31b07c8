"""Parquet files of encoded images in Hugging Face's layout, by pyarrow (extra ``parquet``).

A column of structures with ``bytes``, such as ``image``, and a column of labels. Several files make a data set if their
names say which part they hold, such as ``train-00000-of-00002.parquet``.
"""

from __future__ import annotations

import importlib.util
import io
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from search.data.raw import RawDataset, RawPart
from search.data.read_options import ReadOptions
from search.data.readers.images import ImageSource, decode_images
from search.data.readers.naming import parse_name
from search.data.readers.stored import check_expansion
from search.errors import UserError, missing_extra

IMAGE_NAMES = ("image", "img", "picture")
LABEL_NAMES = ("label", "labels", "fine_label", "class", "target")
ROWS_AT_ONCE = 1000


def read_parquet(files: Sequence[Path], options: ReadOptions) -> RawDataset:
    """Returns the data set of one or several files.

    Raises:
        UserError: pyarrow is missing, or the files are damaged or hold no images with labels.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise missing_extra("Reading a Parquet file", "parquet")
    by_part: dict[str, list[Path]] = defaultdict(list)
    for file in sorted(files):
        by_part[parse_name(file.stem.partition("-of-")[0])[0] or "train"].append(file)
    if "train" not in by_part and len(by_part) == 1:
        by_part = defaultdict(list, train=list(files))
    rows = [(part, *row) for part, members in by_part.items() for file in members for row in _read_rows(file)]
    names = _class_names(files[0])
    sources = [ImageSource(name=f"number {index}", open=_opener(row[1])) for index, row in enumerate(rows)]
    decoded = decode_images(sources, options, where=", ".join(file.name for file in files))
    kept = [rows[index] for index in decoded.indices]
    parts_of = np.array([row[0] for row in kept])
    parts = {
        part: RawPart(
            images=decoded.images[parts_of == part], labels=np.array([row[2] for row in kept if row[0] == part])
        )
        for part in by_part
    }
    if "train" not in parts:
        raise UserError(f"The files hold no training images. Received: {', '.join(file.name for file in files)}.")
    return RawDataset(
        parts=parts, source=f"{decoded.kind} in Parquet", class_names=names, notes=decoded.notes, is_resized=True
    )


def _opener(content: bytes) -> Callable[[], BinaryIO]:
    return lambda: io.BytesIO(content)


def _read_rows(path: Path) -> list[tuple[bytes, Any]]:
    """Returns the encoded image and the label of each row.

    Raises:
        UserError: The file is damaged, claims more than it holds, or has no such columns.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            image, label = _find_columns(file, path)
            _check_lengths(file, path)
            rows: list[tuple[bytes, Any]] = []
            for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=[image, label]):
                images, labels = batch.column(0), batch.column(1)
                if batch.schema.names[0] != image:
                    images, labels = labels, images
                encoded = images.field("bytes") if pa.types.is_struct(images.type) else images
                rows += zip(encoded.to_pylist(), labels.to_pylist(), strict=True)
    except (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError) as error:
        raise UserError(
            f"{path} is not a whole Parquet file: {error}.", hint="Download or copy the file again."
        ) from error
    missing = [index for index, (content, value) in enumerate(rows) if content is None or value is None]
    if missing:
        raise UserError(
            f"{path} has rows without an image or a label. Received: none in row {missing[0]}.",
            hint="Leave such rows out; images that are links to other files are not followed.",
        )
    return rows


def _find_columns(file: Any, path: Path) -> tuple[str, str]:
    """Returns the names of the columns of images and labels."""
    import pyarrow as pa

    schema = file.schema_arrow

    def holds_images(kind: Any) -> bool:
        if pa.types.is_struct(kind):
            return any(kind.field(index).name == "bytes" for index in range(kind.num_fields))
        return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))

    images = [name for name in schema.names if holds_images(schema.field(name).type)]
    images = [name for name in IMAGE_NAMES if name in images][:1] or images
    labels = [name for name in LABEL_NAMES if name in schema.names]
    if len(images) != 1 or not labels:
        raise UserError(
            f"{path} has no column of encoded images with labels. Expected: image (a structure with bytes) and label. "
            f"Received: {', '.join(schema.names)}.",
            hint="Save the data set with Hugging Face's datasets library: dataset.to_parquet(path).",
        )
    return images[0], labels[0]


def _check_lengths(file: Any, path: Path) -> None:
    """Raises a UserError for columns that claim more bytes or rows than their file can hold."""
    size = path.stat().st_size
    metadata = file.metadata
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    columns = [group.column(index) for group in groups for index in range(group.num_columns)]
    stored = sum(column.total_compressed_size for column in columns)
    expanded = sum(column.total_uncompressed_size for column in columns)
    if stored > size or any(
        min(column.total_compressed_size, column.total_uncompressed_size) < 0 for column in columns
    ):
        raise ValueError(f"its columns claim {stored:,} of the file's {size:,} bytes")
    if sum(group.num_rows for group in groups) != metadata.num_rows or metadata.num_rows > 8 * size:
        raise ValueError(f"it claims {metadata.num_rows:,} rows in {size:,} bytes")
    check_expansion(path.name, expanded=expanded, stored=size)


def _class_names(path: Path) -> tuple[str, ...]:
    """Returns the classes' names of Hugging Face's ``ClassLabel``; empty if the file has none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_schema(path).metadata or {}
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        found = next(features[name] for name in LABEL_NAMES if name in features)
        return tuple(map(str, found.get("names", ())))
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration, pa.ArrowException):
        return ()
