"""Journals that were cut, filled with garbage or changed while they were written: what is whole in them survives."""

from __future__ import annotations

import logging
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from makers import complete, header, trial

from search.errors import FatalError
from search.records.opening import open_ledger
from search.records.reader import read_studies, read_study
from search.records.record import StudyRecord
from search.records.storage import journal
from search.records.storage.locations import StudyLocation
from search.study.peers import interrupt_orphans
from search.trial import Cause, EpochReport, Outcome, Phase, State


def write_study(place: StudyLocation) -> None:
    """Trials of every kind, the last of them running."""
    with open_ledger(place, header()) as ledger:
        for number, outcome in enumerate([complete(1.5), Outcome(state=State.FAILED, cause=Cause.KILLED), None]):
            ledger.begin(trial(number))
            ledger.report(trial(number), EpochReport(epoch=1, training_loss=0.5, metrics={"error_percent": 4.0}))
            if outcome is not None:
                ledger.finish(trial(number), outcome)
        verified = trial(0, phase=Phase.VERIFICATION, source_trial=0, replicate=0)
        ledger.begin(verified)
        ledger.finish(verified, complete(1.25))
        ledger.record_spent_seconds(12.5)


with tempfile.TemporaryDirectory() as _folder:
    write_study(StudyLocation(studies_dir=Path(_folder)))
    WHOLE = (Path(_folder) / "study" / "ledger.journal").read_bytes()
LINES = WHOLE.splitlines(keepends=True)


@contextmanager
def study(content: bytes) -> Iterator[tuple[StudyLocation, Path]]:
    """A study whose journal has this content."""
    with tempfile.TemporaryDirectory() as folder:
        place = StudyLocation(studies_dir=Path(folder))
        path = place.journal("study")
        path.parent.mkdir()
        path.write_bytes(content)
        yield place, path


def seen(place: StudyLocation) -> StudyRecord | None:
    """What a reader sees; None before the study has begun."""
    return next(iter(read_studies(place)), None)


def record_of(lines: list[bytes]) -> StudyRecord | None:
    """What so many whole lines record."""
    with study(b"".join(lines)) as (place, _):
        return seen(place)


def goes_on(place: StudyLocation) -> None:
    """The next session takes the study up, and what it adds is read."""
    with open_ledger(place, header()) as ledger:
        interrupt_orphans(ledger)
        number = len(ledger.read().trials_in_phase(Phase.SEARCH))
        ledger.begin(trial(number))
        ledger.finish(trial(number), complete(9.0))
    assert read_study(place, "study").trials_in_phase(Phase.SEARCH)[number].outcome == complete(9.0)


