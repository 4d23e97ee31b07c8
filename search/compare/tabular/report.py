"""The report of a comparison on tables: its table, sentences, plot, CSV and JSON document.

The JSON document, schema "arena/2"; the number rises when a key changes its name or meaning::

    arena, trials, repeats, seed, workers    what was run
    tables       name to the studies' seeds on it, repeat by repeat
    verdict      the sentences
    test         name of the test of two engines
    rows         an engine each: regrets by trial count (mean, low, high, n), mean_rank, seconds_a_trial, p_value,
                 standing ("lowest", "tie" with it, or "behind" it)
    pairs        first (the lower mean), second, tables, difference (mean, low, high), p, p_adjusted, is_tie
    curves       by engine, regret after each trial: mean, low and high (quartiles over seeds)
    left_out     engines that cannot search the tables, and why
    versions, command

In "arena/1" the run that made a configuration the chosen one counted in its regret.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from search.compare.plot import Plot
from search.compare.render import Report, interval_json
from search.compare.results import EngineResult
from search.compare.spec import study_seed
from search.compare.summary import format_p, summary_sentences
from search.compare.tabular.benchmarks import find_benchmark
from search.compare.tabular.compute import BAND_PERCENTILES, TabularComparison
from search.leaderboard import formatting
from search.leaderboard.columns import DisplayColumn
from search.leaderboard.tables import Table

SCHEMA = "arena/2"
REGRET_DEFINITION = """\
Regret is the distance of the configuration that a search would choose from the best of its table: 0 is the table's best
configuration, 1 its worst, by the mean over the table's training seeds. A search sees one training run of a
configuration and chooses the lowest error it saw, so a lucky run can make its regret rise. That run does not count in
the regret: the choice is scored by the mean over its other runs in the table, by itself only where it was trained once.
"""


def make_report(result: TabularComparison) -> Report:
    """Returns the report."""
    spec, benchmark = result.spec, find_benchmark(result.spec.benchmark)
    excluded = [f"{engine} is left out: {reason}" for engine, reason in result.excluded.items()]
    engine_results = result.comparison.engines
    definitions = [
        REGRET_DEFINITION,
        f"Tables: {', '.join(result.tables)} ({benchmark.source}; {benchmark.unit}). They hold the last epoch of every "
        f"training, so trials are not pruned. Baseline: {benchmark.baseline_source}. Concurrent trials: "
        f"{spec.workers}. Intervals are Student's t over the tables' means and end at 0.",
    ]
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    summary = list(result_sentences(result))
    return Report(
        name="arena",
        title=f"Arena {spec.benchmark}: {len(result.tables)} tables, {spec.repeats} seeds, {spec.trials} trials",
        summary=summary,
        notes=excluded,
        tables=_tables(result),
        table_note=(
            f"In the plot, lines are means over tables and seeds. The band of {engine_results[0].engine} lies between "
            f"percentiles {BAND_PERCENTILES[0]} and {BAND_PERCENTILES[1]} over seeds; arena.json holds the others'."
        ),
        plot=_make_plot(result),
        plot_title="Regret against trials",
        sections={
            "Definitions": definitions,
            **({"Left out": excluded} if excluded else {}),
            "Reproducing it": [
                f"Versions: {versions}.",
                f"Seed {spec.seed}. From it each table and repeat has a study's seed, the same for every engine; "
                "arena.json lists them.",
            ],
        },
        commands=[result.command] if result.command else [],
        document=_document(result, summary),
        csv_rows=list(_csv_rows(result)),
    )


def result_sentences(result: TabularComparison) -> Iterator[str]:
    """Yields what the comparison shows."""
    yield from summary_sentences(result.comparison)
    if result.spec.workers == 1:  # with several the baseline need not be the first to end
        baseline = next(iter(result.curves.values())).mean[0]
        yield f"Every engine began with the baseline, regret {baseline:.4f}."


def _tables(result: TabularComparison) -> dict[str, Table[EngineResult]]:
    digits = result.comparison.metric.digits

    def regret(count: int, min_width: int = 0) -> DisplayColumn[EngineResult]:
        def cell(engine_result: EngineResult) -> str:
            estimate = result.regrets[engine_result.engine][count]
            return formatting.with_ends(f"{estimate.mean:.{digits}f}", estimate.interval, digits)

        return DisplayColumn(f"Regret\n@{count}", cell, "right", min_width=min_width)

    engine: DisplayColumn[EngineResult] = DisplayColumn("Engine", lambda engine_result: engine_result.engine)
    *earlier, last = result.trial_counts
    columns = [
        engine,
        regret(last),
        DisplayColumn("Mean\nrank", lambda engine_result: f"{result.mean_ranks[engine_result.engine]:.2f}", "right"),
        DisplayColumn(
            "ms a\ntrial", lambda engine_result: _milliseconds(result.seconds_per_trial[engine_result.engine]), "right"
        ),
        DisplayColumn("p to\nbest", lambda engine_result: format_p(engine_result.pair_with_best), "right"),
    ]
    engine_results = result.comparison.engines
    tables = {f"Engines after {last} trials": Table(columns, engine_results)}
    if earlier:
        regrets = [regret(count, 100 if place > 1 else 0) for place, count in enumerate(earlier)]
        tables["Engines after fewer trials"] = Table([engine, *regrets], engine_results)
    return tables


def _milliseconds(seconds: float) -> str:
    """Returns milliseconds with two digits, or rounded to a whole number."""
    return f"{1000 * seconds:.2g}" if seconds < 0.01 else f"{1000 * seconds:,.0f}"


def _standing(engine_result: EngineResult) -> str:
    if engine_result.pair_with_best is None:
        return "lowest"
    return "tie" if engine_result.pair_with_best.is_tie else "behind"


def _p_value(engine_result: EngineResult) -> float | None:
    return engine_result.pair_with_best.p_adjusted if engine_result.pair_with_best else None


def _csv_rows(result: TabularComparison) -> Iterator[list[object]]:
    bounds = {"": "mean", "_low": "low", "_high": "high"}
    regrets = [f"regret_{count}{suffix}" for count in result.trial_counts for suffix in bounds]
    yield ["engine", *regrets, "mean_rank", "seconds_a_trial", "p_value", "standing"]
    for engine_result in result.comparison.engines:
        estimates = [interval_json(estimate) or {} for estimate in result.regrets[engine_result.engine].values()]
        values = [estimate[part] for estimate in estimates for part in bounds.values()]
        costs = [result.mean_ranks[engine_result.engine], result.seconds_per_trial[engine_result.engine]]
        yield [engine_result.engine, *values, *costs, _p_value(engine_result), _standing(engine_result)]


def _document(result: TabularComparison, summary: list[str]) -> dict[str, Any]:
    spec = result.spec
    return {
        "schema": SCHEMA,
        "arena": spec.benchmark,
        "trials": spec.trials,
        "repeats": spec.repeats,
        "seed": spec.seed,
        "workers": spec.workers,
        "tables": {
            table: [study_seed(spec.seed, repeat, table) for repeat in range(spec.repeats)] for table in result.tables
        },
        "verdict": summary,
        "test": result.comparison.test.name,
        "rows": [
            {
                "engine": engine_result.engine,
                "regrets": {
                    str(count): interval_json(value) for count, value in result.regrets[engine_result.engine].items()
                },
                "mean_rank": result.mean_ranks[engine_result.engine],
                "seconds_a_trial": result.seconds_per_trial[engine_result.engine],
                "p_value": _p_value(engine_result),
                "standing": _standing(engine_result),
            }
            for engine_result in result.comparison.engines
        ],
        "pairs": [
            {
                "first": pair.first,
                "second": pair.second,
                "tables": pair.n,
                "difference": interval_json(pair.difference),
                "p": pair.p,
                "p_adjusted": pair.p_adjusted,
                "is_tie": pair.is_tie,
            }
            for pair in result.comparison.pairs
        ],
        "curves": {
            engine: {"mean": curve.mean, "low": curve.low, "high": curve.high}
            for engine, curve in result.curves.items()
        },
        "left_out": dict(result.excluded),
        "versions": dict(result.versions),
        "command": result.command,
    }


def _make_plot(result: TabularComparison) -> Plot:
    spec, engines = result.spec, list(result.curves)
    return Plot(
        title=f"{spec.benchmark}: {len(result.tables)} tables, {spec.repeats} seeds",
        engines=engines,
        panels={"Trials": result.curves},
        y_label="Mean normalised regret",
        is_log=True,
        engines_with_band=engines[:1],  # the bands of all would hide each other
        salt="arena",
    )
