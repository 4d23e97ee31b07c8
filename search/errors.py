"""The errors a person can act on.

Each says what happened, what was expected, ``Received: name=value``, and how to mend it. The command line turns them
into one message and an exit code; nothing else in the package prints an error.
"""

from __future__ import annotations

from collections.abc import Iterable

from spaces.errors import name_hint


class SearchError(Exception):
    """An error with a remedy.

    Args:
        message: What happened, what was expected and what was received.
        hint: What to do about it; shown on a line of its own.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class UserError(SearchError):
    """The input cannot be used as given; nothing was written (exit code 2)."""

    exit_code = 2


class TrialError(SearchError):
    """One trial cannot go on; it is recorded as failed and the search continues."""


class FatalError(SearchError):
    """The study cannot go on; what was found so far is kept (exit code 1)."""


def unknown_name(kind: str, received: str, choices: Iterable[str]) -> UserError:
    """Returns the error for a name that is not in a registry, naming the nearest one that is."""
    return UserError(f"Unknown {kind}. Received: {received!r}.", hint=name_hint(received, sorted(choices)))


def install_command(extra: str) -> str:
    """Returns the command that installs an optional dependency."""
    return f"pip install '.[{extra}]'"


def missing_extra(feature: str, extra: str) -> UserError:
    """Returns the error for an optional dependency that is not installed, with the command that installs it."""
    return UserError(f"{feature} needs an optional dependency.", hint=f"Install it with: {install_command(extra)}")
