"""The error of the spaces, and the hint for a misspelt name.

The spaces do not import ``search.errors``; their callers turn a ``SpaceError`` into a ``UserError``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

MAX_LISTED_NAMES = 12
"""Valid names that are listed beside a similar one."""


class SpaceError(ValueError):
    """A space cannot be found, loaded or restricted as asked."""


def name_hint(received: str, valid_names: Sequence[str]) -> str:
    """Returns a hint with the most similar valid name, if there is one, and all valid names unless they are many."""
    letters = received.strip("-")
    nearest = [name for name in valid_names if letters and _initials(name) == letters]  # --lr is no misspelt --layers
    nearest = nearest or difflib.get_close_matches(received, valid_names, n=1)
    if nearest and len(valid_names) > MAX_LISTED_NAMES:
        return f"Did you mean {nearest[0]!r}?"
    suggestion = f"Did you mean {nearest[0]!r}? " if nearest else ""
    return f"{suggestion}Known: {', '.join(valid_names)}."


def _initials(name: str) -> str:
    return "".join(word[0] for word in re.split("[-_]", name) if word)
