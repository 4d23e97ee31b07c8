"""Parquet files of encoded images in Hugging Face's layout, by pyarrow (extra ``parquet``).

A column of structures with ``bytes``, such as ``image``, and a column of labels. Several files make a data set if their
names say which part they hold, such as ``train-00000-of-00002.parquet``.
"""

from __future__ import annotations

import importlib.util
import io
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from search.data.raw import RawDataset
from search.data.read_options import ReadOptions
from search.data.readers.images import ImageSource, decode_images, split_parts
from search.data.readers.naming import parse_name
from search.data.readers.stored import check_ratio
from search.errors import UserError, missing_extra

IMAGE_NAMES = ("image", "img", "picture")
LABEL_NAMES = ("label", "labels", "fine_label", "class", "target")
ROWS_AT_ONCE = 1000
BATCH_BYTES = 2**26
"""Bytes of the rows that are read at once."""


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
    members = [(part, file, *_check_file(file)) for part, files_of in by_part.items() for file in files_of]
    labels = [(part, label) for part, file, _, column in members for label in _labels(file, column)]

    def list_images() -> Iterator[ImageSource]:
        for _, file, column, _ in members:
            for row, content in enumerate(_values(file, column)):
                if content is None:
                    raise _empty_row_error(file, "an image")
                yield ImageSource(name=f"row {row} of {file.name}", open=partial(io.BytesIO, content))

    decoded = decode_images(list_images, options, where=", ".join(file.name for file in files))
    parts = split_parts(decoded, [part for part, _ in labels], [label for _, label in labels])
    return RawDataset(
        parts=parts,
        source=f"{decoded.kind} in Parquet",
        class_names=_class_names(files[0]),
        notes=decoded.notes,
        is_resized=True,
        sizes=decoded.sizes,
    )


def _check_file(path: Path) -> tuple[str, str]:
    """Returns the names of the columns of images and labels.

    Raises:
        UserError: The file is damaged, claims more than it holds, or has no such columns.
    """
    import pyarrow.parquet as pq

    with _read_errors(path), pq.ParquetFile(path) as file:
        columns = _find_columns(file, path)
        _check_lengths(file, path)
        return columns


def _labels(path: Path, column: str) -> list[Any]:
    """Returns the label of each row."""
    labels = list(_values(path, column))
    if None in labels:
        raise _empty_row_error(path, "a label")
    return labels


def _values(path: Path, name: str) -> Iterator[Any]:
    """Yields the values of a column, of which few are in memory; of images, their encoded bytes.

    Raises:
        UserError: The file is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    expanded, size = 0, path.stat().st_size
    with _read_errors(path), pq.ParquetFile(path) as file:
        groups = [file.metadata.row_group(index) for index in range(file.metadata.num_row_groups)]
        # A value that a dictionary holds once may stand in every row, so any value may be as large as its column.
        largest = max(
            (group.column(index).total_uncompressed_size for group in groups for index in range(group.num_columns)),
            default=0,
        )
        rows = max(1, min(ROWS_AT_ONCE, BATCH_BYTES // max(1, largest)))
        for batch in file.iter_batches(batch_size=rows, columns=[name]):
            column = batch.column(0)
            expanded += column.nbytes
            check_ratio(path.name, expanded=expanded, stored=size)
            yield from (column.field("bytes") if pa.types.is_struct(column.type) else column).to_pylist()


def _empty_row_error(path: Path, what: str) -> UserError:
    return UserError(
        f"{path} has a row without {what}.",
        hint="Leave such rows out; images that are links to other files are not followed.",
    )


@contextmanager
def _read_errors(path: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError) as error:
        raise UserError(
            f"{path} is not a whole Parquet file: {error}.", hint="Download or copy the file again."
        ) from error


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
    check_ratio(path.name, expanded=expanded, stored=size)


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
