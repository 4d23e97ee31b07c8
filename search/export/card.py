"""A row as a short Markdown text to post: "your configuration and best score"."""

from __future__ import annotations

from collections.abc import Iterator

from search.export.order import Order
from search.export.sayings import figures
from search.leaderboard import words
from search.leaderboard.board import Row
from search.leaderboard.config_file import toml
from search.leaderboard.reference import tutorial_error_percent
from search.leaderboard.render_markdown import escape
from search.records.privacy import published
from search.records.record import StudyHeader

OURS = "python -m search "


def card(order: Order) -> str:
    """Returns the text, without what is private; it ends with a line break."""
    header, row = published(order.record).header, order.row
    head = f"**{escape(figures(order))}** {escape(header.protocol.dataset)}, space {escape(header.space.name)}"
    points = "\n".join(f"- {escape(point)}" for point in _points(order))
    config = f"```toml\n{toml(header, row.config)}\n```"
    commands = "\n".join(_commands(header, row))
    return f"{head}: {escape(row.name)}\n\n{points}\n\n{config}\n\n```sh\n{commands}\n```\n"


def _points(order: Order) -> Iterator[str]:
    row = order.row
    if row.test is not None:
        yield f"By seed, each trained on all training images and scored after the last epoch: {_by_seed(row)}."
    if row.to_baseline is not None:
        yield f"Against the baseline of its study, in percentage points: {words.difference(row.to_baseline)}."
    yield from _tutorial(row)
    if row.test is not None and row.validation_error_percent is not None:
        yield f"Validation error, by which it was chosen: {words.percent(row.validation_error_percent)} %."
    yield f"{words.count(row.parameters)} trainable parameters, {row.study.protocol.epochs} epochs."
    if row.changes:
        yield f"Changed from the baseline: {words.settings(row.changes)}."
    if row.caveat:
        yield f"Caution: {row.caveat}."


def _by_seed(row: Row) -> str:
    return ", ".join(f"{seed}: {words.percent(error)} %" for seed, error in row.errors_by_seed.items())


def _tutorial(row: Row) -> Iterator[str]:
    figure = tutorial_error_percent(row.study.protocol.dataset, row.study.space.name)
    if figure is not None and row.to_tutorial is not None:
        yield f"Against the tutorial's {words.percent(figure)} %, one run: {words.points(row.to_tutorial)} points."


def _commands(header: StudyHeader, row: Row) -> Iterator[str]:
    """Yields the command that found it, as far as it is one of ours, and the one that makes it again."""
    command = words.one_line(header.command)
    if command.startswith(OURS):
        yield command
    which = "winner" if row.trial is None else str(row.trial)
    tested = " --test" if row.test is not None and row.trial is not None else ""
    yield f"{OURS}reproduce {header.name} {which}{tested}"
