"""The checks in order, and how one is made. A new check is a function that returns a Finding, and an entry here.

A check's module is imported when the check is made, so that a package that is missing fails that check alone.
"""

from __future__ import annotations

import pkgutil
import traceback
from collections.abc import Mapping
from dataclasses import dataclass

from search.doctor.check_context import CheckContext
from search.doctor.check_result import CheckResult, CheckStatus
from search.errors import SearchError


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A check.

    Args:
        function: Where it is: ``module:function``, from a Subject to a Finding.
        requires: The checks that must not have failed.
    """

    function: str
    requires: tuple[str, ...] = ()


CHECKS: Mapping[str, Check] = {
    "python": Check(function="search.doctor.installation:check_python"),
    "packages": Check(function="search.doctor.installation:check_packages"),
    "extras": Check(function="search.doctor.installation:check_extras"),
    "cpu": Check(function="search.doctor.machine:check_cpu"),
    "memory": Check(function="search.doctor.machine:check_memory"),
    "studies": Check(function="search.doctor.folders:check_studies"),
    "reports": Check(function="search.doctor.folders:check_reports"),
    "data": Check(function="search.doctor.folders:check_data"),
    "engine": Check(function="search.doctor.smoke_test:check_engine"),
    "backend": Check(function="search.doctor.machine:check_backend"),
    "gpu": Check(function="search.doctor.gpu:check_gpu", requires=("backend",)),
    "training": Check(function="search.doctor.smoke_test:check_training", requires=("data", "backend")),
    "workers": Check(function="search.doctor.smoke_test:check_workers", requires=("training",)),
}
"""Checks by name, in order: the quick ones first, while a process of its own imports the backend."""


def run_check(name: str, context: CheckContext, results: Mapping[str, CheckResult]) -> CheckResult:
    """Makes one check; never raises: what a check raises is what it found.

    Args:
        name: The check's.
        context: What is examined.
        results: The findings so far.
    """
    check = CHECKS[name]
    failed = [required for required in check.requires if results[required].status is CheckStatus.FAILED]
    if failed:
        return CheckResult(status=CheckStatus.FAILED, message=f"not tried, for want of: {', '.join(failed)}")
    try:
        result = pkgutil.resolve_name(check.function)(context)
        assert isinstance(result, CheckResult)
    except SearchError as error:
        return CheckResult(status=CheckStatus.FAILED, message=error.message, fix=error.hint)
    except ImportError as error:
        return CheckResult(status=CheckStatus.FAILED, message=str(error), fix="pip install .")
    except Exception as error:  # noqa: BLE001 - whatever is broken here, the other checks must still be made
        return CheckResult(
            status=CheckStatus.FAILED,
            message=f"{type(error).__name__}: {error}",
            fix="Mend what this names; the rest is checked all the same.",
            details={"traceback": traceback.format_exc()},
        )
    return result


def would_run(results: Mapping[str, CheckResult]) -> bool:
    """Says whether a search would run."""
    return all(result.status is not CheckStatus.FAILED for result in results.values())


def failed_checks(results: Mapping[str, CheckResult]) -> list[str]:
    """Returns the checks that failed by themselves, and not for want of another."""
    failed = [name for name, result in results.items() if result.status is CheckStatus.FAILED]
    return [name for name in failed if not set(CHECKS[name].requires) & set(failed)]
