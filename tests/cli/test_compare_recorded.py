"""``compare --arena PATH`` from the outside."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from in_process import CommandHere

from tests.compare.recorded.made_up import write


def compare(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "search", "compare", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)


def test_searches_are_simulated_and_reported(tmp_path: Path) -> None:
    write(tmp_path / "tiny.jsonl")
    words = ("--arena", "tiny.jsonl", "--engines", "rival:recipes,rival:mutation", "--budget", "1m,2m")
    done = compare(tmp_path, *words, "--repeats", "2")
    assert done.returncode == 0, done.stderr
    assert "8 of 8 runs" in done.stderr
    assert "rival:mutation" in done.stdout
    written = sorted(path.name for path in (tmp_path / "reports/arena-recorded").iterdir())
    assert written == ["recorded.csv", "recorded.json", "recorded.md", "recorded.svg"]


def test_bad_input_is_refused_with_a_remedy(tmp_path: Path, search_here: CommandHere) -> None:
    cases = {
        "no recorded trainings": ("--arena", "recorded"),
        "--trials": ("--arena", "recorded", "--trials", "3"),
        "rival": ("--arena", "recorded", "--engines", "rival:recipe"),
    }
    for named, words in cases.items():
        done = search_here(tmp_path, "compare", *words)
        assert done.returncode == 2, done.stderr
        assert named in done.stderr
