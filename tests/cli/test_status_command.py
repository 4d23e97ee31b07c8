"""Tests ``status`` and ``ls`` on recorded studies: their output, and that they write nothing."""

from __future__ import annotations

import dataclasses
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from makers import complete, header, trial

from search.cli import ls, status
from search.errors import FatalError, UserError
from search.records.ledger import Ledger
from search.records.opening import open_ledger
from search.records.reader import StudyNotStartedError
from search.records.storage import process_identity
from search.records.storage.locations import StudyLocation
from search.records.storage.optuna_codec import LEDGER_SCHEMA
from search.trial import PROPOSED, Cause, EpochReport, Outcome, Phase, State

ROOT = Path(__file__).parents[2]
FAILED = Outcome(
    state=State.FAILED,
    cause=Cause.INVALID,
    message="ValueError: negative dimension [bold]",
    traceback="Traceback (most recent call last):\n  in layer\nValueError: negative dimension [bold]",
)
KILLED = Outcome(state=State.INTERRUPTED, cause=Cause.KILLED, message="The worker was killed by signal 9.")
PAUSED = Outcome(state=State.PRUNED, metrics={"error_percent": 7.0})


def found(number: int, seed: int | None = None, **changes):
    """A trial of the sampler's; those of one seed are one training."""
    config = {**trial().config, "learning_rate": (1 + (number if seed is None else seed)) / 1000}
    return trial(number, origin=PROPOSED, config=config, seed=number if seed is None else seed, **changes)


def write(ledger: Ledger) -> None:
    """Records a study in which everything happened, and two trials have not ended."""
    ended = [
        (trial(0), complete(12.0)),
        (found(1), complete(8.5)),
        (found(2), FAILED),
        (found(3), KILLED),
        (found(4, seed=3), complete(9.0)),
        (found(5, target_epoch=2), PAUSED),
    ]
    for one, outcome in ended:
        ledger.begin(one)
        ledger.finish(one, outcome)
    ledger.begin(found(6, seed=5, parent=5))
    ledger.report(
        found(6), EpochReport(epoch=3, training_loss=0.1, metrics={"loss": 0.1, "error_percent": 6.25}, seconds=1.0)
    )
    run = trial(0, origin=PROPOSED, phase=Phase.VERIFICATION, source_trial=1, replicate=0)
    ledger.begin(run)
    ledger.finish(run, complete(3.5))
    ledger.begin(trial(1, origin=PROPOSED, phase=Phase.VERIFICATION, source_trial=1, replicate=1))
    ledger.record_spent_seconds(125.0)


@pytest.fixture
def studies_dir(tmp_path: Path) -> Path:
    with open_ledger(
        StudyLocation(studies_dir=tmp_path), header("hardy", command="python -m search run --study hardy")
    ) as one:
        write(one)
    return tmp_path


def ask(command, *arguments: str, studies_dir: Path, width: int = 80) -> Result:
    return CliRunner().invoke(
        command, [*arguments, "--studies-dir", str(studies_dir)], catch_exceptions=False, env={"COLUMNS": str(width)}
    )


def told(command, *arguments: str, studies_dir: Path, width: int = 80) -> str:
    """What is printed, without line breaks."""
    result = ask(command, *arguments, studies_dir=studies_dir, width=width)
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.split())


def test_what_ended_is_told(studies_dir: Path) -> None:
    text = told(status.command, "hardy", studies_dir=studies_dir)
    assert "5 done: 3 complete, 1 failed, 1 pruned; 1 interrupted" in text
    assert "continued: #5 as #6" in text
    assert "#1 found, val. error 8.50 %; baseline 12.00 %, difference -3.50" in text
    assert "#1 found, test error 3.50 %, 1 of 2 test runs complete" in text
    assert "2 min 5 s in all sessions" in text
    assert "building and compiling 12 %, training 75 %, scoring 12 %" in text
    assert "free" in text


def test_why_trials_failed_is_told_and_what_was_taken_up_again(studies_dir: Path) -> None:
    text = told(status.command, studies_dir=studies_dir, width=160)
    assert "invalid configuration failed 1 #2 ValueError: negative dimension [bold]" in text
    assert "worker killed interrupted 1 #3 (again: #4) The worker was killed by signal 9." in text
    assert "Traceback (most" not in text
    assert "--traceback" in text
    assert "in layer ValueError" in told(status.command, "--traceback", studies_dir=studies_dir)


def test_what_nobody_runs_is_said_to_be_left_behind(studies_dir: Path) -> None:
    text = told(status.command, studies_dir=studies_dir)
    assert "hardy: not running, last written" in text
    assert "#6 found (continues #5), epoch 3 of 4, val. error 6.25 %, will be resumed" in text
    assert "verification #1 of found #1, epoch 0 of 4, will be resumed" in text
    assert "Continue python -m search run --study hardy" in text


