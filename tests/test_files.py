"""Atomic writing: the old file or the new one, never half of one, and no draft left behind."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from search.errors import FatalError, UserError
from search.files import draft_of, write_atomic


def test_a_file_is_replaced_and_its_folder_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "board.txt"
    write_atomic(path, "old and longer\n", what="report")
    write_atomic(path, b"n\xc3\xa9w\n", what="report")
    assert path.read_text(encoding="utf-8") == "néw\n"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_in_the_middle_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), draft_of(path, suffix=".npz") as draft:
        assert draft.suffix == ".npz"
        draft.write_bytes(b"ne")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def run(code: str, path: Path, prepare: Callable[[], None] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs code with ``path`` as its argument in a process of its own."""
    header = "import os, signal, sys\nfrom pathlib import Path\nfrom search.files import draft_of, write_atomic\n"
    return subprocess.run(
        [sys.executable, "-c", header + code, str(path)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=prepare,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def test_a_kill_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "ledger.json"
    path.write_bytes(b"old")
    done = run(
        "with draft_of(Path(sys.argv[1])) as draft:\n"
        "    draft.write_bytes(b'ne')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n",
        path,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert path.read_bytes() == b"old"
    write_atomic(path, "new", what="record")  # the draft of the killed process is not in the way
    assert path.read_bytes() == b"new"


def test_a_full_disk_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "board.txt"
    path.write_bytes(b"old")
    done = run(
        "write_atomic(Path(sys.argv[1]), 'x' * 1000, what='report')\n",
        path,
        lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)),
    )
    assert FatalError.__name__ in done.stderr
    assert "The report cannot be written" in done.stderr
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_is_an_error_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(UserError, match="The plot cannot be written"):
        write_atomic(tmp_path / "file" / "plot.svg", "", what="plot")
