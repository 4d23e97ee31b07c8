"""Goals: conditions that end a search (``--stop-when``).

They are computed from the errors of the search's trials in the order of their ends, so that a resumed study knows
whether its goal is reached. Called by ``search.session``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from search.errors import UserError
from search.records.record import StudyHeader, StudyRecord
from search.trial import Outcome, Phase, State

Errors = Sequence[float | None]
"""The validation error of each search trial that was not interrupted, in percent; None unless it is complete."""

_ERROR = re.compile(r"error\s*<\s*(\d+(?:\.\d*)?|\.\d+)\s*%?")
_PLATEAU = re.compile(r"plateau\s*:\s*(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorBelow:
    """The best complete trial's validation error is below a value.

    Args:
        percent: The value, positive.
    """

    percent: float

    def reason(self, errors: Errors) -> str | None:
        """Returns why the search may end, or None."""
        best = min(_present(errors), default=None)
        if best is None or best >= self.percent:
            return None
        return f"the best validation error, {best:.2f} %, is below {self.percent:g} %"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plateau:
    """The last trials did not improve the best validation error.

    Args:
        trials: How many trials, at least 1; pruned, paused and failed trials included.
    """

    trials: int

    def reason(self, errors: Errors) -> str | None:
        """Returns why the search may end, or None; also None without a complete trial."""
        best = min(_present(errors[: -self.trials]), default=None)
        if best is None or min(_present(errors[-self.trials :]), default=best) < best:
            return None
        return f"the best validation error, {best:.2f} %, was not improved in the last {self.trials} trials"


Goal = ErrorBelow | Plateau


def parse(text: str) -> Goal:
    """Returns the goal that a text such as ``error<0.6`` or ``plateau:20`` names.

    Raises:
        UserError: The text is no goal.
    """
    if (match := _ERROR.fullmatch(text.strip())) and float(match[1]) > 0:
        return ErrorBelow(percent=float(match[1]))
    if (match := _PLATEAU.fullmatch(text.strip())) and int(match[1]) > 0:
        return Plateau(trials=int(match[1]))
    raise UserError(
        f"A goal is error<PERCENT, more than 0, or plateau:TRIALS, at least 1. Received: --stop-when {text!r}.",
        hint='Such as --stop-when "error<0.6" (in quotes, because of the shell) or --stop-when plateau:20.',
    )


def reason(goals: Iterable[Goal], errors: Errors) -> str | None:
    """Returns the reason of the first goal that is reached, or None."""
    return next((text for goal in goals if (text := goal.reason(errors)) is not None), None)


def final_errors(record: StudyRecord) -> list[float | None]:
    """Returns the errors of the recorded search trials in the order of their ends."""
    outcomes = [trial.outcome for trial in record.trials_in_phase(Phase.SEARCH) if trial.outcome is not None]
    final = sorted(
        filter(lambda outcome: outcome.is_final, outcomes), key=lambda outcome: outcome.elapsed_seconds or 0.0
    )
    return [complete_error(record.header, outcome) for outcome in final]


def complete_error(header: StudyHeader, outcome: Outcome) -> float | None:
    """Returns the error of a complete trial that may be chosen, in percent; None for any other."""
    may_be_chosen = outcome.state is State.COMPLETE and header.may_choose(outcome.parameter_count)
    return outcome.error_percent if may_be_chosen else None


def _present(errors: Errors) -> list[float]:
    return [error for error in errors if error is not None]
