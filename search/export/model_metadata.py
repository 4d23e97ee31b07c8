"""Reads and writes the metadata of an exported model: one more member of its ``.keras`` archive.

Written by ``search.export.model``, read by ``search.export.classifier``.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ARCHIVE_MEMBER = "keras_image_search.json"
SCHEMA = "model/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelMetadata:
    """The origin of a model.

    Args:
        study: Its study.
        row: The row's name, such as "found #12".
        dataset: The data set's name.
        data_sha256: Hash of its arrays.
        is_dark: Whether the training images are light on dark, by their borders.
        seed: The seed of its training.
        epochs: Passes over all training images.
        config: Active parameters and their values.
        recorded: The row's recorded test error as text; empty if it has none.
        class_names: Names of the classes; empty if these are the numbers from 0.
        white: Value of a white pixel that the model takes; None if the data are standardized, or unknown.
    """

    study: str
    row: str
    dataset: str
    data_sha256: str
    is_dark: bool
    seed: int
    epochs: int
    config: Mapping[str, Any] = field(default_factory=dict)
    recorded: str = ""
    class_names: tuple[str, ...] = ()
    white: float | None = None


def write(file: Path, metadata: ModelMetadata) -> None:
    """Adds the metadata to a ``.keras`` file.

    Raises:
        OSError: It cannot be written.
    """
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(ARCHIVE_MEMBER, json.dumps({"schema": SCHEMA, **asdict(metadata)}, indent=1))


def read(file: Path) -> ModelMetadata | None:
    """Returns a file's metadata, or None if it has none that can be read, as in models from elsewhere."""
    try:
        with zipfile.ZipFile(file) as archive:
            document = json.loads(archive.read(ARCHIVE_MEMBER))
        names = tuple(document.pop("class_names", ()))
        return ModelMetadata(**document, class_names=names) if document.pop("schema") == SCHEMA else None
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile):
        return None
