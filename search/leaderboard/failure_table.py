"""Causes: why trials failed or were interrupted, a line each, with what was taken up again.

Cells of text for the renderers, which lay them out and escape them. Knows no output format.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from search.leaderboard import formatting
from search.records.failures import FailedTrial, FailureGroup
from search.trial import Phase

SECTION_TITLE = "Failed and interrupted"
UNKNOWN_CAUSE = "not recorded"
MAX_LISTED_TRIALS = 6
"""Trials that a line names, the last ones; JSON names all of them."""


@dataclass(frozen=True, slots=True)
class FailureColumn:
    """One column.

    Args:
        header: Its name.
        cell: What it says of a cause.
        align: Which side it is set to.
        wraps: Whether its cells may be broken; the others hold a figure or few words.
    """

    header: str
    cell: Callable[[FailureGroup], str]
    align: Literal["left", "right"] = "left"
    wraps: bool = False


def _cause(failure: FailureGroup) -> str:
    return failure.cause.value if failure.cause else UNKNOWN_CAUSE


def _trials(failure: FailureGroup) -> str:
    """Returns "#5, #10 (again: #14), verification #2"; the last ones where there are many."""
    more = len(failure.trials) - MAX_LISTED_TRIALS
    named = ", ".join(map(_trial, failure.trials[-MAX_LISTED_TRIALS:]))
    return f"{more} more, {named}" if more > 0 else named


def _trial(trial: FailedTrial) -> str:
    name = f"#{trial.number}" if trial.phase is Phase.SEARCH else f"{trial.phase.value} #{trial.number}"
    return name if trial.continued_by is None else f"{name} (again: #{trial.continued_by})"


def _message(failure: FailureGroup) -> str:
    """Returns the last message, unless it only repeats the cause."""
    return "" if failure.message == _cause(failure) else formatting.one_line(failure.message)


_STUDY = FailureColumn("Study", lambda failure: formatting.one_line(failure.study), wraps=True)
_COLUMNS = (
    FailureColumn("Cause", _cause),
    FailureColumn("Ended", lambda failure: failure.state.value),
    FailureColumn("Count", lambda failure: str(len(failure.trials)), align="right"),
    _STUDY,
    FailureColumn("Trials", _trials, wraps=True),
    FailureColumn("Last message", _message, wraps=True),
)


def failure_title(failure: FailureGroup) -> str:
    """Returns "failed: out of memory"."""
    return f"{failure.state.value}: {_cause(failure)}"


def visible_columns(failures: Sequence[FailureGroup]) -> list[FailureColumn]:
    """Returns the columns that say something; the study's name does where there are several."""
    several = len({failure.study for failure in failures}) > 1
    return [column for column in _COLUMNS if any(map(column.cell, failures)) and (several or column is not _STUDY)]
