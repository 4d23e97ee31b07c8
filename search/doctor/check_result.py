"""Finding: what a check found, how bad it is, and what mends it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

_LOG_NOISE = re.compile(r"[IW]\d{4} |WARNING: All log messages before absl|To enable the following|\s*[~^]+$")


class CheckStatus(StrEnum):
    """How bad it is; a search runs with warnings, and not with what fails."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "fails"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What a check found.

    Args:
        status: How bad it is.
        message: What was found, in words; several lines where a process's last words are told.
        fix: The command or action that mends it, one a line; empty where there is nothing to do.
        details: The same for programs, as JSON.
    """

    status: CheckStatus = CheckStatus.OK
    message: str
    fix: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Returns the result as a plain dict; the keys are those of version 0.1.0."""
        return {"status": self.status, "found": self.message, "remedy": self.fix, "details": dict(self.details)}


def last_lines(text: str, *, count: int = 6) -> str:
    """Returns the end of what a process said, without TensorFlow's chatter and the marks below a traceback's lines."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip() and not _LOG_NOISE.match(line)]
    return "\n".join(lines[-count:])


def format_gib(size: float) -> str:
    """Returns bytes in GiB."""
    return f"{size / 2**30:.1f} GiB"
