"""What a study takes of the disk."""

from __future__ import annotations

from pathlib import Path

from search.records.status import OTHER, FileTotals, disk_usage, last_write_time


def put(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)


def test_files_are_counted_by_what_they_are_for(tmp_path: Path) -> None:
    put(tmp_path / "ledger.journal", 100)
    put(tmp_path / "checkpoints" / "1.npz", 10)
    put(tmp_path / "checkpoints" / "2.npz", 20)
    put(tmp_path / "logs" / "worker-1.log", 5)
    put(tmp_path / "models" / "best" / "0.keras", 7)
    put(tmp_path / "lock", 0)
    found = disk_usage(tmp_path)
    assert found.parts == {
        "ledger": FileTotals(files=1, bytes=100),
        "checkpoints": FileTotals(files=2, bytes=30),
        "predictions": FileTotals(),
        "logs": FileTotals(files=1, bytes=5),
        OTHER: FileTotals(files=2, bytes=7),
    }
    assert found.total_bytes == 142
    assert found.free_bytes > 0


def test_a_folder_that_does_not_exist_takes_nothing(tmp_path: Path) -> None:
    found = disk_usage(tmp_path / "no" / "such")
    assert found.total_bytes == 0
    assert found.free_bytes > 0


def test_a_link_to_what_is_gone_does_not_disturb(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "old.log").symlink_to(tmp_path / "gone")
    assert disk_usage(tmp_path).parts["logs"].files == 1


def test_a_study_without_a_journal_was_never_written(tmp_path: Path) -> None:
    assert last_write_time(tmp_path) is None
