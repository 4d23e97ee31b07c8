"""The figure of the race: best validation error against time, a thin line a seed and the median of each contender."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from contenders import CONTENDERS
from runs import Run

COLOURS = dict(zip(CONTENDERS, ("tab:blue", "tab:orange", "tab:green", "tab:gray"), strict=True))
POINTS = 2000


def draw(known: dict[int, dict[str, Run]], seconds: float, path: Path) -> None:
    """Draws the runs and saves the figure.

    Args:
        known: Runs by seed and contender.
        seconds: The time that each had.
        path: A PNG file.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FuncFormatter

    times = np.linspace(0, seconds, POINTS)
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for name in CONTENDERS:
        runs = [runs[name] for runs in known.values() if name in runs]
        curves = np.array([[run.best_until(time) for time in times] for run in runs])
        for curve in curves:
            axes.step(times / 60, _drawn(curve), where="post", color=COLOURS[name], linewidth=0.8, alpha=0.45)
        if runs:
            label = f"{name}, median of {len(runs)}"
            middle = _drawn(np.median(curves, axis=0))
            axes.step(times / 60, middle, where="post", color=COLOURS[name], linewidth=2.2, label=label)
    axes.set(xlabel="minutes since the process started", ylabel="best validation error so far, %", yscale="log")
    ends = [run.best for runs in known.values() for run in runs.values() if run.curve]
    axes.set_ylim(min(ends, default=1.0) * 0.85, 8.0)
    for axis in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        axis(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(which="both", alpha=0.25)
    axes.set_xlim(0, seconds / 60)
    cores = {run.made.get("cores") for runs in known.values() for run in runs.values()}
    axes.set_title(f"Space cnn on MNIST, {'/'.join(map(str, cores))} cores: the same space, data, split and time")
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _drawn(curve: np.ndarray) -> np.ndarray:
    """Leaves out what comes before the first epoch."""
    return np.where(np.isfinite(curve), curve, np.nan)
