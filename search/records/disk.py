"""What a study takes of the disk, and when it was last written. Only looks; files may vanish while it does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_CATEGORIES: Mapping[str, str] = {
    "ledger.journal": "ledger",
    "checkpoints": "checkpoints",
    "predictions": "predictions",
    "logs": "logs",
}
"""What stands in a study's folder, by what it is called; see ``search.records.ledger`` for the layout."""
OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTotals:
    """Files of one kind.

    Args:
        files: How many.
        bytes: Their size together.
    """

    files: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskUsage:
    """What a study takes.

    Args:
        parts: "ledger", "checkpoints", "predictions" and "logs", empty ones too, and "other" where there is any.
        free_bytes: What is left on that disk.
    """

    parts: Mapping[str, FileTotals]
    free_bytes: int

    @property
    def total_bytes(self) -> int:
        """Everything together."""
        return sum(part.bytes for part in self.parts.values())


def disk_usage(folder: Path) -> DiskUsage:
    """Returns what a study's folder takes; a folder that does not exist takes nothing."""
    parts = {name: FileTotals() for name in _CATEGORIES.values()}
    for directory, _, names in os.walk(folder):
        for path in (Path(directory, name) for name in names):
            name = _CATEGORIES.get(path.relative_to(folder).parts[0], OTHER)
            size, total = _size(path), parts.get(name, FileTotals())
            if size is not None:
                parts[name] = FileTotals(files=total.files + 1, bytes=total.bytes + size)
    existing_folder = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return DiskUsage(parts=parts, free_bytes=shutil.disk_usage(existing_folder).free)


def last_write_time(folder: Path) -> datetime | None:
    """Returns when a study's journal was last written; None where it is kept in a database."""
    try:
        return datetime.fromtimestamp((folder / "ledger.journal").stat().st_mtime, UTC)
    except OSError:
        return None


def _size(path: Path) -> int | None:
    try:
        return path.lstat().st_size
    except OSError:
        return None
