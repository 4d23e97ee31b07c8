"""Places of files that trials leave: paths of this machine, or URLs that fsspec can read and write.

Called where states are written, and where they are found and deleted. universal-pathlib is imported for URLs alone.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from search.errors import UserError, missing_extra


def as_path(location: str) -> Path:
    """Returns a place as a path; of a URL, what can be used like one."""
    if "://" not in location:
        return Path(location)
    from upath import UPath

    return cast(Path, UPath(location))


def check_location(location: str, option: str) -> None:
    """Looks at a place before anything is written.

    Args:
        location: A path or a URL.
        option: By which it was given.

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
