"""A study's journal file, which a kill, a full disk, a power cut or another program may have damaged.

    load_journal     for readers: the records before the first damaged line, without writing or locking
    JournalFollower  for watchers: Optuna's backend for these records and those added later
    repair           for the writer: moves a damaged end aside before the study continues
    JournalBackend   for the writer: Optuna's backend that appends records

A journal holds one operation per line, as JSON, and each builds on the lines before it. The lines before the first
damaged one are therefore valid, as if the writer had been killed there. Damage in the middle is refused, since the
lines after it would have another meaning. Called by ``search.records.storage.locations`` and the file ledger.
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
"""Beginning of each of Optuna's lines."""
CREATE_OP_CODES = (0, 4)
"""Optuna's codes of lines that create a study or a trial, which are numbered by their order."""
COMMIT_INTERVAL_SECONDS = 0.2
"""Longest time that a record is buffered, and thus what a killed coordinator loses at most."""
_REPLAY_ERRORS = (AssertionError, AttributeError, LookupError, TypeError, ValueError)
"""Errors of Optuna for an invalid record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """Damage at the end of a journal.

    Args:
        line: Number of the first damaged line, from 1.
        start: Its offset, in bytes.
        is_incomplete_line: Whether it is only the last line, which a writer is writing or did not finish.
    """

    line: int
    start: int
    is_incomplete_line: bool


class JournalSnapshot(BaseJournalBackend):
    """The records of a file at the time of reading.

    Args:
        entries: The records, in the order of their lines.
    """

    def __init__(self, entries: Sequence[JournalEntry]) -> None:
        self._entries = entries
        self.last_line = 0  # number of the last record that was read, from 1

    def read_logs(self, log_number_from: int) -> Iterator[JournalEntry]:
        """Yields the records from that number on, counted from 0."""
        for number in range(log_number_from, len(self._entries)):
            self.last_line = number + 1
            yield self._entries[number]

    def append_logs(self, logs: list[JournalEntry]) -> NoReturn:
        """Raises: a snapshot is read-only."""
        raise AssertionError("a snapshot cannot be written")


class JournalFollower(BaseJournalBackend):
    """The records of a file while another process writes it.

    Stops at an incomplete or invalid line until that line is complete, and at known damage.

    Args:
        path: The file.
        damage_start: Offset of known damage, in bytes.
    """

    def __init__(self, path: Path, *, damage_start: int | None = None) -> None:
        self._path, self._damage_start = path, damage_start
        self._next_entry = self._offset = 0

    def read_logs(self, log_number_from: int) -> Iterator[JournalEntry]:
        """Yields the records from that number on, counted from 0; each once, since Optuna keeps them."""
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
        """Raises: a followed journal is read-only."""
        raise AssertionError("a journal that is watched cannot be written")


class JournalBackend(BaseJournalBackend):
    """Writes a repaired journal, and detects damage by other programs while it is open.

    Records are written to the disk together, a few times a second and when a trial ends: one write per record dominated
    the time of a coordinator with a thousand workers.

    Args:
        path: The file; created if it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._next_entry, self._offset = path, 0, 0
        self._file = JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path)))
        self._unread: deque[JournalEntry] = deque()
        self._pending: list[JournalEntry] = []
        self._committed = time.monotonic()

    def read_logs(self, log_number_from: int) -> Iterator[JournalEntry]:
        """Yields the records from that number on, counted from 0; each once, since Optuna keeps them."""
        assert log_number_from == self._next_entry, f"{log_number_from} was asked for, {self._next_entry} comes next"
        if not self._pending:
            self._unread += self._read_external()
        while self._unread:
            self._next_entry += 1
            yield self._unread.popleft()

    def append_logs(self, logs: list[JournalEntry]) -> None:
        """Buffers records; they are on the disk after the next ``commit``.

        Raises:
            FatalError: Another program damaged the file; nothing was written.
            OSError: The file cannot be written, for example because the disk is full.
        """
        self._pending += logs
        self._unread += [json.loads(json.dumps(log)) for log in logs]  # as they will be read
        self.commit(force=False)

    def commit(self, *, force: bool) -> None:
        """Writes buffered records to the disk, but never after damage, which must stay at the end.

        Args:
            force: Whether to write also records that have not waited long.

        Raises:
            FatalError: Another program damaged the file; nothing was written.
            OSError: The file cannot be written, for example because the disk is full.
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
        """Returns records that one of Optuna's tools has appended; an incomplete last line is left unless required."""
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
    """Returns the records before the first damaged line, and the damage.

    Raises:
        FatalError: Valid lines follow the damaged one.
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
    except _REPLAY_ERRORS:  # the last record read is valid JSON but cannot follow those before it
        del entries[snapshot.last_line - 1 :]
        storage = JournalStorage(JournalSnapshot(entries))
    return storage, _find_damage(path, lines, sound_lines=len(entries))


def _find_damage(path: Path, lines: Sequence[bytes], *, sound_lines: int) -> Damage | None:
    """Returns the damage after this many valid lines, if there is any."""
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
    """Returns the record in a line; None if it is invalid."""
    try:
        entry = json.loads(line.decode())
    except (ValueError, RecursionError):
        return None
    is_entry = isinstance(entry, dict) and isinstance(entry.get("op_code"), int) and "worker_id" in entry
    return entry if is_entry else None


def repair(path: Path) -> str:
    """Repairs a journal for writing, and returns a note about damage; usually empty.

    Deletes the lock of a killed writer. Moves a damaged end to a file beside it; drops an incomplete last line,
    which its writer never considered recorded. Call it with the study's folder locked.

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
    """Moves a damaged end to a file of its own and returns a note about it."""
    number = 1 + len(list(path.parent.glob(f"{path.name}.damaged-*")))
    destination = path.with_name(f"{path.name}.damaged-{number}")
    destination.write_bytes(damaged_end)
    return (
        f"The ledger was damaged from line {damage.line} on; that end, {len(damaged_end):,} bytes, "
        f"was moved to {destination}, "
        "and the study goes on from what precedes it."
    )
