"""A search whose disk is full, for its ledger, its reports, its data or its logs: real commands, real limits."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from worn import call, completed, ended, journal, recorded, started, wait_until, words

from search.records.reader import read_study
from search.records.storage.locations import StudyLocation

pytestmark = pytest.mark.slow


def test_a_limit_on_the_ledgers_size_ends_the_session_with_a_message_and_the_next_goes_on(
    small_mnist: Path, cache_dir: Path, tmp_path: Path
) -> None:
    command = words(small_mnist, cache_dir)
    with started(command, tmp_path) as session:
        wait_until(session, tmp_path, lambda record: len(ended(record)) >= 1)
        size = journal(tmp_path).stat().st_size + 100  # so that the next records meet it, in the middle of a line
        resource.prlimit(session.pid, resource.RLIMIT_FSIZE, (size, size))
        _, said = session.communicate(timeout=200)
    assert session.returncode == 1, said
    assert "Traceback" not in said
    assert "The disk is full" in said
    assert "run the same command again" in said
    before = ended(recorded(tmp_path))
    assert len(before) >= 1
    done = call(command, tmp_path)
    assert done.returncode == 0, done.stderr
    record = recorded(tmp_path)
    assert set(map(str, before)) <= set(map(str, ended(record)))
    assert len(completed(record)) == 3


FULL_DISK = """
mount -t tmpfs -o size=1m studies "$1" || exit 77
shift
head -c 984k /dev/zero > studies/ballast
"$@"; echo "full: $?" >&2
cp studies/worn/ledger.journal full.journal
mount -o remount,size=64m studies
"$@"; echo "room: $?" >&2
cp -r studies/. kept
"""
UNSHARE = ["unshare", "--mount", *(() if os.geteuid() == 0 else ("--map-root-user",))]


def can_mount() -> bool:
    """Whether this machine lets the test have a file system of its own, which few containers do."""
    done = subprocess.run([*UNSHARE, "mount", "-t", "tmpfs", "try", "/mnt"], capture_output=True, check=False)
    return done.returncode == 0


if can_mount():  # elsewhere the limit on the file's size above stands for it

    def test_a_full_disk_ends_the_session_with_a_message_and_the_next_goes_on(
        small_mnist: Path, cache_dir: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "studies").mkdir()
        command = [*UNSHARE, "bash", "-c", FULL_DISK, "bash", "studies", *words(small_mnist, cache_dir, trials=8)]
        done = call(command, tmp_path)
        assert "full: 1" in done.stderr, done.stderr
        assert "No space left on device" in done.stderr
        assert "run the same command again" in done.stderr
        assert "room: 0" in done.stderr, done.stderr
        kept = read_study(StudyLocation(studies_dir=tmp_path / "kept"), "worn")
        assert len(completed(kept)) == 8
        (tmp_path / "then/worn").mkdir(parents=True)
        shutil.copy(tmp_path / "full.journal", tmp_path / "then/worn/ledger.journal")
        before = ended(read_study(StudyLocation(studies_dir=tmp_path / "then"), "worn"))
        assert len(before) >= 1
        assert set(map(str, before)) <= set(map(str, ended(kept)))


def limited(size: int) -> Callable[[], None]:
    """Lets a process write no file beyond a size."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_a_full_disk_for_reports_and_for_standard_output_is_told(folder: Path) -> None:
    command = [sys.executable, "-m", "search", "leaderboard"]
    done = call([*command, "--out", "reports/board.md"], folder, preexec_fn=limited(100))
    assert done.returncode == 1
    assert "The report cannot be written" in done.stderr
    assert "run the same command again" in done.stderr
    assert not (folder / "reports/board.md").exists()
    assert not [path for path in (folder / "reports").iterdir() if path.name.startswith(".")]
    with Path("/dev/full").open("w") as full:
        told = subprocess.run(command, cwd=folder, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert told.returncode == 1
    assert "The disk is full" in told.stderr
    assert "Traceback" not in told.stderr


def test_a_full_disk_for_the_data_cache_is_told_before_anything_is_written(small_mnist: Path, tmp_path: Path) -> None:
    command = words(small_mnist, tmp_path / "cache")
    done = call(command, tmp_path, preexec_fn=limited(10_000))
    assert done.returncode == 2
    assert "cannot be written to the cache" in done.stderr
    assert "--cache-dir" in done.stderr
    assert not (tmp_path / "studies").exists()
    assert call([*command, "--trials", "1"], tmp_path).returncode == 0


def test_a_workers_log_on_a_full_disk_does_not_stop_the_search(
    small_mnist: Path, cache_dir: Path, tmp_path: Path
) -> None:
    logs = tmp_path / "studies/worn/logs"
    logs.mkdir(parents=True)
    (logs / "worker-1.log").symlink_to("/dev/full")
    done = call(words(small_mnist, cache_dir, trials=2), tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(completed(recorded(tmp_path))) == 2
