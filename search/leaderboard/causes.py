"""Causes: why trials failed or were interrupted, a line each, with what was taken up again.

Cells of text for the renderers, which lay them out and escape them. Knows no output format.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from search.leaderboard import words
from search.records.failures import Failure, Fallen
from search.trial import Phase

TITLE = "Failed and interrupted"
UNKNOWN = "not recorded"
MOST_TRIALS = 6
"""Trials that a line names, the last ones; JSON names all of them."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Args:
        header: Its name.
        cell: What it says of a cause.
        side: Which side it is set to.
        wraps: Whether its cells may be broken; the others hold a figure or few words.
    """

    header: str
    cell: Callable[[Failure], str]
    side: Literal["left", "right"] = "left"
    wraps: bool = False


def _cause(failure: Failure) -> str:
    return failure.cause.value if failure.cause else UNKNOWN


def _trials(failure: Failure) -> str:
    """Returns "#5, #10 (again: #14), verification #2"; the last ones where there are many."""
    more = len(failure.trials) - MOST_TRIALS
    named = ", ".join(map(_trial, failure.trials[-MOST_TRIALS:]))
    return f"{more} more, {named}" if more > 0 else named


def _trial(trial: Fallen) -> str:
    name = f"#{trial.number}" if trial.phase is Phase.SEARCH else f"{trial.phase.value} #{trial.number}"
    return name if trial.again is None else f"{name} (again: #{trial.again})"


def _message(failure: Failure) -> str:
    """Returns the last message, unless it only repeats the cause."""
    return "" if failure.message == _cause(failure) else words.one_line(failure.message)


_STUDY = Column("Study", lambda failure: words.one_line(failure.study), wraps=True)
_COLUMNS = (
    Column("Cause", _cause),
    Column("Ended", lambda failure: failure.state.value),
    Column("Count", lambda failure: str(len(failure.trials)), side="right"),
    _STUDY,
    Column("Trials", _trials, wraps=True),
    Column("Last message", _message, wraps=True),
)


def title(failure: Failure) -> str:
    """Returns "failed: out of memory"."""
    return f"{failure.state.value}: {_cause(failure)}"


def columns(failures: Sequence[Failure]) -> list[Column]:
    """Returns the columns that say something; the study's name does where there are several."""
    several = len({failure.study for failure in failures}) > 1
    return [column for column in _COLUMNS if any(map(column.cell, failures)) and (several or column is not _STUDY)]
