"""The selection effect: how the configuration that won the choice by validation error fared on the test images.

The lowest of many noisy figures is too low; the same configuration measured again regresses to its mean. The board
shows both, and beside them the baseline, which nobody chose. Pure; called by ``rows``.
"""

from __future__ import annotations

from collections.abc import Iterable

from search.leaderboard.board import Row, SelectionBias
from search.trial import State


def selection_bias(study: str, rows: Iterable[Row]) -> SelectionBias | None:
    """Returns what the choice by validation error did in a study; None where nothing chosen was verified."""
    own = [row for row in rows if row.study.name == study and row.validation_error_percent is not None]
    verified = [row for row in own if row.test_error and not row.is_baseline and not row.caveat]
    if not verified:
        return None
    chosen = min(verified, key=lambda row: row.validation_error_percent or 0.0)
    assert chosen.test_error is not None and chosen.validation_error_percent is not None
    return SelectionBias(
        study=study,
        tried=sum(row.state in (State.COMPLETE, State.PAUSED) for row in own),
        chosen=chosen.name,
        validation_error_percent=chosen.validation_error_percent,
        test_error_percent=chosen.test_error.mean,
        baseline_shift=next((row.validation_test_gap for row in own if row.is_baseline), None),
    )
