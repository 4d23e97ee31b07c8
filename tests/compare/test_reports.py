"""The reports of both kinds of comparison."""

import csv
import dataclasses
import io
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from makers import header
from markdown_it import MarkdownIt

from search.cli.compare import command
from search.compare import report
from search.compare.compute import TrainedComparison, compute
from search.compare.export import STUDY_FIELDS
from search.compare.plot import make_figure, to_svg
from search.compare.render import FORMATS, Report, write_reports
from search.compare.spec import study_seed
from search.compare.tabular import report as tabular_report
from search.engines.registry import engine_names
from search.errors import UserError
from tests.compare.studies import SPACE, finished, lifelike, make_spec, outcome, study
from tests.compare.tabular.simulated import BEST, FINALS, WORSE, simulated

ENGINES = ("optuna:tpe", "optuna:random", "keras-tuner:hyperband", "keras-tuner:bayesian")
TRAINED = compute(make_spec(*ENGINES), lifelike(ENGINES))
EMPTY = compute(make_spec(*ENGINES), {})
COMMAND = "python -m search compare --arena hpobench-mlp --seed 0"
TABULAR = simulated(FINALS, command=COMMAND)
MANY_ENGINES = {name: FINALS[WORSE] for name in engine_names() if name != "keras-tuner:hyperband"}
WEIRD = ("<script>alert(1)</script>", "[bold]", "a|b", "``` \n# x", "名前 ✓ é", "\x1b[31mred", "*_~\\", "$x_1$")


def make_report(result: Any) -> Report:
    return (report if isinstance(result, TrainedComparison) else tabular_report).make_report(result)


def show(form: str, result: Any) -> str:
    return FORMATS[form](make_report(result))


def named(name: str) -> TrainedComparison:
    """A comparison in which everything that a user can name has this name."""
    space = dataclasses.replace(SPACE, name=name)
    protocol = dataclasses.replace(header().protocol, dataset=name)
    study_header = header("optuna-tpe-0", space=space, protocol=protocol)
    ends = [outcome(1.2, at=1.0), outcome(0.9, at=2.0)]
    runs = study(searched=ends, verified={0: (1.0, 1.1), 1: (0.6, 0.7)}, study_header=study_header)
    return compute(make_spec("optuna:tpe", name=name, commands=(f"run {name}",)), runs)


