"""The platform, and strangers named search or spaces: real folders and processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from search.errors import UserError
from search.preconditions import ROOT, check_preconditions, modules_in_the_way


def run(folder: Path, *words: str, path: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )


def installed(folder: Path) -> Path:
    """A copy of the project, as in a folder of installed packages."""
    for package in ("search", "spaces"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "embedded"))
    return folder


@pytest.mark.parametrize("words", [["-m", "search", "ls"], ["-c", "import search; search.run"]])
def test_another_package_named_spaces_is_named(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "spaces").mkdir()
    (tmp_path / "spaces" / "__init__.py").write_text("raise SystemExit('never imported')\n")
    refused = run(tmp_path, *words, path=str(ROOT))
    assert refused.returncode == (2 if "-m" in words else 1)
    assert str(tmp_path / "spaces" / "__init__.py") in refused.stderr
    assert "Rename it" in refused.stderr


@pytest.mark.parametrize("text", ["VALUE = 1\n", None])
def test_a_package_that_replaced_or_removed_our_file_is_noticed(tmp_path: Path, text: str | None) -> None:
    own = installed(tmp_path) / "spaces" / "__init__.py"
    own.unlink()
    if text is not None:
        own.write_text(text)
    refused = run(tmp_path, "-m", "search", "ls")
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"Error: {own}")
    assert "pip uninstall spaces" in refused.stderr


def test_our_own_package_is_accepted_and_files_beside_a_notebook_are_found(tmp_path: Path) -> None:
    check_preconditions()
    assert modules_in_the_way(ROOT) == modules_in_the_way(tmp_path) == []
    (tmp_path / "search.py").touch()
    (tmp_path / "spaces").mkdir()  # a folder of other files is no package
    assert modules_in_the_way(tmp_path) == [tmp_path / "search.py"]


def test_windows_is_refused_with_the_way_out() -> None:
    with pytest.raises(UserError, match="WSL2"):
        check_preconditions("win32")
