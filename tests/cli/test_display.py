"""Tests the live line on a pseudo-terminal, and what is said before a run."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from search.cli.plan_view import describe_size
from search.session.plan import make_plan
from search.session.settings import from_mapping

RICH = {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}


def in_terminal(folder: Path, words: list[str], interrupt_after: str | None = None) -> tuple[int, str]:
    """Runs ``python -m search`` on a pseudo-terminal and returns its exit code and everything it drew.

    Args:
        folder: Working folder.
        words: Arguments.
        interrupt_after: Two Ctrl-C are sent, one after the other, once this text was drawn.
    """
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "search", *words]
    process = subprocess.Popen(
        command, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, **RICH}, process_group=0
    )
    os.close(theirs)
    drawn = b""
    while True:
        try:
            chunk = os.read(ours, 4096)
        except OSError:  # Linux says so when the last writer has left
            break
        if not chunk:
            break
        drawn += chunk
        if interrupt_after and interrupt_after in drawn.decode(errors="replace"):
            interrupt_after = None
            for _ in range(2):
                os.kill(process.pid, signal.SIGINT)
                time.sleep(0.1)  # the first is soon heeded, and the second must come before
    os.close(ours)
    return process.wait(timeout=60), drawn.decode(errors="replace")


@pytest.fixture
def words(small_mnist: Path, cache_dir: Path) -> list[str]:
    options = ["--dataset", str(small_mnist), "--cache-dir", str(cache_dir), "--study", "shown", "--seed", "1"]
    return ["run", *options, "--fix", "filters_1=8", "--replicates", "1", "--threads", "1", "--workers", "1"]


@pytest.mark.slow
def test_a_terminal_shows_one_live_line_and_keeps_its_cursor(words: list[str], tmp_path: Path) -> None:
    code, drawn = in_terminal(tmp_path, [*words, "--trials", "2", "--epochs", "6"])
    assert code == 0, drawn
    assert "to baseline)" in drawn
    assert re.search(r"full \d/6.*\d+:\d\d, ~\d+:\d\d left", drawn)
    assert drawn.count("\x1b[?25l") == drawn.count("\x1b[?25h") > 0
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in re.split(r"[\r\n]+", drawn)]
    live = [line for line in lines if "full " in line and "left" in line]
    assert live
    assert all(len(line) <= 80 for line in live)


@pytest.mark.slow
def test_two_interrupts_leave_the_terminal_as_it_was(words: list[str], tmp_path: Path) -> None:
    code, drawn = in_terminal(tmp_path, [*words, "--trials", "2", "--epochs", "5000"], interrupt_after="/5000")
    assert code == 130, drawn
    assert "Traceback" not in drawn
    assert drawn.count("\x1b[?25l") == drawn.count("\x1b[?25h") > 0


def test_a_baseline_that_is_large_because_its_images_are_is_mentioned_with_a_size_at_which_it_is_not(
    tmp_path: Path,
) -> None:
    np.savez(tmp_path / "a.npz", x_train=np.zeros((40, 224, 224, 3), np.uint8), y_train=np.arange(40) % 2)
    folders = {name: str(tmp_path) for name in ("studies_dir", "reports_dir", "cache_dir")}

    def said(**options: str) -> str:
        return describe_size(make_plan(from_mapping({**folders, "dataset": str(tmp_path / "a.npz"), **options})))

    assert re.search(r"\b50 million parameters at 224 x 224\b", said())
    proposed = re.search(r"--image-size (\d+)", said())
    assert said(image_size=proposed[1]) == ""
