"""The page: the report as one HTML file that needs nothing else, neither network nor server.

    render          a board, its studies and the test images in, the text out
      _view           what the page says of one section
        _study          what it says of one study: importances, parallel coordinates, slices

Everything that a user named is escaped: in text by Jinja's autoescape, in the figures' JSON by its ``tojson``, in the
figures' texts by ``charts.chart.label``. Beyond that the page carries a content security policy that lets no script run
but its own two, by their hashes, and lets nothing be fetched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2

from search.data.dataset import LabeledImages
from search.leaderboard import failure_table, formatting, tables
from search.leaderboard.board import Board, Row, Section
from search.leaderboard.summary import summary_sentences
from search.records.failures import FailureGroup
from search.records.record import StudyHeader, StudyRecord, flatten
from search.report import colors, table
from search.report.chart_data import StudyPoints, TrialPoint, leading_points, study_points
from search.report.charts import curves, importance, parallel, pareto, progress, slices
from search.report.charts.chart import Chart, StringTable
from search.report.confusion import Misclassifications, find_misclassifications
from search.report.headline import Headline, section_headline
from search.report.importances import parameter_importances
from search.report.plotly_js import PlotlyScript, csp_hash, load_plotly_script
from search.report.time_spent import TimeSpent, time_spent

MAX_STUDIES = 12
"""Studies of a section whose parameters are drawn, those with the best rows first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyView:
    """What the page says of one study's parameters.

    Args:
        header: The study.
        charts: Importances and parallel coordinates.
        slices: A small chart a parameter.
    """

    header: StudyHeader
    charts: tuple[Chart, ...]
    slices: tuple[Chart, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionView:
    """What the page says of one section.

    Args:
        section: The section.
        title: What its rows share.
        headline: What it says first.
        summary: The plain sentences.
        leaderboard: The leaderboard.
        charts: Of all its studies together.
        studies: Of each study by itself.
        misclassifications: Of its first row; None where none were recorded.
        time_spent: Where the time went.
        machines: Hardware and versions of its rows, the rows' names by what they ran on.
        versions: Versions when the studies were begun, the studies' names by these.
    """

    section: Section
    title: str
    headline: Headline
    summary: Sequence[str]
    leaderboard: table.LeaderboardTable
    charts: tuple[Chart, ...]
    studies: tuple[StudyView, ...]
    misclassifications: Misclassifications | None
    time_spent: tuple[TimeSpent, ...]
    machines: Mapping[str, Sequence[str]]
    versions: Mapping[str, Sequence[str]]


def render(board: Board, records: Sequence[StudyRecord], test_images: Mapping[str, LabeledImages] | None = None) -> str:
    """Returns the report as HTML.

    Args:
        board: What ``rows.compute`` made of the records.
        records: The studies of the board.
        test_images: By the data's hash, where they are at hand.
    """
    colours = colors.engine_colors(board)
    views = [_section_view(section, records, test_images or {}, colours) for section in board.sections]
    script, packed = _static("report.js"), _library()
    figures, texts = dict[str, Any](), StringTable()
    return (
        _environment()
        .get_template("report.html")
        .render(
            board=board,
            views=views,
            figures=figures,
            texts=texts,
            place=lambda chart: _register_chart(chart, figures, texts),
            style=_static("report.css"),
            script=script,
            packed=packed.compressed,
            allowed=f"'{csp_hash(script.encode())}' '{packed.csp_hash}'",
            dark=dict(colors.DARK_SCHEME),
            colours=colours,
            **_template_globals(),
        )
    )


def _section_view(
    section: Section,
    records: Sequence[StudyRecord],
    test_images: Mapping[str, LabeledImages],
    colours: Mapping[str, str],
) -> SectionView:
    own = [record for record in records if record.header in section.studies]
    studies = [study_points(record, section.rows) for record in own]
    lead = section_headline(section)
    return SectionView(
        section=section,
        title=tables.section_title(section),
        headline=lead,
        summary=summary_sentences(section),
        leaderboard=table.leaderboard_table(section, lead),
        charts=_charts(studies, colours),
        studies=_parameters(_top_studies(studies, section), colours),
        misclassifications=_mistakes(lead.winner, test_images),
        time_spent=time_spent(own),
        machines=_group_names_by_environment((row.name, row.environment) for row in section.rows),
        versions=_group_names_by_environment((study.name, study.versions) for study in section.studies),
    )


def _charts(studies: Sequence[StudyPoints], colours: Mapping[str, str]) -> tuple[Chart, ...]:
    if not any(study.rows for study in studies):
        return ()
    return tuple(make(studies, colours) for make in (progress.chart, pareto.chart, curves.chart))


def _top_studies(studies: Sequence[StudyPoints], section: Section) -> list[StudyPoints]:
    """Returns the studies that searched, in the order of their best rows."""
    order = {row.study.name: place for place, row in reversed(list(enumerate(section.rows)))}
    searching = [study for study in studies if len(study.points) > 1]
    return sorted(searching, key=lambda study: order[study.header.name])[:MAX_STUDIES]


def _parameters(studies: Sequence[StudyPoints], colours: Mapping[str, str]) -> tuple[StudyView, ...]:
    return tuple(_study_view(study, leading_points(study, len(studies)), colours) for study in studies)


def _study_view(study: StudyPoints, points: Sequence[TrialPoint], colours: Mapping[str, str]) -> StudyView:
    colour, study_importances = colours[colors.engine_key(study.header)], parameter_importances(study)
    return StudyView(
        header=study.header,
        charts=(
            importance.chart(study_importances, colour),
            parallel.chart(study, points, study_importances.by_parameter),
        ),
        slices=slices.charts(study, points, study_importances.by_parameter, colour),
    )


def _mistakes(winner: Row | None, images: Mapping[str, LabeledImages]) -> Misclassifications | None:
    return find_misclassifications(winner, images.get(winner.study.protocol.data_sha256)) if winner else None


def _group_names_by_environment(named: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, list[str]]:
    """Returns names by what they share, in words: "device CPU, threads 1"."""
    groups: dict[str, list[str]] = {}
    for name, values in named:
        parts = [f"{key.rpartition('.')[2]} {value}" for key, value in flatten(values).items()]
        if parts:
            groups.setdefault(formatting.one_line(", ".join(parts)), []).append(formatting.one_line(name))
    return groups


def _register_chart(chart: Chart, figures: dict[str, Any], texts: StringTable) -> str:
    """Takes up a chart's figures for the page and returns the name by which its script finds them."""
    name = f"chart-{len(figures) + 1}"
    figures[name] = texts.intern(chart.figures)
    return name


def _template_globals() -> dict[str, Any]:
    return {
        "words": formatting,
        "causes": failure_table,
        "accounts": tables.cost_line,
        "commands": table.row_commands,
        "machine": formatting.machine_label,
        "settings": table.parameter_rows,
        "engine_of": colors.engine_key,
        "slices": slices,
        "failures_table": _failures_table,
    }


def _failures_table(
    failures: Sequence[FailureGroup],
) -> tuple[list[failure_table.FailureColumn], Sequence[FailureGroup]]:
    return failure_table.visible_columns(failures), failures


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("search.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["minus"] = _minus
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return environment


def _minus(text: object) -> str:
    """Returns the text with a true minus before figures."""
    return re.sub(r"(?<![^\s(])-(?=\d)", "\N{MINUS SIGN}", str(text))


def _static(name: str) -> str:
    return files("search.report").joinpath("static", name).read_text(encoding="utf-8")


@cache
def _library() -> PlotlyScript:
    return load_plotly_script()
