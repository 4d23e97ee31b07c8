"""The one error of the spaces: a space, or what narrows it, cannot be used as given.

Apart from ``search.errors``, which the spaces do not know; the command line turns it into a ``UserError``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SpaceError(ValueError):
    """A space cannot be found, loaded or narrowed as asked; the text says why and how to mend it."""


def unknown_name_error(message: str, received: str, valid_names: Iterable[str]) -> SpaceError:
    """Returns the error for a name that is not known, naming the nearest one that is."""
    names = list(valid_names)
    nearest = difflib.get_close_matches(received, names, n=1)
    suggestion = f" Did you mean {nearest[0]!r}?" if nearest else ""
    return SpaceError(f"{message} Received: {received!r}.{suggestion} Known: {', '.join(names)}.")
