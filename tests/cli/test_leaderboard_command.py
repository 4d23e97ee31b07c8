import csv
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from search.cli.leaderboard import command
from search.errors import UserError
from search.leaderboard.files import FORMATS
from search.records.opening import open_ledger
from search.records.record import StudyRecord
from search.records.storage.locations import StudyLocation
from search.trial import Phase
from tests.leaderboard import records

ROOT = Path(__file__).parents[2]


def keep(studies_dir: Path, record: StudyRecord) -> None:
    """Writes a study as a search would have."""
    with open_ledger(StudyLocation(studies_dir=studies_dir), record.header) as ledger:
        for phase in Phase:
            for number, known in enumerate(record.trials_in_phase(phase)):
                trial = dataclasses.replace(known.trial, number=number)
                ledger.begin(trial)
                if known.outcome:
                    ledger.finish(trial, known.outcome)


@pytest.fixture(scope="module")
def studies_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studies")
    keep(folder, records.tpe())
    keep(folder, records.reproduction())
    return folder


def leaderboard(studies_dir: Path, *arguments: str) -> str:
    result = CliRunner().invoke(
        command, [*arguments, "--studies-dir", str(studies_dir)], catch_exceptions=False, env={"COLUMNS": "80"}
    )
    assert result.exit_code == 0, result.output
    return result.stdout


def test_all_studies_are_ranked_when_none_is_named(studies_dir: Path) -> None:
    text = leaderboard(studies_dir)
    assert "found #6" in text
    assert "baseline (tutorial protocol)" in text


def test_only_the_named_study_is_ranked(studies_dir: Path) -> None:
    text = leaderboard(studies_dir, "tutorial-cnn")
    assert "found #6" not in text
    assert "baseline (tutorial protocol)" in text


def test_what_went_through_the_ledger_gives_the_same_rows(studies_dir: Path) -> None:
    lines = list(csv.DictReader(leaderboard(studies_dir, "cnn-tpe", "--format", "csv").splitlines()))
    assert [(line["rank"], line["trial"]) for line in lines[:5]] == [
        ("1", "6"),
        ("2", "1"),
        ("3", "4"),
        ("4", "2"),
        ("5", "0"),
    ]


def test_top_keeps_the_baseline(studies_dir: Path) -> None:
    document = json.loads(leaderboard(studies_dir, "cnn-tpe", "--format", "json", "--top", "1"))
    assert [row["trial"] for row in document["sections"][0]["rows"]] == [6, 0]


def test_the_choice_of_formats_is_the_registry() -> None:
    (option,) = [parameter for parameter in command.params if parameter.name == "form"]
    assert list(option.type.choices) == [*FORMATS, "html"]


def test_out_writes_the_file_and_leaves_standard_output_empty(studies_dir: Path, tmp_path: Path) -> None:
    board = tmp_path / "new" / "board.md"
    assert leaderboard(studies_dir, "--format", "markdown", "--out", str(board)) == ""
    assert board.read_text(encoding="utf-8") == leaderboard(studies_dir, "--format", "markdown")


def test_a_markdown_file_has_its_plot_beside_it(studies_dir: Path, tmp_path: Path) -> None:
    leaderboard(studies_dir, "--format", "markdown", "--out", str(tmp_path / "board.md"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["board.md", "leaderboard.svg"]


def test_the_page_is_written_whole(studies_dir: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert leaderboard(studies_dir, "--format", "html", "--out", str(page), "--cache-dir", str(tmp_path)) == ""
    assert page.read_text(encoding="utf-8") == leaderboard(studies_dir, "--format", "html")
    assert "found #6" in page.read_text(encoding="utf-8")


def browsed(studies_dir: Path, browser: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "search", "leaderboard", "--open", "--studies-dir", str(studies_dir), *arguments]
    environment = {**os.environ, "BROWSER": browser}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)


def test_open_shows_the_page_in_the_browser(studies_dir: Path, tmp_path: Path) -> None:
    browser, seen = tmp_path / "browser", tmp_path / "seen"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {seen}\n', encoding="utf-8")
    browser.chmod(0o755)
    browsed(studies_dir, f"{browser} %s", "--out", str(tmp_path / "a page.html"))
    assert seen.read_text(encoding="utf-8") == (tmp_path / "a page.html").as_uri()
    written = browsed(studies_dir, f"{browser} %s").stderr.removeprefix("Wrote ").strip()
    assert seen.read_text(encoding="utf-8") == Path(written).as_uri()
    assert Path(written).read_text(encoding="utf-8") == (tmp_path / "a page.html").read_text(encoding="utf-8")
    shutil.rmtree(Path(written).parent)


def test_without_a_browser_the_page_is_named(studies_dir: Path, tmp_path: Path) -> None:
    done = browsed(studies_dir, str(tmp_path / "none"), "--out", str(tmp_path / "page.html"))
    assert done.returncode == 0
    assert f"Open {tmp_path / 'page.html'} in a browser." in done.stderr


def test_open_takes_no_other_format(studies_dir: Path) -> None:
    with pytest.raises(click.UsageError, match="--format html"):
        CliRunner().invoke(
            command,
            ["--open", "--format", "csv", "--studies-dir", str(studies_dir)],
            standalone_mode=False,
            catch_exceptions=False,
        )


def test_an_unknown_study_is_an_error_for_the_user(studies_dir: Path) -> None:
    with pytest.raises(UserError, match="cnn-tpf"):
        leaderboard(studies_dir, "cnn-tpf")


def test_a_closed_standard_output_gives_no_traceback(studies_dir: Path) -> None:
    arguments = [sys.executable, "-m", "search", "leaderboard", "--studies-dir", str(studies_dir)]
    root, pipe = Path(__file__).parents[2], subprocess.PIPE
    with subprocess.Popen(arguments, cwd=root, stdout=pipe, stderr=pipe, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
