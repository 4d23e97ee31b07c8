"""The checks in order, and how one is made. A new check is a function that returns a Finding, and an entry here.

A check's module is imported when the check is made, so that a package that is missing fails that check alone.
"""

from __future__ import annotations

import pkgutil
import traceback
from collections.abc import Mapping
from dataclasses import dataclass

from search.doctor.finding import Finding, Status
from search.doctor.subject import Subject
from search.errors import SearchError


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A check.

    Args:
        function: Where it is: ``module:function``, from a Subject to a Finding.
        needs: The checks that must not have failed.
    """

    function: str
    needs: tuple[str, ...] = ()


CHECKS: Mapping[str, Check] = {
    "python": Check(function="search.doctor.installation:check_python"),
    "packages": Check(function="search.doctor.installation:check_packages"),
    "extras": Check(function="search.doctor.installation:check_extras"),
    "cpu": Check(function="search.doctor.machine:check_cpu"),
    "memory": Check(function="search.doctor.machine:check_memory"),
    "studies": Check(function="search.doctor.folders:check_studies"),
    "reports": Check(function="search.doctor.folders:check_reports"),
    "data": Check(function="search.doctor.folders:check_data"),
    "engine": Check(function="search.doctor.proof:check_engine"),
    "backend": Check(function="search.doctor.machine:check_backend"),
    "gpu": Check(function="search.doctor.gpu:check_gpu", needs=("backend",)),
    "training": Check(function="search.doctor.proof:check_training", needs=("data", "backend")),
    "workers": Check(function="search.doctor.proof:check_workers", needs=("training",)),
}
"""Checks by name, in order: the quick ones first, while a process of its own imports the backend."""


def examine(name: str, subject: Subject, done: Mapping[str, Finding]) -> Finding:
    """Makes one check; never raises: what a check raises is what it found.

    Args:
        name: The check's.
        subject: What is examined.
        done: The findings so far.
    """
    check = CHECKS[name]
    failed = [need for need in check.needs if done[need].status is Status.FAILS]
    if failed:
        return Finding(status=Status.FAILS, found=f"not tried, for want of: {', '.join(failed)}")
    try:
        finding = pkgutil.resolve_name(check.function)(subject)
        assert isinstance(finding, Finding)
    except SearchError as error:
        return Finding(status=Status.FAILS, found=error.message, remedy=error.hint)
    except ImportError as error:
        return Finding(status=Status.FAILS, found=str(error), remedy="pip install .")
    except Exception as error:  # noqa: BLE001 - whatever is broken here, the other checks must still be made
        return Finding(
            status=Status.FAILS,
            found=f"{type(error).__name__}: {error}",
            remedy="Mend what this names; the rest is checked all the same.",
            details={"traceback": traceback.format_exc()},
        )
    return finding


def would_run(findings: Mapping[str, Finding]) -> bool:
    """Says whether a search would run."""
    return all(finding.status is not Status.FAILS for finding in findings.values())


def to_mend(findings: Mapping[str, Finding]) -> list[str]:
    """Returns the checks that failed by themselves, and not for want of another."""
    failed = [name for name, finding in findings.items() if finding.status is Status.FAILS]
    return [name for name in failed if not set(CHECKS[name].needs) & set(failed)]
