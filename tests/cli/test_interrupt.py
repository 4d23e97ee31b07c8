"""SIGINT stops a command, also one that was started with SIGINT ignored."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("trap", ["", "trap '' INT; "], ids=["default", "ignored by the caller"])
def test_an_interrupt_stops_a_command(tmp_path: Path, trap: str) -> None:
    options = tmp_path / "options.toml"
    os.mkfifo(options)
    command = f"{trap}exec {sys.executable} -m search run --config {options}"
    with subprocess.Popen(["sh", "-c", command], cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        reading = options.open("w")  # returns when the command has opened the file, which it reads until this is closed
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        reading.close()
    assert process.returncode == 130
    assert "Traceback" not in errors
