"""Short trials in the charts and on the page: marked, and not among what compares full trainings."""

from __future__ import annotations

import re
from typing import Any

import pytest

from search.leaderboard import formatting
from search.report import page
from search.report.chart_data import StudyPoints, study_points
from search.report.charts import importance, parallel, pareto, progress, slices
from search.report.charts.chart import SHORT_SYMBOL
from search.report.headline import section_headline
from search.report.plot import render_svg
from tests.report import studies

RECORD = studies.screening()
BOARD = studies.board([RECORD])
(SECTION,) = BOARD.sections
COLORS = {"optuna:mutation": "#123456"}


@pytest.fixture(scope="module")
def points() -> StudyPoints:
    return study_points(RECORD, SECTION.rows)


def traces(figure: dict[str, Any], symbol: str | None) -> list[dict[str, Any]]:
    """The traces of markers with some symbol, without the legend."""
    markers = [trace for trace in figure["data"] if trace.get("mode") == "markers" and trace["x"] != [None]]
    return [trace for trace in markers if trace["marker"].get("symbol") == symbol]


def test_the_progress_chart_draws_short_trials_as_crosses(points: StudyPoints) -> None:
    figure = progress.chart([points], COLORS).figures["epochs"]
    short = [row for row in SECTION.rows if row.is_short]
    assert sum(len(trace["x"]) for trace in traces(figure, SHORT_SYMBOL)) == len(short) > 20
    assert sum(len(trace["x"]) for trace in traces(figure, None)) == len(SECTION.rows) - len(short)
    names = {trace.get("name") for trace in figure["data"]}
    assert "short" in names
    assert "stopped early" not in names


def test_charts_that_compare_full_trainings_have_no_short_trial(points: StudyPoints) -> None:
    full = len(points.complete_points)
    assert full == sum(not row.is_short for row in SECTION.rows)
    (trace,) = traces(pareto.chart([points], COLORS).figures["seconds"], None)
    assert len(trace["x"]) == full
    importances = importance.parameter_importances(points)
    figure = parallel.chart(points, points.points, importances.by_parameter).figures["trials"]
    lines = [trace for trace in figure["data"] if trace["line"]["width"] < 2]
    assert sum(trace["x"].count(None) for trace in lines) == full


def test_importances_are_of_the_trials_of_which_there_are_more(points: StudyPoints) -> None:
    importances = importance.parameter_importances(points)
    assert importances.is_short
    assert importances.trials == len(points.screened_points) > len(points.complete_points)
    assert "short trials" in importance.chart(importances, "#123456").caption


def test_slices_draw_short_trials_as_crosses(points: StudyPoints) -> None:
    for chart in slices.charts(points, points.points, {}, "#123456"):
        (crosses,) = traces(chart.figures["trials"], SHORT_SYMBOL)
        assert crosses["x"]


def test_the_headline_has_the_gain_over_baseline_and_best_recipe() -> None:
    values = [statistic.value for statistic in section_headline(SECTION).statistics]
    chosen = SECTION.headline
    assert chosen.baseline_difference is not None
    assert chosen.best_recipe is not None
    for difference in (chosen.baseline_difference, chosen.best_recipe.difference):
        assert f"{formatting.percentage_points(difference.mean)} points" in values


def test_the_page_tells_of_each_trial_what_it_was_made_from() -> None:
    text = page.render(BOARD, [RECORD])
    names = re.findall(r"aria-expanded=\"false\">(?:<i [^>]*></i>)?([^<]*)</button>", text)
    assert {name for name in names if name.endswith("(short)")} == {row.name for row in SECTION.rows if row.is_short}
    assert "Mutation of trial 5: " in text
    assert "dropout 0" in text


def test_the_plot_is_drawn_of_short_trials_alone() -> None:
    record = studies.boards()["short trials only"]
    assert "<svg" in render_svg(studies.board(record), record)
