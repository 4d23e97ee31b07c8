"""A process in which engines propose again; all tests of a session share it, since it imports Keras Tuner."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

CODE = """
import importlib, json, sys

sys.path[:0] = json.loads(sys.argv[1])
from engine_contract import proposal_keys

for line in sys.stdin:
    module, name = line.split()
    suite = getattr(importlib.import_module(module), name)
    print(json.dumps(proposal_keys(suite()._play(0, suite.count - 2))), flush=True)
"""


@pytest.fixture(scope="session")
def other_process() -> Iterator[Callable[[str, str], list[str]]]:
    """Returns a function from a contract's module and class to the proposals of its engine with another hash seed."""
    here = Path(__file__).parent
    paths = [str(here), str(here.parents[1]), str(here.parent)]
    command = [sys.executable, "-W", "error", "-c", CODE, json.dumps(paths)]
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as process:

        def propose(module: str, name: str) -> list[str]:
            process.stdin.write(f"{module} {name}\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield propose
