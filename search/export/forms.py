"""The forms of an exported row that are texts, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from search.export.card import card
from search.export.order import Order
from search.export.sayings import figures, title
from search.export.script import script
from search.leaderboard.config_file import toml
from search.reproduction.restoring import dataset_of


def _config(order: Order) -> str:
    header = order.record.header
    head = f"# {title(order)}\n# {figures(order)}\n# python -m search run --config FILE"
    return f"{head}\n{toml(header, order.row.config, dataset=order.means.dataset or dataset_of(header))}\n"


FORMS: Mapping[str, Callable[[Order, str], str]] = {
    "script": script,
    "config": lambda order, file: _config(order),
    "card": lambda order, file: card(order),
}
"""Names to functions of an order and the name of the file that takes the text."""
