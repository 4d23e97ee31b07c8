"""The columns of a comparison for machines: CSV has one line a study with these, and JSON the same under "studies".

A name that stands here is not renamed or given another meaning without a new number in ``render_json.SCHEMA``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from search.compare.results import EngineResult, StudyResult
from search.trial import State

STUDY_COLUMNS: Mapping[str, Callable[[EngineResult, StudyResult], Any]] = MappingProxyType(
    {
        "engine": lambda entrant, _: entrant.engine,
        "rank": lambda entrant, _: entrant.rank,
        "repeat": lambda _, run: run.repeat,
        "study": lambda _, run: run.header.name,
        "seed": lambda _, run: run.header.seed,
        "pruner": lambda _, run: run.header.pruner,
        "best_trial": lambda _, run: run.best_trial,
        "best_origin": lambda _, run: run.best_origin or None,
        "validation_error_percent": lambda _, run: run.validation_error_percent,
        "test_error_percent": lambda _, run: run.test_error_percent,
        "test_errors_percent": lambda _, run: list(run.test_errors.values()),
        "test_seeds": lambda _, run: list(run.test_errors),
        "test_runs_failed": lambda _, run: run.test_failures,
        "baseline_test_error_percent": lambda _, run: run.baseline_error_percent,
        "epochs": lambda _, run: run.epochs,
        "seconds": lambda _, run: run.seconds,
        "trials": lambda _, run: sum(run.state_counts.values()),
        **{
            f"trials_{state.value}": lambda _, run, state=state: run.state_counts.get(state.value, 0)  # type: ignore[misc]
            for state in State
        },
        "config": lambda _, run: dict(run.best_config),
    }
)
"""Columns by name. Epochs and seconds are those of the search, without verification; repeats count from 0."""


def study_record(engine_result: EngineResult, study: StudyResult) -> dict[str, Any]:
    """Returns a study's columns, lists and maps as such."""
    return {name: value(engine_result, study) for name, value in STUDY_COLUMNS.items()}
