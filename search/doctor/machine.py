"""The machine and the backend: processor, memory, and whether Keras can be imported on it."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import asdict

import psutil

from search.cgroup import available_memory, cpu_quota, memory_limit
from search.doctor.finding import Finding, Status, gib
from search.doctor.subject import Subject
from search.errors import FatalError
from search.training.runtime import WORKER_BYTES, cores, machine


def check_cpu(_: Subject) -> Finding:
    """The processor, and how many of its cores a search may use."""
    name, usable, quota = machine()["processor"], cores(), cpu_quota()
    found = f"{name}, {usable} of {psutil.cpu_count()} cores usable"
    details = {"name": name, "cores": psutil.cpu_count(), "usable_cores": usable, "quota_cores": quota}
    granted = f"; this container is granted the time of {quota:g}" if quota is not None else ""
    return Finding(found=f"{found}{granted}", details=details)


def check_memory(_: Subject) -> Finding:
    """The memory, and how much of it is free to be taken."""
    total, limit, available = psutil.virtual_memory().total, memory_limit(), available_memory()
    limited = f", {gib(limit)} granted to this container" if limit is not None and limit < total else ""
    found = f"{gib(total)}{limited}, {gib(available)} available"
    details = {"total_bytes": total, "limit_bytes": limit, "available_bytes": available}
    if available >= WORKER_BYTES:
        return Finding(found=found, details=details)
    return Finding(
        status=Status.WARNING,
        found=f"{found}; one worker takes about {gib(WORKER_BYTES)}",
        remedy="End other programs, or grant the container more.",
        details=details,
    )


def check_backend(subject: Subject) -> Finding:
    """The backend: installed, importable, and named alike by option and environment."""
    backend, variable = subject.settings.keras_backend, os.environ.get("KERAS_BACKEND", "")
    if importlib.util.find_spec(backend) is None:
        return Finding(status=Status.FAILS, found=f"{backend} is not installed", remedy=f"pip install {backend}")
    try:
        subject.devices = subject.probe.answer()
    except FatalError as error:
        return Finding(
            status=Status.FAILS,
            found=f"{backend} cannot be imported. {error.message}",
            remedy=f"pip install --force-reinstall {backend} keras",
        )
    found = subject.devices
    imported = " on ".join(f"{name} {version}" for name, version in found.versions.items() if name != "python")
    imported = f"{imported}, imported in {found.seconds:.1f} s"
    details = {"backend": backend, "KERAS_BACKEND": variable or None, **asdict(found)}
    if variable in ("", backend):
        return Finding(found=imported, details=details)
    return Finding(
        status=Status.WARNING,
        found=f"{imported}; KERAS_BACKEND={variable} is set, and --backend overrules it",
        remedy=f"unset KERAS_BACKEND, or search with --backend {variable}",
        details=details,
    )
