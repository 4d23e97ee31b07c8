"""A comparison on real training for machines: the JSON document and the columns of the CSV. Called by ``report``.

The JSON document, schema "comparison/1"; the number rises when a key changes its name or meaning::

    rules           name, seed, engines, repeats, epochs or seconds of each search, replicates, terms, commands, created
    protocol        as recorded with the studies; null where none has begun
    versions        of the libraries, as recorded with a study
    environments    what the trials ran on, each combination once
    verdict, terms  the sentences
    baseline        test_error_percent over repeats, and validation_error_percent
    engines         by rank: engine, rank, ties, test_error_percent, to_baseline_points, validation_error_percent
    pairs           first (the lower mean), second, repeats, difference_points, p, p_adjusted, is_tie
    studies         the columns of ``STUDY_FIELDS``, and under "curve" the steps of the best-so-far curve
    expected_best_validation_percent
                    expected best validation error over repeats, by cost (trials, epochs, minutes) and engine: costs,
                    where it changes, and from there on mean, low and high: the 95 % interval, or with fewer than six
                    repeats the least and the most
    test_openings   how often the test images were scored

An estimate is {mean, low, high, n}, a difference {mean, low, high}, with the bounds of the 95 % interval over repeats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from search.compare.compute import StudyResult, TrainedComparison
from search.compare.render import interval_json
from search.trial import State

SCHEMA = "comparison/1"

STUDY_FIELDS: Mapping[str, Callable[[TrainedComparison, StudyResult], Any]] = MappingProxyType(
    {
        "engine": lambda _, study: study.key.engine,
        "rank": lambda result, study: next(
            engine_result.rank
            for engine_result in result.comparison.engines
            if engine_result.engine == study.key.engine
        ),
        "repeat": lambda _, study: study.key.repeat,
        "study": lambda _, study: study.header.name,
        "seed": lambda _, study: study.header.seed,
        "pruner": lambda _, study: study.header.pruner,
        "best_trial": lambda _, study: study.best.trial.number if study.best else None,
        "best_origin": lambda _, study: study.best.trial.origin if study.best else None,
        "validation_error_percent": lambda _, study: study.validation_error_percent,
        "test_error_percent": lambda _, study: study.test_error_percent,
        "test_errors_percent": lambda _, study: list(study.test_errors.values()),
        "test_seeds": lambda _, study: list(study.test_errors),
        "test_runs_failed": lambda _, study: study.failed_test_runs,
        "baseline_test_error_percent": lambda _, study: study.baseline_error_percent,
        "epochs": lambda _, study: study.epochs,
        "seconds": lambda _, study: study.seconds,
        "trials": lambda _, study: study.trial_count,
        **{
            f"trials_{state.value}": lambda _, study, state=state: study.state_counts.get(state.value, 0)  # type: ignore[misc]
            for state in State
        },
        "config": lambda _, study: dict(study.best.trial.config) if study.best else {},
    }
)
"""The columns of the CSV, a line a study, and the keys of a study in JSON.

Epochs and seconds are those of the search, without verification. A changed name or meaning needs a new ``SCHEMA``.
"""


def study_fields(result: TrainedComparison, study: StudyResult) -> dict[str, Any]:
    """Returns a study's columns; lists and maps are values of their own."""
    return {name: value(result, study) for name, value in STUDY_FIELDS.items()}


def to_document(result: TrainedComparison, summary: list[str], terms: list[str]) -> dict[str, Any]:
    """Returns the JSON document.

    Args:
        result: The result.
        summary: Sentences about it.
        terms: Sentences about what all studies share.
    """
    header, comparison = result.first_header, result.comparison
    return {
        "schema": SCHEMA,
        "rules": result.spec.to_json(),
        "protocol": header.protocol.to_json() if header else None,
        "versions": dict(header.versions) if header else {},
        "environments": [dict(environment) for environment in result.environments],
        "verdict": summary,
        "terms": terms,
        "baseline": {
            "test_error_percent": interval_json(result.baseline_test),
            "validation_error_percent": result.baseline_validation_percent,
        },
        "engines": [
            {
                "engine": engine_result.engine,
                "rank": engine_result.rank,
                "ties": engine_result.ties,
                "test_error_percent": interval_json(engine_result.score),
                "to_baseline_points": interval_json(result.difference_to_baseline(engine_result.engine)),
                "validation_error_percent": result.validation_error_percent(engine_result.engine),
            }
            for engine_result in comparison.engines
        ],
        "pairs": [
            {
                "first": pair.first,
                "second": pair.second,
                "repeats": pair.n,
                "difference_points": interval_json(pair.difference),
                "p": pair.p,
                "p_adjusted": pair.p_adjusted,
                "is_tie": pair.is_tie,
            }
            for pair in comparison.pairs
        ],
        "studies": [
            {**study_fields(result, study), "curve": [asdict(point) for point in study.curve]}
            for study in result.studies
        ],
        "expected_best_validation_percent": {
            cost: {engine: asdict(band) for engine, band in by_engine.items()}
            for cost, by_engine in result.expected_best.items()
        },
        "test_openings": result.test_openings,
    }
