import csv
import dataclasses
import io
import json
import re
import tomllib
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from search.leaderboard import formatting
from search.leaderboard.board import Board, top_rows
from search.leaderboard.columns import COLUMNS
from search.leaderboard.compute import REPRODUCTION_CAVEAT, TUTORIAL_CAVEAT, compute
from search.leaderboard.files import FORMATS
from search.leaderboard.formatting import duration, percentage_points, plus_minus
from search.leaderboard.reference import TUTORIAL_ERROR_PERCENT
from search.leaderboard.render_data import dataframe
from search.leaderboard.render_markdown import escape
from search.leaderboard.statistics import Interval
from search.protocol import ProtocolName
from search.trial import BASELINE
from tests.leaderboard import records
from tests.leaderboard.records import header, outcome, searched, study, verified

BOARD = compute([records.tpe(), records.other(), records.reproduction(), study(of=header("fresh"))])
WEIRD = (
    "<script>alert(1)</script>",
    "[bold]",
    "[/]",
    "a|b",
    "``` \n# x",
    "名前 ✓ é",
    "\x1b[31mred",
    "*_~\\",
    ":smile:",
)


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")


def named(name: str) -> Board:
    """A board on which everything that a user can name has the same name."""
    of = dataclasses.replace(header(name), sampler=name, command=f"run {name}")
    config = {**records.BETTER, "schedule": name}
    best = study(searched(0, outcome(0.5), origin=f"recipe: {name}", config=config), verified(0, (0.1, 0.2)), of=of)
    return compute([best, records.tpe(), study(of=header(name))])


def markdown_tables(text: str) -> list[list[dict[str, str]]]:
    """Reads the tables of a Markdown text; every cell must be text without any markup."""
    tables: list[list[list[str]]] = []
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    for opening, token in pairwise(tokens):
        if opening.type == "table_open":
            tables.append([])
        elif opening.type == "tr_open":
            tables[-1].append([])
        if opening.type in ("th_open", "td_open"):
            assert {child.type for child in token.children} <= {"text"}
            tables[-1][-1].append("".join(child.content for child in token.children))
    return [[dict(zip(names, cells, strict=True)) for cells in lines] for names, *lines in tables]


# Every format


@pytest.mark.parametrize("form", FORMATS)
def test_formats_are_plain_text_that_ends_with_one_line_break(form: str) -> None:
    text = FORMATS[form](BOARD)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert "\x1b" not in text


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", WEIRD)
def test_no_name_breaks_a_format(form: str, name: str) -> None:
    text = FORMATS[form](named(name))
    assert "\x1b" not in text


@given(name=st.text(max_size=40))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_no_format_ever_raises(name: str) -> None:
    board = named(name)
    for render in FORMATS.values():
        render(board).encode("utf-8")


@pytest.mark.parametrize("form", ["table", "markdown", "json"])
def test_every_format_shows_why_a_board_is_empty(form: str) -> None:
    assert "has no finished trial" in FORMATS[form](compute([study()]))


def test_hidden_rows_are_counted_in_every_format_for_people() -> None:
    assert "Rows left out here: 12" in FORMATS["table"](top_rows(BOARD, 1)).replace("\n", " ")
    assert "Rows left out here: 12" in FORMATS["markdown"](top_rows(BOARD, 1))


# Text


@pytest.mark.parametrize("width", [60, 80, 110, 140, 200])
def test_no_line_is_wider_than_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = FORMATS["table"](BOARD).splitlines()
    assert max(map(len, lines)) <= width
    assert any("baseline #" in line and "%" not in line for line in lines), "names are not broken within words"