@settings(max_examples=60)
@given(st.integers(min_value=0, max_value=len(WHOLE)))
@example(0)
@example(len(WHOLE) - 1)
@example(len(WHOLE) - len(LINES[-1]))
@example(len(LINES[0]) // 2)
def test_a_journal_cut_at_any_byte_keeps_every_whole_line(cut: int) -> None:
    whole = WHOLE[:cut].splitlines(keepends=True)
    if whole and not whole[-1].endswith(b"}\n") and whole[-1] + b"\n" not in LINES:
        whole.pop()
    expected = record_of([line.rstrip() + b"\n" for line in whole])
    with study(WHOLE[:cut]) as (place, path):
        assert seen(place) == expected
        assert path.read_bytes() == WHOLE[:cut], "a reader wrote"
        with open_ledger(place, header()) as ledger:
            assert expected is None or ledger.read() == expected
        assert path.read_bytes().startswith(b"".join(line.rstrip() + b"\n" for line in whole))
        assert not list(path.parent.glob("*.damaged-*")), "a line cut short is no damage to be told of"
        goes_on(place)


GARBAGE = {
    "binary junk": b"\x93\x00\xff\xfe junk",
    "binary junk and a line end": b"\x93\x00\xff\xfe junk\n",
    "several lines of it": b"junk\n\n\xff\n{}\n",
    "an empty line": b"\n",
    "half a record and a line end": LINES[-1][: len(LINES[-1]) // 2] + b"\n",
    "a record glued to half of one": LINES[-1][:30] + LINES[-1],
    "zeros, as after a power cut": bytes(4096),
    "zeros and a line end": bytes(512) + b"\n",
    "zeros that begin like a record": LINES[-1][:30] + bytes(512),
    "UTF-16": LINES[-1].decode().encode("utf-16"),
    "JSON that is no object": b"[1, 2]\n42\nnull\n",
    "JSON of something else": b'{"event": "began"}\n',
    "an operation without what it operates on": b'{"op_code": 8, "worker_id": "x"}\n',
    "an operation on something odd": b'{"op_code": 8, "worker_id": "x", "trial_id": 2, "user_attr": 5}\n',
    "an operation nobody knows": b'{"op_code": 99, "worker_id": "x"}\n',
    "deep brackets": b"[" * 100_000 + b"\n",
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_garbage_at_the_end_is_read_past_then_moved_aside_and_told(
    garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    expected = record_of(LINES)
    caplog.clear()
    with study(WHOLE + garbage) as (place, path):
        assert seen(place) == expected
        assert [entry.levelno for entry in caplog.records] == [logging.WARNING]
        assert f"damaged from line {len(LINES) + 1} on" in caplog.messages[0]
        assert path.read_bytes() == WHOLE + garbage, "a reader wrote"
        caplog.clear()
        with open_ledger(place, header()) as ledger:
            assert ledger.read() == expected
        assert path.read_bytes().startswith(WHOLE)
        assert garbage not in path.read_bytes()[len(WHOLE) :] or len(garbage) == 1
        aside = path.with_name("ledger.journal.damaged-1")
        assert aside.read_bytes() == garbage
        assert len(caplog.messages) == 1
        assert str(aside) in caplog.messages[0]
        assert "\n" not in caplog.messages[0]
        path.write_bytes(path.read_bytes() + b"more\n")
        goes_on(place)
        assert aside.read_bytes() == garbage
        assert path.with_name("ledger.journal.damaged-2").read_bytes() == b"more\n"
        assert place.study_names() == ["study"]


@settings(max_examples=40)
@given(st.binary(min_size=1, max_size=200), st.integers(min_value=0, max_value=len(LINES)))
def test_any_garbage_after_any_number_of_lines_costs_nothing_before_it(garbage: bytes, kept: int) -> None:
    with study(b"".join(LINES[:kept]) + garbage) as (place, path):
        assert seen(place) == record_of(LINES[:kept])
        with open_ledger(place, header()):
            pass
        assert path.read_bytes().startswith(b"".join(LINES[:kept]))
        goes_on(place)


@pytest.mark.parametrize("line", [1, 2, len(LINES) // 2, len(LINES) - 1])
def test_damage_in_the_middle_is_refused_and_its_remedy_works(line: int) -> None:
    content = b"".join([*LINES[: line - 1], b"\0" * len(LINES[line - 1][:-1]) + b"\n", *LINES[line:]])
    with study(content) as (place, path):
        for attempt in (lambda: read_study(place, "study"), lambda: open_ledger(place, header())):
            with pytest.raises(FatalError, match=rf"its line {line} cannot be read") as refusal:
                attempt()
            assert path.read_bytes() == content
            assert not list(path.parent.glob("*.damaged-*"))
        copy = path.with_name("copy")
        copy.write_bytes(content)
        remedy = refusal.value.hint.partition("then: ")[2].replace("COPY", str(copy))
        subprocess.run(remedy, shell=True, check=True)
        assert path.read_bytes() == b"".join(LINES[: line - 1])
        goes_on(place)


def test_a_refused_ledger_is_not_left_locked() -> None:
    with study(b"".join([*LINES[:3], b"junk\n", *LINES[3:]])) as (place, path):
        with pytest.raises(FatalError):
            open_ledger(place, header())
        path.write_bytes(WHOLE)
        goes_on(place)


def test_a_reader_neither_locks_nor_writes_nor_waits_for_a_lock() -> None:
    with study(WHOLE + b"junk\n") as (place, path):
        path.with_name("ledger.journal.lock").touch()  # as a killed writer leaves it
        before = {known: (known.stat().st_mtime_ns, known.read_bytes()) for known in path.parent.iterdir()}
        assert read_study(place, "study") == read_studies(place, "study")[0]
        assert {known: (known.stat().st_mtime_ns, known.read_bytes()) for known in path.parent.iterdir()} == before
        assert path.parent.stat().st_ctime_ns <= max(known.stat().st_ctime_ns for known in path.parent.iterdir())


def test_a_reader_sees_the_line_that_is_being_written_or_not() -> None:
    with study(b"") as (place, path):
        for cut in range(len(WHOLE) - len(LINES[-1]), len(WHOLE) + 1):
            path.write_bytes(WHOLE[:cut])
            spent = read_study(place, "study").spent_seconds
            assert spent == (12.5 if cut >= len(WHOLE) - 1 else 0.0)


@pytest.mark.parametrize("garbage", [b"meddled\n", b"meddled", bytes(100), b"{}\n"])
def test_damage_done_while_a_session_writes_ends_it_with_a_message_and_the_next_goes_on(garbage: bytes) -> None:
    with study(WHOLE) as (place, path):
        with open_ledger(place, header()) as ledger:
            ledger.begin(trial(3))
            ledger.finish(trial(3), complete(2.0))
            before = ledger.read()
            with path.open("ab") as file:
                file.write(garbage)
            ledger.begin(trial(4))
            with pytest.raises(FatalError, match=r"Another program changed the ledger.*is not Optuna's"):
                ledger.finish(trial(4), complete(1.0))
        assert path.read_bytes().endswith(garbage), "damage was written over, or behind"
        assert seen(place) == before
        goes_on(place)


def test_a_journal_cut_or_removed_while_a_session_writes_ends_it_with_a_message() -> None:
    with study(WHOLE) as (place, path):
        with open_ledger(place, header()) as ledger:
            path.write_bytes(b"".join(LINES[:-2]))
            with pytest.raises(FatalError, match="removed or cut short"):
                ledger.finish(trial(2), complete(1.0))
        with open_ledger(place, header()) as ledger:
            path.unlink()
            with pytest.raises(FatalError, match="removed or cut short"):
                ledger.finish(trial(2), complete(1.0))
        assert not path.exists(), "a new file would pass for the whole record"


def test_what_is_reported_reaches_the_disk_together_and_an_end_at_once() -> None:
    with study(WHOLE) as (place, path), open_ledger(place, header()) as ledger:
        size = path.stat().st_size
        ledger.begin(trial(3))
        ledger.report(trial(3), complete().history[0])
        assert ledger.read().trials_in_phase(Phase.SEARCH)[3].reports == (complete().history[0],), "known here already"
        assert path.stat().st_size == size, "both wait for the disk"
        ledger.finish(trial(3), complete(2.0))
        assert seen(place) == ledger.read()


def test_what_waits_for_the_disk_does_not_wait_long() -> None:
    with study(WHOLE) as (place, _), open_ledger(place, header()) as ledger:
        ledger.begin(trial(3))
        deadline = time.monotonic() + 5.0
        while seen(place) != ledger.read():
            assert time.monotonic() < deadline
            ledger.flush()


def test_what_optunas_own_tools_append_is_taken_in() -> None:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    with study(WHOLE) as (place, path), open_ledger(place, header()) as ledger:
        other = JournalStorage(JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path))))
        optuna.load_study(study_name="study/search", storage=other).set_user_attr("note", "from a dashboard")
        ledger.begin(trial(3))
        assert len(ledger.read().trials_in_phase(Phase.SEARCH)) == 4
        storage, damage = journal.load_journal(path)
        assert damage is None
        assert optuna.load_study(study_name="study/search", storage=storage).user_attrs["note"] == "from a dashboard"
