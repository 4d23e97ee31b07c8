"""Files that a run and ``merge`` publish."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest

from search.leaderboard import index_page
from search.leaderboard.compute import compute
from search.leaderboard.files import REPORT_FORMATS
from search.leaderboard.render_markdown import PLOT_FILE
from search.records import study_json
from search.records.lookup import find_studies
from search.records.merge import LocatedStudy, merge_studies
from search.records.storage.locations import StudyLocation
from search.report.files import PAGE_FILE
from search.session.publish import publish_combined, publish_study
from tests.leaderboard import records

WHOLE_SET = {*REPORT_FORMATS, PLOT_FILE, PAGE_FILE}
NOWHERE = StudyLocation(studies_dir=Path("there-is-none"))


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_report_includes_its_study(tmp_path: Path) -> None:
    paths = publish_study(records.tpe(), tmp_path / "board").paths
    assert {path.name for path in paths} == {*WHOLE_SET, study_json.FILE_NAME}
    (found,) = find_studies([str(tmp_path / "board")], NOWHERE)
    assert compute([found.record]) == compute([study_json.loads(study_json.dumps(records.tpe()), "")])


def test_a_report_names_neither_the_machine_nor_its_folders(tmp_path: Path) -> None:
    study = records.tpe()
    command = "python -m search run --space cnn --storage postgresql://me:secret@db/x --studies-dir /home/me/studies"
    publish_study(replace(study, header=replace(study.header, command=command)), tmp_path)
    for path in tmp_path.iterdir():
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
        assert not any(word in text for word in ("secret", "/home/me", "a-private-name")), path.name
        assert path.suffix == ".svg" or "--studies-dir studies" in text, path.name


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A folder of three published reports, one of them deeper, as this project's own."""
    for study, folder in (
        (records.tpe(), "tpe"),
        (records.other(), "other"),
        (records.reproduction(), "baselines/cnn"),
    ):
        publish_study(study, tmp_path / "reports" / folder)
    return tmp_path / "reports"


def publish(folder: Path) -> tuple[str, ...]:
    """What ``python -m search merge FOLDER --out FOLDER`` does."""
    return publish_combined(merge_studies(find_studies([str(folder)], NOWHERE)), folder).messages


def test_a_folder_of_reports_gets_a_board_with_links_to_them(published: Path) -> None:
    before = tree(published)
    assert publish(published) == ()
    page = (published / "README.md").read_text(encoding="utf-8")
    for name in (
        "tpe/leaderboard.md",
        "other/leaderboard.md",
        "baselines/cnn/leaderboard.md",
        "leaderboard.csv",
        PAGE_FILE,
    ):
        assert f"]({name})" in page
        assert (published / name).is_file()
    after = tree(published)
    assert {name: after[name] for name in before} == before, "what was published already stays as it is"
    assert set(after) - set(before) == {"README.md", *WHOLE_SET}
    document = json.loads(after["leaderboard.json"])
    assert [len(section["studies"]) for section in document["sections"]] == [2, 1]


def test_merging_again_changes_nothing(published: Path) -> None:
    publish(published)
    once = tree(published)
    publish(published)
    assert tree(published) == once


def test_text_around_the_board_is_kept(published: Path) -> None:
    page = published / "README.md"
    page.write_text(
        f"# Ours \\1\n\nWords.\n\n{index_page.BEGIN_MARKER}\nold board\n{index_page.END_MARKER}\n\nMore words.\n",
        encoding="utf-8",
    )
    assert publish(published) == ()
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# Ours \\1\n\nWords.\n\n{index_page.BEGIN_MARKER}\n\n# Leaderboard")
    assert text.endswith(f"{index_page.END_MARKER}\n\nMore words.\n")
    assert "old board" not in text


def test_a_page_without_the_marker_lines_is_left_as_it_is(published: Path) -> None:
    (published / "README.md").write_text("# Mine\n", encoding="utf-8")
    (note,) = publish(published)
    assert "README.md was left as it is" in note
    assert index_page.BEGIN_MARKER in note
    assert (published / "README.md").read_text(encoding="utf-8") == "# Mine\n"
    assert (published / "leaderboard.md").is_file()


def test_studies_of_other_folders_are_copied(tmp_path: Path) -> None:
    one = records.tpe()
    two = replace(one, header=replace(one.header, created="2026-11-22T10:00:00+00:00", seed=8))
    publish_combined(merge_studies([LocatedStudy(one, "one"), LocatedStudy(two, "two")]), tmp_path / "board")
    files = sorted(str(path.relative_to(tmp_path / "board")) for path in (tmp_path / "board").glob("*/*"))
    assert files == [f"cnn-tpe-2/{study_json.FILE_NAME}", f"cnn-tpe/{study_json.FILE_NAME}"]
    again = find_studies([str(tmp_path / "board")], NOWHERE)
    assert [found.record.header.seed for found in again] == [7, 8]
    publish_combined(merge_studies(again), tmp_path / "next")
    ours, theirs = tree(tmp_path / "next"), tree(tmp_path / "board")
    assert {name: ours[name] for name in files} == {name: theirs[name] for name in files}


def test_a_longer_study_replaces_its_file_and_an_earlier_copy_does_not(tmp_path: Path) -> None:
    study = records.tpe()
    early = replace(study, trials=study.trials[:3])
    for given, kept in ((early, early), (study, study), (early, study)):
        publish_combined(merge_studies([LocatedStudy(given, "here")]), tmp_path)
        file = tmp_path / "cnn-tpe" / study_json.FILE_NAME
        assert file.read_bytes() == study_json.dumps(kept)
        assert len(list(tmp_path.glob(f"*/{study_json.FILE_NAME}"))) == 1


def test_notes_of_a_merge_are_on_its_board_without_folders(tmp_path: Path) -> None:
    study = records.tpe()
    merged = merge_studies(
        [
            LocatedStudy(study, "/home/me/one"),
            LocatedStudy(replace(study, trials=study.trials[:3], ensembles=()), "/home/me/copy"),
        ]
    )
    publish_combined(merged, tmp_path)
    text = (tmp_path / "leaderboard.md").read_text(encoding="utf-8")
    assert "copy is an earlier copy, with 3 trials ended, of one" in text
    assert "/home/me" in merged.notes[0]


def test_a_hostile_name_is_escaped(tmp_path: Path) -> None:
    study = records.tpe()
    hostile = replace(study, header=replace(study.header, name="<script>|[x](y)", command="`$(rm)` | x"))
    publish_combined(merge_studies([LocatedStudy(study, "a"), LocatedStudy(hostile, "b")]), tmp_path)
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "<script>" not in page
    lines = [line for line in page.splitlines() if "study.json.gz" in line]
    assert len(lines) == 2
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1


def test_a_name_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    study = records.tpe()
    hostile = replace(study, header=replace(study.header, name="../../outside"))
    publish_combined(merge_studies([LocatedStudy(hostile, "b")]), tmp_path / "a" / "b" / "board")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a" / "b" / "board" / "outside" / study_json.FILE_NAME).is_file()
