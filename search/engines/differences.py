"""Where a space does not mean quite the same to every engine; said with the space, so that nobody finds out later.

The set of configurations is the same to both (tests/engines/test_round_trip.py), and the baseline is. What differs is
how a grid takes a continuum, and how likely the values of an integer on a log scale are. Pure: knows no engine's
library. Called by ``spaces show``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from spaces.domains import Int
from spaces.space import Space

_NAMED = 3
"""So many parameters are named; the rest are counted."""


def differences(space: Space) -> Iterator[str]:
    """Yields a sentence for each difference between engines that this space shows."""
    continua = [name for name, domain in space.parameters.items() if domain.values() is None]
    logs = [name for name, domain in space.parameters.items() if isinstance(domain, Int) and domain.log]
    if continua:
        yield f"optuna:grid takes no continuum, so {_some(continua)} must be fixed for it."
    if continua or logs:
        yield f"keras-tuner:grid takes ten values of {_some([*continua, *logs])}, spread over the scale."
    if logs:
        yield (
            f"keras-tuner draws {_some(logs)} a little larger than optuna does: to it the value v owns the scale from "
            "v to v + 1, to optuna from v - 1/2 to v + 1/2."
        )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more"
