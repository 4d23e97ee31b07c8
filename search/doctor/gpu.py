"""The GPUs: those of the machine, and those that the backend finds."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import asdict, dataclass

from search.doctor.check_context import CheckContext
from search.doctor.check_result import CheckResult, CheckStatus, format_gib
from search.errors import install_command
from search.training.devices import CUDA_EXTRA, usable_gpus, visible_gpus
from search.training.runtime import Backend


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuInfo:
    """An NVIDIA device as its driver describes it.

    Args:
        name: Its name.
        memory_mib: Memory in MiB, or None where the driver does not say.
        free_mib: How much of it is free.
    """

    name: str
    memory_mib: int | None
    free_mib: int | None

    def describe(self) -> str:
        """Returns it in words."""
        if self.memory_mib is None or self.free_mib is None:
            return self.name
        return f"{self.name}, {format_gib(self.memory_mib * 2**20)}, {format_gib(self.free_mib * 2**20)} free"


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuInventory:
    """The GPUs as each sees them.

    Args:
        devices: NVIDIA devices of the machine.
        usable: Those that the backend's installation could use.
        cards: Those that the driver knows.
        by_backend: The names of those that the backend finds.
    """

    devices: int
    usable: int
    cards: tuple[GpuInfo, ...]
    by_backend: tuple[str, ...]


def parse_gpu_table(table: str) -> tuple[GpuInfo, ...]:
    """Returns the devices in what ``nvidia-smi`` prints: a line each, name, memory and free memory in MiB."""
    rows = [[word.strip() for word in line.rsplit(",", 2)] for line in table.splitlines() if line.count(",") >= 2]
    return tuple(GpuInfo(name=name, memory_mib=_number(memory), free_mib=_number(free)) for name, memory, free in rows)


def _number(text: str) -> int | None:
    """Returns a number; the driver writes [N/A] where a device has no memory of its own."""
    return int(text) if text.isdigit() else None


def _cards() -> tuple[GpuInfo, ...]:
    """Returns the NVIDIA devices that the driver knows; none where there is no driver."""
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


def check_gpu(context: CheckContext) -> CheckResult:
    """The GPUs: those of the machine, and those that the backend finds."""
    assert context.devices is not None, "this check needs the backend"
    backend = Backend(context.settings.keras_backend)
    inventory = GpuInventory(
        devices=len(visible_gpus()),
        usable=len(usable_gpus(backend)),
        cards=_cards(),
        by_backend=context.devices.gpus,
    )
    return evaluate_gpus(inventory, backend)


def evaluate_gpus(inventory: GpuInventory, backend: Backend) -> CheckResult:
    """Returns what is to be said of the GPUs; to have none is no fault, to have one that idles is."""
    details = asdict(inventory)
    if not inventory.devices and not inventory.by_backend:
        return CheckResult(message="none; searches run on the CPU", details=details)
    described = [card.describe() for card in inventory.cards] or list(inventory.by_backend)
    names = "; ".join(described) or f"{inventory.devices} NVIDIA device{'s' if inventory.devices > 1 else ''}"
    if inventory.usable and inventory.by_backend:
        return CheckResult(message=f"{names}; {backend} finds {len(inventory.by_backend)}", details=details)
    if inventory.usable:
        reason, fix = f"{backend} finds none", "See that nvidia-smi works and CUDA_VISIBLE_DEVICES hides none."
    else:
        reason = f"{backend} is installed without what uses them, so searches run on the CPU"
        fix = install_command(CUDA_EXTRA[backend])
    return CheckResult(status=CheckStatus.WARNING, message=f"{names}; {reason}", fix=fix, details=details)
