import csv
import dataclasses
import io
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from makers import header
from markdown_it import MarkdownIt

from search.cli.compare import command
from search.compare.columns import STUDY_COLUMNS
from search.compare.compute import compute
from search.compare.files import REPORTS, write_reports
from search.compare.formats import FORMATS
from search.compare.plot import to_svg
from search.compare.results import Comparison
from search.errors import UserError
from tests.compare.tournaments import SPACE, finished, lifelike, outcome, rules, study

ENGINES = ("optuna:tpe", "optuna:random", "keras-tuner:hyperband", "keras-tuner:bayesian")
WHOLE = compute(rules(*ENGINES), lifelike(ENGINES))
EMPTY = compute(rules(*ENGINES), [])
WEIRD = ("<script>alert(1)</script>", "[bold]", "a|b", "``` \n# x", "名前 ✓ é", "\x1b[31mred", "*_~\\", "$x_1$")


def named(name: str) -> Comparison:
    """A comparison in which the user named what he could."""
    space = dataclasses.replace(SPACE, name=name)
    judged = dataclasses.replace(header().protocol, dataset=name)
    of = header("optuna-tpe-0", space=space, protocol=judged)
    entry = study(searched=[outcome(1.2, at=1.0), outcome(0.9, at=2.0)], verified={0: (1.0, 1.1), 1: (0.6, 0.7)}, of=of)
    return compute(rules("optuna:tpe", name=name, commands=(f"run {name}",)), [entry])


def tables(text: str) -> list[list[list[str]]]:
    """The tables of a Markdown text as a reader sees their cells."""
    found: list[list[list[str]]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and found and token.level >= 4:
            found[-1][-1].append("".join(child.content for child in token.children))
    return found


@pytest.mark.parametrize("comparison", [WHOLE, EMPTY, named("plain")])
@pytest.mark.parametrize("width", [80, 140])
def test_text_fits_its_width(comparison: Comparison, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert max(map(len, FORMATS["table"](comparison).splitlines())) <= width


def test_four_engines_fit_eighty_columns_unbroken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = FORMATS["table"](WHOLE)
    assert all(engine in text for engine in ENGINES)
    assert "keras-tuner-hyperband-2" in text
    assert re.search(r"1= +optuna:random +0\.47 ± 0\.06", text)


def test_markdown_holds_every_study_and_what_makes_it_again() -> None:
    text = FORMATS["markdown"](WHOLE)
    engines, studies, pairs = tables(text)
    assert (len(engines) - 1, len(studies) - 1, len(pairs) - 1) == (4, 12, 6)
    assert "```sh\npython -m search compare --space tiny --seed 7\n```" in text
    assert "Workers: 2, threads: 1 each." in text
    assert "keras 3.15.1" in text
    assert "a-private-name" not in text
    assert "protocol holdout 1.0" in text
    assert "](comparison.svg)" in text


def test_what_never_ran_is_reported_as_such() -> None:
    text = FORMATS["markdown"](EMPTY)
    assert "nothing is ranked" in text
    assert "comparison.svg" not in text
    assert json.loads(FORMATS["json"](EMPTY))["protocol"] is None
    assert to_svg(EMPTY).startswith("<?xml")


@pytest.mark.parametrize("name", WEIRD)
def test_names_are_shown_as_they_are(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    comparison = named(name)
    text = FORMATS["markdown"](comparison)
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    assert not [token for token in tokens if token.type == "html_block"]
    assert [token.tag for token in tokens if token.type == "heading_open"] == ["h1", "h2", "h2", "h2"]
    shown = " ".join("".join(mark if mark.isprintable() else " " for mark in name).split())
    seen = [" ".join("".join(c.content for c in token.children).split()) for token in tokens if token.type == "inline"]
    assert f"Tournament {shown}" in seen
    assert any(f"data {shown} (" in line for line in seen)
    assert "\x1b" not in FORMATS["table"](comparison)
    assert shown in " ".join(FORMATS["table"](comparison).split())
    ET.fromstring(to_svg(comparison))


def test_csv_has_one_line_a_study_with_the_documented_columns() -> None:
    lines = list(csv.DictReader(io.StringIO(FORMATS["csv"](WHOLE))))
    assert len(lines) == 12
    assert list(lines[0]) == list(STUDY_COLUMNS)
    assert int(lines[0]["trials"]) == int(lines[0]["trials_complete"]) + int(lines[0]["trials_pruned"]) == 25
    assert float(lines[0]["test_error_percent"]) == pytest.approx(
        sum(map(float, lines[0]["test_errors_percent"].split())) / 2
    )


def test_json_has_its_schema_pairs_and_curves() -> None:
    document = json.loads(FORMATS["json"](WHOLE))
    assert document["schema"] == "comparison/1"
    assert [engine["rank"] for engine in document["engines"]] == [1, 1, 1, 1]
    assert len(document["pairs"]) == 6
    assert {"p", "p_adjusted", "is_tie", "difference_points"} <= document["pairs"][0].keys()
    assert document["rules"]["seed"] == 7
    assert document["studies"][0]["curve"][0] == {"epochs": 10, "seconds": 40.0, "error_percent": 1.2}
    assert len(document["studies"]) == 12


def test_json_without_a_p_has_null() -> None:
    one = compute(
        rules("optuna:tpe", "optuna:random", repeats=1), finished({"optuna:tpe": (0.5,), "optuna:random": (1,)})
    )
    document = json.loads(FORMATS["json"](one))
    assert document["pairs"][0]["p"] is None
    assert document["engines"][0]["test_error_percent"]["low"] is None


def test_the_plot_has_a_line_an_engine_in_both_panels() -> None:
    from search.compare.plot import make_figure

    left, right = make_figure(WHOLE).axes
    for axes in (left, right):
        lines = [line for line in axes.lines if line.get_drawstyle() == "steps-post"]
        assert len(lines) == 4
        assert len({line.get_color() for line in lines}) == 4
        assert len(axes.collections) == 4
    assert max(left.lines[0].get_xdata()) == 180
    assert max(right.lines[0].get_xdata()) < 10


def test_a_bad_first_trial_does_not_flatten_the_plot() -> None:
    from search.compare.plot import make_figure

    entry = study(searched=[outcome(1.2, at=2.0), outcome(90.0, at=1.0), outcome(0.7, at=3.0)])
    axes = make_figure(compute(rules("optuna:tpe"), [entry])).axes[0]
    assert axes.get_ylim()[1] == pytest.approx(1.3)


def test_the_plot_is_the_same_text_each_time() -> None:
    assert to_svg(WHOLE) == to_svg(WHOLE)


def test_all_reports_are_written_and_can_be_read(tmp_path: Path) -> None:
    paths = write_reports(WHOLE, tmp_path / "new" / "compare")
    assert [path.name for path in paths] == list(REPORTS)
    assert ET.parse(paths[3]).getroot().tag.endswith("svg")
    (tmp_path / "file").touch()
    with pytest.raises(UserError):
        write_reports(WHOLE, tmp_path / "file")


def test_the_choice_of_formats_is_the_registry() -> None:
    (option,) = [parameter for parameter in command.params if parameter.name == "form"]
    assert list(option.type.choices) == list(FORMATS)
