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

from search.leaderboard import causes, provenance, tables, words
from search.leaderboard.board import Board, Row, Section
from search.leaderboard.verdict import verdict
from search.records.failures import Failure
from search.records.record import StudyHeader, StudyRecord, flat
from search.report import lines, palette
from search.report.charts import curves, importance, parallel, pareto, progress, slices
from search.report.charts.chart import Chart
from search.report.charts.texts import Texts
from search.report.headline import Headline, headline
from search.report.importances import importances
from search.report.library import Library, integrity, library
from search.report.mistakes import Mistakes, mistakes
from search.report.points import Point, Searched, first, searched
from search.report.spending import Spent, spending
from search.training.data import Images

MOST_STUDIES = 12
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
class View:
    """What the page says of one section.

    Args:
        section: The section.
        title: What its rows share.
        headline: What it says first.
        verdict: The plain sentences.
        table: The leaderboard.
        charts: Of all its studies together.
        studies: Of each study by itself.
        mistakes: Of its first row; None where none were recorded.
        spent: Where the time went.
        machines: Hardware and versions of its rows, the rows' names by what they ran on.
        versions: Versions when the studies were begun, the studies' names by these.
    """

    section: Section
    title: str
    headline: Headline
    verdict: Sequence[str]
    table: lines.Table
    charts: tuple[Chart, ...]
    studies: tuple[StudyView, ...]
    mistakes: Mistakes | None
    spent: tuple[Spent, ...]
    machines: Mapping[str, Sequence[str]]
    versions: Mapping[str, Sequence[str]]


def render(board: Board, records: Sequence[StudyRecord], test_images: Mapping[str, Images] | None = None) -> str:
    """Returns the report as HTML.

    Args:
        board: What ``rows.compute`` made of the records.
        records: The studies of the board.
        test_images: By the data's hash, where they are at hand.
    """
    colours = palette.colours(board)
    views = [_view(section, records, test_images or {}, colours) for section in board.sections]
    script, packed = _static("report.js"), _library()
    figures, texts = dict[str, Any](), Texts()
    return (
        _environment()
        .get_template("report.html")
        .render(
            board=board,
            views=views,
            figures=figures,
            texts=texts,
            place=lambda chart: _place(chart, figures, texts),
            style=_static("report.css"),
            script=script,
            packed=packed.packed,
            allowed=f"'{integrity(script.encode())}' '{packed.integrity}'",
            dark=dict(palette.DARK),
            colours=colours,
            **_words(),
        )
    )


def _view(
    section: Section, records: Sequence[StudyRecord], test_images: Mapping[str, Images], colours: Mapping[str, str]
) -> View:
    own = [record for record in records if record.header in section.studies]
    studies = [searched(record, section.rows) for record in own]
    lead = headline(section)
    return View(
        section=section,
        title=tables.title(section),
        headline=lead,
        verdict=verdict(section),
        table=lines.table(section, lead),
        charts=_charts(studies, colours),
        studies=_parameters(_leading(studies, section), colours),
        mistakes=_mistakes(lead.winner, test_images),
        spent=spending(own),
        machines=_grouped((row.name, row.environment) for row in section.rows),
        versions=_grouped((study.name, study.versions) for study in section.studies),
    )


def _charts(studies: Sequence[Searched], colours: Mapping[str, str]) -> tuple[Chart, ...]:
    if not any(study.rows for study in studies):
        return ()
    return tuple(make(studies, colours) for make in (progress.chart, pareto.chart, curves.chart))


def _leading(studies: Sequence[Searched], section: Section) -> list[Searched]:
    """Returns the studies that searched, in the order of their best rows."""
    order = {row.study.name: place for place, row in reversed(list(enumerate(section.rows)))}
    searching = [study for study in studies if len(study.points) > 1]
    return sorted(searching, key=lambda study: order[study.header.name])[:MOST_STUDIES]


def _parameters(studies: Sequence[Searched], colours: Mapping[str, str]) -> tuple[StudyView, ...]:
    return tuple(_study(study, first(study, len(studies)), colours) for study in studies)


def _study(study: Searched, points: Sequence[Point], colours: Mapping[str, str]) -> StudyView:
    colour, known = colours[palette.engine(study.header)], importances(study)
    return StudyView(
        header=study.header,
        charts=(importance.chart(known, colour), parallel.chart(study, points, known.shares)),
        slices=slices.charts(study, points, known.shares, colour),
    )


def _mistakes(winner: Row | None, images: Mapping[str, Images]) -> Mistakes | None:
    return mistakes(winner, images.get(winner.study.protocol.data_sha256)) if winner else None


def _grouped(named: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, list[str]]:
    """Returns names by what they share, in words: "device CPU, threads 1"."""
    found: dict[str, list[str]] = {}
    for name, values in named:
        parts = [f"{key.rpartition('.')[2]} {value}" for key, value in flat(values).items()]
        if parts:
            found.setdefault(words.one_line(", ".join(parts)), []).append(words.one_line(name))
    return found


def _place(chart: Chart, figures: dict[str, Any], texts: Texts) -> str:
    """Takes up a chart's figures for the page and returns the name by which its script finds them."""
    name = f"chart-{len(figures) + 1}"
    figures[name] = texts.taken_out(chart.views)
    return name


def _words() -> dict[str, Any]:
    return {
        "words": words,
        "causes": causes,
        "accounts": tables.accounts,
        "commands": lines.commands,
        "machine": provenance.machine,
        "settings": lines.settings,
        "engine_of": palette.engine,
        "slices": slices,
        "failures_table": _failures_table,
    }


def _failures_table(failures: Sequence[Failure]) -> tuple[list[causes.Column], Sequence[Failure]]:
    return causes.columns(failures), failures


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
def _library() -> Library:
    return library()
