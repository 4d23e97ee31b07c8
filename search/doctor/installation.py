"""Checks of Python, the packages and the extras against the installed metadata.

Imports only ``packaging`` and the standard library, so that it can report any other missing package.
"""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from search.doctor.check_context import CheckContext
from search.doctor.checks import CheckResult, CheckStatus
from search.errors import install_command

PROJECT = "keras-image-search"
REPORTED_PACKAGES = ("tensorflow", "keras", "keras-tuner", "optuna", "numpy", "pandas")
"""Packages whose versions are always reported, because results depend on them."""
DEVELOPMENT_EXTRA = "dev"
"""The extra for development alone."""
NOT_INSTALLED_RESULT = CheckResult(
    status=CheckStatus.WARNING,
    message=f"{PROJECT} itself is not installed, so its requirements are not known.",
    fix="pip install .",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageStatus:
    """A required package.

    Args:
        name: Its name, with its own extras, as in ``tensorflow[and-cuda]``.
        required: Allowed versions, such as ``>=5,<6``; empty for all.
        installed: The installed version, or None.
    """

    name: str
    required: str
    installed: str | None

    @property
    def is_satisfied(self) -> bool:
        """Whether an allowed version is installed."""
        return self.installed is not None and SpecifierSet(self.required).contains(self.installed, prereleases=True)

    @property
    def requirement(self) -> str:
        """Name and versions as ``pip`` reads them."""
        return f"{self.name}{self.required}"


VersionLookup = Callable[[str], str | None]
"""Returns a package's installed version, or None."""


def installed_version(name: str) -> str | None:
    """Returns a package's installed version without importing it, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def requirements(project: str, extra: str = "") -> Iterator[Requirement]:
    """Yields the requirements of an installed project, or those that one of its extras adds."""
    for text in importlib.metadata.requires(project) or ():
        requirement = Requirement(text)
        in_base, in_extra = (
            requirement.marker is None or requirement.marker.evaluate({"extra": name}) for name in ("", extra)
        )
        if in_extra and not (extra and in_base):
            yield requirement


def check_requirements(
    required: Iterable[Requirement], installed: VersionLookup = installed_version
) -> list[PackageStatus]:
    """Returns the status of each requirement, the extras of installed packages included."""
    packages: list[PackageStatus] = []
    for requirement in required:
        version = installed(requirement.name)
        extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
        packages.append(
            PackageStatus(name=f"{requirement.name}{extras}", required=str(requirement.specifier), installed=version)
        )
        for extra in requirement.extras if version is not None else ():
            packages += check_requirements(requirements(requirement.name, extra), installed)
    return packages


def check_python(_: CheckContext) -> CheckResult:
    """Checks Python's version against the range that the project declares."""
    version, is_virtual = platform.python_version(), sys.prefix != sys.base_prefix
    required = importlib.metadata.metadata(PROJECT)["Requires-Python"] if installed_version(PROJECT) else ""
    where = f"virtual environment {sys.prefix}" if is_virtual else "no virtual environment"
    message = f"{version}, {where}; {platform.system()} {platform.machine()}"
    details = {
        "version": version,
        "required": required,
        "system": platform.platform(),
        "executable": sys.executable,
        "virtual_environment": sys.prefix if is_virtual else None,
    }
    if SpecifierSet(required).contains(version, prereleases=True):
        return CheckResult(message=message, details=details)
    return CheckResult(
        status=CheckStatus.WARNING,
        message=f"{message}; Python {required} is required",
        fix="Make a new environment with such a Python: python3.X -m venv .venv && .venv/bin/pip install .",
        details=details,
    )


def check_packages(_: CheckContext) -> CheckResult:
    """Checks the required packages against the ranges that the project declares."""
    if not installed_version(PROJECT):
        return NOT_INSTALLED_RESULT
    return evaluate_packages(check_requirements(requirements(PROJECT)))


def evaluate_packages(packages: list[PackageStatus]) -> CheckResult:
    """Returns the result for the required packages: a warning for another version, a failure for a missing one."""
    missing = [package for package in packages if package.installed is None]
    mismatched = [package for package in packages if package.installed is not None and not package.is_satisfied]
    parts = [f"{len(packages) - len(missing) - len(mismatched)} of {len(packages)} within their ranges"]
    if missing:
        parts.append(f"missing: {', '.join(package.name for package in missing)}")
    parts += [f"{package.name} {package.installed} is not {package.required}" for package in mismatched]
    versions = [
        f"{package.name} {package.installed}"
        for package in packages
        if package.name in REPORTED_PACKAGES and package.is_satisfied
    ]
    unsatisfied = [*missing, *mismatched]
    return CheckResult(
        status=CheckStatus.FAILED if missing else CheckStatus.WARNING if mismatched else CheckStatus.OK,
        message="; ".join([*parts, ", ".join(versions)] if versions else parts),
        fix=f"pip install {' '.join(repr(package.requirement) for package in unsatisfied)}" if unsatisfied else "",
        details={package.name: asdict(package) for package in packages},
    )


def check_extras(_: CheckContext) -> CheckResult:
    """Lists the installed extras and the command for each other one. A default search needs none."""
    if not installed_version(PROJECT):
        return NOT_INSTALLED_RESULT
    names: list[str] = importlib.metadata.metadata(PROJECT).get_all("Provides-Extra") or []
    return evaluate_extras(
        {name: check_requirements(requirements(PROJECT, name)) for name in names if name != DEVELOPMENT_EXTRA}
    )


def evaluate_extras(packages: Mapping[str, list[PackageStatus]]) -> CheckResult:
    """Returns the installed extras, and the command for each other one.

    Args:
        packages: The requirements of each extra.
    """
    present = [name for name, needed in packages.items() if all(package.is_satisfied for package in needed)]
    absent = [name for name in packages if name not in present]
    parts = [", ".join(present)] if present else []
    parts += [f"not installed, and only needed by their own options: {', '.join(absent)}"] if absent else []
    details = {
        name: {"installed": name in present, "command": install_command(name), "packages": list(map(asdict, needed))}
        for name, needed in packages.items()
    }
    return CheckResult(message="; ".join(parts), fix="\n".join(map(install_command, absent)), details=details)