def tables(text: str) -> list[list[list[str]]]:
    """The cells of the tables of a Markdown text."""
    found: list[list[list[str]]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and found and token.level >= 4:
            found[-1][-1].append("".join(child.content for child in token.children))
    return found


@pytest.mark.parametrize("width", [80, 140])
@pytest.mark.parametrize(
    "result",
    [TRAINED, EMPTY, named("plain"), TABULAR, simulated(MANY_ENGINES), simulated(MANY_ENGINES, trials=200)],
)
def test_text_fits_its_width_with_all_engines(result: Any, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = show("table", result)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert all(place.engine in text for place in result.comparison.engines)


def test_a_wide_text_has_more_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    has_column = {}
    for width in (80, 140):
        monkeypatch.setenv("COLUMNS", str(width))
        has_column[width] = "Baseline's" in show("table", TRAINED)
    assert has_column == {80: False, 140: True}


def test_ranks_and_studies_are_in_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = show("table", TRAINED)
    assert "keras-tuner-hyperband-2" in text
    assert re.search(r"1= +optuna:random +0\.47 ± 0\.06", text)


def test_excluded_engines_are_in_the_text() -> None:
    assert "optuna:gp is left out" in show("table", TABULAR).replace("\n", " ")


def test_markdown_of_studies_holds_every_study_and_how_to_reproduce_it() -> None:
    text = show("markdown", TRAINED)
    engines, studies, pairs = tables(text)
    assert (len(engines) - 1, len(studies) - 1, len(pairs) - 1) == (4, 12, 6)
    assert "```sh\npython -m search compare --space tiny --seed 7\n```" in text
    assert "Workers: 2, threads: 1 each." in text
    assert "keras 3.15.1" in text
    assert "a-private-name" not in text
    assert "protocol holdout 1.0" in text
    assert "](comparison.svg)" in text


def test_markdown_of_tables_holds_every_engine_and_how_to_reproduce_it() -> None:
    text = show("markdown", TABULAR)
    for engines in tables(text):
        assert [row[0] for row in engines[1:]] == [place.engine for place in TABULAR.comparison.engines]
    for expected in (
        "# Arena hpobench-mlp: 8 tables, 3 seeds, 100 trials\n",
        "0.0450 (0.0245-0.0655)",
        "](arena.svg)",
        "Regret is ",
        "Versions: python 3, optuna 5.",
        "MLPClassifier",
        f"```sh\n{COMMAND}\n```",
    ):
        assert expected in text, expected


def test_a_comparison_without_studies_is_reported() -> None:
    text = show("markdown", EMPTY)
    assert "nothing is ranked" in text
    assert "comparison.svg" not in text
    assert json.loads(show("json", EMPTY))["protocol"] is None
    assert show("csv", EMPTY).splitlines() == [",".join(STUDY_FIELDS)]
    assert to_svg(make_report(EMPTY).plot).startswith("<?xml")


@pytest.mark.parametrize("name", WEIRD)
def test_names_are_shown_as_they_are(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    result = named(name)
    text = show("markdown", result)
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    assert not [token for token in tokens if token.type == "html_block"]
    assert [token.tag for token in tokens if token.type == "heading_open"] == ["h1", "h2", "h2", "h2"]
    shown = " ".join("".join(mark if mark.isprintable() else " " for mark in name).split())
    seen = [" ".join("".join(c.content for c in token.children).split()) for token in tokens if token.type == "inline"]
    assert f"Comparison {shown}" in seen
    assert any(f"data {shown} (" in line for line in seen)
    assert "\x1b" not in show("table", result)
    assert shown in " ".join(show("table", result).split())
    ET.fromstring(to_svg(make_report(result).plot))


def test_csv_has_one_line_per_study() -> None:
    lines = list(csv.DictReader(io.StringIO(show("csv", TRAINED))))
    assert len(lines) == 12
    assert list(lines[0]) == list(STUDY_FIELDS)
    assert int(lines[0]["trials"]) == int(lines[0]["trials_complete"]) + int(lines[0]["trials_pruned"]) == 25
    assert float(lines[0]["test_error_percent"]) == pytest.approx(
        sum(map(float, lines[0]["test_errors_percent"].split())) / 2
    )


def test_csv_cells_keep_their_form() -> None:
    rows = [["a", "b"], [{"x": True, "y": 0.5}, None], [[1, 2], "c\nd"]]
    made = dataclasses.replace(make_report(TRAINED), csv_rows=rows)
    assert FORMATS["csv"](made) == "a,b\nx=True y=0.5,\n1 2,c d\n"


def test_csv_has_one_line_per_engine_on_tables() -> None:
    lines = list(csv.DictReader(io.StringIO(show("csv", TABULAR))))
    assert [line["engine"] for line in lines] == [place.engine for place in TABULAR.comparison.engines]
    assert float(lines[0]["regret_100"]) == TABULAR.regrets[BEST][100].mean
    assert float(lines[0]["regret_25_low"]) < float(lines[0]["regret_25"]) < float(lines[0]["regret_25_high"])
    assert (lines[0]["p_value"], lines[0]["standing"]) == ("", "lowest")


def test_json_of_studies_has_its_schema_pairs_and_curves() -> None:
    document = json.loads(show("json", TRAINED))
    assert document["schema"] == "comparison/1"
    assert [engine["rank"] for engine in document["engines"]] == [1, 1, 1, 1]
    assert len(document["pairs"]) == 6
    assert {"p", "p_adjusted", "is_tie", "difference_points"} <= document["pairs"][0].keys()
    assert document["rules"]["seed"] == 7
    assert document["studies"][0]["curve"][0] == {
        "trials": 1,
        "epochs": 10,
        "seconds": 40.0,
        "error_percent": 1.2,
    }
    expected_best = document["expected_best_validation_percent"]
    assert expected_best.keys() == {"trials", "epochs", "minutes"}
    assert expected_best["trials"].keys() == set(ENGINES)
    assert expected_best["trials"][ENGINES[0]].keys() == {"costs", "mean", "low", "high"}
    assert len(document["studies"]) == 12


def test_json_without_a_p_has_null() -> None:
    result = compute(
        make_spec("optuna:tpe", "optuna:random", repeats=1), finished({"optuna:tpe": (0.5,), "optuna:random": (1,)})
    )
    document = json.loads(show("json", result))
    assert document["pairs"][0]["p"] is None
    assert document["engines"][0]["test_error_percent"]["low"] is None


def test_json_of_tables_has_its_schema_seeds_and_figures() -> None:
    document = json.loads(show("json", TABULAR))
    assert document["schema"] == "arena/2"
    assert document["rows"][0]["regrets"]["100"]["mean"] == TABULAR.regrets[BEST][100].mean
    assert [row["standing"] for row in document["rows"]] == ["lowest", "tie", "behind"]
    assert [row["p_value"] is None for row in document["rows"]] == [True, False, False]
    assert [pair["tables"] for pair in document["pairs"]] == [8, 8, 8]
    assert list(document["left_out"]) == ["optuna:gp"]
    assert document["curves"][BEST].keys() == {"mean", "low", "high"}
    assert len(document["curves"][BEST]["mean"]) == 100
    assert document["tables"]["table_3"] == [study_seed(0, repeat, "table_3") for repeat in range(3)]


def test_the_plot_has_a_line_an_engine_in_every_panel() -> None:
    trials, epochs, minutes = make_figure(make_report(TRAINED).plot).axes
    for axes in (trials, epochs, minutes):
        lines = [line for line in axes.lines if line.get_drawstyle() == "steps-post"]
        assert len(lines) == 4
        assert len({line.get_color() for line in lines}) == 4
        assert len(axes.collections) == 4
    assert max(trials.lines[0].get_xdata()) == 25
    assert max(epochs.lines[0].get_xdata()) == 180
    assert max(minutes.lines[0].get_xdata()) < 10


def test_lines_of_many_engines_can_be_told_apart() -> None:
    result = simulated(MANY_ENGINES)
    (axes,) = make_figure(make_report(result).plot).axes
    lines = [line for line in axes.lines if line.get_drawstyle() == "steps-post"]
    drawn = {(line.get_color(), str(line._dash_pattern)) for line in lines}  # get_linestyle calls all dashes "--"
    assert len(drawn) == len(result.curves) > 7
    assert len(axes.collections) == 1


def test_a_bad_first_trial_does_not_flatten_the_plot() -> None:
    runs = study(searched=[outcome(1.2, at=2.0), outcome(90.0, at=1.0), outcome(0.7, at=3.0)])
    axes = make_figure(make_report(compute(make_spec("optuna:tpe"), runs)).plot).axes[0]
    assert axes.get_ylim()[1] == pytest.approx(1.3)


@pytest.mark.parametrize(("result", "name"), [(TRAINED, "comparison"), (TABULAR, "arena")])
def test_all_reports_are_written_and_reproducible(result: Any, name: str, tmp_path: Path) -> None:
    made = make_report(result)
    paths = write_reports(made, tmp_path / "new" / "compare")
    assert [path.name for path in paths] == [f"{name}.{suffix}" for suffix in ("md", "csv", "json", "svg")]
    assert ET.parse(paths[3]).getroot().tag.endswith("svg")
    assert paths[3].read_text() == to_svg(made.plot)
    (tmp_path / "file").touch()
    with pytest.raises(UserError):
        write_reports(made, tmp_path / "file")


def test_the_choice_of_formats_is_the_registry() -> None:
    (option,) = [parameter for parameter in command.params if parameter.name == "form"]
    assert list(option.type.choices) == list(FORMATS)
