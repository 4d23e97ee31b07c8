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

from search.arena import verdict as words
from search.arena.results import BAND, Result, Row
from search.arena.tables import find_arena
from search.leaderboard.render_markdown import escape
from search.leaderboard.statistics import Estimate

SCHEMA = "arena/1"
PICTURE = "arena.svg"


def text(result: Result) -> str:
    """Returns the result as text that fits standard output; of earlier checkpoints, two at most, the means only."""
    console = Console(highlight=False)
    *earlier, last = result.checkpoints[-3:]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("Engine", overflow="fold")
    for header in [*(f"Regret\n@{count}" for count in (*earlier, last)), "Mean\nrank", "ms a\ntrial"]:
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("p to the\nlowest", no_wrap=True)
    for row in result.rows:
        means = [words.regret(row.regrets[count].mean) for count in earlier]
        cells = [row.engine, *means, words.estimate(row.regrets[last]), *_figures(row)]
        table.add_row(*map(Text, cells), style="bold" if row.p_value is None else "")
    with console.capture() as capture:
        console.print(Text(_title(result), "bold"))
        console.print(table)
        for sentence in [*words.verdict(result), *_left_out(result)]:
            console.print(Text(sentence))
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def markdown(result: Result) -> str:
    """Returns the result as Markdown for a code host; the picture is expected beside it."""
    return "\n\n".join(_blocks(result)) + "\n"


def to_csv(result: Result) -> str:
    """Returns the result as CSV, one line an engine."""
    lines = io.StringIO()
    records = [_record(row) for row in result.rows]
    writer = csv.DictWriter(lines, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return lines.getvalue()


def to_json(result: Result) -> str:
    """Returns the result as JSON."""
    tournament = result.tournament
    document = {
        "schema": SCHEMA,
        "arena": tournament.arena,
        "trials": tournament.trials,
        "repeats": tournament.repeats,
        "seed": tournament.seed,
        "workers": tournament.workers,
        "tables": {name: _seeds(result, name) for name in result.tables},
        "verdict": words.verdict(result),
        "test": "tables" if result.over_tables else "table and seed",
        "rows": [
            {
                "engine": row.engine,
                "regrets": {str(count): _numbers(value) for count, value in row.regrets.items()},
                "mean_rank": row.mean_rank,
                "seconds_a_trial": row.seconds_a_trial,
                "p_value": row.p_value,
                "standing": words.standing(row),
            }
            for row in result.rows
        ],
        "curves": {name: asdict(curve) for name, curve in result.curves.items()},
        "left_out": dict(result.left_out),
        "versions": dict(result.versions),
        "command": result.command,
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


FORMATS: Mapping[str, Callable[[Result], str]] = MappingProxyType(
    {"table": text, "markdown": markdown, "csv": to_csv, "json": to_json}
)
"""The formats by the name that ``--format`` takes."""


def _blocks(result: Result) -> Iterator[str]:
    tournament, family = result.tournament, find_arena(result.tournament.arena)
    yield f"# {escape(_title(result))}"
    yield " ".join(map(escape, words.verdict(result)))
    headers = ["Engine", *(f"Regret after {count} trials" for count in result.checkpoints)]
    headers += ["Mean rank", "Engine's ms a trial", "p to the lowest"]
    cells = [[escape(row.engine), *map(words.estimate, row.regrets.values()), *_figures(row)] for row in result.rows]
    aligned = ["left", *["right"] * (len(headers) - 2), "left"]
    yield tabulate(cells, headers, tablefmt="pipe", colalign=aligned, disable_numparse=True)
    yield f"![Regret against trials]({PICTURE})"
    yield (
        f"Lines are means over tables and seeds. The band of {escape(result.rows[0].engine)} lies between percentiles "
        f"{BAND[0]} and {BAND[1]} over seeds; those of the others stand in arena.json."
    )
    yield "## What it means"
    yield words.REGRET
    yield (
        f"Tables: {escape(', '.join(result.tables))} ({escape(family.source)}; {escape(family.unit)}). They hold the "
        f"last epoch of every training, so nothing prunes. Baseline: {escape(family.baseline_source)}. Trials at a "
        f"time: {tournament.workers}. Intervals are Student's t over the tables' means."
    )
    if result.left_out:
        yield "## Left out"
        yield "\n".join(f"- {escape(sentence)}" for sentence in _left_out(result))
    yield "## To make it again"
    yield f"Versions: {escape(', '.join(f'{name} {version}' for name, version in result.versions.items()))}."
    yield (
        f"Seed {tournament.seed}. From it each table and repeat has a study's seed, the same for every engine; "
        "arena.json lists them."
    )
    if result.command:
        yield f"```sh\n{result.command}\n```"


def _title(result: Result) -> str:
    held = result.tournament
    return f"Arena {held.arena}: {len(result.tables)} tables, {held.repeats} seeds, {held.trials} trials"


def _figures(row: Row) -> list[str]:
    return [f"{row.mean_rank:.2f}", words.milliseconds(row), words.comparison(row)]


def _left_out(result: Result) -> list[str]:
    return [f"{name} did not play: {reason}" for name, reason in result.left_out.items()]


def _seeds(result: Result, table: str) -> list[int]:
    return [result.tournament.study_seed(table, repeat) for repeat in range(result.tournament.repeats)]


def _numbers(value: Estimate) -> dict[str, Any]:
    interval = value.interval
    return {
        "mean": value.mean,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "n": value.n,
    }


def _record(row: Row) -> dict[str, Any]:
    regrets = {
        f"regret_{count}{'' if part == 'mean' else f'_{part}'}": number
        for count, value in row.regrets.items()
        for part, number in _numbers(value).items()
        if part != "n"
    }
    return {
        "engine": row.engine,
        **regrets,
        "mean_rank": row.mean_rank,
        "seconds_a_trial": row.seconds_a_trial,
        "p_value": row.p_value,
        "standing": words.standing(row),
    }
