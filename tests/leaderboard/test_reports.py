import csv
import json
from pathlib import Path

import pytest

from search.errors import UserError
from search.leaderboard.compute import compute
from search.leaderboard.files import write_reports
from tests.leaderboard import records


def test_reports_are_written_in_every_format_for_files(tmp_path: Path) -> None:
    paths = write_reports(compute([records.tpe()]), tmp_path / "new" / "folder")
    assert [path.name for path in paths] == ["leaderboard.md", "leaderboard.csv", "leaderboard.json"]
    assert paths[0].read_text(encoding="utf-8").startswith("# Leaderboard")
    with paths[1].open(encoding="utf-8", newline="") as lines:
        assert len(list(csv.DictReader(lines))) == 14
    assert json.loads(paths[2].read_text(encoding="utf-8"))["schema"] == "leaderboard/6"
    assert sorted(path.name for path in paths[0].parent.iterdir()) == sorted(path.name for path in paths)


def test_a_folder_that_cannot_be_written_is_an_error_for_the_user(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(UserError, match=r"Received: '.*file/leaderboard.md'"):
        write_reports(compute([records.tpe()]), tmp_path / "file")
