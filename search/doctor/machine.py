"""Checks of the hardware and the backend: processor, memory, import of Keras, GPUs."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from dataclasses import asdict, dataclass

import psutil

from search.doctor.check_context import CheckContext
from search.doctor.checks import CheckResult, CheckStatus, format_gib
from search.errors import FatalError, install_command
from search.training.cgroup import available_memory, cpu_quota, memory_limit
from search.training.devices import CUDA_EXTRA, count_gpus
from search.training.runtime import WORKER_MEMORY_BYTES, Backend, machine_info, usable_cores


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuInfo:
    """An NVIDIA GPU as its driver describes it.

    Args:
        name: Its name.
        memory_mib: Memory in MiB; None if the driver does not report it.
        free_mib: Free memory in MiB; None if the driver does not report it.
    """

    name: str
    memory_mib: int | None
    free_mib: int | None

    def describe(self) -> str:
        """Returns name and memory."""
        if self.memory_mib is None or self.free_mib is None:
            return self.name
        return f"{self.name}, {format_gib(self.memory_mib * 2**20)}, {format_gib(self.free_mib * 2**20)} free"


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuInventory:
    """The GPUs of the machine, as the system, the driver and the backend list them.

    Args:
        devices: Number of the GPUs that the driver makes visible to programs.
        cards: The GPUs that the driver lists.
        by_backend: Names of the GPUs that the backend finds.
    """

    devices: int
    cards: tuple[GpuInfo, ...]
    by_backend: tuple[str, ...]


def check_cpu(_: CheckContext) -> CheckResult:
    """Checks the processor and the cores that a search may use."""
    name, usable, quota = machine_info()["processor"], usable_cores(), cpu_quota()
    message = f"{name}, {usable} of {psutil.cpu_count()} cores usable"
    details = {"name": name, "cores": psutil.cpu_count(), "usable_cores": usable, "quota_cores": quota}
    granted = f"; this container is granted the time of {quota:g}" if quota is not None else ""
    return CheckResult(message=f"{message}{granted}", details=details)


def check_memory(_: CheckContext) -> CheckResult:
    """Checks the memory and how much of it is available."""
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
    """Checks that the backend is installed, can be imported, and is the one that KERAS_BACKEND names."""
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
    versions, seconds = context.devices.versions, context.devices.import_seconds
    imported = " on ".join(f"{name} {version}" for name, version in versions.items() if name != "python")
    imported = f"{imported}, imported in {seconds:.1f} s"
    if context.devices.kernels:
        imported += f"; its default kernels on this CPU: {context.devices.kernels}"
    details = {
        "backend": backend,
        "KERAS_BACKEND": variable or None,
        "versions": versions,
        "seconds": seconds,
        "gpus": context.devices.gpus,
        "kernels": context.devices.kernels,
    }
    if variable in ("", backend):
        return CheckResult(message=imported, details=details)
    return CheckResult(
        status=CheckStatus.WARNING,
        message=f"{imported}; KERAS_BACKEND={variable} is set, and --backend overrules it",
        fix=f"unset KERAS_BACKEND, or search with --backend {variable}",
        details=details,
    )


def check_gpu(context: CheckContext) -> CheckResult:
    """Checks that the backend finds the machine's GPUs."""
    assert context.devices is not None, "this check needs the backend"
    backend = Backend(context.settings.keras_backend)
    inventory = GpuInventory(
        devices=count_gpus(),
        cards=_query_driver(),
        by_backend=context.devices.gpus,
    )
    return evaluate_gpus(inventory, backend)


def evaluate_gpus(inventory: GpuInventory, backend: Backend) -> CheckResult:
    """Returns the result of an inventory: a warning for GPUs that the backend does not use."""
    details = asdict(inventory)
    if not inventory.devices and not inventory.by_backend:
        return CheckResult(message="none; searches run on the CPU", details=details)
    described = [card.describe() for card in inventory.cards] or list(inventory.by_backend)
    names = "; ".join(described) or f"{inventory.devices} GPU{'s' if inventory.devices > 1 else ''}"
    if inventory.by_backend:
        return CheckResult(message=f"{names}; {backend} finds {len(inventory.by_backend)}", details=details)
    return CheckResult(
        status=CheckStatus.WARNING,
        message=f"{names}; {backend} finds none, so searches run on the CPU",
        fix=f"{install_command(CUDA_EXTRA[backend])}\nCheck that nvidia-smi works.",
        details=details,
    )


def _query_driver() -> tuple[GpuInfo, ...]:
    """Returns the GPUs that the driver lists; none if there is no driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    query = [program, "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits"]
    try:
        completed = subprocess.run(
            query, capture_output=True, encoding="utf-8", errors="replace", timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return parse_gpu_table(completed.stdout)


def parse_gpu_table(table: str) -> tuple[GpuInfo, ...]:
    """Returns the GPUs in the output of ``nvidia-smi``: a line each, name, memory and free memory in MiB."""
    rows = [[word.strip() for word in line.rsplit(",", 2)] for line in table.splitlines() if line.count(",") >= 2]
    return tuple(GpuInfo(name=name, memory_mib=_number(memory), free_mib=_number(free)) for name, memory, free in rows)


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None  # the driver writes [N/A] for a GPU without memory of its own
