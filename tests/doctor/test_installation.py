"""Packages and extras: pure functions on requirements, and the real metadata."""

from __future__ import annotations

import importlib.metadata

from packaging.requirements import Requirement

from search.doctor.checks import CheckStatus
from search.doctor.installation import (
    PROJECT,
    check_requirements,
    evaluate_extras,
    evaluate_packages,
    installed_version,
    requirements,
)

INSTALLED = {"optuna": "4.9.1", "numpy": "2.4.6", "keras": "4.0.0rc1"}
REQUIRED = [Requirement("optuna>=5,<6"), Requirement("numpy>=2.0,<3"), Requirement("tabulate>=0.9,<1")]


def test_all_within_their_ranges() -> None:
    result = evaluate_packages(check_requirements(REQUIRED[1:2], INSTALLED.get))
    assert (result.status, result.message, result.fix) == (
        CheckStatus.OK,
        "1 of 1 within their ranges; numpy 2.4.6",
        "",
    )


def test_another_version_is_a_warning_with_the_command_that_fixes_it() -> None:
    result = evaluate_packages(check_requirements(REQUIRED[:2], INSTALLED.get))
    assert result.status is CheckStatus.WARNING
    assert "1 of 2" in result.message
    assert "optuna 4.9.1 is not <6,>=5" in result.message
    assert result.fix == "pip install 'optuna<6,>=5'"


def test_a_missing_package_fails() -> None:
    result = evaluate_packages(check_requirements(REQUIRED, INSTALLED.get))
    assert result.status is CheckStatus.FAILED
    assert "missing: tabulate" in result.message
    assert result.fix == "pip install 'tabulate<1,>=0.9' 'optuna<6,>=5'"
    assert result.details["tabulate"] == {"name": "tabulate", "required": "<1,>=0.9", "installed": None}


def test_a_release_candidate_of_an_allowed_version_is_allowed() -> None:
    assert evaluate_packages(check_requirements([Requirement("keras>=3.15")], INSTALLED.get)).status is CheckStatus.OK


def test_a_missing_extra_is_ok_and_shows_its_command() -> None:
    extras = {"gp": [Requirement("torch>=2.4")], "arena": [Requirement("numpy>=2")], "old": [Requirement("optuna>=5")]}
    result = evaluate_extras({name: check_requirements(needed, INSTALLED.get) for name, needed in extras.items()})
    assert result.status is CheckStatus.OK
    assert result.message.startswith("arena; not installed")
    assert result.fix.splitlines() == ["pip install '.[gp]'", "pip install '.[old]'"]
    assert [result.details[name]["installed"] for name in extras] == [False, True, False]


def test_requirements_of_this_project_and_of_an_extra() -> None:
    names = {requirement.name for requirement in requirements(PROJECT)}
    assert {"tensorflow", "keras", "optuna"} <= names
    assert not names & {"torch", "ruff"}
    assert [requirement.name for requirement in requirements(PROJECT, "gp")] == ["torch"]


def test_the_extra_of_a_required_package_is_expanded() -> None:
    requirement, *_ = requirements(PROJECT, "cuda")
    packages = check_requirements([requirement])
    assert packages[0].name == "tensorflow[and-cuda]"
    assert any(package.name.startswith("nvidia-") for package in packages[1:])


def test_a_missing_package_has_no_version() -> None:
    assert installed_version("numpy") == importlib.metadata.version("numpy")
    assert installed_version("no-such-package-of-this-name") is None
