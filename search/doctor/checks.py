"""The checks in order, their results, and how a check is run. Called by the command ``doctor``.

A new check is a function that returns a ``CheckResult``, and an entry in ``CHECKS``. Its module is imported when the
check is run, so that a missing package fails that check alone.
"""

from __future__ import annotations

import pkgutil
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from search.errors import SearchError

if TYPE_CHECKING:
    from search.doctor.check_context import CheckContext


class CheckStatus(StrEnum):
    """Result of a check; a search runs with warnings, and not after a failure."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "fails"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What a check found.

    Args:
        status: Ok, warning or failed.
        message: What was found; several lines if it quotes a process's log.
        fix: Commands or actions that fix it, one a line; empty if there is nothing to do.
        details: The same for programs, as JSON.
    """

    status: CheckStatus = CheckStatus.OK
    message: str
    fix: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Returns the result as a plain dict; the keys are those of version 0.1.0."""
        return {"status": self.status, "found": self.message, "remedy": self.fix, "details": dict(self.details)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A check.

    Args:
        function: ``module:function``, which takes a ``CheckContext`` and returns a ``CheckResult``.
        requires: Names of the checks that must not have failed before.
    """

    function: str
    requires: tuple[str, ...] = ()


CHECKS: Mapping[str, Check] = {
    "python": Check(function="search.doctor.installation:check_python"),
    "packages": Check(function="search.doctor.installation:check_packages"),
    "names": Check(function="search.doctor.folders:check_names"),
    "extras": Check(function="search.doctor.installation:check_extras"),
    "cpu": Check(function="search.doctor.machine:check_cpu"),
    "memory": Check(function="search.doctor.machine:check_memory"),
    "studies": Check(function="search.doctor.folders:check_studies"),
    "reports": Check(function="search.doctor.folders:check_reports"),
    "data": Check(function="search.doctor.folders:check_data"),
    "engine": Check(function="search.doctor.smoke_test:check_engine"),
    "backend": Check(function="search.doctor.machine:check_backend"),
    "gpu": Check(function="search.doctor.machine:check_gpu", requires=("backend",)),
    "training": Check(function="search.doctor.smoke_test:check_training", requires=("data", "backend")),
    "workers": Check(function="search.doctor.smoke_test:check_workers", requires=("training",)),
}
"""Checks by name, in order: the quick ones first, while another process imports the backend."""


def run_check(name: str, context: CheckContext, results: Mapping[str, CheckResult]) -> CheckResult:
    """Runs one check. An error inside it becomes its result.

    Args:
        name: The check's name.
        context: What is examined.
        results: Results of the checks before it.
    """
    check = CHECKS[name]
    failed = [required for required in check.requires if results[required].status is CheckStatus.FAILED]
    if failed:
        return CheckResult(status=CheckStatus.FAILED, message=f"not run, because it needs: {', '.join(failed)}")
    try:
        result = pkgutil.resolve_name(check.function)(context)
        assert isinstance(result, CheckResult)
    except SearchError as error:
        return CheckResult(status=CheckStatus.FAILED, message=error.message, fix=error.hint)
    except ImportError as error:
        return CheckResult(status=CheckStatus.FAILED, message=str(error), fix="pip install .")
    except Exception as error:  # noqa: BLE001 - whatever is broken, the other checks must still run
        return CheckResult(
            status=CheckStatus.FAILED,
            message=f"{type(error).__name__}: {error}",
            fix="Fix the cause named here; the other checks still run.",
            details={"traceback": traceback.format_exc()},
        )
    return result


def would_run(results: Mapping[str, CheckResult]) -> bool:
    """Returns whether a search would run."""
    return all(result.status is not CheckStatus.FAILED for result in results.values())


def failed_checks(results: Mapping[str, CheckResult]) -> list[str]:
    """Returns the names of the failed checks, without those that failed because another did."""
    failed = [name for name, result in results.items() if result.status is CheckStatus.FAILED]
    return [name for name in failed if not set(CHECKS[name].requires) & set(failed)]


def format_gib(size: float) -> str:
    """Returns bytes in GiB."""
    return f"{size / 2**30:.1f} GiB"
