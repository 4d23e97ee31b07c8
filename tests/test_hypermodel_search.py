"""A search over the model of a Keras Tuner script, from its function to an exported model."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).with_name("own_hypermodel.py")


SEARCH = """
import search
search.run(
    build_model,
    data=DATA, cache_dir=CACHE, study="s", engine="keras-tuner:random", trials=3, epochs=2, replicates=1, seed=1,
    batch_size=64, workers=1, threads=1, kernels="onednn",
)
"""
"""Continues the script; it has no main guard."""
BARE = """
import runpy, sys
sys.modules["search"] = sys.modules["spaces"] = None  # to import either would fail
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.slow
def test_a_model_of_keras_tuner_is_searched_verified_and_exported(
    tmp_path: Path, small_mnist: Path, cache_dir: Path
) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}  # for the discovered space
    model, _, _ = FILE.read_text().replace("import no_such_package\n", "").partition("tuner = ")
    model = model.replace("images = no_such_package.load()\n", "")
    names = f"DATA, CACHE = {str(small_mnist)!r}, {str(cache_dir)!r}\n"
    (tmp_path / "script.py").write_text(f"{model}{names}{SEARCH}")

    def python(*words: str) -> str:
        command = [sys.executable, *words]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    python("script.py")
    board = json.loads((tmp_path / "reports" / "s" / "leaderboard.json").read_text())
    rows = [row for section in board["sections"] for row in section["rows"]]
    assert min(row["validation_error_percent"] for row in rows) < 50.0
    assert {"baseline", "found"} <= {row["label"] for row in rows if row["test_error_percent"] is not None}
    assert {row["config"]["batch_size"] for row in rows} == {64}
    python("-m", "search", "export", "s", "--as", "model", "--out", "model.keras", "--cache-dir", str(cache_dir))
    assert (tmp_path / "model.keras").is_file()
    python("-m", "search", "export", "s", "--as", "script", "--out", "winner.py", "--cache-dir", str(cache_dir))
    printed = python("-c", BARE, "winner.py", str(small_mnist)).splitlines()[-1]
    (chosen,) = (row["test_error_percent"] for row in rows if row["chosen_in"])
    assert float(re.fullmatch(r"Test error: ([0-9.]+) %", printed)[1]) == pytest.approx(chosen, abs=3.0)
