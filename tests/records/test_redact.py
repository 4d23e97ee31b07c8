"""What is published names no machine, no folder and no password, and can still be used."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from makers import complete, header, trial

from search.records import redact
from search.records.record import StudyRecord, TrialRecord
from search.trial import Cause, Outcome, State


def study(**changes: str) -> StudyRecord:
    """A study whose trials ran in somebody's home."""
    ran = dataclasses.replace(
        complete(),
        environment={"host": "amelia-laptop", "pid": 4711, "processor": "A Processor", "threads": 1},
    )
    failed = Outcome(
        state=State.FAILED,
        cause=Cause.DATA,
        message="The file /home/amelia/secret project/data.npz cannot be read (see ~/notes/log.txt).",
        traceback='File "/home/amelia/x.py", line 3',
    )
    return StudyRecord(
        header=header(**changes),
        trials=(TrialRecord(trial=trial(0), outcome=ran), TrialRecord(trial=trial(1), outcome=failed)),
    )


def test_hosts_processes_folders_and_tracebacks_are_left_out() -> None:
    shown = redact.redacted(study(space_source="/home/amelia/spaces/mine.py"))
    assert "amelia" not in repr(shown)
    assert "4711" not in repr(shown)
    assert shown.header.space_source == "mine.py"
    assert shown.trials[0].outcome.environment == {"processor": "A Processor", "threads": 1}
    assert shown.trials[1].outcome.cause is Cause.DATA
    assert "data.npz cannot be read (see log.txt)." in shown.trials[1].outcome.message


def test_nodes_are_numbered_as_they_first_come() -> None:
    nodes = ["10.0.0.7", "10.0.0.5", "10.0.0.7"]
    ran = [dataclasses.replace(complete(), environment={"node": node}) for node in nodes]
    trials = tuple(TrialRecord(trial=trial(number), outcome=outcome) for number, outcome in enumerate(ran))
    shown = redact.redacted(StudyRecord(header=header(), trials=trials))
    assert [known.outcome.environment["node"] for known in shown.trials] == ["node 1", "node 2", "node 1"]
    assert redact.redacted(shown) == shown


def test_what_is_not_private_stays_and_publishing_again_changes_nothing() -> None:
    record = StudyRecord(
        header=header(command="python -m search run --space cnn --fix filters_1=8"),
        trials=(TrialRecord(trial=trial(0), outcome=complete()),),
        spent_seconds=3.5,
    )
    assert redact.redacted(record) == record
    assert redact.redacted(redact.redacted(study())) == redact.redacted(study())


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("python -m search run --space /home/amelia/mine.py", "python -m search run --space mine.py"),
        ("python -m search run --dataset=/data/x.npz", "python -m search run --dataset=x.npz"),
        ("python -m search run --studies-dir '/home/a b/studies'", "python -m search run --studies-dir studies"),
        ("python -m search run --studies-dir ~/studies/", "python -m search run --studies-dir studies"),
        ("python -m search run --studies-dir ../studies", "python -m search run --studies-dir ../studies"),
        ("run --storage postgresql://amelia:pass@db.example/x", "run --storage postgresql://..."),
        ("run --storage='mysql+pymysql://amelia:p w@db/x'", "run --storage=mysql+pymysql://..."),
        ("run --storage sqlite:////home/amelia/x.db", "run --storage sqlite://..."),
        ("run --storage 'unfinished /home/amelia/x", "run --storage 'unfinished x"),
        ("run --range batch_size=32:64 --fix rate=1/3", "run --range batch_size=32:64 --fix rate=1/3"),
    ],
)
def test_a_command_can_still_be_typed(command: str, shown: str) -> None:
    assert redact.redact_command(command) == shown


@pytest.mark.parametrize("words", ["about ~5 s", "3/4 of it, and/or 1 / 2", "see docs/LOG.md", "../x and ./y", "a:/b"])
def test_words_that_are_no_paths_of_a_machine_stay(words: str) -> None:
    assert redact.redact_text(words) == words


names = st.text(st.characters(categories=["L", "N"], include_characters="._-"), min_size=1).filter(
    lambda name: name not in (".", "..")
)


@given(st.lists(names.map(lambda name: f"private{name}"), min_size=1, max_size=4), names)
def test_no_folder_of_a_path_is_left_in_a_text(folders: list[str], name: str) -> None:
    path = "/".join(["", *folders, f"file{name}"])
    shown = redact.redact_text(f"Disk full: '{path}' could not be written.")
    assert "private" not in shown
    assert f"file{name}" in shown
    assert "private" not in redact.redact_command(f"search run --dataset {path} --out={path}")


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("postgresql+psycopg://me:se@cret/1@db.example:5432/x", "postgresql+psycopg://me@db.example:5432/x"),
        ("--storage=mysql+pymysql://me:secret@db/x", "--storage=mysql+pymysql://me@db/x"),
        ("postgresql+psycopg://db/x?user=me&password=secret&a=1", "postgresql+psycopg://db/x?user=me&password=...&a=1"),
        ("postgresql+psycopg://me@db.example:5432/x", "postgresql+psycopg://me@db.example:5432/x"),
        ("sqlite:////home/me/x.db", "sqlite:////home/me/x.db"),
        ("learning_rate=0.1:1", "learning_rate=0.1:1"),
    ],
)
def test_a_password_is_left_out_of_a_command(word: str, shown: str) -> None:
    assert redact.without_password(word) == shown
