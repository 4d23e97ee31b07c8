"""Who reads a study while it runs, or leaves before the end, and streams that are closed: real commands."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import psutil
import pytest
from worn import call, completed, journal, leaderboard, recorded, started, wait_until, words

from search.trial import Phase

pytestmark = pytest.mark.slow


def test_readers_disturb_no_session_and_killed_ones_leave_nothing(
    small_mnist: Path, cache_dir: Path, tmp_path: Path
) -> None:
    boards = 0
    with started(words(small_mnist, cache_dir), tmp_path) as session:
        wait_until(session, tmp_path, lambda record: len(record.trials) >= 1)
        while session.poll() is None:
            with started([sys.executable, "-m", "search", "leaderboard", "--format", "json"], tmp_path) as reader:
                if boards % 2:
                    time.sleep(0.5)  # somewhere between its start and its end; it is killed then
                else:
                    printed, said = reader.communicate(timeout=100)
                    assert (reader.returncode, said) == (0, "")
                    assert json.loads(printed)
            boards += 1
        _, said = session.communicate()
        assert session.returncode == 0, said
    assert boards >= 2
    assert len(completed(recorded(tmp_path))) == 3
    left = {path.name for path in journal(tmp_path).parent.iterdir()}
    assert left == {"ledger.journal", "lock", "logs", "predictions"}


READER_LEFT = 141


@pytest.mark.parametrize(
    "command",
    ["leaderboard", "leaderboard --format details", "spaces show cnn", "run --help", "data show --dataset {}"],
)
@pytest.mark.parametrize("reader", ["head -1", "true"])
def test_a_reader_that_leaves_early_is_no_error(folder: Path, small_mnist: Path, command: str, reader: str) -> None:
    line = f"{sys.executable} -m search {command.format(small_mnist)} | {reader}; exit ${{PIPESTATUS[0]}}"
    done = call(["bash", "-c", line], folder)
    assert done.returncode in ((READER_LEFT,) if reader == "true" else (0, READER_LEFT))
    assert done.stderr == ""


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_closed_streams_cost_only_what_would_be_said_on_them(
    small_mnist: Path, cache_dir: Path, tmp_path: Path, closed: str
) -> None:
    line = f'"$@" {closed}'
    done = call(["bash", "-c", line, "bash", *words(small_mnist, cache_dir, trials=1)], tmp_path)
    assert done.returncode == 0
    assert len(completed(recorded(tmp_path))) == 1
    assert leaderboard(tmp_path).stderr == "", "something was written into the ledger"


def test_a_search_whose_reader_leaves_ends_at_once_and_goes_on_when_asked(
    small_mnist: Path, cache_dir: Path, tmp_path: Path
) -> None:
    command = words(small_mnist, cache_dir, trials=2)
    done = call(["bash", "-c", '"$@" --json | head -3; exit ${PIPESTATUS[0]}', "bash", *command], tmp_path)
    assert done.returncode == READER_LEFT
    assert done.stderr == ""
    assert not [process for process in psutil.process_iter(["cwd"]) if process.info["cwd"] == str(tmp_path)]
    assert len(recorded(tmp_path).trials_in_phase(Phase.SEARCH)) >= 1
    assert call(command, tmp_path).returncode == 0
    assert len(completed(recorded(tmp_path))) == 2
