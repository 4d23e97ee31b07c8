"""Tests ``export``: texts to standard output or a file, and refused options."""

from __future__ import annotations

import tomllib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from search.cli.export import command
from search.errors import UserError
from tests.cli.test_leaderboard_command import keep
from tests.leaderboard import records


@pytest.fixture(scope="module")
def studies_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studies")
    keep(folder, records.tpe())
    keep(folder, records.study(records.searched(0, records.outcome(0.7)), of=records.header("unverified")))
    return folder


def export(studies_dir: Path, *words: str) -> click.testing.Result:
    return CliRunner().invoke(command, [*words, "--studies-dir", str(studies_dir)], catch_exceptions=False)


def test_a_card_goes_to_standard_output(studies_dir: Path) -> None:
    result = export(studies_dir, "cnn-tpe", "--as", "card")
    assert result.exit_code == 0
    assert result.stdout.startswith("**Test error 0.52")
    assert result.stderr == ""


def test_a_configuration_goes_to_a_file(studies_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "new" / "winner.toml"
    result = export(studies_dir, "cnn-tpe", "baseline", "--as", "config", "--out", str(file))
    assert (result.exit_code, result.stdout) == (0, "")
    assert tomllib.loads(file.read_text(encoding="utf-8"))["fix"] == records.SPACE.baseline


def test_a_study_without_a_verified_row_says_what_was_taken(studies_dir: Path) -> None:
    result = export(studies_dir, "unverified", "--as", "card")
    assert "found #0 is the best by validation error" in result.stderr
    assert "0.70 %" in result.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cnn-tpf", "--as", "card"], "Did you mean 'cnn-tpe'"),
        (["cnn-tpe", "99", "--as", "card"], "no such row"),
        (["cnn-tpe", "rank:99", "--as", "config"], "rank:1 to rank:"),
        (["cnn-tpe", "--as", "model", "--out", "winner.h5"], "ends in .keras"),
        (["cnn-tpe", "--as", "model"], "has changed since"),  # the records' space is not the shipped one
        (["cnn-tpe", "--as", "script"], "has changed since"),
    ],
)
def test_bad_input_is_refused_with_a_remedy(words: list[str], said: str, studies_dir: Path) -> None:
    with pytest.raises(UserError) as raised:
        export(studies_dir, *words)
    assert said in str(raised.value)
    assert raised.value.exit_code == 2


def test_score_goes_with_a_model_alone(studies_dir: Path) -> None:
    result = export(studies_dir, "cnn-tpe", "--as", "card", "--score")
    assert result.exit_code == 2
    assert "--score" in result.output


def test_a_place_that_cannot_take_the_text_is_refused(studies_dir: Path) -> None:
    with pytest.raises(UserError, match="cannot be written"):
        export(studies_dir, "cnn-tpe", "--as", "card", "--out", "/dev/full/card.md")
