"""The board as JSON.

schema      "leaderboard/4"; the number rises when a key comes, or changes its name or its meaning; 2: failures;
            3: ranges of ranks, neighbours, ensembles, selections, results image by image; 4: nodes
notes       what is missing from the board, and why
sections    one for each way of judging
  protocol      as recorded with the section's first study
  studies       name, space, engine, sampler, pruner, seed, created, versions, command
  states        search trials by how they ended
  failures      what failed or was interrupted, by study and cause: study, state, cause, count, message (the last one's)
    trials          phase, number, again (number of the trial that took it up again)
  test_openings, spent_seconds, hidden_rows
  verdict       the plain sentences
  references    label, error_percent, source, is_rounded (quoted as "about")
  ensembles     label, study, error_percent, interval (low, high; over the test images alone), members (number of
                models by search trial), parameters
  selections    by study, what choosing by validation error did: study, tried, chosen, validation_error_percent,
                test_error_percent, baseline_shift (points)
  rows          the columns of ``columns.COLUMNS``, and
    replicates      every test run: number, seed, state, cause, error_percent, seconds, scored (test images), wrong
                    (indices of those classified wrongly), predicted (their classes as given)
    steps           the search trials that trained it: trial, state, first_epoch, last_epoch, parent, notes,
                    validation_error_percent, seconds, node
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from search.leaderboard import tabular
from search.leaderboard.board import Board, Ensemble, Section, TrialSegment
from search.leaderboard.summary import summary_sentences
from search.records.failures import FailureGroup
from search.records.record import StudyHeader

SCHEMA = "leaderboard/4"


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
        "studies": [_study_json(study) for study in section.studies],
        "states": dict(section.states),
        "failures": [failure_json(one) for one in section.failures],
        "test_openings": section.test_openings,
        "spent_seconds": section.spent_seconds,
        "hidden_rows": section.hidden_rows,
        "verdict": summary_sentences(section),
        "references": [asdict(reference) for reference in section.references],
        "ensembles": [_ensemble(one) for one in section.ensembles],
        "selections": [asdict(one) for one in section.selections],
        "rows": [
            {
                **tabular.row_record(row),
                "replicates": [asdict(replicate) for replicate in row.replicates],
                "steps": [_segment_json(segment) for segment in row.segments],
            }
            for row in section.rows
        ],
    }


def failure_json(failure_group: FailureGroup) -> dict[str, Any]:
    """Returns the trials that ended for one cause; without the traceback, which is not made to be published."""
    return {
        "study": failure_group.study,
        "state": failure_group.state.value,
        "cause": failure_group.cause.value if failure_group.cause else None,
        "count": len(failure_group.trials),
        "message": failure_group.message,
        "trials": [
            {"phase": trial.phase, "number": trial.number, "again": trial.continued_by}
            for trial in failure_group.trials
        ],
    }


def _segment_json(segment: TrialSegment) -> dict[str, Any]:
    fields = asdict(segment)
    fields["notes"] = fields.pop("engine_metadata")
    return fields


def _ensemble(ensemble: Ensemble) -> dict[str, Any]:
    return {
        "label": ensemble.label,
        "study": ensemble.study.name,
        "error_percent": ensemble.error_percent,
        "interval": asdict(ensemble.interval) if ensemble.interval else None,
        "members": {str(trial): count for trial, count in ensemble.members.items()},
        "parameters": ensemble.parameters,
    }


def _study_json(study: StudyHeader) -> dict[str, Any]:
    return {**study.to_json(), "space": study.space.name}
