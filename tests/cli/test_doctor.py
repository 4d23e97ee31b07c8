"""Tests the output and exit code of ``doctor``, and that it leaves no files behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from small_data import tree

from search.doctor.checks import CHECKS

BROKEN = """
import sys
from spaces import TRAINING, Int, Space

def build(images, config, classes):
    {what}

SPACE = Space(name="broken", doc="For a test", parameters={{"width": Int(1, 4, 2, doc="."), **TRAINING}}, build=build)
"""
RUN = "import runpy, sys; {before}; sys.argv[0] = 'search'; runpy.run_module('search', run_name='__main__')"


def doctor(folder: Path, *words: object, before: str = "pass") -> subprocess.CompletedProcess[str]:
    """Runs the command from a folder of its own; ``before`` is run first in its process."""
    (folder / "work").mkdir()
    places = ["--studies-dir", folder / "work" / "studies", "--reports-dir", folder / "work" / "reports"]
    command = [sys.executable, "-c", RUN.format(before=before), "doctor", *places, *words]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert "Traceback (most recent call last)" not in done.stderr
    assert tree(folder / "work") == set()
    return done


def test_an_unwritable_folder_and_an_unwritable_cache(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("d")  # a short path, which leaves room for words
    file = folder / "file"
    file.touch()
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    done = doctor(folder, "--reports-dir", file, "--cache-dir", file, "--backend", "tensorflow")
    lines = done.stdout.splitlines()
    assert done.returncode == 1, done.stderr
    marked = [line.split() for line in lines if line.startswith(("ok ", "warning ", "fails "))]
    assert [words[1] for words in marked] == list(CHECKS)
    assert "fails    reports" in done.stdout
    assert "-> Name another folder with --reports-dir." in done.stdout
    assert "fails    training  not run, because it needs: data" in done.stdout
    assert "KERAS_BACKEND=torch" in done.stdout
    assert "-> unset KERAS_BACKEND" in done.stdout
    assert "Fix: reports, data.\n" in done.stdout
    assert all(len(line) <= 80 or len(line.split()) == 1 for line in lines)  # a long path stays whole
    assert "\x1b" not in done.stdout


def test_a_missing_package_fails_what_needs_it_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = doctor(tmp_path, "--cache-dir", tmp_path / "file", "--json", before="sys.modules['optuna'] = None")
    document = json.loads(done.stdout)
    found = {check["name"]: check for check in document["checks"]}
    assert (done.returncode, document["would_run"]) == (1, False)
    assert "optuna" in found["engine"]["found"]
    assert [found[name]["status"] for name in ("engine", "memory", "studies", "backend")] == ["fails", "ok", "ok", "ok"]


def test_an_unknown_data_set_is_bad_input(tmp_path: Path) -> None:
    done = doctor(tmp_path, "--dataset", "mnits")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Received: dataset='mnits'" in done.stderr


@pytest.mark.slow
def test_a_search_would_run_here(tmp_path: Path) -> None:
    heavy = "{'keras', 'tensorflow'} & sys.modules.keys()"
    leaves = f"import atexit; atexit.register(lambda: sys.stderr.write(str({heavy})))"
    done = doctor(tmp_path, "--space", "mlp", "--cache-dir", tmp_path / "cache", "--json", before=leaves)
    document = json.loads(done.stdout)
    assert done.returncode == 0, done.stdout
    assert document.keys() == {"schema", "would_run", "seconds", "checks"}
    assert (document["schema"], document["would_run"]) == (1, True)
    assert [check["name"] for check in document["checks"]] == list(CHECKS)
    assert all(check.keys() == {"name", "status", "found", "remedy", "details"} for check in document["checks"])
    found = {check["name"]: check["details"] for check in document["checks"]}
    assert found["training"]["start_seconds"] > 0
    assert found["training"]["build_seconds"] > 0
    assert found["training"]["parameters"] > 100_000
    assert found["workers"]["workers"] >= 1
    assert done.stderr == "set()"  # neither was imported in this process


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "message", "remedy"),
    [
        ("raise ValueError('no such layer')", "ValueError: no such layer", "Fix line 6 of the space's file"),
        ("import os; os.write(2, b'the last words'); os._exit(3)", "the last words", "Fix the space's file"),
    ],
)
def test_a_broken_space_fails_with_the_words_of_the_worker(
    tmp_path: Path, what: str, message: str, remedy: str
) -> None:
    space = tmp_path / "space.py"
    space.write_text(BROKEN.format(what=what), encoding="utf-8")
    done = doctor(tmp_path, "--space", space)
    assert done.returncode == 1
    assert "fails    training" in done.stdout
    assert message in done.stdout
    assert remedy in " ".join(done.stdout.split())
    assert "Fix: training.\n" in done.stdout