def test_what_runs_is_said_to_run(studies_dir: Path) -> None:
    with open_ledger(StudyLocation(studies_dir=studies_dir), header("hardy")):
        text = told(status.command, studies_dir=studies_dir)
    assert re.search(rf"hardy: running for \d+ s, process {os.getpid()}", text)
    assert re.search(r"epoch 3 of 4, val. error 6.25 %, for \d+ s", text)
    assert "will be resumed" not in text
    assert "Continue" not in text


def test_of_a_coordinator_elsewhere_nothing_is_made_up(studies_dir: Path) -> None:
    place = StudyLocation(studies_dir=studies_dir)
    with open_ledger(place, header("hardy")) as ledger:
        path = ledger.folder / process_identity.COORDINATOR_FILE
        sign = {**json.loads(path.read_text(encoding="utf-8")), "host": "another-machine"}
        path.write_text(json.dumps(sign), encoding="utf-8")
        text = told(status.command, studies_dir=studies_dir)
    assert "on another-machine; whether it still runs cannot be checked" in text


def test_a_study_that_has_not_written_what_it_is_starts_or_was_stopped(tmp_path: Path) -> None:
    folder = tmp_path / "young"
    folder.mkdir()
    (folder / "ledger.journal").touch()
    with pytest.raises(StudyNotStartedError, match="before it began"):
        ask(status.command, "young", studies_dir=tmp_path)
    process_identity.write_coordinator(folder)
    assert "young: starting for " in told(status.command, "young", studies_dir=tmp_path)
    assert "starting" in told(ls.command, studies_dir=tmp_path)


def test_the_study_that_was_written_last_is_shown_where_none_is_named(studies_dir: Path) -> None:
    with open_ledger(StudyLocation(studies_dir=studies_dir), header("later")) as ledger:
        ledger.begin(trial())
    os.utime(studies_dir / "hardy" / "ledger.journal", (1e9, 1e9))
    assert "later: not running" in told(status.command, studies_dir=studies_dir)
    os.utime(studies_dir / "later" / "ledger.journal", (9e8, 9e8))
    assert "hardy: not running" in told(status.command, studies_dir=studies_dir)


def test_an_unknown_study_is_refused_with_the_nearest_name(studies_dir: Path) -> None:
    with pytest.raises(UserError, match="'hard'") as error:
        ask(status.command, "hard", studies_dir=studies_dir)
    assert "Did you mean 'hardy'?" in error.value.hint
    assert error.value.exit_code == 2


