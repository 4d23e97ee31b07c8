"""The report's files; the plot is the same text for the same records."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from search.errors import UserError
from search.leaderboard import render_markdown
from search.report import plot
from search.report.files import write_plot, write_reports
from search.report.time_spent import time_spent
from tests.leaderboard import records
from tests.report import studies

ROOT = Path(__file__).parents[2]
BOARDS = studies.boards()


def test_a_run_leaves_every_report(tmp_path: Path) -> None:
    known = studies.engines()
    paths = write_reports(studies.board(known), known, tmp_path / "new" / "folder", tmp_path / "no-cache").paths
    names = ["leaderboard.md", "leaderboard.csv", "leaderboard.json", "leaderboard.svg", "report.html"]
    assert [path.name for path in paths] == names
    assert sorted(path.name for path in paths[0].parent.iterdir()) == sorted(names)
    assert "data:image/png;base64," in paths[-1].read_text(encoding="utf-8"), "MNIST comes with the package"


@pytest.mark.parametrize("name", BOARDS)
def test_markdown_shows_the_plot_where_there_is_one(name: str, tmp_path: Path) -> None:
    board = studies.board(BOARDS[name])
    paths = write_plot(board, BOARDS[name], tmp_path).paths
    assert [path.name for path in paths] == [render_markdown.PLOT_FILE] * len(paths)
    assert render_markdown.to_markdown(board).count(f"]({render_markdown.PLOT_FILE})") == sum(
        any(row.trial is not None and row.validation_error_percent is not None for row in section.rows)
        for section in board.sections
    )
    assert bool(paths) == (f"]({render_markdown.PLOT_FILE})" in render_markdown.to_markdown(board))


@pytest.mark.parametrize("name", BOARDS)
def test_the_plot_is_an_svg_without_anything_active(name: str) -> None:
    text = plot.render_svg(studies.board(BOARDS[name]), BOARDS[name])
    if not text:
        return
    tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(text).iter()}
    assert "script" not in tags
    assert "image" not in tags


def test_the_plot_is_the_same_text_in_another_process() -> None:
    code = (
        "from tests.report import studies; from search.report import plot; import hashlib\n"
        "known = studies.engines()\n"
        "print(hashlib.sha256(plot.render_svg(studies.board(known), known).encode()).hexdigest())"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "1"}
    one = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, check=True)
    other = {**environment, "PYTHONHASHSEED": "2"}
    two = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=other, capture_output=True, check=True)
    assert one.stdout == two.stdout
    assert len(one.stdout.strip()) == 64


def test_a_folder_that_cannot_be_written_is_an_error_for_the_user(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    known = [records.tpe()]
    with pytest.raises(UserError, match=r"Received: '.*file/leaderboard.md'"):
        write_reports(studies.board(known), known, tmp_path / "file")


def test_time_spent_adds_up() -> None:
    record = records.tpe()
    parts = {part.kind: part for part in time_spent([record])}
    assert list(parts) == ["complete", "pruned", "failed", "interrupted", "unfinished", "verification"]
    assert sum(part.share for part in parts.values()) == pytest.approx(1.0)
    assert (parts["pruned"].runs, parts["pruned"].epochs, parts["pruned"].seconds) == (2, 4, 4 * 4.5)
    epochs = sum(known.outcome.epochs_trained for known in record.trials if known.outcome)
    assert sum(part.epochs for part in parts.values()) == epochs
