"""A study's journal file, which a kill, a full disk, a power cut or another program may have damaged.

    load      whoever reads    what is sound, as one of Optuna's storages; never writes, never locks
    Follower  whoever watches  Optuna's backend: what is sound, and what is added while one looks; nor does this
    mend      the one writer   moves a damaged end aside, before it goes on
    Journal   the one writer   Optuna's backend: appends, and reads on from where it was

A journal holds one operation a line, as JSON, and each builds on those before it. What precedes the first damaged line
is therefore as sound as if the writer had been killed there. Damage that sound lines follow is refused: without the
lost line they would mean something else. Knows lines and Optuna's backends, not what is recorded.
"""

from __future__ import annotations

import io
import json
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend, JournalFileOpenLock

from search.errors import FatalError

Record = dict[str, Any]
BEGINNING = b'{"op_code":'
"""How each of Optuna's lines begins."""
CREATIONS = (0, 4)
"""Optuna's codes for a line that makes a study or a trial, which are numbered by their order."""
COMMIT_SECONDS = 0.2
"""How long a record may wait for the disk: what a killed coordinator loses at most, beside what it did not know yet."""
_UNFIT = (AssertionError, AttributeError, LookupError, TypeError, ValueError)
"""What Optuna raises when it is to apply a record that is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """Where a journal stops being sound; nothing sound follows.

    Args:
        line: The first damaged line, from 1.
        start: Where it starts, in bytes.
        is_unfinished: Whether it is but the line that a writer did not live to finish, or is writing just now.
    """

    line: int
    start: int
    is_unfinished: bool


class Snapshot(BaseJournalBackend):
    """The records of a file as they were when it was read.

    Args:
        records: In the order of their lines.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = records
        self.line = 0  # of the record that was handed out last, from 1

    def read_logs(self, log_number_from: int) -> Iterator[Record]:
        """Yields the records from that number on, from 0."""
        for number in range(log_number_from, len(self._records)):
            self.line = number + 1
            yield self._records[number]

    def append_logs(self, logs: list[Record]) -> NoReturn:
        """Refuses: who reads does not write."""
        raise AssertionError("a snapshot cannot be written")


class Follower(BaseJournalBackend):
    """The records of a file that another process writes, as far as it has come.

    Stops before a line that is not whole or no record, until that one is another; and where damage was found already.

    Args:
        path: Of the file.
        end: Where known damage starts, in bytes.
    """

    def __init__(self, path: Path, *, end: int | None = None) -> None:
        self._path, self._end = path, end
        self._number = self._at = 0

    def read_logs(self, log_number_from: int) -> Iterator[Record]:
        """Yields the records from that number on, from 0; each once, since Optuna keeps what it has read."""
        assert log_number_from == self._number, f"{log_number_from} was asked for, {self._number} comes next"
        with self._path.open("rb") as file:
            file.seek(self._at)
            for line in file:
                record = _record(line) if line.endswith(b"\n") and self._at != self._end else None
                if record is None:
                    return
                self._number, self._at = self._number + 1, self._at + len(line)
                yield record

    def append_logs(self, logs: list[Record]) -> NoReturn:
        """Refuses: who watches does not write."""
        raise AssertionError("a journal that is watched cannot be written")


class Journal(BaseJournalBackend):
    """Writes a journal that was mended, and notices when another program damages it meanwhile.

    Records are handed to the disk together, a few times a second and whenever it matters: to have the disk take each by
    itself took the coordinator of a thousand workers longer than all else.

    Args:
        path: Of the file; made if it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._number, self._end = path, 0, 0
        self._file = JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path)))
        self._unread: deque[Record] = deque()
        self._pending: list[Record] = []
        self._committed = time.monotonic()

    def read_logs(self, log_number_from: int) -> Iterator[Record]:
        """Yields the records from that number on, from 0; each once, since Optuna keeps what it has read."""
        assert log_number_from == self._number, f"{log_number_from} was asked for, {self._number} comes next"
        if not self._pending:
            self._unread += self._take_in()
        while self._unread:
            self._number += 1
            yield self._unread.popleft()

    def append_logs(self, logs: list[Record]) -> None:
        """Appends records; the disk has taken them when ``commit`` returns, which is called when they have waited.

        Raises:
            FatalError: Another program damaged the file; nothing was written.
            OSError: The disk is full, say.
        """
        self._pending += logs
        self._unread += [json.loads(json.dumps(log)) for log in logs]  # as they will be read
        self.commit(at_once=False)

    def commit(self, *, at_once: bool) -> None:
        """Has the disk take what was appended; never behind damage, which must stay the end.

        Args:
            at_once: Whether to do so also where it has not waited long.

        Raises:
            FatalError: Another program damaged the file; nothing was written.
            OSError: The disk is full, say.
        """
        is_due = at_once or time.monotonic() - self._committed >= COMMIT_SECONDS
        if not self._pending or not is_due:
            return
        pending, self._pending = self._pending, []
        others = self._take_in(to_the_end=True)
        if any(record["op_code"] in CREATIONS for record in others):  # numbers would be others when read again
            raise self._meddled("studies or trials were added to it")
        self._file.append_logs(pending)
        self._unread += others
        self._end, self._committed = self._path.stat().st_size, time.monotonic()

    def _take_in(self, *, to_the_end: bool = False) -> list[Record]:
        """Returns what one of Optuna's own tools has appended, but a line that it is writing, unless it has to end."""
        size = self._path.stat().st_size if self._path.exists() else -1
        if size < self._end:
            raise self._meddled("it was removed or cut short")
        if size == self._end:
            return []
        with self._path.open("rb") as file:
            file.seek(self._end)
            lines = file.readlines()
        if not to_the_end and not lines[-1].endswith(b"\n"):
            lines.pop()
        records = [_record(line) if line.endswith(b"\n") else None for line in lines]
        if None in records:
            raise self._meddled(f"what follows its line {self._number} is not Optuna's")
        self._end += sum(map(len, lines))
        return [record for record in records if record is not None]

    def _meddled(self, how: str) -> FatalError:
        return FatalError(
            f"Another program changed the ledger while the study ran: {how}. Received: {self._path}.",
            hint="Keep other programs from it, and run the same command again: what is whole in it is kept.",
        )


