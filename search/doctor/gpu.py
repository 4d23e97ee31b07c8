"""The GPUs: those of the machine, and those that the backend finds."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import asdict, dataclass

from search.doctor.finding import Finding, Status, gib
from search.doctor.subject import Subject
from search.errors import install_command
from search.training.devices import CUDA_EXTRA, usable_gpus, visible_gpus
from search.training.runtime import Backend


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
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
        return f"{self.name}, {gib(self.memory_mib * 2**20)}, {gib(self.free_mib * 2**20)} free"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The GPUs as each sees them.

    Args:
        devices: NVIDIA devices of the machine.
        usable: Those that the backend's installation could use.
        cards: Those that the driver knows.
        by_backend: The names of those that the backend finds.
    """

    devices: int
    usable: int
    cards: tuple[Card, ...]
    by_backend: tuple[str, ...]


def read_cards(table: str) -> tuple[Card, ...]:
    """Returns the devices in what ``nvidia-smi`` prints: a line each, name, memory and free memory in MiB."""
    rows = [[word.strip() for word in line.rsplit(",", 2)] for line in table.splitlines() if line.count(",") >= 2]
    return tuple(Card(name=name, memory_mib=_number(memory), free_mib=_number(free)) for name, memory, free in rows)


def _number(text: str) -> int | None:
    """Returns a number; the driver writes [N/A] where a device has no memory of its own."""
    return int(text) if text.isdigit() else None


def _cards() -> tuple[Card, ...]:
    """Returns the NVIDIA devices that the driver knows; none where there is no driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    query = [program, "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, encoding="utf-8", errors="replace", timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return read_cards(done.stdout)


def check_gpu(subject: Subject) -> Finding:
    """The GPUs: those of the machine, and those that the backend finds."""
    assert subject.devices is not None, "this check needs the backend"
    backend = Backend(subject.settings.keras_backend)
    seen = Seen(
        devices=len(visible_gpus()),
        usable=len(usable_gpus(backend)),
        cards=_cards(),
        by_backend=subject.devices.gpus,
    )
    return judge(seen, backend)


def judge(seen: Seen, backend: Backend) -> Finding:
    """Returns what is to be said of the GPUs; to have none is no fault, to have one that idles is."""
    details = asdict(seen)
    if not seen.devices and not seen.by_backend:
        return Finding(found="none; searches run on the CPU", details=details)
    described = [card.describe() for card in seen.cards] or list(seen.by_backend)
    names = "; ".join(described) or f"{seen.devices} NVIDIA device{'s' if seen.devices > 1 else ''}"
    if seen.usable and seen.by_backend:
        return Finding(found=f"{names}; {backend} finds {len(seen.by_backend)}", details=details)
    if seen.usable:
        reason, remedy = f"{backend} finds none", "See that nvidia-smi works and CUDA_VISIBLE_DEVICES hides none."
    else:
        reason = f"{backend} is installed without what uses them, so searches run on the CPU"
        remedy = install_command(CUDA_EXTRA[backend])
    return Finding(status=Status.WARNING, found=f"{names}; {reason}", remedy=remedy, details=details)