@pytest.mark.parametrize("width", [80, 140])
def test_figures_stay_on_one_line(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = FORMATS["table"](BOARD).splitlines()
    best, fourth = (
        next(row for row in BOARD.sections[0].rows if (row.study.name, row.trial) == ("cnn-tpe", trial))
        for trial in (6, 4)
    )
    difference = re.escape(formatting.error_difference(best.baseline_difference))
    assert any(
        re.search(rf"found #6.*{re.escape(formatting.test_error(best))}(\s+3)?\s+{difference}", line) for line in lines
    )
    assert any(
        re.search(rf"found #4.*{re.escape(formatting.test_error(fourth))}(\s+2 of 3)?\s+-", line) for line in lines
    )
    assert any(re.search(r"found #1 .*0\.99 \(n=1\)", line) for line in lines)


def test_colour_and_styles_follow_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    text = FORMATS["table"](BOARD)
    assert re.search(r"\x1b\[2m[^\n]*tutorial: cnn", text)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", FORMATS["table"](BOARD))


def test_published_figures_stand_at_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    lines = FORMATS["table"](compute([records.tpe()])).splitlines()
    order = [
        line.strip() for line in lines if re.search("#4 |tutorial: cnn-large|tutorial: cnn |baseline #0|mlp", line)
    ]
    assert [re.search(r"\d\.\d\d", line).group() for line in order[:5]] == ["0.65", "0.83", "0.95", "1.03", "1.74"]


def test_the_summary_names_the_chosen_row_its_runs_and_differences() -> None:
    text = " ".join(FORMATS["table"](compute([records.tpe()])).split())
    assert "Chosen by validation: found #6 of study cnn-tpe, test error 0.52 % (95 % interval 0.46 to 0.59;" in text
    assert "3 seeds: 100, 101, 102)" in text
    assert "Ensemble: mean of study cnn-tpe, 6 models: test error 0.44 % (95 % interval over test images alone" in text
    assert "to found #6, -0.08 percentage points" in text
    assert "Difference to the baseline: -0.51 percentage points (95 % interval -" in text
    assert ": lower; lower in 100 % of the pairs of runs" in text
    assert "images taken as independent" not in text  # MNIST's writers are known
    assert "The test images were opened 17 times" in text


def test_of_several_studies_the_summary_says_of_how_many_it_is_the_lowest() -> None:
    """Nothing that is lowest on the test images is called the winner."""
    for form in ("table", "markdown"):
        text = " ".join(FORMATS[form](BOARD).split())
        assert "Lowest of 2 looked at on the test images" in text
        assert "inner" not in text


def test_the_summary_says_what_is_not_shown() -> None:
    board = compute(
        [
            study(
                searched(0, outcome(1.0), origin=BASELINE, config=records.SPACE.baseline),
                searched(1, outcome(0.9)),
                verified(0, (1.0, 1.1, 1.05)),
                verified(1, (1.01, 1.04, 1.08)),
            )
        ]
    )
    assert ": not shown to differ" in " ".join(FORMATS["table"](board).split())
    wider = " ".join(
        FORMATS["table"](
            dataclasses.replace(
                board,
                sections=tuple(dataclasses.replace(section, equivalence_points=0.5) for section in board.sections),
            )
        ).split()
    )
    assert ": equivalent in practice (within 0.5 points)" in wider


def test_one_seed_without_results_by_image_has_no_interval() -> None:
    text = " ".join(FORMATS["table"](compute([study(searched(1, outcome(0.9)), verified(1, (0.5,)))])).split())
    assert "0.50 (n=1)" in text
    assert "0.50 %, without an interval (one seed: 100)" in text
    assert "the spread of the seeds is assumed" not in text


def test_the_summary_without_verified_rows() -> None:
    text = FORMATS["table"](compute([study(searched(1, outcome(0.9)))]))
    assert "Nothing here was verified" in text
    assert "filters_1=64" in text


def test_a_better_row_without_a_test_run_is_named() -> None:
    def summary(error: float) -> str:
        known = study(searched(1, outcome(0.9)), searched(2, outcome(error)), verified(1, (0.5,)))
        return " ".join(FORMATS["table"](compute([known])).split())

    assert "found #2 has a lower validation error, but no complete test run" in summary(0.8)
    assert "no complete test run" not in summary(1.0)


def test_test_images_that_equal_a_training_image_are_a_caution() -> None:
    known = records.tpe()
    leaking = dataclasses.replace(known, header=dataclasses.replace(known.header, equal_images=12))
    assert "Caution: 12 of the test images" in " ".join(FORMATS["table"](compute([leaking])).split())
    assert "equal a training image" not in FORMATS["markdown"](compute([known]))


def test_cautions_name_their_rows_and_stand_in_the_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    judged = header("steered", judged=records.protocol(ProtocolName.TUTORIAL))
    steered = study(searched(0, outcome(1.0)), searched(1, outcome(0.6)), of=judged)
    text = FORMATS["table"](compute([steered, records.reproduction()]))
    assert f"Caution, all rows: {TUTORIAL_CAVEAT}." in text
    assert text.count(TUTORIAL_CAVEAT) == text.count(REPRODUCTION_CAVEAT) == 2


def test_markup_in_a_name_is_shown_as_it_is() -> None:
    assert "[bold]" in FORMATS["table"](named("[bold]"))


# Markdown


def test_markdown_tables_can_be_read_back() -> None:
    ranked, details, unranked, _, studies, *_ = markdown_tables(FORMATS["markdown"](BOARD))
    assert [line["Rank"] for line in ranked if line["Rank"]] == [
        formatting.rank_range(row) for row in BOARD.sections[0].ranked
    ]
    assert len(ranked[0]) <= 8
    first, joint = ranked[1], ranked[-1]
    assert (joint["Configuration"], joint["Rank"]) == ("ensemble: mean, cnn-tpe", "")
    assert re.fullmatch(r"0\.44 \(0\.\d\d-0\.\d\d\)", joint["Test error %, 95 % interval"])
    assert details[-1]["Test error % by seed"] == "models: 50 % #1, 50 % #6"
    assert first["Test error %, 95 % interval"] == "0.52 (0.46-0.59)"
    assert details[1]["Test error % by seed"] == "100: 0.52, 101: 0.50, 102: 0.55"
    assert details[1]["Changed from the baseline"].startswith("filters_1=48 filters_2=96")
    assert unranked[5]["State"] == "pruned"
    assert [line["Study"] for line in studies] == ["cnn-hyperband-with-a-long-name", "cnn-tpe"]


def test_markdown_holds_what_makes_the_board_again() -> None:
    text = FORMATS["markdown"](compute([records.tpe()]))
    assert "```sh\npython -m search run cnn --study cnn-tpe --trials 30\n```" in text
    assert "keras 3.15.1" in text
    assert "protocol holdout 1.0" in text
    assert "a-private-name" not in text


def test_the_winners_configuration_is_toml() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", FORMATS["markdown"](compute([records.tpe()])), flags=re.DOTALL)
    judged = {"dataset": "mnist", "epochs": 10, "split": "block", "split_seed": 0}
    assert tomllib.loads(block) == {"space": "cnn", **judged, "fix": {**records.BETTER, "filters_1": 48}}


@pytest.mark.parametrize("name", WEIRD)
def test_names_in_markdown_are_shown_as_they_are(name: str) -> None:
    text = FORMATS["markdown"](named(name))
    shown = " ".join("".join(mark if mark.isprintable() else " " for mark in name).split())
    _, _, _, _, studies, *_ = markdown_tables(text)
    tokens = MarkdownIt("commonmark").parse(text)
    assert not [token for token in tokens if token.type == "html_block"]
    (toml,) = [token.content for token in tokens if token.info == "toml"]
    assert tomllib.loads(toml)["fix"]["schedule"] == name
    assert shown in [" ".join(line["Study"].split()) for line in studies]


def test_a_fence_is_longer_than_any_in_it() -> None:
    assert "````sh\nrun ``` " in FORMATS["markdown"](named("``` \n# x"))


def test_escaping_leaves_ordinary_text_alone() -> None:
    assert escape("cnn-tpe 0.52 ± 0.06 %") == "cnn-tpe 0.52 ± 0.06 %"
    assert escape("a|b<c>") == r"a\|b&lt;c&gt;"


# CSV, JSON, DataFrame


def test_csv_has_one_line_a_row_with_the_documented_columns() -> None:
    text = FORMATS["csv"](BOARD)
    lines = list(csv.DictReader(io.StringIO(text)))
    assert len(lines) == len(text.splitlines()) - 1 == 17
    assert list(lines[0]) == list(COLUMNS)
    assert all(column.doc.endswith(".") for column in COLUMNS.values())
    assert (lines[0]["rank"], lines[0]["trial"], lines[0]["test_errors_percent"]) == ("1", "6", "0.52 0.5 0.55")
    assert float(lines[0]["baseline_difference_points"]) == pytest.approx(-0.51)
    assert lines[0]["baseline_difference_paired"] == "false"
    assert lines[-1]["test_error_percent_low"] != ""
    assert next(line for line in lines if line["test_runs"] == "1")["test_error_percent_low"] == ""


def test_json_has_its_schema_and_every_replicate() -> None:
    document = json.loads(FORMATS["json"](BOARD))
    assert document["schema"] == "leaderboard/9"
    assert document["notes"] == ["Study fresh has no finished trial: it has begun none."]
    holdout, tutorial = document["sections"]
    assert [list(row) for row in holdout["rows"]] == [[*COLUMNS, "replicates", "steps", "pooled"]] * 16
    found = next(row for row in holdout["rows"] if row["trial"] == 4 and row["study"] == "cnn-tpe")
    assert [run["state"] for run in found["replicates"]] == ["complete", "failed", "complete"]
    assert found["replicates"][1]["error_percent"] is None
    assert tutorial["rows"][0]["trial"] is None
    assert {reference["error_percent"] for reference in holdout["references"]} == {
        *TUTORIAL_ERROR_PERCENT.values(),
        0.2,
    }


def test_the_data_frame_has_the_same_columns() -> None:
    frame = dataframe(BOARD)
    assert list(frame.columns) == list(COLUMNS)
    assert len(frame) == 17
    assert frame.loc[0, "test_error_percent"] == pytest.approx(0.5233, abs=1e-4)
    assert list(dataframe(compute([])).columns) == list(COLUMNS)


# Words


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (723, "12 min 3 s"), (7500, "2 h 5 min")]
)
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_a_narrow_interval_is_not_shown_as_zero() -> None:
    assert plus_minus(Interval(0.499, 0.501)) == "± <0.01"


def test_a_difference_that_rounds_to_zero_has_no_minus() -> None:
    assert percentage_points(-0.003) == "+0.00"


def test_of_a_long_list_the_first_items_are_named() -> None:
    assert formatting.some_of(list("abcde")) == "a, b, c, d, e"
    assert formatting.some_of(list("abcdef")) == "a, b, c, d and 2 more"
