"""The machine and the backend: processor, memory, and whether Keras can be imported on it."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import asdict

import psutil

from search.doctor.check_context import CheckContext
from search.doctor.check_result import CheckResult, CheckStatus, format_gib
from search.errors import FatalError
from search.training.cgroup import available_memory, cpu_quota, memory_limit
from search.training.runtime import WORKER_MEMORY_BYTES, machine_info, usable_cores


def check_cpu(_: CheckContext) -> CheckResult:
    """The processor, and how many of its cores a search may use."""
    name, usable, quota = machine_info()["processor"], usable_cores(), cpu_quota()
    message = f"{name}, {usable} of {psutil.cpu_count()} cores usable"
    details = {"name": name, "cores": psutil.cpu_count(), "usable_cores": usable, "quota_cores": quota}
    granted = f"; this container is granted the time of {quota:g}" if quota is not None else ""
    return CheckResult(message=f"{message}{granted}", details=details)


def check_memory(_: CheckContext) -> CheckResult:
    """The memory, and how much of it is free to be taken."""
    total, limit, available = psutil.virtual_memory().total, memory_limit(), available_memory()
    limited = f", {format_gib(limit)} granted to this container" if limit is not None and limit < total else ""
    message = f"{format_gib(total)}{limited}, {format_gib(available)} available"
    details = {"total_bytes": total, "limit_bytes": limit, "available_bytes": available}
    if available >= WORKER_MEMORY_BYTES:
        return CheckResult(message=message, details=details)
    return CheckResult(
        status=CheckStatus.WARNING,
        message=f"{message}; one worker takes about {format_gib(WORKER_MEMORY_BYTES)}",
        fix="End other programs, or grant the container more.",
        details=details,
    )


def check_backend(context: CheckContext) -> CheckResult:
    """The backend: installed, importable, and named alike by option and environment."""
    backend, variable = context.settings.keras_backend, os.environ.get("KERAS_BACKEND", "")
    if importlib.util.find_spec(backend) is None:
        return CheckResult(
            status=CheckStatus.FAILED, message=f"{backend} is not installed", fix=f"pip install {backend}"
        )
    try:
        context.devices = context.probe.wait()
    except FatalError as error:
        return CheckResult(
            status=CheckStatus.FAILED,
            message=f"{backend} cannot be imported. {error.message}",
            fix=f"pip install --force-reinstall {backend} keras",
        )
    devices = context.devices
    imported = " on ".join(f"{name} {version}" for name, version in devices.versions.items() if name != "python")
    imported = f"{imported}, imported in {devices.import_seconds:.1f} s"
    details = {"backend": backend, "KERAS_BACKEND": variable or None, **asdict(devices)}
    if variable in ("", backend):
        return CheckResult(message=imported, details=details)
    return CheckResult(
        status=CheckStatus.WARNING,
        message=f"{imported}; KERAS_BACKEND={variable} is set, and --backend overrules it",
        fix=f"unset KERAS_BACKEND, or search with --backend {variable}",
        details=details,
    )
