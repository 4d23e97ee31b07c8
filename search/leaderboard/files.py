"""The board as files: what the command line writes to disk."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from search.errors import FatalError, UserError
from search.leaderboard.board import Board
from search.leaderboard.formats import FORMATS

REPORT_FORMATS: Mapping[str, str] = MappingProxyType(
    {"leaderboard.md": "markdown", "leaderboard.csv": "csv", "leaderboard.json": "json"}
)
"""File names to formats."""


def write_reports(board: Board, folder: Path) -> list[Path]:
    """Writes the board in every format made for files and returns their paths.

    Raises:
        UserError: The folder cannot be made or written to.
    """
    paths = [folder / name for name in REPORT_FORMATS]
    for path, form in zip(paths, REPORT_FORMATS.values(), strict=True):
        write_atomic(path, FORMATS[form](board))
    return paths


def write_atomic(path: Path, content: str | bytes) -> None:
    """Writes a file whole or not at all, making its folder where needed; a reader never sees half of it.

    Raises:
        UserError: The file cannot be written.
        FatalError: The disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".leaderboard-") as folder:
            draft = Path(folder) / path.name
            draft.write_bytes(content.encode() if isinstance(content, str) else content)
            draft.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise FatalError(
                f"The report cannot be written: {error.strerror}. Received: {str(path)!r}.",
                hint="Free some space, or name another place, and run the same command again; the record is kept.",
            ) from error
        raise UserError(
            f"The report cannot be written: {error.strerror}. Received: {str(path)!r}.",
            hint="Name a file in a folder that you may write to.",
        ) from error
