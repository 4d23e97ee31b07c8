"""The comparison as JSON.

schema          "comparison/1"; the number rises when a key changes its name or its meaning
rules           name, seed, engines, repeats, epochs or seconds of each search, replicates, terms, commands, created
protocol        as recorded with the studies; null where none has begun
versions        of the libraries, as recorded with a study
environments    what the trials ran on, each combination once
verdict, terms  the plain sentences
baseline        test_error_percent over repeats, and validation_error_percent
engines         by rank: engine, rank, ties, test_error_percent, to_baseline_points, validation_error_percent
pairs           first (the lower mean), second, repeats, difference_points, p, p_adjusted, is_tie
studies         the columns of ``columns.COLUMNS``, and under "curve" the steps of the best-so-far curve
test_openings   how often the test images were scored

An estimate is {mean, low, high, n}, a difference {mean, low, high}; low and high bound the 95 % interval over repeats
and are null where there is none.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from search.compare import columns
from search.compare.results import Comparison, EnginePair, EngineResult
from search.compare.summary import summary_sentences, term_sentences
from search.leaderboard.statistics import Difference, Estimate

SCHEMA = "comparison/1"


def to_json(comparison: Comparison) -> str:
    """Returns the comparison as JSON."""
    header = comparison.first_header
    document = {
        "schema": SCHEMA,
        "rules": comparison.spec.to_json(),
        "protocol": header.protocol.to_json() if header else None,
        "versions": dict(header.versions) if header else {},
        "environments": [dict(environment) for environment in comparison.environments],
        "verdict": summary_sentences(comparison),
        "terms": term_sentences(comparison),
        "baseline": {
            "test_error_percent": _estimate_json(comparison.baseline_test),
            "validation_error_percent": comparison.baseline_validation_percent,
        },
        "engines": [_engine_json(entrant) for entrant in comparison.engine_results],
        "pairs": [_pair_json(pair) for pair in comparison.pairs],
        "studies": [
            {**columns.study_record(entrant, run), "curve": [asdict(point) for point in run.curve]}
            for entrant, run in comparison.studies
        ],
        "test_openings": comparison.test_openings,
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _engine_json(engine_result: EngineResult) -> dict[str, Any]:
    return {
        "engine": engine_result.engine,
        "rank": engine_result.rank,
        "ties": engine_result.ties,
        "test_error_percent": _estimate_json(engine_result.test),
        "to_baseline_points": _difference_json(engine_result.difference_to_baseline),
        "validation_error_percent": engine_result.validation_error_percent,
    }


def _pair_json(pair: EnginePair) -> dict[str, Any]:
    return {
        "first": pair.first,
        "second": pair.second,
        "repeats": pair.repeats,
        "difference_points": _difference_json(pair.difference),
        "p": pair.p,
        "p_adjusted": pair.p_adjusted,
        "is_tie": pair.is_tie,
    }


def _estimate_json(estimate: Estimate | None) -> dict[str, Any] | None:
    return None if estimate is None else {**_interval_json(estimate), "n": estimate.n}


def _difference_json(difference: Difference | None) -> dict[str, Any] | None:
    return None if difference is None else _interval_json(difference)


def _interval_json(figure: Estimate | Difference) -> dict[str, Any]:
    interval = figure.interval
    return {
        "mean": figure.mean,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
    }
