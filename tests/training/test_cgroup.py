"""The limits of a container, read from trees as the kernel lays them out."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from search.training.cgroup import available_memory, cpu_quota, memory_limit, total_memory


def tree(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{text}\n", encoding="ascii")
    return folder


def limits(folder: Path, groups: str, files: dict[str, str]) -> tuple[float | None, int | None]:
    root, own = tree(folder, files), folder / "own"
    own.write_text(groups, encoding="ascii")
    return cpu_quota(root, own), memory_limit(root, own)


def test_version_2(tmp_path: Path) -> None:
    files = {"job/cpu.max": "150000 100000", "job/memory.max": "4294967296"}
    assert limits(tmp_path, "0::/job\n", files) == (1.5, 2**32)


def test_the_limit_of_a_parent_group_applies(tmp_path: Path) -> None:
    files = {"a/b/cpu.max": "max 100000", "a/cpu.max": "50000 100000", "a/b/memory.max": "9000", "a/memory.max": "8000"}
    assert limits(tmp_path, "0::/a/b\n", files) == (0.5, 8000)


def test_version_1_with_the_containers_group_as_root(tmp_path: Path) -> None:
    files = {
        "cpu/cpu.cfs_quota_us": "200000",
        "cpu/cpu.cfs_period_us": "100000",
        "memory/memory.limit_in_bytes": "1073741824",
    }
    groups = "4:memory:/docker/abc\n1:cpu,cpuacct:/docker/abc\n0::/docker/abc\n"
    assert limits(tmp_path, groups, files) == (2.0, 2**30)


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        (
            "0::/job\n",
            {
                "memory.max": "max",
                "job/memory.max": "9000",
                "job/memory.current": "5000",
                "job/memory.stat": "anon 4000\ninactive_file 1000",
            },
        ),
        (
            "1:memory:/\n",
            {
                "memory/memory.limit_in_bytes": "9000",
                "memory/memory.usage_in_bytes": "5000",
                "memory/memory.stat": "inactive_file 10\ntotal_inactive_file 1000",
            },
        ),
    ],
)
def test_available_memory_counts_cached_files_as_free(tmp_path: Path, groups: str, files: dict[str, str]) -> None:
    limits(tmp_path, groups, files)
    assert available_memory(tmp_path, tmp_path / "own") == 5000


def test_a_limit_bounds_the_total_memory(tmp_path: Path) -> None:
    limits(tmp_path, "0::/job\n", {"job/memory.max": "9000", "job/memory.current": "8000"})
    assert total_memory(tmp_path, tmp_path / "own") == 9000
    assert total_memory(tmp_path, tmp_path / "none") == psutil.virtual_memory().total


def test_without_a_limit_there_is_none(tmp_path: Path) -> None:
    files = {
        "cpu/cpu.cfs_quota_us": "-1",
        "cpu/cpu.cfs_period_us": "100000",
        "memory/memory.limit_in_bytes": "9223372036854771712",
    }
    assert limits(tmp_path, "2:cpu:/\n1:memory:/\n", files) == (None, None)
    assert limits(tmp_path, "0::/\n", {"cpu.max": "max 100000", "memory.max": "max"}) == (None, None)


def test_a_system_without_control_groups(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path, tmp_path / "none") is None
    assert memory_limit(tmp_path, tmp_path / "none") is None
