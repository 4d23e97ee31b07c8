import csv
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from search.cli.leaderboard import command
from search.errors import UserError
from search.leaderboard.formats import FORMATS
from search.ledger import Ledger
from search.record import StudyRecord
from search.storage import Place
from search.trial import Phase
from tests.leaderboard import records


def keep(studies_dir: Path, record: StudyRecord) -> None:
    """Writes a study as a search would have."""
    with Ledger.open(Place(studies_dir=studies_dir), record.header) as ledger:
        for phase in Phase:
            for number, known in enumerate(record.phase(phase)):
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
    assert list(option.type.choices) == list(FORMATS)


def test_out_writes_the_file_and_leaves_standard_output_empty(studies_dir: Path, tmp_path: Path) -> None:
    board = tmp_path / "new" / "board.md"
    assert leaderboard(studies_dir, "--format", "markdown", "--out", str(board)) == ""
    assert board.read_text(encoding="utf-8") == leaderboard(studies_dir, "--format", "markdown")


def test_an_unknown_study_is_an_error_for_the_user(studies_dir: Path) -> None:
    with pytest.raises(UserError, match="cnn-tpf"):
        leaderboard(studies_dir, "cnn-tpf")


def test_a_closed_standard_output_gives_no_traceback(studies_dir: Path) -> None:
    arguments = [sys.executable, "-m", "search", "leaderboard", "--studies-dir", str(studies_dir)]
    root, pipe = Path(__file__).parents[2], subprocess.PIPE
    with subprocess.Popen(arguments, cwd=root, stdout=pipe, stderr=pipe, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
