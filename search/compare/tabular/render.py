"""A tournament's result as text, Markdown, CSV and JSON.

JSON, schema "arena/1"; the number rises when a key changes its name or its meaning::

    arena, trials, repeats, seed, workers    of the tournament
    tables       name to the studies' seeds on it, repeat by repeat
    verdict      the plain sentences
    test         "tables" or "table and seed": what the p-values are over
    rows         an engine each: regrets by checkpoint (mean, low, high, n), mean_rank, seconds_a_trial, p_value,
                   standing ("lowest", "tie" with it, or "behind" it)
    curves       by engine, regret after each trial: mean, low and high (quartiles over seeds)
    left_out     engines that could not play, and why
    versions, command
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text
from tabulate import tabulate

from search.compare.tabular import summary as words
from search.compare.tabular.benchmarks import find_benchmark
from search.compare.tabular.results import BAND_PERCENTILES, TabularComparison, TabularEngineResult
from search.leaderboard.render_markdown import escape
from search.leaderboard.statistics import Estimate

SCHEMA = "arena/1"
PLOT_FILE = "arena.svg"


def to_text(result: TabularComparison) -> str:
    """Returns the result as text that fits standard output; of earlier checkpoints, two at most, the means only."""
    console = Console(highlight=False)
    *earlier, last = result.trial_counts[-3:]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("Engine", overflow="fold")
    for header in [*(f"Regret\n@{count}" for count in (*earlier, last)), "Mean\nrank", "ms a\ntrial"]:
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("p to the\nlowest", no_wrap=True)
    for row in result.rows:
        means = [words.format_regret(row.regrets[count].mean) for count in earlier]
        cells = [row.engine, *means, words.format_estimate(row.regrets[last]), *_metric_cells(row)]
        table.add_row(*map(Text, cells), style="bold" if row.p_adjusted is None else "")
    with console.capture() as capture:
        console.print(Text(_title(result), "bold"))
        console.print(table)
        for sentence in [*words.summary_sentences(result), *_excluded_sentences(result)]:
            console.print(Text(sentence))
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def to_markdown(result: TabularComparison) -> str:
    """Returns the result as Markdown for a code host; the picture is expected beside it."""
    return "\n\n".join(_markdown_blocks(result)) + "\n"


def to_csv(result: TabularComparison) -> str:
    """Returns the result as CSV, one line an engine."""
    lines = io.StringIO()
    records = [_csv_record(row) for row in result.rows]
    writer = csv.DictWriter(lines, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return lines.getvalue()


def to_json(result: TabularComparison) -> str:
    """Returns the result as JSON."""
    spec = result.spec
    document = {
        "schema": SCHEMA,
        "arena": spec.benchmark,
        "trials": spec.trials,
        "repeats": spec.repeats,
        "seed": spec.seed,
        "workers": spec.workers,
        "tables": {name: _study_seeds(result, name) for name in result.tables},
        "verdict": words.summary_sentences(result),
        "test": "tables" if result.over_tables else "table and seed",
        "rows": [
            {
                "engine": row.engine,
                "regrets": {str(count): _estimate_json(value) for count, value in row.regrets.items()},
                "mean_rank": row.mean_rank,
                "seconds_a_trial": row.seconds_per_trial,
                "p_value": row.p_adjusted,
                "standing": words.standing(row),
            }
            for row in result.rows
        ],
        "curves": {name: asdict(curve) for name, curve in result.curves.items()},
        "left_out": dict(result.excluded),
        "versions": dict(result.versions),
        "command": result.command,
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


FORMATS: Mapping[str, Callable[[TabularComparison], str]] = MappingProxyType(
    {"table": to_text, "markdown": to_markdown, "csv": to_csv, "json": to_json}
)
"""The formats by the name that ``--format`` takes."""


def _markdown_blocks(result: TabularComparison) -> Iterator[str]:
    spec, benchmark = result.spec, find_benchmark(result.spec.benchmark)
    yield f"# {escape(_title(result))}"
    yield " ".join(map(escape, words.summary_sentences(result)))
    headers = ["Engine", *(f"Regret after {count} trials" for count in result.trial_counts)]
    headers += ["Mean rank", "Engine's ms a trial", "p to the lowest"]
    cells = [
        [escape(row.engine), *map(words.format_estimate, row.regrets.values()), *_metric_cells(row)]
        for row in result.rows
    ]
    aligned = ["left", *["right"] * (len(headers) - 2), "left"]
    yield tabulate(cells, headers, tablefmt="pipe", colalign=aligned, disable_numparse=True)
    yield f"![Regret against trials]({PLOT_FILE})"
    yield (
        f"Lines are means over tables and seeds. The band of {escape(result.rows[0].engine)} lies between percentiles "
        f"{BAND_PERCENTILES[0]} and {BAND_PERCENTILES[1]} over seeds; those of the others stand in arena.json."
    )
    yield "## What it means"
    yield words.REGRET_DEFINITION
    yield (
        f"Tables: {escape(', '.join(result.tables))} ({escape(benchmark.source)}; "
        f"{escape(benchmark.unit)}). They hold the "
        f"last epoch of every training, so nothing prunes. Baseline: {escape(benchmark.baseline_source)}. Trials at a "
        f"time: {spec.workers}. Intervals are Student's t over the tables' means."
    )
    if result.excluded:
        yield "## Left out"
        yield "\n".join(f"- {escape(sentence)}" for sentence in _excluded_sentences(result))
    yield "## To make it again"
    yield f"Versions: {escape(', '.join(f'{name} {version}' for name, version in result.versions.items()))}."
    yield (
        f"Seed {spec.seed}. From it each table and repeat has a study's seed, the same for every engine; "
        "arena.json lists them."
    )
    if result.command:
        yield f"```sh\n{result.command}\n```"


def _title(result: TabularComparison) -> str:
    spec = result.spec
    return f"Arena {spec.benchmark}: {len(result.tables)} tables, {spec.repeats} seeds, {spec.trials} trials"


def _metric_cells(row: TabularEngineResult) -> list[str]:
    return [f"{row.mean_rank:.2f}", words.format_milliseconds(row), words.format_comparison(row)]


def _excluded_sentences(result: TabularComparison) -> list[str]:
    return [f"{name} did not play: {reason}" for name, reason in result.excluded.items()]


def _study_seeds(result: TabularComparison, table: str) -> list[int]:
    return [result.spec.study_seed(table, repeat) for repeat in range(result.spec.repeats)]


def _estimate_json(value: Estimate) -> dict[str, Any]:
    interval = value.interval
    return {
        "mean": value.mean,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "n": value.n,
    }


def _csv_record(row: TabularEngineResult) -> dict[str, Any]:
    regrets = {
        f"regret_{count}{'' if part == 'mean' else f'_{part}'}": number
        for count, value in row.regrets.items()
        for part, number in _estimate_json(value).items()
        if part != "n"
    }
    return {
        "engine": row.engine,
        **regrets,
        "mean_rank": row.mean_rank,
        "seconds_a_trial": row.seconds_per_trial,
        "p_value": row.p_adjusted,
        "standing": words.standing(row),
    }
