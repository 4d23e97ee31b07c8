"""Tests what commands that do not train may import: an allow-list, since importing Keras takes seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from search.cli import COMMANDS

HEAVY = {"keras", "tensorflow", "jax", "torch", "keras_tuner", "sklearn", "matplotlib", "pandas", "sqlalchemy"}
DRAWING = {"matplotlib", "pandas", "sklearn"}
"""What reports with pictures import; Optuna the last two for its importances."""
HELP = {"click", "search", "spaces"}
"""Beside the standard library, all that ``--help`` may import."""


def imported(*words: str) -> set[str]:
    """The top-level packages outside the standard library that a command imports."""
    code = (
        "import json, runpy, sys\n"
        "before = set(sys.modules)\n"
        "sys.argv = ['search', *sys.argv[1:]]\n"
        "try: runpy.run_module('search', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "found = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "outside = found - set(sys.stdlib_module_names)\n"
        "print('\\n' + json.dumps(sorted(name for name in outside if not name.startswith('_'))))\n"
    )
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("words", [("--help",), *((name, "--help") for name in COMMANDS)])
def test_help_imports_next_to_nothing(words: tuple[str, ...]) -> None:
    assert imported(*words) <= HELP


@pytest.mark.parametrize("words", [("spaces",), ("spaces", "show", "cnn")])
def test_spaces_import_neither_keras_nor_optuna(words: tuple[str, ...]) -> None:
    assert not imported(*words) & (HEAVY | {"optuna", "numpy", "scipy"})


READERS = {
    "leaderboard": (),
    "status": (),
    "ls": (),
    "export a card": ("study", "--as", "card"),
    "export a configuration": ("study", "--as", "config"),
    "reproduce what is not there": ("study", "7"),
}


@pytest.mark.parametrize("case", READERS)
def test_what_reads_studies_imports_no_keras(case: str, tmp_path: Path) -> None:
    from makers import complete, header, trial

    from search.records.opening import open_ledger
    from search.records.storage.locations import StudyLocation

    with open_ledger(StudyLocation(studies_dir=tmp_path), header()) as ledger:
        ledger.begin(trial(0))
        ledger.finish(trial(0), complete())
    found = imported(case.partition(" ")[0], *READERS[case], "--studies-dir", str(tmp_path))
    assert "optuna" in found
    assert not found & HEAVY


def test_the_page_imports_no_keras(tmp_path: Path) -> None:
    found = imported(
        "leaderboard", "--format", "html", "--studies-dir", str(tmp_path), "--out", str(tmp_path / "a.html")
    )
    assert {"plotly", "jinja2"} <= found
    assert not found & (HEAVY - DRAWING)


def test_merging_published_studies_imports_no_keras(tmp_path: Path) -> None:
    from makers import header

    from search.files import write_atomic
    from search.records.record import StudyRecord
    from search.records.study_json import FILE_NAME, dumps

    write_atomic(tmp_path / "one" / FILE_NAME, dumps(StudyRecord(header=header(), trials=())), what="study file")
    assert not imported("merge", str(tmp_path), "--out", str(tmp_path / "board")) & (HEAVY - DRAWING)


def test_data_show_imports_no_keras(cache_dir: Path) -> None:
    assert not imported("data", "show", "--cache-dir", str(cache_dir)) & (HEAVY - {"matplotlib"})


def test_every_command_is_registered() -> None:
    import importlib
    import pkgutil

    from search import cli

    modules = {name: importlib.import_module(f"search.cli.{name}") for _, name, _ in pkgutil.iter_modules(cli.__path__)}
    commands = {name for name, module in modules.items() if hasattr(module, "command")}
    assert commands == {module.rpartition(".")[2] for module in COMMANDS.values()}
    assert all(modules[name].command.name in (name, "command") for name in commands)
