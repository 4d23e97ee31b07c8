"""Our command beside plain Keras Tuner and plain Optuna: the same space, data, split, machine and time.

    python benchmarks/race.py --seconds 900 --seeds 1 2 3 [--only ours keras-tuner optuna] [--figure race.png]

Runs one contender after the other for each seed, and keeps each run as a JSON file in ``--results``. A run that is
there is not run again, so the same command goes on after it was stopped. Tables and figure show all runs of these seeds
that are there, whatever ``--only`` says; with no name after it, nothing is run.

Full trials an hour are the epochs of the search, divided by ten and by the search's own time. Which configurations a
contender trains weighs on it; ``throughput.py`` compares equal ones.

What is the same: a clock that starts with the process, imports included; every epoch's validation error counts for
the curves; every contender's best configuration by validation error is retrained on all training images with the same
three seeds by the same code, and scored once on the test images. What is not: our seconds include this retraining, and
that of the baseline; the peers', who do none, do not. Ours also begins with the space's baseline and recipes, which
neither peer has; ``ours-no-recipes`` leaves the recipes out.
"""

from __future__ import annotations

import argparse
import math
import signal
import sys
from pathlib import Path
from statistics import fmean, median

from common import table
from contenders import CONTENDERS, EPOCHS, perform
from runs import Run, load

PEERS = ("keras-tuner", "optuna")


def target(runs: dict[str, Run]) -> float | None:
    """Returns the validation error that the better peer reaches, of one seed's runs."""
    return min((runs[peer].best for peer in PEERS if peer in runs), default=None)


def minutes(seconds: float) -> str:
    """Returns a time in minutes, or that it was never reached."""
    return f"{seconds / 60:.1f} min" if math.isfinite(seconds) else "never"


def by_seed(known: dict[int, dict[str, Run]]) -> list[tuple[object, ...]]:
    """Returns a row for each run."""
    rows = []
    for seed, runs in known.items():
        goal = target(runs)
        for name, run in runs.items():
            reached = "" if goal is None else minutes(run.first(goal))
            tests = ", ".join(f"{error:.2f}" for error in run.test_errors_percent)
            rows.append((seed, name, len(run.trials), len(run.curve), run.best, reached, tests))
    return rows


def summary(known: dict[int, dict[str, Run]]) -> list[tuple[object, ...]]:
    """Returns a row for each contender, over the seeds."""
    rows = []
    for name in CONTENDERS:
        runs = {seed: each[name] for seed, each in known.items() if name in each}
        if not runs:
            continue
        goals = {seed: target(known[seed]) for seed in runs}
        times = [run.first(goal) for seed, run in runs.items() if (goal := goals[seed]) is not None]
        reached = minutes(median(times)) if times else ""
        tests = [fmean(run.test_errors_percent) for run in runs.values() if run.test_errors_percent]
        rows.append(
            (
                name,
                len(runs),
                reached,
                fmean(run.epochs_an_hour / EPOCHS for run in runs.values()),
                median(run.best for run in runs.values()),
                f"{fmean(tests):.3f}" if tests else "none",
            )
        )
    return rows


def main() -> None:
    """Runs what is missing, then prints the tables and draws the figure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=900.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--only", nargs="*", choices=list(CONTENDERS), default=[*PEERS, "ours"])
    parser.add_argument("--results", type=Path, default=Path("race"))
    parser.add_argument("--figure", type=Path, help="a PNG file; by default figure.png among the results")
    options = parser.parse_args()
    options.results.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the contender that runs is stopped as well
    known: dict[int, dict[str, Run]] = {}
    for seed in options.seeds:
        for name in options.only:
            try:
                perform(name, seed=seed, seconds=options.seconds, results=options.results.absolute())
            except Exception as error:  # noqa: BLE001 - hours of other runs must not be lost with one
                print(f"{name}, seed {seed}, failed: {error}", file=sys.stderr, flush=True)
        runs = {name: load(options.results, name, seed=seed, seconds=options.seconds) for name in CONTENDERS}
        known[seed] = {name: run for name, run in runs.items() if run is not None}
    reached, best = "at the better peer's best", "best validation error, %"
    table(["seed", "contender", "trials", "epochs", best, reached, "test errors, %"], by_seed(known))
    print()
    heads = [
        "contender",
        "seeds",
        f"{reached}, median",
        "full trials an hour",
        f"{best}, median",
        "test error, %, mean",
    ]
    table(heads, summary(known))
    if any(known.values()):
        from race_figure import draw

        draw(known, options.seconds, options.figure or options.results / "figure.png")


if __name__ == "__main__":
    main()
