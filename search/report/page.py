"""The report as one HTML file that needs neither network nor server.

    render          the page, from a board, its studies and the test images
      _section_view   the values that the page shows of a section
        _study_view     the charts of one study's parameters

Called by ``files``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.data.dataset import LabeledImages
from search.leaderboard import formatting, summary, tables
from search.leaderboard.board import Board, Section
from search.leaderboard.columns import COLUMNS
from search.records.record import StudyHeader, StudyRecord
from search.report import colors, table
from search.report.chart_data import StudyPoints, leading_points, section_points
from search.report.charts import curves, importance, parallel, pareto, progress, slices
from search.report.charts.chart import Chart, StringTable
from search.report.confusion import Misclassifications, find_misclassifications
from search.report.headline import Headline, section_headline
from search.report.templating import render_template
from search.report.time_spent import TimeSpent, time_spent

MAX_STUDIES = 12
"""Studies of a section whose parameters are drawn, those with the best rows first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyView:
    """Charts of one study's parameters.

    Args:
        header: The study.
        charts: Importances and parallel coordinates.
        slices: A small chart for each parameter.
    """

    header: StudyHeader
    charts: tuple[Chart, ...]
    slices: tuple[Chart, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionView:
    """What the page shows of a section.

    Args:
        section: The section.
        headline: The best figure and its differences.
        summary: The sentences.
        leaderboard: The leaderboard.
        charts: Of all its studies together.
        studies: Charts of each study.
        misclassifications: Of the chosen row; None where none were recorded.
        time_spent: Time by kind of run.
        machines: Names of rows by hardware and versions.
        versions: Names of studies by the versions that created them.
    """

    section: Section
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
        board: The board of the records.
        records: The studies of the board.
        test_images: By the data's hash, where they are available.
    """
    engine_colors = colors.engine_colors(board)
    figures, texts = dict[str, Any](), StringTable()

    def register(chart: Chart) -> str:
        """Returns the key under which the page's script finds the chart's figures."""
        key = f"chart-{len(figures) + 1}"
        figures[key] = texts.intern(chart.figures)
        return key

    return render_template(
        "report.html",
        board=board,
        views=[_section_view(section, records, test_images or {}, engine_colors) for section in board.sections],
        figures=figures,
        texts=texts,
        register=register,
        engine_colors=engine_colors,
        dark=dict(colors.DARK_SCHEME),
        formatting=formatting,
        summary=summary,
        tables=tables,
        column_docs={key: column.doc for key, column in COLUMNS.items()},
        slices=slices,
        row_commands=table.row_commands,
        parameter_rows=table.parameter_rows,
    )


def _section_view(
    section: Section,
    records: Sequence[StudyRecord],
    test_images: Mapping[str, LabeledImages],
    engine_colors: Mapping[str, str],
) -> SectionView:
    own = [record for record in records if record.header in section.studies]
    studies = section_points(section, own)
    searched = _top_studies(studies, section)
    headline = section_headline(section)
    chosen = headline.chosen
    return SectionView(
        section=section,
        headline=headline,
        summary=summary.summary_sentences(section),
        leaderboard=table.leaderboard_table(section),
        charts=tuple(module.chart(studies, engine_colors) for module in (progress, pareto, curves))
        if any(study.rows for study in studies)
        else (),
        studies=tuple(_study_view(study, len(searched), engine_colors) for study in searched),
        misclassifications=find_misclassifications(chosen, test_images.get(section.protocol.data_sha256))
        if chosen
        else None,
        time_spent=time_spent(own),
        machines=_names_by_environment((row.name, row.environment) for row in section.study_rows),
        versions=_names_by_environment((study.name, study.versions) for study in section.studies),
    )


def _top_studies(studies: Sequence[StudyPoints], section: Section) -> list[StudyPoints]:
    """Returns the studies with a search, in the order of their best rows."""
    order = {row.study.name: index for index, row in reversed(list(enumerate(section.study_rows)))}
    searched = [study for study in studies if len(study.points) > 1]
    return sorted(searched, key=lambda study: order[study.header.name])[:MAX_STUDIES]


def _study_view(study: StudyPoints, study_count: int, engine_colors: Mapping[str, str]) -> StudyView:
    points = leading_points(study, study_count)
    color = engine_colors[formatting.engine_label(study.header)]
    importances = importance.parameter_importances(study)
    return StudyView(
        header=study.header,
        charts=(importance.chart(importances, color), parallel.chart(study, points, importances.by_parameter)),
        slices=slices.charts(study, points, importances.by_parameter, color),
    )


def _names_by_environment(named: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, list[str]]:
    """Returns names by their environment as text: "device CPU, threads 1"."""
    groups: dict[str, list[str]] = {}
    texts: dict[str, str] = {}
    for name, values in named:
        key = repr(values)  # nearly all rows of a study have the same
        if key not in texts:
            texts[key] = formatting.environment_text(values)
        if text := texts[key]:
            groups.setdefault(text, []).append(formatting.one_line(name))
    return groups
