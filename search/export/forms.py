"""The forms of an exported row that are texts, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from search.export.card import render_card
from search.export.order import ExportTarget
from search.export.sayings import error_sentence, title
from search.export.script import render_script
from search.leaderboard.config_file import to_toml
from search.reproduction.restoring import recorded_dataset


def _config(target: ExportTarget) -> str:
    header = target.record.header
    head = f"# {title(target)}\n# {error_sentence(target)}\n# python -m search run --config FILE"
    dataset = target.reproduction_options.dataset or recorded_dataset(header)
    return f"{head}\n{to_toml(header, target.row.config, dataset=dataset)}\n"


TEXT_FORMATS: Mapping[str, Callable[[ExportTarget, str], str]] = {
    "script": render_script,
    "config": lambda order, file: _config(order),
    "card": lambda order, file: render_card(order),
}
"""Names to functions of an order and the name of the file that takes the text."""
