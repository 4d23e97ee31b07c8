"""What a search gains over the best recipe and over the baseline, over several seeds of the search.

    python benchmarks/gain.py --out reports/published/gains.jsonl --seeds 1 2 3 -- --space mlp --timeout 10m
    python benchmarks/gain.py --out reports/published/gains.jsonl

Runs ``python -m search run`` once for each seed, with the options after ``--``, on an otherwise idle machine, and adds
a line a run to ``--out``. A seed that is there is not run again, so the same command continues. Then, and without
``--seeds``, it prints a table over all runs of the file, a row for each set of options, recipes and machine: the gain
is the verified test error of the row that the study chose minus that of the best recipe, paired by seed and image; its
interval is Student's over the seeds of the search. Where a study chose the recipe itself its gain is 0.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from statistics import fmean, median
from typing import Any

from common import table
from scipy import stats

from spaces import registry

KEPT = (
    "label", "validation_error_percent", "test_error_percent", "test_errors_percent", "test_seeds", "parameters",
    "baseline_difference_points", "baseline_difference_points_low", "baseline_difference_points_high",
    "recipe_difference_points", "recipe_difference_points_low", "recipe_difference_points_high", "is_short", "changes",
)  # fmt: skip
"""What is kept of a row; ``docs/schema.md`` explains the names."""


def perform(options: Sequence[str], seed: int) -> dict[str, Any]:
    """Runs a search in a folder of its own; returns its line.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    command = ["-m", "search", "run", *options, "--seed", str(seed)]
    with tempfile.TemporaryDirectory() as folder:
        places = ["--studies-dir", f"{folder}/studies", "--reports-dir", f"{folder}/reports"]
        started = time.monotonic()
        subprocess.run([sys.executable, *command, *places], check=True, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - started
        (board,) = Path(folder).glob("reports/*/leaderboard.json")
        (section,) = json.loads(board.read_text(encoding="utf-8"))["sections"]
    rows = section["rows"]
    return {
        "options": shlex.join(options),
        "seed": seed,
        "recipes": recipes_of(options),
        "seconds": round(seconds, 1),
        "states": section["states"],
        "chosen": _first(rows, lambda row: bool(row["chosen_in"])),
        "recipe": _first(rows, lambda row: row["label"].startswith("recipe") and row["test_runs"] > 0),
        "baseline": _first(rows, lambda row: row["label"] == "baseline"),
        "machine": f"{rows[0]['machine']}, {rows[0]['environment'].get('processor_kind', '')}",
        "version": rows[0]["package_version"],
    }


def recipes_of(options: Sequence[str]) -> list[str]:
    """Returns the names of the recipes that a search with some options has."""
    if "--no-recipes" in options:
        return []
    return list(registry.load(options[options.index("--space") + 1]).recipes)


def gain(line: Mapping[str, Any]) -> float:
    """Returns a run's gain over the best recipe in percentage points, negative where the choice is better."""
    chosen = line["chosen"]
    if chosen["label"].startswith("recipe"):
        return 0.0
    points = chosen["recipe_difference_points"]  # None if the time did not suffice to verify both
    return float("nan") if points is None else float(points)


def summary(lines: Sequence[Mapping[str, Any]]) -> tuple[object, ...]:
    """Returns the row of the table for runs of equal options on equal machines."""
    gains = [gain(line) for line in lines]
    ends = stats.ttest_1samp(gains, 0.0).confidence_interval() if len(gains) > 1 else (float("nan"),) * 2
    worse = sum((line["chosen"]["recipe_difference_points_low"] or 0.0) > 0.0 for line in lines)
    better = sum((line["chosen"]["baseline_difference_points_high"] or 0.0) < 0.0 for line in lines)
    return (
        f"`{lines[0]['options']}`",
        lines[0]["machine"],
        ", ".join(lines[0]["recipes"]),
        len(lines),
        sum(line["chosen"]["label"] == "found" for line in lines),
        f"{fmean(gains):.3f} ({ends[0]:.3f} to {ends[1]:.3f})",
        f"{fmean(line['chosen']['test_error_percent'] for line in lines):.3f}",
        better,
        worse,
        f"{median(line['seconds'] for line in lines):.0f} (at most {max(line['seconds'] for line in lines):.0f})",
    )


def main() -> None:
    """Runs the seeds that are missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="file of the runs, one JSON line each")
    parser.add_argument("--seeds", type=int, nargs="*", default=[])
    parser.add_argument("options", nargs="*", help="of `search run`, after --")
    arguments = parser.parse_args()
    lines = _read(arguments.out)
    done = {(line["options"], line["seed"], *line["recipes"]) for line in lines}
    for seed in arguments.seeds:
        if (shlex.join(arguments.options), seed, *recipes_of(arguments.options)) not in done:
            lines.append(perform(arguments.options, seed))
            with arguments.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(lines[-1]) + "\n")
    heads = [
        "options", "machine", "recipes", "seeds", "found", "gain over the best recipe, points (95 % interval)",
        "test error, %", "better than the baseline", "worse than the recipe", "seconds",
    ]  # fmt: skip
    groups = groupby(sorted(lines, key=_kind), _kind)
    table(heads, [summary(list(group)) for _, group in groups])


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def _kind(line: Mapping[str, Any]) -> tuple[str, str, list[str]]:
    return line["options"], line["machine"], line["recipes"]


def _first(rows: Sequence[Mapping[str, Any]], is_meant: Callable[[Mapping[str, Any]], bool]) -> dict[str, Any] | None:
    """Returns what is kept of the best row of a kind; None without one."""
    return next(({key: row[key] for key in KEPT} for row in rows if is_meant(row)), None)


if __name__ == "__main__":
    main()
