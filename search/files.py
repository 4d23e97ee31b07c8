"""Files at paths and URLs, and atomic writing: a reader or a crash never finds half a file at the final path.

Called wherever a file is written that another process may read or that a crash must not damage.
"""

from __future__ import annotations

import errno
import importlib.util
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from search.errors import FatalError, UserError, missing_extra

DISK_FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def draft_of(path: Path, *, suffix: str = ".part") -> Iterator[Path]:
    """Yields the path of a draft beside ``path``, which replaces it at the end and is deleted on an error.

    Makes the folder of ``path`` if needed.

    Args:
        path: The file; also a URL as universal-pathlib has it.
        suffix: End of the draft's name, for libraries that choose a format by it.

    Raises:
        OSError: The folder or the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}{suffix}")
    try:
        yield draft
        filesystem: Any = getattr(path, "fs", None)
        if filesystem is None:
            draft.replace(path)
        else:
            filesystem.mv(str(draft), str(path))  # universal-pathlib does not implement replace
    finally:
        draft.unlink(missing_ok=True)


def write_atomic(path: Path, content: str | bytes, *, what: str) -> None:
    """Writes a file as a whole or not at all; makes its folder if needed.

    Args:
        path: The file.
        content: Text is encoded as UTF-8.
        what: Name of the content in error messages.

    Raises:
        UserError: The file cannot be written.
        FatalError: The disk is full.
    """
    with write_errors(path, what), draft_of(path) as draft:
        draft.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def write_errors(path: Path, what: str) -> Iterator[None]:
    """Translates an ``OSError`` of writing a file.

    Args:
        path: The file.
        what: Name of the content in error messages.

    Raises:
        UserError: The file cannot be written.
        FatalError: The disk is full.
    """
    try:
        yield
    except OSError as error:
        message = f"The {what} cannot be written: {error.strerror or error}. Received: {str(path)!r}."
        if error.errno in DISK_FULL_ERRORS:
            hint = "Free some space, or name another place, and run the same command again; the record is kept."
            raise FatalError(message, hint=hint) from error
        raise UserError(message, hint="Name a file in a folder that you may write to.") from error


def as_path(location: str) -> Path:
    """Returns the path of a location: a path of this machine, or a URL that fsspec can read and write."""
    if "://" not in location:
        return Path(location)
    from upath import UPath

    return cast(Path, UPath(location))


def check_location(location: str, option: str) -> None:
    """Checks a path or URL before anything is written.

    Args:
        location: A path or a URL.
        option: The option that it was given by.

    Raises:
        UserError: It is a URL that cannot be used.
    """
    if "://" not in location:
        return
    url = urlsplit(location)
    if url.password is not None:
        raise UserError(
            f"A URL in {option} must not hold a password, which would be recorded with every trial.",
            hint=f"Give it by the environment or the configuration of {url.scheme}'s own client.",
        )
    if importlib.util.find_spec("upath") is None:
        raise missing_extra(f"A URL in {option}", "ray")
    import fsspec

    try:
        fsspec.get_filesystem_class(url.scheme)
    except (ValueError, ImportError) as error:
        raise UserError(f"{error}. Received: {option} {url.scheme}://...") from error
