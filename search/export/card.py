"""Exports a row as a short Markdown text to post, and lists the text formats of an export."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from search.export.script import render_script
from search.export.target import ExportTarget, error_sentence, title
from search.leaderboard import formatting
from search.leaderboard.board import Row
from search.leaderboard.reference import tutorial_error_percent
from search.leaderboard.render_markdown import escape
from search.records.record import StudyHeader
from search.records.redact import redacted
from search.reproduction.restore import recorded_dataset

COMMAND_PREFIX = "python -m search "


def render_card(target: ExportTarget) -> str:
    """Returns the card, without private data."""
    header, row = redacted(target.record).header, target.row
    head = f"**{escape(error_sentence(target))}** {escape(header.protocol.dataset)}, space {escape(header.space.name)}"
    points = "\n".join(f"- {escape(point)}" for point in _bullets(target))
    config = f"```toml\n{formatting.config_toml(header, row.config)}\n```"
    commands = "\n".join(_commands(header, row))
    return f"{head}: {escape(row.name)}\n\n{points}\n\n{config}\n\n```sh\n{commands}\n```\n"


def _bullets(target: ExportTarget) -> Iterator[str]:
    row = target.row
    if row.test_error is not None:
        errors = ", ".join(f"{run.seed}: {formatting.percent(run.error_percent)} %" for run in row.completed_replicates)
        yield f"By seed, each trained on all training images and scored after the last epoch: {errors}."
    if row.baseline_difference is not None:
        yield (
            "Against the baseline of its study, in percentage points: "
            f"{formatting.error_difference(row.baseline_difference)}, {formatting.verdict(row.baseline_difference)}."
        )
    if row.best_recipe is not None:
        yield (
            f"Against {row.best_recipe.recipe}, the best of its study, in percentage points: "
            f"{formatting.error_difference(row.best_recipe.difference)}, "
            f"{formatting.verdict(row.best_recipe.difference)}."
        )
    yield from _tutorial(row)
    if row.test_error is not None and row.validation_error_percent is not None:
        yield f"Validation error: {formatting.percent(row.validation_error_percent)} %."
    yield f"{formatting.count(row.parameters)} trainable parameters, {formatting.epochs(row.schedule_epochs)}."
    if row.is_short:
        yield f"Caution: a short training; a full one has {formatting.epochs(row.study.protocol.epochs)}."
    if row.changed_parameters:
        yield f"Changed from the baseline: {formatting.parameter_values(row.changed_parameters)}."
    if row.caveat:
        yield f"Caution: {row.caveat}."


def _tutorial(row: Row) -> Iterator[str]:
    figure = tutorial_error_percent(row.study.protocol.data_sha256, row.study.space.name)
    if figure is not None and row.tutorial_difference is not None:
        yield (
            f"Against the tutorial's {formatting.percent(figure)} %, one run: "
            f"{formatting.percentage_points(row.tutorial_difference)} points."
        )


def _commands(header: StudyHeader, row: Row) -> Iterator[str]:
    """Yields the command that found the row, if it is one of ours, and the one that reproduces it."""
    command = formatting.one_line(header.command)
    if command.startswith(COMMAND_PREFIX):
        yield command
    which = "winner" if row.trial is None else str(row.trial)
    tested = " --test" if row.test_error is not None and row.trial is not None else ""
    yield f"{COMMAND_PREFIX}reproduce {header.name} {which}{tested}"


def _config(target: ExportTarget) -> str:
    header = target.record.header
    head = f"# {title(target)}\n# {error_sentence(target)}\n# python -m search run --config FILE"
    dataset = target.reproduction_options.dataset or recorded_dataset(header)
    return f"{head}\n{formatting.config_toml(header, target.row.config, dataset=dataset)}\n"


TEXT_FORMATS: Mapping[str, Callable[[ExportTarget, str], str]] = {
    "script": render_script,
    "config": lambda target, file: _config(target),
    "card": lambda target, file: render_card(target),
}
"""Text formats by name; each is rendered from a target and the name of the output file."""
