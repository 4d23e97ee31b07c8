"""Chooses recipes: a greedy portfolio over recordings of the same configurations on several data sets.

    python benchmarks/record.py --space mlp --like mlp.jsonl --count 20 --dataset digits.npz --out mlp-digits.jsonl
    python benchmarks/portfolio.py mlp.jsonl mlp-digits.jsonl ...

The regret of a configuration on a data set is the logarithm of its calibrated loss after a full training minus that of
the best one there. The first of the portfolio has the lowest mean regret; each further one lowers most the mean over
the data sets of the least regret so far. The last table leaves out one data set at a time: a portfolio that was chosen
on the others is judged on it, beside the recipes that the space has.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from search.compare.recorded.recordings import Recording, read_recording, recording_name
from search.trial import config_key

ERROR, LOSS = 0, 1
"""Columns of a training's curve."""


def last_values(recordings: Mapping[str, Recording], column: int) -> pd.DataFrame:
    """Returns the last value of each full training: a row a configuration's key, a column a data set.

    Args:
        recordings: By the name of the data set.
        column: Of the curve.
    """
    return pd.DataFrame(
        {
            name: {config_key(each.config): each.curve[-1, column] for each in recording.full_trainings}
            for name, recording in recordings.items()
        }
    ).dropna()


def greedy(regret: pd.DataFrame, count: int) -> list[str]:
    """Returns the keys of a portfolio, in the order of choice.

    Args:
        regret: A row a configuration, a column a data set.
        count: Configurations to choose.
    """
    chosen: list[str] = []
    least = pd.Series(np.inf, index=regret.columns)
    for _ in range(count):
        means = regret.clip(upper=least, axis=1).mean(axis=1).drop(chosen)
        chosen.append(str(means.idxmin()))
        least = regret.loc[chosen].min()
    return chosen


def main() -> None:
    """Prints the portfolio, its figures, and the check that leaves out one data set at a time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=Path, nargs="+")
    parser.add_argument("--count", type=int, default=3, help="configurations to choose")
    options = parser.parse_args()
    recordings = {recording_name(path): read_recording(path) for path in options.recordings}
    losses, error = last_values(recordings, LOSS), last_values(recordings, ERROR)
    regret = np.log(losses) - np.log(losses.min())
    space = next(iter(recordings.values())).space
    names = {config_key(space.recipe(name)): f"recipe: {name}" for name in space.recipes}
    names[config_key(space.baseline)] = "baseline"

    chosen = greedy(regret, options.count)
    print(f"{len(losses)} configurations on {len(recordings)} data sets: {', '.join(recordings)}\n")
    for place, key in enumerate(chosen, start=1):
        config = json.loads(key)
        changes = {name: value for name, value in config.items() if space.baseline.get(name) != value}
        print(f"{place}. {names.get(key, 'found')}: {changes}")
    given = [key for key in names if key in losses.index]
    rows = [*chosen, *(key for key in given if key not in chosen)]
    labels = [names.get(key, f"found {chosen.index(key) + 1}" if key in chosen else key) for key in rows]
    print("\nValidation error in percent\n")
    print(error.loc[rows].set_axis(labels).round(2).to_string())
    print("\nRegret\n")
    print(regret.loc[rows].set_axis(labels).assign(mean=lambda table: table.mean(axis=1)).round(3).to_string())

    recipes = [key for key in given if names[key] != "baseline"]
    held_out = {
        name: {
            "first of the portfolio": regret.loc[greedy(regret.drop(columns=name), 1), name].min(),
            f"best of {options.count}": regret.loc[greedy(regret.drop(columns=name), options.count), name].min(),
            "first recipe": regret.loc[recipes[:1], name].min(),
            "best recipe": regret.loc[recipes, name].min(),
        }
        for name in recordings
    }
    print("\nRegret on a data set that was left out\n")
    print(pd.DataFrame(held_out).T.round(3).to_string())


if __name__ == "__main__":
    main()
