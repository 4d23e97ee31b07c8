"""The limits of this process's control groups, such as a container's, for both versions of the interface.

psutil and the standard library report the cores and memory of the whole machine. Called by ``runtime``, vectorized
training and the doctor. Source: kernel documentation,
admin-guide/cgroup-v2 (``cpu.max``, ``memory.max``, ``memory.current``, ``memory.stat``) and cgroup-v1
(``cpu.cfs_quota_us``, ``memory.limit_in_bytes``, ``memory.usage_in_bytes``, ``memory.stat``).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil

CGROUP_ROOT = Path("/sys/fs/cgroup")
PROC_CGROUP = Path("/proc/self/cgroup")
NO_LIMIT = 2**60
"""Bytes from which on version 1 means no limit."""


def cpu_quota(root: Path = CGROUP_ROOT, proc_cgroup: Path = PROC_CGROUP) -> float | None:
    """Returns the limit of this process in cores; None without a limit."""
    return min(filter(None, map(_core_quota, _cgroup_folders("cpu", root, proc_cgroup))), default=None)


def memory_limit(root: Path = CGROUP_ROOT, proc_cgroup: Path = PROC_CGROUP) -> int | None:
    """Returns the memory limit of this process's groups in bytes; None without a limit."""
    return min(filter(None, map(_limit_bytes, _cgroup_folders("memory", root, proc_cgroup))), default=None)


def total_memory(root: Path = CGROUP_ROOT, proc_cgroup: Path = PROC_CGROUP) -> int:
    """Returns the bytes of memory that this process could have at most, by the machine and the container's limit."""
    return min(int(psutil.virtual_memory().total), memory_limit(root, proc_cgroup) or NO_LIMIT)


def available_memory(root: Path = CGROUP_ROOT, proc_cgroup: Path = PROC_CGROUP) -> int:
    """Returns the bytes of memory that are available now, by the machine and the container's limit."""
    remaining = [
        bytes_
        for folder in _cgroup_folders("memory", root, proc_cgroup)
        if (bytes_ := _available_bytes(folder)) is not None
    ]
    return min([int(psutil.virtual_memory().available), *remaining])


def _cgroup_folders(controller: str, root: Path, proc_cgroup: Path) -> Iterator[Path]:
    """Yields this process's groups and their ancestors, each of which limits it."""
    for line in _read(proc_cgroup).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = root / controller if controllers else root  # version 2 has one tree and names no controller
        group = top / path.strip("/")
        yield group
        yield from (parent for parent in group.parents if parent.is_relative_to(top))


def _core_quota(folder: Path) -> float | None:
    words = _read(folder / "cpu.max").split()
    if not words:
        words = [_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")]
    quota, period = words
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None  # "max", or -1: no limit


def _limit_bytes(folder: Path) -> int | None:
    text = _read(folder / "memory.max") or _read(folder / "memory.limit_in_bytes")
    return int(text) if text.isdigit() and int(text) < NO_LIMIT else None


def _available_bytes(folder: Path) -> int | None:
    """Returns the bytes that a group may still allocate, cached files included; None without a limit."""
    if (limit := _limit_bytes(folder)) is None:
        return None
    used = _read(folder / "memory.current") or _read(folder / "memory.usage_in_bytes") or "0"
    statistics = dict(line.split(maxsplit=1) for line in _read(folder / "memory.stat").splitlines())
    cached = statistics.get(
        "total_inactive_file", statistics.get("inactive_file", "0")
    )  # version 1 has the sum over descendants under another name
    return max(0, limit - int(used) + int(cached))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:  # another version or system, or a group that this process cannot see
        return ""
