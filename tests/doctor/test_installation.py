"""What is said of packages and extras: pure functions on requirements, and the real metadata."""

from __future__ import annotations

import importlib.metadata

from packaging.requirements import Requirement

from search.doctor.check_result import CheckStatus
from search.doctor.installation import (
    PROJECT,
    check_requirements,
    evaluate_extras,
    evaluate_packages,
    installed_version,
    requirements,
)

THERE = {"optuna": "4.9.1", "numpy": "2.4.6", "keras": "4.0.0rc1"}
WANTED = [Requirement("optuna>=5,<6"), Requirement("numpy>=2.0,<3"), Requirement("tabulate>=0.9,<1")]


def test_all_within_their_ranges() -> None:
    finding = evaluate_packages(check_requirements(WANTED[1:2], THERE.get))
    assert (finding.status, finding.message, finding.fix) == (
        CheckStatus.OK,
        "1 of 1 within their ranges; numpy 2.4.6",
        "",
    )


def test_another_version_is_a_warning_with_the_command_that_mends_it() -> None:
    finding = evaluate_packages(check_requirements(WANTED[:2], THERE.get))
    assert finding.status is CheckStatus.WARNING
    assert "1 of 2" in finding.message
    assert "optuna 4.9.1 is not <6,>=5" in finding.message
    assert finding.fix == "pip install 'optuna<6,>=5'"


def test_a_missing_package_fails() -> None:
    finding = evaluate_packages(check_requirements(WANTED, THERE.get))
    assert finding.status is CheckStatus.FAILED
    assert "missing: tabulate" in finding.message
    assert finding.fix == "pip install 'tabulate<1,>=0.9' 'optuna<6,>=5'"
    assert finding.details["tabulate"] == {"name": "tabulate", "required": "<1,>=0.9", "installed": None}


def test_a_candidate_of_an_allowed_version_is_allowed() -> None:
    assert evaluate_packages(check_requirements([Requirement("keras>=3.15")], THERE.get)).status is CheckStatus.OK


def test_a_missing_extra_is_no_fault_and_shows_its_command() -> None:
    extras = {"gp": [Requirement("torch>=2.4")], "arena": [Requirement("numpy>=2")], "old": [Requirement("optuna>=5")]}
    finding = evaluate_extras({name: check_requirements(needed, THERE.get) for name, needed in extras.items()})
    assert finding.status is CheckStatus.OK
    assert finding.message.startswith("arena; not installed")
    assert finding.fix.splitlines() == ["pip install '.[gp]'", "pip install '.[old]'"]
    assert [finding.details[name]["installed"] for name in extras] == [False, True, False]


def test_what_this_project_requires_by_itself_and_for_an_extra() -> None:
    names = {requirement.name for requirement in requirements(PROJECT)}
    assert {"tensorflow", "keras", "optuna"} <= names
    assert not names & {"torch", "ruff"}
    assert [requirement.name for requirement in requirements(PROJECT, "gp")] == ["torch"]


def test_the_extra_of_a_required_package_is_looked_through() -> None:
    requirement, *_ = requirements(PROJECT, "cuda")
    packages = check_requirements([requirement])
    assert packages[0].name == "tensorflow[and-cuda]"
    assert any(package.name.startswith("nvidia-") for package in packages[1:])


def test_a_package_that_is_not_there_has_no_version() -> None:
    assert installed_version("numpy") == importlib.metadata.version("numpy")
    assert installed_version("no-such-package-of-this-name") is None
