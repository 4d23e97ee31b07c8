"""Tests completion in a real bash."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BASH = shutil.which("bash")
COLON = ("bayesian", "hyperband", "random", "grid")
CASES = {
    "an engine": (
        ["run", "--engine", "opt"],
        ["optuna", *(f"optuna:{s}" for s in ["mutation", "tpe", "gp", "cmaes", "random", "qmc", "grid", "nsga2"])],
    ),
    "a sampler after a colon": (["run", "--engine", "keras-tuner", ":", "hy"], ["hyperband"]),
    "the colon itself": (["run", "--engine", "keras-tuner", ":"], list(COLON)),
    "a sampler apart": (["run", "--engine", "keras-tuner", "--sampler", ""], list(COLON)),
    "a sampler of the default engine": (["run", "--sampler", "t"], ["tpe"]),
    "a pruner": (["run", "--pruner", "h"], ["hyperband"]),
    "a pruner of the other engine": (["run", "--engine", "keras-tuner", "--pruner", ""], ["none", "screening"]),
    "a space": (["run", "--space", "cnn"], ["cnn", "cnn-large"]),
    "a command": (["lea"], ["leaderboard"]),
    "a study": (["status", "cn"], ["cnn-1", "cnn-2"]),
    "a second study": (["leaderboard", "mlp", "cnn-2"], ["cnn-2"]),
    "a study in another folder": (["status", "--studies-dir", "elsewhere", ""], ["far"]),
    "the study of a run": (["run", "--study", "m"], ["mlp"]),
    "the study of an export": (["export", "cn"], ["cnn-1", "cnn-2"]),
    "a row": (["export", "mlp", "w"], ["winner"]),
    "a row to reproduce": (["reproduce", "mlp", "b"], ["baseline"]),
    "a row by its rank, after a colon": (["reproduce", "mlp", "rank", ":"], ["1", "2", "3"]),
    "a form": (["export", "mlp", "--as", "s"], ["script"]),
}


@pytest.fixture(scope="module")
def completed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What one bash offers in each case."""
    folder = tmp_path_factory.mktemp("completed")
    for study in ("studies/cnn-1", "studies/cnn-2", "studies/mlp", "elsewhere/far"):
        (folder / study).mkdir(parents=True)
        (folder / study / "ledger.journal").touch()
    script = Path(sys.executable).with_name("keras-image-search")
    code = f"""eval "$(_KERAS_IMAGE_SEARCH_COMPLETE=bash_source '{script}')"\n"""
    for words, _ in CASES.values():
        line = " ".join(f"'{word}'" for word in ("keras-image-search", *words))
        code += f"""
            COMP_WORDS=({line}); COMP_CWORD={len(words)}; COMPREPLY=()
            _keras_image_search_completion '{script}'
            echo "${{COMPREPLY[*]}}"
        """
    done = subprocess.run([str(BASH), "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    return dict(zip(CASES, map(str.split, done.stdout.splitlines()), strict=True))


@pytest.mark.skipif(BASH is None, reason="bash is not installed")
@pytest.mark.parametrize("case", CASES)
def test_bash_completes(completed: dict[str, list[str]], case: str) -> None:
    assert completed[case] == CASES[case][1]


def test_completion_knows_every_data_set_and_executor() -> None:
    from search.cli.completion import option_values
    from search.data.sources import NAMED_SOURCES
    from search.session.plan import ExecutorName

    assert set(option_values("dataset", {})) == set(NAMED_SOURCES)
    assert set(option_values("executor", {})) == set(ExecutorName)