def test_without_a_study_it_says_what_to_run(tmp_path: Path) -> None:
    for command in (status.command, ls.command):
        assert "python -m search run" in told(command, studies_dir=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_json_holds_everything(studies_dir: Path) -> None:
    document = json.loads(ask(status.command, "hardy", "--json", studies_dir=studies_dir).stdout)
    assert document["schema"] == "status/2"
    assert document["states"] == {"complete": 3, "failed": 1, "pruned": 1, "interrupted": 1}
    assert [(one["phase"], one["number"], one["epoch"]) for one in document["begun"]] == [
        ("search", 6, 3),
        ("verification", 1, 0),
    ]
    assert document["gone_on"] == [{"trial": 5, "as": 6}]
    assert document["failures"][1]["trials"] == [{"phase": "search", "number": 3, "again": 4}]
    assert document["failures"][0]["traceback"] == FAILED.traceback
    assert document["best"]["trial"] == 1
    assert document["disk"]["parts"]["ledger"]["bytes"] > 1000
    assert document["coordinator"] is None


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("command", [status.command, ls.command])
def test_no_line_is_wider_than_the_terminal(command, width: int, studies_dir: Path) -> None:
    name = "a-study-with-a-name-that-is-longer-than-most-are"
    space = dataclasses.replace(header().space, name="a-space-of-somebody-s-own")
    with open_ledger(StudyLocation(studies_dir=studies_dir), header(name, space=space)) as ledger:
        write(ledger)
    lines = ask(command, studies_dir=studies_dir, width=width).stdout.splitlines()
    assert max(map(len, lines)) <= width


def test_studies_are_listed_the_last_written_first_and_unreadable_ones_with_the_reason(studies_dir: Path) -> None:
    journal = (studies_dir / "hardy" / "ledger.journal").read_text(encoding="utf-8")
    for name, content in {
        "newer": journal.replace("hardy", "newer").replace(f'"schema":{LEDGER_SCHEMA}', '"schema":99'),
        "damaged": "garbage\n" + journal.replace("hardy", "damaged"),
    }.items():
        (studies_dir / name).mkdir()
        (studies_dir / name / "ledger.journal").write_text(content, encoding="utf-8")
    for age, name in enumerate(("hardy", "newer", "damaged")):
        os.utime(studies_dir / name / "ledger.journal", (1e9 - age, 1e9 - age))
    text = told(ls.command, studies_dir=studies_dir)
    assert "newer: The ledger of study 'newer' was written by a newer version." in text
    assert "damaged: The ledger is damaged in the middle" in text
    documents = json.loads(ask(ls.command, "--json", studies_dir=studies_dir).stdout)
    assert [one["study"] for one in documents] == ["hardy", "newer", "damaged"]
    assert [one["problem"] is None for one in documents] == [True, False, False]
    assert (documents[0]["settled"], documents[0]["test_runs"]) == (5, 1)
    with pytest.raises(FatalError, match="damaged in the middle"):
        ask(status.command, "damaged", studies_dir=studies_dir)


def test_studies_in_a_database_are_shown_too(tmp_path: Path) -> None:
    place = StudyLocation(studies_dir=tmp_path / "studies", storage=f"sqlite:///{tmp_path}/studies.db")
    with open_ledger(place, header("stored")) as ledger:
        write(ledger)
        arguments = ("--storage", str(place.storage))
        assert "stored: running" in told(status.command, *arguments, studies_dir=place.studies_dir)
        assert "running" in told(ls.command, *arguments, studies_dir=place.studies_dir)
    assert "stored: not running, last written" in told(status.command, *arguments, studies_dir=place.studies_dir)


WATCHED = """
import sys
def watch(event, arguments):
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & 3 and arguments[0] != "/dev/null"
    if (writes or event in ("fcntl.flock", "fcntl.lockf", "os.rename", "os.remove", "os.truncate", "os.mkdir")):
        print("TOUCHED", event, arguments)
    if event == "open" and str(arguments[0]).endswith("/lock"):
        print("TOUCHED", event, arguments)
sys.dont_write_bytecode = True
import runpy
sys.addaudithook(watch)
sys.argv = ["search", *sys.argv[1:]]
runpy.run_module("search", run_name="__main__")
"""


@pytest.mark.parametrize("words", [("status", "hardy"), ("status",), ("ls",)])
def test_nothing_is_written_and_no_lock_is_taken(studies_dir: Path, words: tuple[str, ...]) -> None:
    command = [sys.executable, "-c", WATCHED, *words, "--studies-dir", str(studies_dir)]
    with open_ledger(StudyLocation(studies_dir=studies_dir), header("hardy")):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "hardy" in done.stdout
    assert "TOUCHED" not in done.stdout


def test_the_watching_hook_sees_a_ledger_that_is_opened_for_writing(studies_dir: Path) -> None:
    code = WATCHED.replace(
        'runpy.run_module("search", run_name="__main__")',
        "from search.records.storage.locations import StudyLocation, lock_study",
    )
    code += "\nfrom pathlib import Path\nlock_study(StudyLocation(studies_dir=Path(sys.argv[1])), 'hardy')"
    command = [sys.executable, "-c", code, str(studies_dir)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "TOUCHED fcntl.flock" in done.stdout


def run(*words: str, **more) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "search", *words]
    return subprocess.Popen(command, cwd=ROOT, text=True, **more)


@pytest.mark.parametrize("words", [("status",), ("ls",)])
def test_a_closed_standard_output_gives_no_traceback(studies_dir: Path, words: tuple[str, ...]) -> None:
    pipe = subprocess.PIPE
    with run(*words, "--studies-dir", str(studies_dir), stdout=pipe, stderr=pipe) as process:
        process.stdout.close()
        assert process.stderr.read() == ""


def test_watching_ends_when_nobody_runs_the_study(studies_dir: Path) -> None:
    with run("status", "--watch", "--studies-dir", str(studies_dir), stdout=subprocess.PIPE) as process:
        text, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert text.count("hardy: not running") == 1


def test_watching_on_a_terminal_ends_quietly_at_an_interrupt(studies_dir: Path) -> None:
    ours, theirs = pty.openpty()
    with (
        open_ledger(StudyLocation(studies_dir=studies_dir), header("hardy")),
        run("status", "--watch", "--studies-dir", str(studies_dir), stdout=theirs, stderr=theirs) as process,
    ):
        seen = b""
        while b"hardy: running" not in seen:
            seen += os.read(ours, 4096)
        process.send_signal(2)
        assert process.wait(timeout=60) == 0
    os.close(theirs)
    os.close(ours)


def test_watching_and_json_exclude_each_other(studies_dir: Path) -> None:
    assert ask(status.command, "--watch", "--json", studies_dir=studies_dir).exit_code == 2
