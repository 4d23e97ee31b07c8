"""Errors for the user.

Each message says what happened, what was expected, and ``Received: name=value``; the hint says what to do. The command
line prints it and exits with the error's exit code.
"""

from __future__ import annotations

from collections.abc import Iterable


class SearchError(Exception):
    """An error with a hint.

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
    """The input is invalid; nothing was written (exit code 2)."""

    exit_code = 2


class TrialError(SearchError):
    """One trial cannot continue; it is recorded as failed and the search continues."""


class FatalError(SearchError):
    """The study cannot continue; its record is kept (exit code 1)."""


def unknown_name(kind: str, received: str, choices: Iterable[str]) -> UserError:
    """Returns the error for a name that is not in a registry, with the nearest name that is."""
    from spaces.errors import name_hint  # once it is known that ``spaces`` is this project's

    return UserError(f"Unknown {kind}. Received: {received!r}.", hint=name_hint(received, sorted(choices)))


def install_command(extra: str) -> str:
    """Returns the command that installs an optional dependency."""
    return f"pip install '.[{extra}]'"


def missing_extra(feature: str, extra: str) -> UserError:
    """Returns the error for an optional dependency that is not installed, with the command that installs it."""
    return UserError(f"{feature} needs an optional dependency.", hint=f"Install it with: {install_command(extra)}")
