"""A command run in this process, where what it refuses is tested: a process of its own imports for a second or two."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from search.cli import main


@dataclass(frozen=True, kw_only=True)
class Done:
    """How a command ended: its exit code and what it wrote, as of ``subprocess.CompletedProcess``."""

    returncode: int
    stdout: str
    stderr: str


class CommandHere:
    """Runs ``python -m search`` in a folder, without a new process; given by the fixture ``search_here``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, folder: Path, *words: str) -> Done:
        self._monkeypatch.chdir(folder)
        self._monkeypatch.setattr(sys, "argv", ["__main__.py", *words])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        assert isinstance(end.value.code, int)
        printed, told = self._capsys.readouterr()
        return Done(returncode=end.value.code, stdout=printed, stderr=told)
