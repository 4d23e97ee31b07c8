"""The coordinator's sign: who runs a study, seen without its lock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from makers import header

from search.errors import UserError
from search.records.opening import open_ledger
from search.records.storage import process_identity
from search.records.storage.locations import StudyLocation

ROOT = Path(__file__).parents[1]


def change(folder: Path, **changes: object) -> None:
    """Alters the sign in a folder."""
    path = folder / process_identity.COORDINATOR_FILE
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def test_who_runs_a_study_is_seen_for_as_long_as_the_ledger_is_open(tmp_path: Path) -> None:
    place = StudyLocation(studies_dir=tmp_path)
    with open_ledger(place, header()) as ledger:
        found = process_identity.read_coordinator(ledger.folder)
        assert (found.pid, found.is_on_this_host) == (os.getpid(), True)
    assert process_identity.read_coordinator(place.folder("study")) is None
    assert not (place.folder("study") / process_identity.COORDINATOR_FILE).exists()


def test_a_refused_session_leaves_the_sign_of_the_one_that_runs(tmp_path: Path) -> None:
    place = StudyLocation(studies_dir=tmp_path)
    with open_ledger(place, header()) as ledger:
        with pytest.raises(UserError, match="another process"):
            open_ledger(place, header())
        assert process_identity.read_coordinator(ledger.folder) is not None


def test_a_session_that_cannot_open_its_ledger_leaves_no_sign(tmp_path: Path) -> None:
    place = StudyLocation(studies_dir=tmp_path)
    place.folder("study").mkdir()
    (place.folder("study") / "ledger.journal").symlink_to(tmp_path / "no" / "such" / "folder")
    with pytest.raises(FileNotFoundError):
        open_ledger(place, header())
    assert (place.folder("study") / "lock").exists()  # it came as far as the lock
    assert process_identity.read_coordinator(place.folder("study")) is None


def test_a_killed_coordinators_sign_says_that_nobody_runs_the_study(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from search.records.storage import process_identity; "
        "process_identity.write_coordinator(pathlib.Path(sys.argv[1])); input()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdin=pipe) as process:
        while process_identity.read_coordinator(tmp_path) is None:
            assert process.poll() is None
        assert process_identity.read_coordinator(tmp_path).pid == process.pid
        process.kill()
        while process_identity.read_coordinator(tmp_path) is not None:  # a zombie by now: nobody waited for it
            pass
        assert process.returncode is None
    assert (tmp_path / process_identity.COORDINATOR_FILE).exists()
    assert process_identity.read_coordinator(tmp_path) is None


def test_another_process_of_the_same_number_is_not_taken_for_the_coordinator(tmp_path: Path) -> None:
    process_identity.write_coordinator(tmp_path)
    change(tmp_path, after_boot=process_identity.read_coordinator(tmp_path).after_boot - 60)
    assert process_identity.read_coordinator(tmp_path) is None


def test_of_a_coordinator_elsewhere_the_sign_is_all_that_is_known(tmp_path: Path) -> None:
    process_identity.write_coordinator(tmp_path)
    change(tmp_path, host="another-machine", pid=2**22 + 1)
    found = process_identity.read_coordinator(tmp_path)
    assert (found.host, found.is_on_this_host) == ("another-machine", False)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', "null"])
def test_an_unreadable_sign_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / process_identity.COORDINATOR_FILE).write_text(content, encoding="utf-8")
    assert process_identity.read_coordinator(tmp_path) is None
