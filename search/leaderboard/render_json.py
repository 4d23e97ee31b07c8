"""The board as JSON.

schema      "leaderboard/1"; the number rises when a key changes its name or its meaning
notes       what is missing from the board, and why
sections    one for each way of judging
  protocol      as recorded with the section's first study
  studies       name, space, engine, sampler, pruner, seed, created, versions, command
  states        search trials by how they ended
  test_openings, spent_seconds, hidden_rows
  verdict       the plain sentences
  references    label, error_percent, source, is_rounded (quoted as "about")
  rows          the columns of ``columns.COLUMNS``, and
    replicates      every test run: number, seed, state, cause, error_percent, seconds
    steps           the search trials that trained it: trial, state, first_epoch, last_epoch, parent, notes,
                    validation_error_percent, seconds
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from search.leaderboard import columns
from search.leaderboard.board import Board, Section
from search.leaderboard.verdict import verdict
from search.record import StudyHeader

SCHEMA = "leaderboard/1"


def render(board: Board) -> str:
    """Returns the board as JSON."""
    document = {
        "schema": SCHEMA,
        "notes": list(board.notes),
        "sections": [_section(section) for section in board.sections],
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _section(section: Section) -> dict[str, Any]:
    return {
        "protocol": section.protocol.to_json(),
        "studies": [_study(study) for study in section.studies],
        "states": dict(section.states),
        "test_openings": section.test_openings,
        "spent_seconds": section.spent_seconds,
        "hidden_rows": section.hidden,
        "verdict": verdict(section),
        "references": [asdict(reference) for reference in section.references],
        "rows": [
            {
                **columns.record(row),
                "replicates": [asdict(replicate) for replicate in row.replicates],
                "steps": [asdict(step) for step in row.steps],
            }
            for row in section.rows
        ],
    }


def _study(study: StudyHeader) -> dict[str, Any]:
    return {**study.to_json(), "space": study.space.name}