def load(path: Path) -> tuple[BaseStorage, Damage | None]:
    """Returns what a journal holds up to its first damaged line, and where that is.

    Raises:
        FatalError: Sound lines follow the damaged one.
        OSError: The file cannot be read.
    """
    lines = list(io.BytesIO(path.read_bytes()))
    records: list[Record] = []
    for line in lines:
        if (record := _record(line)) is None:
            break
        records.append(record)
    snapshot = Snapshot(records)
    try:
        storage = JournalStorage(snapshot)
    except _UNFIT:  # JSON, and the last record handed out is none that could follow those before it
        del records[snapshot.line - 1 :]
        storage = JournalStorage(Snapshot(records))
    return storage, _damage(path, lines, sound=len(records))


def _damage(path: Path, lines: Sequence[bytes], *, sound: int) -> Damage | None:
    """Returns the damage that follows so many sound lines, if there is any."""
    if sound == len(lines):
        return None
    if any(_record(line) is not None for line in lines[sound + 1 :]):
        raise FatalError(
            f"The ledger is damaged in the middle: its line {sound + 1} cannot be read, and others follow it that can. "
            f"Received: {path}, {len(lines)} lines.",
            hint="Bring back a copy of the file, or give up what follows that line: keep a copy of the file as COPY, "
            f"then: head -n {sound} COPY > {path}",
        )
    first = lines[sound]
    is_last, begins = sound == len(lines) - 1, first.startswith(BEGINNING) or BEGINNING.startswith(first)
    is_unfinished = is_last and begins and not first.endswith(b"\n") and b"\0" not in first
    return Damage(line=sound + 1, start=sum(map(len, lines[:sound])), is_unfinished=is_unfinished)


def _record(line: bytes) -> Record | None:
    """Returns the record in a line, with or without its line end; None if it is none."""
    try:
        record = json.loads(line.decode())
    except (ValueError, RecursionError):
        return None
    is_record = isinstance(record, dict) and isinstance(record.get("op_code"), int) and "worker_id" in record
    return record if is_record else None


def mend(path: Path) -> str:
    """Makes a journal ready to be gone on with, and returns what is to be told about it; mostly nothing.

    Clears away the lock of a killed writer. A damaged end is moved to a file beside it; a line that was merely not
    finished is dropped, since whoever wrote it never took it for recorded. To be called with the study's folder locked.

    Raises:
        FatalError: The journal is damaged in the middle; nothing was changed.
        OSError: The file cannot be read or written.
    """
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    if not path.exists():
        return ""
    _, damage = load(path)
    with path.open("rb+") as file:
        content = file.read()
        if damage is None:
            file.write(b"" if content.endswith(b"\n") or not content else b"\n")
            return ""
        note = "" if damage.is_unfinished else _set_aside(path, content[damage.start :], damage)
        file.truncate(damage.start)
    return note


def _set_aside(path: Path, end: bytes, damage: Damage) -> str:
    """Writes a damaged end to a file of its own and returns what is to be told about it."""
    number = 1 + len(list(path.parent.glob(f"{path.name}.damaged-*")))
    aside = path.with_name(f"{path.name}.damaged-{number}")
    aside.write_bytes(end)
    return (
        f"The ledger was damaged from line {damage.line} on; that end, {len(end):,} bytes, was moved to {aside}, "
        "and the study goes on from what precedes it."
    )
