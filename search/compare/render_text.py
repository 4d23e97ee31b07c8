"""The comparison as text for a terminal, a pipe or a log.

Width, colour and character set are those of standard output, as Rich finds them. Names reach Rich as ``Text``, never as
markup.
"""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from search.compare import tables
from search.compare.results import Comparison
from search.compare.summary import summary_sentences, term_sentences
from search.leaderboard import formatting


def to_text(comparison: Comparison) -> str:
    """Returns the comparison as text that fits standard output."""
    console = Console(highlight=False)
    with console.capture() as capture:
        console.print(Text(formatting.one_line(f"Tournament {comparison.spec.name}"), "bold"))
        for table in tables.comparison_tables(comparison, width=console.width):
            console.print(Text(table.title, "bold"))
            console.print(_text_table(table))
        for sentence in (*summary_sentences(comparison), *term_sentences(comparison)):
            console.print(Text(sentence))
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def _text_table(cells: tables.ComparisonTable) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0)  # four engines then fit 80 columns
    for header, number in zip(cells.headers, cells.numeric_columns, strict=True):
        table.add_column(header, justify="right" if number else "left", no_wrap=number, overflow="fold")
    for place, line in enumerate(cells.rows):
        table.add_row(*map(Text, line), style="bold" if place in cells.highlighted_rows else "")
    return table
