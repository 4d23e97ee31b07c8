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

JournalEntry = dict[str, Any]
ENTRY_PREFIX = b'{"op_code":'
"""How each of Optuna's lines begins."""
CREATE_OP_CODES = (0, 4)
"""Optuna's codes for a line that makes a study or a trial, which are numbered by their order."""
COMMIT_INTERVAL_SECONDS = 0.2
"""How long a record may wait for the disk: what a killed coordinator loses at most, beside what it did not know yet."""
_REPLAY_ERRORS = (AssertionError, AttributeError, LookupError, TypeError, ValueError)
"""What Optuna raises when it is to apply a record that is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """Where a journal stops being sound; nothing sound follows.

    Args:
        line: The first damaged line, from 1.
        start: Where it starts, in bytes.
        is_incomplete_line: Whether it is but the line that a writer did not live to finish, or is writing just now.
    """

    line: int
    start: int
    is_incomplete_line: bool


class JournalSnapshot(BaseJournalBackend):
    """The records of a file as they were when it was read.

    Args:
        entries: In the order of their lines.
    """

    def __init__(self, entries: Sequence[JournalEntry]) -> None:
        self._entries = entries
        self.last_line = 0  # of the record that was handed out last, from 1

    def read_logs(self, log_number_from: int) -> Iterator[JournalEntry]:
        """Yields the records from that number on, from 0."""
        for number in range(log_number_from, len(self._entries)):
            self.last_line = number + 1
            yield self._entries[number]

    def append_logs(self, logs: list[JournalEntry]) -> NoReturn:
        """Refuses: who reads does not write."""
        raise AssertionError("a snapshot cannot be written")


class JournalFollower(BaseJournalBackend):
    """The records of a file that another process writes, as far as it has come.

    Stops before a line that is not whole or no record, until that one is another; and where damage was found already.

    Args:
        path: Of the file.
        damage_start: Where known damage starts, in bytes.
    """

    def __init__(self, path: Path, *, damage_start: int | None = None) -> None:
        self._path, self._damage_start = path, damage_start
        self._next_entry = self._offset = 0

    def read_logs(self, log_number_from: int) -> Iterator[JournalEntry]:
        """Yields the records from that number on, from 0; each once, since Optuna keeps what it has read."""
        assert log_number_from == self._next_entry, f"{log_number_from} was asked for, {self._next_entry} comes next"
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                entry = _parse_entry(line) if line.endswith(b"\n") and self._offset != self._damage_start else None
                if entry is None:
                    return
                self._next_entry, self._offset = self._next_entry + 1, self._offset + len(line)
                yield entry

    def append_logs(self, logs: list[JournalEntry]) -> NoReturn:
        """Refuses: who watches does not write."""
        raise AssertionError("a journal that is watched cannot be written")


class JournalBackend(BaseJournalBackend):
    """Writes a journal that was mended, and notices when another program damages it meanwhile.

    Records are handed to the disk together, a few times a second and whenever it matters: to have the disk take each by
    itself took the coordinator of a thousand workers longer than all else.

    Args:
        path: Of the file; made if it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._next_entry, self._offset = path, 0, 0
        self._file = JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path)))
        self._unread: deque[JournalEntry] = deque()
        self._pending: list[JournalEntry] = []
        self._committed = time.monotonic()

    def read_logs(self, log_number_from: int) -> Iterator[JournalEntry]:
        """Yields the records from that number on, from 0; each once, since Optuna keeps what it has read."""
        assert log_number_from == self._next_entry, f"{log_number_from} was asked for, {self._next_entry} comes next"
        if not self._pending:
            self._unread += self._read_external()
        while self._unread:
            self._next_entry += 1
            yield self._unread.popleft()

    def append_logs(self, logs: list[JournalEntry]) -> None:
        """Appends records; the disk has taken them when ``commit`` returns, which is called when they have waited.

        Raises:
            FatalError: Another program damaged the file; nothing was written.
            OSError: The disk is full, say.
        """
        self._pending += logs
        self._unread += [json.loads(json.dumps(log)) for log in logs]  # as they will be read
        self.commit(force=False)

    def commit(self, *, force: bool) -> None:
        """Has the disk take what was appended; never behind damage, which must stay the end.

        Args:
            force: Whether to do so also where it has not waited long.

        Raises:
            FatalError: Another program damaged the file; nothing was written.
            OSError: The disk is full, say.
        """
        is_due = force or time.monotonic() - self._committed >= COMMIT_INTERVAL_SECONDS
        if not self._pending or not is_due:
            return
        pending, self._pending = self._pending, []
        external = self._read_external(require_complete=True)
        if any(record["op_code"] in CREATE_OP_CODES for record in external):  # numbers would be others when read again
            raise self._external_change_error("studies or trials were added to it")
        self._file.append_logs(pending)
        self._unread += external
        self._offset, self._committed = self._path.stat().st_size, time.monotonic()

    def _read_external(self, *, require_complete: bool = False) -> list[JournalEntry]:
        """Returns what one of Optuna's own tools has appended, but a line that it is writing, unless it has to end."""
        size = self._path.stat().st_size if self._path.exists() else -1
        if size < self._offset:
            raise self._external_change_error("it was removed or cut short")
        if size == self._offset:
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            lines = file.readlines()
        if not require_complete and not lines[-1].endswith(b"\n"):
            lines.pop()
        entries = [_parse_entry(line) if line.endswith(b"\n") else None for line in lines]
        if None in entries:
            raise self._external_change_error(f"what follows its line {self._next_entry} is not Optuna's")
        self._offset += sum(map(len, lines))
        return [record for record in entries if record is not None]

    def _external_change_error(self, description: str) -> FatalError:
        return FatalError(
            f"Another program changed the ledger while the study ran: {description}. Received: {self._path}.",
            hint="Keep other programs from it, and run the same command again: what is whole in it is kept.",
        )


