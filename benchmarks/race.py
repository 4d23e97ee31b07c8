"""Our command beside plain Keras Tuner and plain Optuna: the same space, data, split, machine and time.

    python benchmarks/race.py --seconds 900 --seeds 1 2 3 [--only ours keras-tuner optuna] [--dataset mnist]

Runs the contenders one after the other for each seed and saves each run as a JSON file in ``--results``. A saved run is
not repeated, so the same command resumes after it was stopped. Tables and figure show all saved runs of these seeds,
whatever ``--only`` says; ``--only`` without a name runs nothing. The figure shows the best validation error over time:
a thin line a seed, and the median of each contender.

Full trials an hour are the epochs of the search, divided by ten and by the search's time. They depend on which
configurations a contender trains; ``throughput.py`` compares equal ones.

The same for all: the clock starts with the process, imports included; every epoch's validation error counts for the
curves; each contender's best configuration by validation error is retrained on all training images with the same three
seeds by the same code, and scored once on the test images. Different: our time includes this retraining and that of the
baseline, the peers' does not. Ours also begins with the space's baseline and recipes, which neither peer has;
``ours-no-recipes`` leaves the recipes out.
"""

from __future__ import annotations

import argparse
import math
import signal
import sys
from pathlib import Path
from statistics import fmean, median

import numpy as np
from common import table
from contenders import CONTENDERS, EPOCHS, perform
from runs import Run, load

PEERS = ("keras-tuner", "optuna")
COLOURS = dict(zip(CONTENDERS, ("tab:blue", "tab:orange", "tab:green", "tab:gray"), strict=True))
POINTS = 2000


def target(runs: dict[str, Run]) -> float | None:
    """Returns the least validation error of both peers, of one seed's runs."""
    return min((runs[peer].best for peer in PEERS if peer in runs), default=None)


def minutes(seconds: float) -> str:
    """Returns a time in minutes; "never" if it is infinite."""
    return f"{seconds / 60:.1f} min" if math.isfinite(seconds) else "never"


def by_seed(runs_by_seed: dict[int, dict[str, Run]]) -> list[tuple[object, ...]]:
    """Returns a row for each run."""
    rows = []
    for seed, runs in runs_by_seed.items():
        goal = target(runs)
        for name, run in runs.items():
            reached = "" if goal is None else minutes(run.first(goal))
            tests = ", ".join(f"{error:.2f}" for error in run.test_errors_percent)
            rows.append((seed, name, len(run.trials), len(run.curve), run.best, reached, tests))
    return rows


def summary(runs_by_seed: dict[int, dict[str, Run]]) -> list[tuple[object, ...]]:
    """Returns a row for each contender, over the seeds."""
    rows = []
    for name in CONTENDERS:
        runs = {seed: each[name] for seed, each in runs_by_seed.items() if name in each}
        if not runs:
            continue
        goals = {seed: target(runs_by_seed[seed]) for seed in runs}
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


def draw(runs_by_seed: dict[int, dict[str, Run]], seconds: float, dataset: str, path: Path) -> None:
    """Draws the runs and saves the figure.

    Args:
        runs_by_seed: Runs by seed and contender.
        seconds: Time limit of each.
        dataset: Name of the data.
        path: A PNG file.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FuncFormatter

    times = np.linspace(0, seconds, POINTS)
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for name in CONTENDERS:
        runs = [runs[name] for runs in runs_by_seed.values() if name in runs]
        curves = np.array([[run.best_until(time) for time in times] for run in runs])
        for curve in curves:
            axes.step(times / 60, _drawn(curve), where="post", color=COLOURS[name], linewidth=0.8, alpha=0.45)
        if runs:
            label = f"{name}, median of {len(runs)}"
            middle = _drawn(np.median(curves, axis=0))
            axes.step(times / 60, middle, where="post", color=COLOURS[name], linewidth=2.2, label=label)
    axes.set(xlabel="minutes since the process started", ylabel="best validation error so far, %", yscale="log")
    ends = [run.best for runs in runs_by_seed.values() for run in runs.values() if run.curve]
    axes.set_ylim(min(ends, default=1.0) * 0.85, 8.0)
    for axis in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        axis(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(which="both", alpha=0.25)
    axes.set_xlim(0, seconds / 60)
    cores = {run.made.get("cores") for runs in runs_by_seed.values() for run in runs.values()}
    axes.set_title(f"Space cnn on {dataset}, {'/'.join(map(str, cores))} cores: the same space, data, split and time")
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _drawn(curve: np.ndarray) -> np.ndarray:
    """Returns a curve without the time before its first epoch."""
    return np.where(np.isfinite(curve), curve, np.nan)


def main() -> None:
    """Runs the missing runs, prints the tables and draws the figure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=900.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--only", nargs="*", choices=list(CONTENDERS), default=[*PEERS, "ours"])
    parser.add_argument(
        "--dataset", default="mnist", help="of 28 x 28 pixels and ten classes; give it its own --results"
    )
    parser.add_argument("--results", type=Path, default=Path("race"))
    parser.add_argument("--figure", type=Path, help="a PNG file; by default figure.png among the results")
    options = parser.parse_args()
    options.results.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # stops the running contender as well
    runs_by_seed: dict[int, dict[str, Run]] = {}
    for seed in options.seeds:
        for name in options.only:
            try:
                perform(
                    name,
                    seed=seed,
                    seconds=options.seconds,
                    results=options.results.absolute(),
                    dataset=options.dataset,
                )
            except Exception as error:  # noqa: BLE001 - one failure must not end hours of other runs
                print(f"{name}, seed {seed}, failed: {error}", file=sys.stderr, flush=True)
        runs = {name: load(options.results, name, seed=seed, seconds=options.seconds) for name in CONTENDERS}
        runs_by_seed[seed] = {name: run for name, run in runs.items() if run is not None}
    reached, best = "at the better peer's best", "best validation error, %"
    table(["seed", "contender", "trials", "epochs", best, reached, "test errors, %"], by_seed(runs_by_seed))
    print()
    heads = [
        "contender",
        "seeds",
        f"{reached}, median",
        "full trials an hour",
        f"{best}, median",
        "test error, %, mean",
    ]
    table(heads, summary(runs_by_seed))
    if any(runs_by_seed.values()):
        draw(
            runs_by_seed, options.seconds, Path(options.dataset).name, options.figure or options.results / "figure.png"
        )


if __name__ == "__main__":
    main()
