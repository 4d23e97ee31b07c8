"""Tests calls of subprocesses: answers, errors and crashes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from search.errors import FatalError, UserError
from search.export.keras_subprocess import call_in_subprocess
from search.training.runtime import Device, Runtime

MODULE = """
import os, sys
from search.errors import UserError
from search.export.keras_subprocess import serve_request

def answer(question):
    print("chatter of a library")
    if question["how"] == "dies":
        os.kill(os.getpid(), 9)
    if question["how"] == "complains":
        raise UserError("It cannot be.", hint="Do this.")
    return {"backend": os.environ["KERAS_BACKEND"], "size": question["size"] + 1}

serve_request(answer)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "errand_of_a_test.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "errand_of_a_test"


def run(module: str, how: str) -> dict[str, object]:
    return call_in_subprocess(module, {"how": how, "size": 1}, Runtime(device=Device.CPU))


def test_an_answer_comes_back_whatever_else_is_printed(module: str) -> None:
    assert run(module, "answers") == {"backend": "tensorflow", "size": 2}


def test_an_error_for_the_user_comes_back_as_one(module: str) -> None:
    with pytest.raises(UserError, match="It cannot be") as raised:
        run(module, "complains")
    assert raised.value.hint == "Do this."


def test_a_death_is_told_with_its_exit_code(module: str) -> None:
    with pytest.raises(FatalError, match="exit code -9"):
        run(module, "dies")
    with pytest.raises(FatalError, match="No module named"):
        run("search.no_such_module", "answers")


def test_no_keras_is_imported_to_ask() -> None:
    modules = "search.export.keras_subprocess, search.export.script_parts"
    code = f"import sys, json, {modules}; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"keras", "tensorflow", "jax", "torch"} & set(json.loads(done.stdout))
