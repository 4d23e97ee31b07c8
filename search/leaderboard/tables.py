"""The two tables of a section for people, as columns of cells: rows ranked by test error, and rows that are not ranked.

Shared by the text and the Markdown renderer, which lay the cells out and escape them. Knows no output format.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from search.leaderboard import provenance, words
from search.leaderboard.board import Ensemble, Row, Section
from search.leaderboard.reference import Reference

Entry = Row | Reference | Ensemble


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Args:
        header: Its name, with the unit; a line break where it may be broken.
        cell: What it says of a row.
        reference: What it says of a published figure.
        ensemble: What it says of an ensemble.
        number: Whether it holds figures, which are set to the right.
        room: Characters that a line must have for the column to be worth its place.
    """

    header: str
    cell: Callable[[Row], str]
    reference: Callable[[Reference], str] = lambda reference: ""
    ensemble: Callable[[Ensemble], str] = lambda ensemble: ""
    number: bool = True
    room: int = 0

    def show(self, entry: Entry) -> str:
        """Returns the cell's text, on one line, not yet escaped."""
        if isinstance(entry, Row):
            return words.one_line(self.cell(entry))
        return words.one_line(self.ensemble(entry) if isinstance(entry, Ensemble) else self.reference(entry))


WHAT = Column(
    "What",
    lambda row: row.name,
    lambda reference: reference.label,
    lambda ensemble: ensemble.label,
    number=False,
)
STUDY = Column("Study", lambda row: row.study.name, ensemble=lambda ensemble: ensemble.study.name, number=False)
_ENGINE = Column("Engine", lambda row: provenance.engine(row.study), number=False, room=140)
_MACHINE = Column("Machine", provenance.machine, number=False, room=170)
_VERSION = Column("Version", lambda row: provenance.version(row.study), number=False, room=170)
PROVENANCE = (STUDY, _ENGINE, _MACHINE, _VERSION)
"""Columns that stand there where rows differ in them."""
_CAUTION = Column("Caution", lambda row: row.caveat, number=False)
_VALIDATION = Column("Val.\nerror %", lambda row: words.percent(row.validation_error_percent))
_PARAMETERS = Column(
    "Params",
    lambda row: words.count(row.parameters),
    ensemble=lambda ensemble: words.count(ensemble.parameters),
    room=76,
)
_EPOCHS = Column("Epochs", lambda row: str(row.epochs) if row.state else "", room=100)
_SECONDS = Column("Seconds", lambda row: f"{row.seconds:.0f}" if row.state else "", room=100)

RANKED = (
    Column("Rank", words.rank, number=False),
    WHAT,
    *PROVENANCE,
    Column("Test\nerror %", lambda row: words.estimate(row.test), words.reference, words.ensemble),
    Column("Seeds", words.runs),
    Column("To baseline,\n% points", lambda row: words.difference(row.to_baseline)),
    Column("To tutorial,\n% points", lambda row: words.points(row.to_tutorial), room=100),
    Column("p, to\nnext", lambda row: words.probability(row.to_next.p_value if row.to_next else None), room=124),
    replace(_VALIDATION, room=76),
    Column("Test\n- val.", lambda row: words.points(row.shift), room=124),
    _PARAMETERS,
    _EPOCHS,
    _SECONDS,
    _CAUTION,
)
"""Columns of the rows that have a test error."""

UNRANKED = (
    WHAT,
    *PROVENANCE,
    Column("How it ended", words.ended, number=False),
    _VALIDATION,
    _PARAMETERS,
    _EPOCHS,
    _SECONDS,
    _CAUTION,
)
"""Columns of the rows that have none."""


def choose(columns: Sequence[Column], entries: Sequence[Entry]) -> list[Column]:
    """Returns the columns that say something of a row; where a row comes from does if others come from elsewhere."""
    rows = [entry for entry in entries if isinstance(entry, Row)]
    same = [column for column in PROVENANCE if len(set(map(column.show, rows))) <= 1]
    return [column for column in columns if any(map(column.show, rows)) and column not in same]


def entries(section: Section) -> list[Entry]:
    """Returns the ranked rows, with ensembles and published figures put in at their place."""
    merged: list[Entry] = [*section.ranked, *section.ensembles, *section.references]
    return sorted(merged, key=_error_percent)


def title(section: Section) -> str:
    """Returns what the rows of a section share: "mnist, protocol holdout 1.0, data 3f2a91c0bd55"."""
    protocol = section.protocol
    data = protocol.data_sha256[:12]
    return words.one_line(f"{protocol.dataset}, protocol {protocol.name.value} {protocol.version}, data {data}")


def accounts(section: Section) -> str:
    """Returns how the search trials ended and what the studies cost."""
    states = [f"{number} {state}" for state, number in sorted(section.states.items())]
    trials = f"Search trials: {', '.join(states)}. " if states else ""
    hidden = f" Rows left out here: {section.hidden}." if section.hidden else ""
    return f"{trials}Time spent: {words.duration(section.spent_seconds)}.{hidden}"


def _error_percent(entry: Entry) -> float:
    if not isinstance(entry, Row):
        return entry.error_percent
    assert entry.test is not None
    return entry.test.mean
