"""Atomic writing: a file is replaced as a whole, so that a reader never sees half of it.

Called wherever a file is written that another process may read or that a crash must not damage.
"""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from search.errors import FatalError, UserError


@contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """Yields the path of a draft, which replaces ``path`` at the end and is deleted on an error.

    Makes the folder of ``path`` if needed. The draft has the name of ``path``, in a temporary folder beside it.

    Raises:
        OSError: The folder or the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".draft-") as folder:
        draft = Path(folder) / path.name
        yield draft
        draft.replace(path)


def write_atomic(path: Path, content: str | bytes, *, what: str = "report") -> None:
    """Writes a file as a whole or not at all; makes its folder if needed.

    Args:
        path: The file.
        content: Text is encoded as UTF-8.
        what: Name of the content in error messages.

    Raises:
        UserError: The file cannot be written.
        FatalError: The disk is full.
    """
    try:
        with draft_of(path) as draft:
            draft.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise FatalError(
                f"The {what} cannot be written: {error.strerror}. Received: {str(path)!r}.",
                hint="Free some space, or name another place, and run the same command again; the record is kept.",
            ) from error
        raise UserError(
            f"The {what} cannot be written: {error.strerror}. Received: {str(path)!r}.",
            hint="Name a file in a folder that you may write to.",
        ) from error
