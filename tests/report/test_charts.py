"""The charts: Plotly accepts every figure, and the figures show the recorded values."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.records.curves import best_error_curve
from search.report import chart_data, colors
from search.report.chart_data import StudyPoints, leading_points, study_points
from search.report.charts import curves, importance, parallel, pareto, progress, slices
from search.report.charts.axis import ParameterAxis, jitter, searched_axes
from search.report.charts.chart import Chart, StringTable, error_range, escape_label, format_tick, log_ticks
from search.report.charts.importance import ParameterImportances, parameter_importances
from spaces.domains import Choice, Float, Int
from tests.leaderboard.records import outcome, study
from tests.leaderboard.records import searched as trial
from tests.report import studies

BOARDS = studies.boards()


def drawn(name: str) -> list[StudyPoints]:
    known = BOARDS[name]
    return [
        study_points(record, section.rows)
        for section in studies.board(known).sections
        for record in known
        if record.header in section.studies
    ]


def charts(name: str) -> list[Chart]:
    of, colours = drawn(name), colors.engine_colors(studies.board(BOARDS[name]))
    found = [make(of, colours) for make in (progress.chart, pareto.chart, curves.chart)] if of else []
    for one in of:
        shares, colour = parameter_importances(one).by_parameter, "#0072b2"
        found += [importance.chart(parameter_importances(one), colour), parallel.chart(one, one.points, shares)]
        found += slices.charts(one, one.points, shares, colour)
    return found


@pytest.mark.parametrize("name", BOARDS)
def test_plotly_takes_every_figure(name: str) -> None:
    for chart in charts(name):
        assert bool(chart.figures) != bool(chart.missing_reason)
        for figure in chart.figures.values():
            go.Figure(figure)  # refuses names and values that Plotly does not have


@pytest.mark.parametrize("name", BOARDS)
def test_every_colour_of_a_figure_has_a_dark_counterpart(name: str) -> None:
    for chart in charts(name):
        for figure in chart.figures.values():
            assert {value for value in strings(figure) if value.startswith("#")} <= colors.DARK_SCHEME.keys()


def strings(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in strings(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in strings(inner)]
    return [value] if isinstance(value, str) else []


def test_the_line_of_progress_is_the_best_so_far_of_full_trials() -> None:
    (one,) = drawn("without a clock")
    (figure,) = progress.chart([one], {"optuna:tpe": "#0072b2"}).figures.values()
    (line,) = [trace for trace in figure["data"] if trace.get("line", {}).get("shape") == "hv"]
    assert line["y"] == [best.error_percent for best in best_error_curve(one.record)]
    assert all(later <= earlier for earlier, later in pairwise(line["y"]))
    dots = sum(len(trace["x"]) for trace in figure["data"] if "hovertext" in trace)
    assert dots == len(one.points) == 20


def test_without_a_clock_progress_counts_epochs_alone() -> None:
    assert list(progress.chart(drawn("without a clock"), {"optuna:tpe": "#0072b2"}).figures) == ["epochs"]
    assert list(
        progress.chart(drawn("two engines"), colors.engine_colors(studies.board(BOARDS["two engines"]))).figures
    ) == [
        "minutes",
        "epochs",
    ]


def test_a_trial_s_cost_is_what_the_study_had_trained_when_it_ended() -> None:
    record = studies.many(4)
    (one,) = [study_points(record, section.rows) for section in studies.board([record]).sections]
    assert [point.epochs for point in one.points] == [10, 20, 30, 33]
    assert [point.minutes for point in one.points] == [0.5, 1.0, 1.5, 2.0]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_the_front_holds_the_pairs_that_no_other_dominates(pairs: list[tuple[float, float]]) -> None:
    beaten = {one for one in pairs for other in pairs if other != one and other[0] <= one[0] and other[1] <= one[1]}
    assert pareto.pareto_front(pairs) == sorted(set(pairs) - beaten)


def test_an_important_parameter_is_found_and_drawn_first() -> None:
    (one,) = drawn("two engines")[:1]
    known = parameter_importances(one)
    assert next(iter(known.by_parameter)) == "rate"
    assert sum(known.by_parameter.values()) == pytest.approx(1)
    assert "depth" in known.by_parameter, "a conditional parameter is assessed too"
    assert searched_axes(one, tuple(known.by_parameter))[0].name == "rate"
    (bars,) = importance.chart(known, "#0072b2").figures["importances"]["data"]
    assert bars["y"][-1] == "rate"


def test_importances_of_few_or_equal_trials_are_refused_with_the_reason() -> None:
    assert drawn("no verification")[0].complete_points
    assert (
        parameter_importances(drawn("no verification")[0]).missing_reason
        == "2 trials were trained in full; an estimate needs 10."
    )
    record = study(*(trial(number, outcome(1.0)) for number in range(12)))
    (section,) = studies.board([record]).sections
    assert parameter_importances(study_points(record, section.rows)).missing_reason == "All trials have the same error."
    assert importance.chart(ParameterImportances(trials=0, missing_reason="why"), "#0072b2").missing_reason == "why"


def test_a_line_passes_below_the_axis_of_an_inactive_parameter() -> None:
    (one,) = drawn("two engines")[:1]
    (figure,) = parallel.chart(one, one.points, {"depth": 0.9, "stages": 0.1}).figures.values()
    assert figure["layout"]["xaxis"]["ticktext"][:2] == ["depth", "stages"]
    size = len(figure["layout"]["xaxis"]["tickvals"]) + 1
    heights, texts = figure["data"][-1]["y"], figure["data"][-1]["customdata"]
    best = min(one.complete_points, key=lambda point: point.error_percent)
    assert (heights[0] == parallel.INACTIVE_POSITION) == ("depth" not in best.row.config)
    assert len(heights) == len(texts) == size
    for trace in figure["data"]:
        for place in range(0, len(trace["y"]), size):
            is_unused = trace["customdata"][place] == "<br>depth: inactive"
            assert (trace["y"][place] == parallel.INACTIVE_POSITION) == is_unused
            assert trace["y"][place + size - 1] is None


def test_a_slice_holds_the_trials_with_an_active_parameter() -> None:
    (one,) = drawn("two engines")[:1]
    by_name = {chart.title: chart.figures["trials"] for chart in slices.charts(one, one.points, {}, "#0072b2")}
    assert list(by_name) == [*(name for name in studies.WIDE.parameters if name != "depth"), "depth"]
    dots = [trace for trace in by_name["depth"]["data"] if "hovertext" in trace]
    counting = [point for point in one.points if "depth" in point.row.config]
    assert sorted(x for trace in dots for x in trace["x"]) == sorted(point.row.config["depth"] for point in counting)
    assert by_name["schedule"]["layout"]["xaxis"]["ticktext"] == ["constant", "cosine", "one<br>cycle", "exponent…"]


def test_options_with_equal_cut_names_have_different_positions() -> None:
    axis = ParameterAxis(name="kind", domain=Choice(("a" * 30 + "1", "a" * 30 + "2"), "a" * 30 + "1"))
    assert [axis.position(option) for option in axis.discrete_values] == [0, 1]


@pytest.mark.parametrize(
    ("domain", "value", "place"),
    [
        (Int(0, 10, 5), 5, 0.5),
        (Int(1, 100, 10, log=True), 10, 0.5),
        (Float(0.0, 0.5, 0.1), 0.125, 0.25),
        (Float(1e-4, 1e-2, 1e-3, log=True), 1e-3, 0.5),
        (Choice(("a", "b", "c"), "a"), "b", 0.5),
        (Choice(("only",), "only"), "only", 0.5),
    ],
)
def test_a_value_has_the_position_of_its_scale(domain: Int | Float | Choice, value: object, place: float) -> None:
    assert ParameterAxis(name="x", domain=domain).position(value) == pytest.approx(place)


def test_an_error_of_zero_is_drawn_at_the_floor() -> None:
    (one,) = drawn("error of zero")
    assert {point.plotted_error_percent for point in one.points} == {chart_data.MIN_PLOTTED_ERROR_PERCENT}
    assert error_range([0.0, 0.0], None)[0] > 0


@given(st.floats(1e-4, 1e4), st.floats(1.2, 1e6), st.integers(3, 9))
def test_ticks_are_few_round_and_inside(low: float, ratio: float, most: int) -> None:
    found = log_ticks(low, low * ratio, max_ticks=most)
    assert len(found) <= most or ratio > 10 ** (most - 1)
    assert all(low / 1.02 <= tick <= low * ratio * 1.02 for tick in found)
    assert found == sorted(set(found))


@pytest.mark.parametrize(
    ("value", "text"), [(0.05, "0.05"), (1, "1"), (1024, "1,024"), (20_000, "20k"), (1e6, "1M"), (2.5e6, "2.5M")]
)
def test_ticks_are_short(value: float, text: str) -> None:
    assert format_tick(value) == text


def test_names_are_escaped_and_cut() -> None:
    assert escape_label("<b>&\n") == "&lt;b&gt;&amp; "
    assert escape_label("x" * 40) == "x" * 29 + "…"


def test_texts_are_kept_once() -> None:
    texts = StringTable()
    views = {"a": {"data": [{"hovertext": ["p", "q", "p"]}, {"hovertext": "q"}, {"x": [1]}], "layout": {}}}
    assert texts.intern(views)["a"]["data"] == [{"hovertext": [0, 1, 0]}, {"hovertext": 1}, {"x": [1]}]
    assert texts.strings == ["p", "q"]


def test_a_chart_of_very_many_trials_draws_the_first_and_the_baseline() -> None:
    record = studies.many(500)
    (section,) = studies.board([record]).sections
    one = study_points(record, section.rows)
    shown = leading_points(one, 2)
    assert len(shown) in (200, 201)
    assert any(point.row.is_baseline for point in shown)
    assert min(point.error_percent for point in shown) == min(point.error_percent for point in one.points)
    assert "trials further down the board are left out" in curves.chart([one], {"optuna:tpe": "#0072b2"}).caption


def test_an_engine_has_one_colour_on_the_whole_board() -> None:
    known = studies.engines()
    assert colors.engine_colors(studies.board(known)) == {"keras-tuner:hyperband": "#0072b2", "optuna:tpe": "#d55e00"}
    moved = dataclasses.replace(
        known[1],
        header=dataclasses.replace(
            known[1].header, protocol=dataclasses.replace(known[1].header.protocol, data_sha256="0" * 64)
        ),
    )
    assert colors.engine_colors(studies.board([known[0], moved])) == colors.engine_colors(studies.board(known))


def test_colours_contrast_with_the_background() -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(one: str, other: str) -> float:
        high, low = sorted((luminance(one), luminance(other)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    for light, dark in colors.ENGINE_COLORS.items():
        assert contrast(light, "#ffffff") > 2, "Okabe and Ito's orange and sky blue are the faintest"
        assert contrast(dark, "#15181b") > 4.5
    for text in (colors.TEXT_COLOR, colors.MUTED_COLOR):
        assert contrast(text, "#ffffff") > 4.5
        assert contrast(colors.DARK_SCHEME[text], "#15181b") > 4.5


def test_jitter_keeps_options_apart() -> None:
    (one,) = drawn("hostile")
    shifts = [jitter(point) for point in one.points]
    assert len(set(shifts)) == len(one.points)
    assert max(map(abs, shifts)) <= 0.5
