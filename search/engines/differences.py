"""Where a space does not mean quite the same to every engine; said with the space, so that nobody finds out later.

The set of configurations is the same to both (tests/engines/test_round_trip.py), and the baseline is. What differs is
how a grid takes a continuum, and how likely the values of an integer on a log scale are. Pure: knows no engine's
library. Called by ``spaces show``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from spaces.domains import Int
from spaces.space import Space

_MAX_LISTED = 3
"""So many parameters are named; the rest are counted."""


def caveats(space: Space) -> Iterator[str]:
    """Yields a sentence for each difference between engines that this space shows."""
    continuous = [name for name, domain in space.parameters.items() if domain.values() is None]
    log_integers = [name for name, domain in space.parameters.items() if isinstance(domain, Int) and domain.log]
    if continuous:
        yield f"optuna:grid takes no continuum, so {_abbreviated_list(continuous)} must be fixed for it."
    if continuous or log_integers:
        yield (
            f"keras-tuner:grid takes ten values of {_abbreviated_list([*continuous, *log_integers])}, "
            "spread over the scale."
        )
    if log_integers:
        yield (
            f"keras-tuner draws {_abbreviated_list(log_integers)} a little larger than optuna does: "
            "to it the value v owns the scale from "
            "v to v + 1, to optuna from v - 1/2 to v + 1/2."
        )


def _abbreviated_list(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MAX_LISTED])
    return shown if len(names) <= _MAX_LISTED else f"{shown} and {len(names) - _MAX_LISTED} more"
