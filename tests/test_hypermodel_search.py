"""A search over the model of a Keras Tuner script, from its file to an exported model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).with_name("own_hypermodel.py")


@pytest.mark.slow
def test_a_script_of_keras_tuner_is_searched_verified_and_exported(
    tmp_path: Path, small_mnist: Path, cache_dir: Path
) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}  # for the discovered space

    def search(*words: str) -> None:
        command = [sys.executable, "-m", "search", *words]
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)

    cache = ("--cache-dir", str(cache_dir))
    settings = ("--dataset", str(small_mnist), "--study", "s", "--trials", "3", "--epochs", "2", "--seed", "1")
    machine = ("--workers", "1", "--threads", "1", "--kernels", "onednn", "--replicates", "1", *cache)
    search("run", "--space", str(FILE), *settings, *machine, "--engine", "keras-tuner:random")
    board = json.loads((tmp_path / "reports" / "s" / "leaderboard.json").read_text())
    rows = [row for section in board["sections"] for row in section["rows"]]
    assert min(row["validation_error_percent"] for row in rows) < 50.0
    assert {"baseline", "found"} <= {row["label"] for row in rows if row["test_error_percent"] is not None}
    search("export", "s", "--as", "model", "--out", "model.keras", *cache)
    assert (tmp_path / "model.keras").is_file()
