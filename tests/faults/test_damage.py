"""A study whose ledger or data cache is damaged, or that a dead process left locked: real commands."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from worn import call, completed, ended, journal, leaderboard, recorded, started, wait_until, words

from search.records.record import TrialRecord
from search.trial import Cause, State

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("garbage", [bytes(4096), b'\xff{"op_code": 8, "wor\n\x00\n'], ids=["zeros", "junk"])
def test_a_ledger_with_garbage_at_its_end_is_read_and_gone_on_with(
    folder: Path, small_mnist: Path, cache_dir: Path, garbage: bytes
) -> None:
    sound, before = leaderboard(folder), ended(recorded(folder))
    with journal(folder).open("ab") as file:
        file.write(garbage)
    damaged = leaderboard(folder)
    assert (damaged.returncode, damaged.stdout) == (0, sound.stdout)
    assert "read up to there" in damaged.stderr
    done = call(words(small_mnist, cache_dir, trials=3), folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("ledger.journal.damaged-1") == 1
    assert journal(folder).with_name("ledger.journal.damaged-1").read_bytes() == garbage
    assert ended(recorded(folder))[:2] == before
    assert len(completed(recorded(folder))) == 3


def test_a_ledger_with_garbage_in_the_middle_is_refused_and_cut_as_the_message_says(
    folder: Path, small_mnist: Path, cache_dir: Path
) -> None:
    lines = journal(folder).read_bytes().splitlines(keepends=True)
    content = b"".join([*lines[:-5], b"garbage\n", *lines[-5:]])
    journal(folder).write_bytes(content)
    command = words(small_mnist, cache_dir, trials=3)
    for refused in (leaderboard(folder), call(command, folder)):
        assert refused.returncode == 1
        assert f"line {len(lines) - 4} cannot be read" in refused.stderr
    assert journal(folder).read_bytes() == content
    shutil.copy(journal(folder), folder / "copy")
    remedy = next(line for line in refused.stderr.splitlines() if "head -n" in line).partition("then: ")[2]
    subprocess.run(remedy.replace("COPY", "copy"), shell=True, check=True, cwd=folder)
    done = call(command, folder)
    assert done.returncode == 0, done.stderr
    assert len(completed(recorded(folder))) == 3


def data_files(cache: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(cache.glob("datasets/*/*.npy"))}


def flip(path: Path) -> None:
    """Changes one pixel in the middle, in place."""
    with path.open("rb+") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 0xFF]))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.fixture
def cache(small_mnist: Path, tmp_path: Path) -> Iterator[Path]:
    """A data cache of the test's own."""
    yield tmp_path / "cache"


@pytest.mark.parametrize(
    ("damage", "protocol"),
    [
        (flip, "holdout"),
        *(pytest.param(cut, protocol, marks=pytest.mark.matrix) for protocol in ("holdout", "tutorial")),
    ],
)
def test_no_trial_that_saw_a_damaged_cache_counts_and_the_next_run_mends_it(
    small_mnist: Path, cache: Path, tmp_path: Path, damage: Callable[[Path], None], protocol: str
) -> None:
    command = words(small_mnist, cache, trials=40, workers=1, protocol=protocol)
    with started(command, tmp_path) as session:
        wait_until(session, tmp_path, lambda record: len(ended(record)) >= 1)
        whole = data_files(cache)
        damage(next(cache.glob("datasets/*/x_train.npy")))
        known = len(recorded(tmp_path).trials)  # the last of them may be running, or have ended just before
        wait_until(session, tmp_path, lambda record: any(_is_data(trial) for trial in record.trials))
        session.terminate()
        session.communicate(timeout=100)
    seen = recorded(tmp_path).trials[known:]
    assert not [trial for trial in seen if trial.outcome and trial.outcome.state is State.COMPLETE]
    assert data_files(cache) != whole
    before = completed(recorded(tmp_path))
    done = call([*command, "--trials", str(len(ended(recorded(tmp_path))) + 1)], tmp_path)
    assert done.returncode == 0, done.stderr
    assert data_files(cache) == whole
    assert len(completed(recorded(tmp_path))) == len(before) + 1


def _is_data(known: TrialRecord) -> bool:
    return known.outcome is not None and known.outcome.cause is Cause.DATA


def test_what_a_killed_coordinator_left_locked_does_not_hold_up_the_next(
    folder: Path, small_mnist: Path, cache_dir: Path
) -> None:
    journal(folder).with_name("ledger.journal.lock").touch()
    assert leaderboard(folder).returncode == 0
    assert journal(folder).with_name("ledger.journal.lock").exists(), "a reader took the lock"
    assert call(words(small_mnist, cache_dir, trials=3), folder).returncode == 0
    assert not journal(folder).with_name("ledger.journal.lock").exists()
    with FileLock(journal(folder).with_name("lock"), timeout=0):
        pass
