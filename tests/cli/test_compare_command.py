"""``compare`` from the outside: a real process, real files, and once real training on a small piece of MNIST."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from in_process import CommandHere

from search.cli.compare import complete_engines
from search.engines.registry import engine_names

SMALL = (
    "--space",
    "mlp",
    "--fix",
    "hidden_layers=1",
    "--width-1",
    "64",
    "--epochs",
    "2",
    "--replicates",
    "1",
    "--threads",
    "1",
    "--workers",
    "1",
)
COMPARISON = (
    "--engines", "optuna:random,keras-tuner:hyperband", "--repeats", "2", "--trials", "3", "--seed", "5",
    "--name", "small",
)  # fmt: skip


BAD = {
    "engine": (["--engines", "optuna:tpe,optunaa:tpe"], "optuna"),
    "sampler": (["--engines", "optuna:tpee"], "tpe"),
    "twice": (["--engines", "optuna,optuna:mutation"], "optuna:mutation"),
    "no engine": (["--engines", ","], "--engines"),
    "repeats": (["--repeats", "0"], "--repeats"),
    "two budgets": (["--budget", "5m", "--trials", "3"], "--budget and --trials"),
    "no trials": (["--trials", "0"], "--trials"),
    "no epochs": (["--total-epochs", "0"], "--total-epochs"),
    "no time": (["--budget", "0s"], "--budget"),
    "time": (["--budget", "soon"], "soon"),
    "pruner": (["--pruner", "ash"], "asha"),
    "name": (["--name", "a/b"], "a/b"),
    "parameter": (["--fix", "filter_1=8"], "filters_1"),
    "typed wrong": (["--trails", "3"], "--trials"),
    "grid": (["--engines", "optuna:grid"], "learning_rate"),
    "other terms": (["--name", "known", "--trials", "7", "--workers", "1"], "budget.epochs"),
    "a study": (["--name", "study"], "is a study"),
    "not there": (["--report-only", "--name", "nowhere"], "nowhere"),
    "nameless": (["--report-only"], "--name"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_with_a_remedy_and_nothing_written(
    tmp_path: Path, cache_dir: Path, search_here: CommandHere, case: str
) -> None:
    words, named = BAD[case]
    (tmp_path / "studies" / "study").mkdir(parents=True)
    (tmp_path / "studies" / "study" / "ledger.journal").touch()
    (tmp_path / "studies" / "known").mkdir()
    (tmp_path / "studies" / "known" / "tournament.json").write_text(json.dumps(KNOWN))
    before = sorted(tmp_path.rglob("*"))
    engines = () if "--engines" in words else ("--engines", "optuna:random")
    done = search_here(tmp_path, "compare", "--cache-dir", str(cache_dir), *engines, *words)
    assert done.returncode == 2, done.stderr
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 6
    assert done.stdout == ""
    assert sorted(tmp_path.rglob("*")) == before


KNOWN = {"name": "known", "seed": 1, "engines": ["optuna:random"], "repeats": 3, "epochs": 30, "commands": []}


def test_the_shell_completes_the_engine_that_is_being_typed() -> None:
    offered = complete_engines(None, None, "")
    assert offered == engine_names()
    assert complete_engines(None, None, "optuna:tpe,keras-tuner:h") == ["optuna:tpe,keras-tuner:hyperband"]
    assert "optuna:tpe,optuna:tpe" not in complete_engines(None, None, "optuna:tpe,")


@pytest.mark.slow
def test_a_comparison_is_interrupted_continues_and_is_reported(
    tmp_path: Path, small_mnist: Path, cache_dir: Path, search_here: CommandHere
) -> None:
    words = [*COMPARISON, *SMALL, "--dataset", str(small_mnist), "--cache-dir", str(cache_dir)]
    line = [sys.executable, "-m", "search", "compare", *words]
    with subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for said in process.stderr:
            if "complete" in said:
                time.sleep(0.2)
                process.send_signal(signal.SIGINT)
                break
        printed, told = process.communicate(timeout=200)
    assert process.returncode == 130, told
    assert "run the same command again" in told
    assert "Not finished: optuna:random has 0 of 2 repeats" in " ".join(printed.split())

    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    assert "[4/4] keras-tuner:hyperband, repeat 2 of 2" in done.stderr
    reports = tmp_path / "reports" / "small"
    names = ["comparison.csv", "comparison.json", "comparison.md", "comparison.svg"]
    assert sorted(path.name for path in reports.iterdir()) == names
    document = json.loads((reports / "comparison.json").read_text())
    assert {engine["test_error_percent"]["n"] for engine in document["engines"]} == {2}
    assert "python -m search compare --engines" in document["rules"]["commands"][0]
    for repeat in (0, 1):
        seeds = {study["seed"] for study in document["studies"] if study["repeat"] == repeat}
        assert len(seeds) == 1
    assert all(study["epochs"] >= 6 for study in document["studies"])

    again = search_here(tmp_path, "compare", *words, "--quiet", "--format", "json")
    assert again.stderr == ""
    assert json.loads(again.stdout) == document
    only = search_here(tmp_path, "compare", "--report-only", "--name", "small", "--format", "csv", "--quiet")
    assert only.stdout == (reports / "comparison.csv").read_text()
    refused = search_here(tmp_path, "compare", *words, "--pruner", "none")
    assert (refused.returncode, "pruner" in refused.stderr) == (2, True)
    board = search_here(tmp_path, "leaderboard", "--studies-dir", "studies/small", "--format", "csv")
    assert "keras-tuner-hyperband-1" in board.stdout