def load_journal(path: Path) -> tuple[BaseStorage, Damage | None]:
    """Returns what a journal holds up to its first damaged line, and where that is.

    Raises:
        FatalError: Sound lines follow the damaged one.
        OSError: The file cannot be read.
    """
    lines = list(io.BytesIO(path.read_bytes()))
    entries: list[JournalEntry] = []
    for line in lines:
        if (entry := _parse_entry(line)) is None:
            break
        entries.append(entry)
    snapshot = JournalSnapshot(entries)
    try:
        storage = JournalStorage(snapshot)
    except _REPLAY_ERRORS:  # JSON, and the last record handed out is none that could follow those before it
        del entries[snapshot.last_line - 1 :]
        storage = JournalStorage(JournalSnapshot(entries))
    return storage, _find_damage(path, lines, sound_lines=len(entries))


def _find_damage(path: Path, lines: Sequence[bytes], *, sound_lines: int) -> Damage | None:
    """Returns the damage that follows so many sound lines, if there is any."""
    if sound_lines == len(lines):
        return None
    if any(_parse_entry(line) is not None for line in lines[sound_lines + 1 :]):
        raise FatalError(
            f"The ledger is damaged in the middle: its line {sound_lines + 1} cannot be read, and "
            "others follow it that can. "
            f"Received: {path}, {len(lines)} lines.",
            hint="Bring back a copy of the file, or give up what follows that line: keep a copy of the file as COPY, "
            f"then: head -n {sound_lines} COPY > {path}",
        )
    first_damaged = lines[sound_lines]
    is_last, has_prefix = (
        sound_lines == len(lines) - 1,
        first_damaged.startswith(ENTRY_PREFIX) or ENTRY_PREFIX.startswith(first_damaged),
    )
    is_incomplete_line = is_last and has_prefix and not first_damaged.endswith(b"\n") and b"\0" not in first_damaged
    return Damage(line=sound_lines + 1, start=sum(map(len, lines[:sound_lines])), is_incomplete_line=is_incomplete_line)


def _parse_entry(line: bytes) -> JournalEntry | None:
    """Returns the record in a line, with or without its line end; None if it is none."""
    try:
        entry = json.loads(line.decode())
    except (ValueError, RecursionError):
        return None
    is_entry = isinstance(entry, dict) and isinstance(entry.get("op_code"), int) and "worker_id" in entry
    return entry if is_entry else None


def repair(path: Path) -> str:
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
    _, damage = load_journal(path)
    with path.open("rb+") as file:
        content = file.read()
        if damage is None:
            file.write(b"" if content.endswith(b"\n") or not content else b"\n")
            return ""
        note = "" if damage.is_incomplete_line else _move_damaged_end(path, content[damage.start :], damage)
        file.truncate(damage.start)
    return note


def _move_damaged_end(path: Path, damaged_end: bytes, damage: Damage) -> str:
    """Writes a damaged end to a file of its own and returns what is to be told about it."""
    number = 1 + len(list(path.parent.glob(f"{path.name}.damaged-*")))
    destination = path.with_name(f"{path.name}.damaged-{number}")
    destination.write_bytes(damaged_end)
    return (
        f"The ledger was damaged from line {damage.line} on; that end, {len(damaged_end):,} bytes, "
        f"was moved to {destination}, "
        "and the study goes on from what precedes it."
    )
