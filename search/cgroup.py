"""What control groups grant this process: the limits of a container, of both versions of the interface.

psutil and the standard library count the cores and the memory of the whole machine. Source: kernel documentation,
admin-guide/cgroup-v2 (``cpu.max``, ``memory.max``) and cgroup-v1 (``cpu.cfs_quota_us``, ``memory.limit_in_bytes``).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
NO_LIMIT = 2**60
"""Bytes above which version 1 means that there is no limit."""


def cpu_quota(root: Path = ROOT, own: Path = OWN) -> float | None:
    """Returns how many cores' worth of time this process may use; None where nothing limits it."""
    return min(filter(None, map(_cores, _folders("cpu", root, own))), default=None)


def memory_limit(root: Path = ROOT, own: Path = OWN) -> int | None:
    """Returns how many bytes of memory this process and those around it may use; None where nothing limits them."""
    return min(filter(None, map(_bytes, _folders("memory", root, own))), default=None)


def available_memory() -> int:
    """Returns how many bytes can be taken now, within the container's limit."""
    available = int(psutil.virtual_memory().available)
    return min(available, memory_limit() or available)


def _folders(controller: str, root: Path, own: Path) -> Iterator[Path]:
    """Yields this process's groups and those above them, each of which limits it."""
    for line in _read(own).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = root / controller if controllers else root  # version 2 has one tree and names no controller
        group = top / path.strip("/")
        yield group
        yield from (parent for parent in group.parents if parent.is_relative_to(top))


def _cores(folder: Path) -> float | None:
    words = _read(folder / "cpu.max").split()
    if not words:
        words = [_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")]
    quota, period = words
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None  # "max", or -1: no limit


def _bytes(folder: Path) -> int | None:
    text = _read(folder / "memory.max") or _read(folder / "memory.limit_in_bytes")
    return int(text) if text.isdigit() and int(text) < NO_LIMIT else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:  # another version, another system, or a group that this process cannot see
        return ""
