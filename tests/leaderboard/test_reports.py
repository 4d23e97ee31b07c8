from pathlib import Path

import pytest

from search.errors import UserError
from search.leaderboard.compute import compute
from search.leaderboard.files import report_contents, write_each
from tests.leaderboard import records


def fail() -> str:
    raise ZeroDivisionError("of a\nrenderer")


def test_a_report_that_cannot_be_made_is_named_in_one_line_and_the_others_are_written(tmp_path: Path) -> None:
    contents = report_contents(compute([records.tpe()]))
    written = write_each(tmp_path / "new" / "folder", {"first.md": fail, **contents, "empty.svg": lambda: ""})
    names = ["leaderboard.md", "leaderboard.csv", "leaderboard.json"]
    assert [path.name for path in written.paths] == names
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == sorted(names)
    (message,) = written.messages
    assert "first.md" in message and "ZeroDivisionError" in message and "\n" not in message


def test_a_file_that_cannot_be_written_is_an_error_and_the_others_are_written(tmp_path: Path) -> None:
    (tmp_path / "leaderboard.md").mkdir()
    with pytest.raises(UserError, match=r"leaderboard.md"):
        write_each(tmp_path, report_contents(compute([records.tpe()])))
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {"leaderboard.csv", "leaderboard.json"}
