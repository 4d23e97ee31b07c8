"""A search whose files are damaged, whose disks are full, whose clock jumps, whose readers die: real commands."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from filelock import FileLock
from waiting import wait_for_record

from search.records.ledger import read
from search.records.record import StudyRecord, TrialRecord
from search.records.storage import Place
from search.trial import Cause, Phase, State

pytestmark = pytest.mark.slow
FAKETIME = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
"""Where Debian's package ``faketime`` has its library; ``.ci/run`` installs it."""


def words(small_mnist: Path, cache_dir: Path, **options: object) -> list[str]:
    """The command of a small study."""
    small = {"space": "mlp", "study": "worn", "seed": 0, "trials": 3, "finalists": 0, "epochs": 2, "pruner": "none"}
    small["threads"] = 1
    chosen = {"dataset": small_mnist, "cache-dir": cache_dir, **small, **options}
    given = [word for name, value in chosen.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    return [sys.executable, "-m", "search", "run", *given]


def call(command: list[str], folder: Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end; it never shows a traceback."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False, **options)
    assert "Traceback" not in done.stderr, done.stderr
    return done


@contextmanager
def started(command: list[str], folder: Path, **options: object) -> Iterator[subprocess.Popen[str]]:
    """A process that runs a command, and does not outlive the test."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=folder, **pipes, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def leaderboard(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return call([sys.executable, "-m", "search", "leaderboard", *more], folder)


def recorded(folder: Path) -> StudyRecord:
    return read(Place(studies_dir=folder / "studies"), "worn")


def ended(record: StudyRecord) -> list[TrialRecord]:
    """The trials that came to their own end."""
    return [known for known in record.trials if known.outcome and known.outcome.state is not State.INTERRUPTED]


def completed(record: StudyRecord) -> list[TrialRecord]:
    return [known for known in ended(record) if known.outcome and known.outcome.state is State.COMPLETE]


def wait_until(session: subprocess.Popen[str], folder: Path, holds: Callable[[StudyRecord], bool]) -> None:
    """Returns once the record is so."""
    wait_for_record(Place(studies_dir=folder / "studies"), "worn", holds, session)


@pytest.fixture(scope="module")
def finished(small_mnist: Path, cache_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study that ended well."""
    folder = tmp_path_factory.mktemp("finished")
    done = call(words(small_mnist, cache_dir, trials=2), folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return tmp_path


def journal(folder: Path) -> Path:
    return folder / "studies/worn/ledger.journal"


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


def test_a_limit_on_the_ledgers_size_ends_the_session_with_a_message_and_the_next_goes_on(
    small_mnist: Path, cache_dir: Path, tmp_path: Path
) -> None:
    command = words(small_mnist, cache_dir, trials=4)
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
    assert len(completed(record)) == 4


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
        kept = read(Place(studies_dir=tmp_path / "kept"), "worn")
        assert len(completed(kept)) == 8
        (tmp_path / "then/worn").mkdir(parents=True)
        shutil.copy(tmp_path / "full.journal", tmp_path / "then/worn/ledger.journal")
        before = ended(read(Place(studies_dir=tmp_path / "then"), "worn"))
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
    for number in (1, 2):
        (logs / f"worker-{number}.log").symlink_to("/dev/full")
    done = call(words(small_mnist, cache_dir, trials=2), tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(completed(recorded(tmp_path))) == 2


SLEEPS = """
import select, time  # libfaketime 0.9.10 breaks clock_nanosleep, by which Python sleeps; delete when it does not
time.sleep = lambda seconds: select.select([], [], [], seconds)
"""


@pytest.mark.skipif(FAKETIME is None, reason="sets the clock: apt-get install faketime")
def test_a_clock_that_is_set_back_and_forth_changes_no_duration_and_no_budget(
    small_mnist: Path, cache_dir: Path, tmp_path: Path
) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0")
    (tmp_path / "shim").mkdir()
    (tmp_path / "shim/sitecustomize.py").write_text(SLEEPS)
    environment = {
        **os.environ,
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # setting a system's clock leaves that one alone
        "PYTHONPATH": os.pathsep.join(filter(None, [str(tmp_path / "shim"), os.environ.get("PYTHONPATH")])),
    }
    command = words(small_mnist, cache_dir, trials=5, timeout="30m")
    began = time.monotonic()
    with started(command, tmp_path, env=environment) as session:
        wait_until(session, tmp_path, lambda record: len(ended(record)) >= 1)
        clock.write_text("+2h")  # past the budget, were it counted by this clock
        wait_until(session, tmp_path, lambda record: len(ended(record)) >= 2)
        clock.write_text("-1h")
        wait_until(session, tmp_path, lambda record: len(ended(record)) >= 3)
    before = ended(recorded(tmp_path))
    clock.write_text("-2h")
    done = call(command, tmp_path, env=environment)
    took = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    record = recorded(tmp_path)
    assert set(map(str, before)) <= set(map(str, ended(record)))
    assert len(completed(record)) == 5
    assert 0 < record.spent_seconds < took
    starts = [known.started for known in record.trials]
    assert starts != sorted(starts), "the clock was not set back"
    ends = [known.outcome.at_seconds for known in record.trials if known.outcome]
    assert all(0 <= end < took for end in ends)
    assert all(second >= 0 for known in ended(record) for second in known.outcome.seconds.values())
    assert all(report.seconds > 0 for known in ended(record) for report in known.outcome.history)
    assert leaderboard(tmp_path).returncode == 0


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


@pytest.mark.parametrize(("damage", "protocol"), [(flip, "holdout"), (cut, "holdout"), (cut, "tutorial")])
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


def test_readers_disturb_no_session_and_killed_ones_leave_nothing(
    small_mnist: Path, cache_dir: Path, tmp_path: Path
) -> None:
    boards = 0
    with started(words(small_mnist, cache_dir, trials=4), tmp_path) as session:
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
    assert len(completed(recorded(tmp_path))) == 4
    left = {path.name for path in journal(tmp_path).parent.iterdir()}
    assert left == {"ledger.journal", "lock", "logs", "predictions"}


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


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
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
    done = call(["bash", "-c", '"$@" --json | head -2; exit ${PIPESTATUS[0]}', "bash", *command], tmp_path)
    assert done.returncode == READER_LEFT
    assert done.stderr == ""
    assert not [process for process in psutil.process_iter(["cwd"]) if process.info["cwd"] == str(tmp_path)]
    assert len(recorded(tmp_path).phase(Phase.SEARCH)) >= 1
    assert call(command, tmp_path).returncode == 0
    assert len(completed(recorded(tmp_path))) == 2
