"""Compares samplers on made-up losses whose short trainings mislead as real ones do; takes minutes and trains nothing.

    python benchmarks/landscape.py --repeats 20

A landscape has 24 parameters of unequal weight, a quarter of them choices, some interactions, and a start near its
optimum. One more choice activates another two parameters with each option, as the choice of an optimizer does. Of the
start's sparse mutants about a third are better, and the ranks of short and full losses correlate by 0.5 to 0.6. A short
training costs 1, a full one 5. Printed is the mean true loss of the chosen configuration minus that of the start after
some budgets, with its standard error.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler, TPESampler

from search.engines.hub.samplers.screened_mutation import ScreenedMutationSampler, sampler

PARAMETERS, SCALE, START_DEVIATION, BIAS = 24, 6.0, 0.25, 0.5
SHORT, FULL = 1, 5
SHORT_NOISE, FULL_NOISE = 0.03, 0.02
OPTIONS = 3
NEVER = 10**9

Point = dict[str, Any]


class Landscape:
    """A loss over 24 parameters, and the other one that short trainings show.

    Args:
        seed: Of the landscape.
    """

    def __init__(self, seed: int) -> None:
        draw = np.random.default_rng(seed)
        weights = draw.lognormal(-0.3, 1.2, PARAMETERS)
        self.weights = SCALE * weights / weights.sum()
        self.options = np.where(draw.random(PARAMETERS) < 0.25, draw.integers(2, 5, PARAMETERS), 0)
        self.optimum = draw.random(PARAMETERS)
        self.short_optimum = np.clip(self.optimum + BIAS * draw.normal(0.0, 0.5, PARAMETERS), 0.0, 1.0)
        self.effects = draw.random((PARAMETERS, 5))
        self.short_effects = self.effects + BIAS * draw.normal(0.0, 0.4, (PARAMETERS, 5))
        self.interactions = draw.normal(0.0, 1.0, (PARAMETERS, PARAMETERS)) * (
            draw.random((PARAMETERS, PARAMETERS)) < 0.1
        )
        start = np.clip(self.optimum + draw.normal(0.0, START_DEVIATION, PARAMETERS), 0.0, 1.0)
        self.option_losses = np.array([0.0, *draw.normal(0.3, 0.3, OPTIONS - 1)])
        self.option_optima = draw.random((OPTIONS, 2))
        self.start: Point = {f"x{i}": float(start[i]) for i in range(PARAMETERS)}
        near = np.clip(self.option_optima[0] + draw.normal(0.0, START_DEVIATION, 2), 0.0, 1.0)
        self.start |= {"option": 0, "option_0_0": float(near[0]), "option_0_1": float(near[1])}
        for i in np.flatnonzero(self.options):
            best = int(np.argmin(self.effects[i, : self.options[i]]))
            self.start[f"x{i}"] = int(draw.integers(self.options[i])) if draw.random() < 0.4 else best

    def loss(self, point: Point, *, short: bool = False) -> float:
        """Returns the loss without noise."""
        values = np.array([float(point[f"x{i}"]) for i in range(PARAMETERS)])
        is_choice = self.options > 0
        away = np.where(is_choice, 0.0, values - (self.short_optimum if short else self.optimum))
        effects = self.short_effects if short else self.effects
        chosen = effects[np.arange(PARAMETERS), np.where(is_choice, values, 0).astype(int)]
        own = np.where(is_choice, 0.5 * chosen, 2.0 * away**2)
        scaled = np.sqrt(self.weights) * np.where(is_choice, 0.0, values - self.optimum)
        option = point["option"]
        within = np.array([point[f"option_{option}_{i}"] for i in range(2)]) - self.option_optima[option]
        of_option = self.option_losses[option] + float((within**2).sum())
        return float((self.weights * own).sum() + 0.3 * scaled @ self.interactions @ scaled) + of_option

    def suggest(self, trial: optuna.Trial) -> Point:
        """Asks a trial for all parameters."""
        option = trial.suggest_categorical("option", list(range(OPTIONS)))
        return {
            "option": option,
            **{name: trial.suggest_float(name, 0.0, 1.0) for name in (f"option_{option}_0", f"option_{option}_1")},
            **{
                f"x{i}": trial.suggest_categorical(f"x{i}", list(range(self.options[i])))
                if self.options[i]
                else trial.suggest_float(f"x{i}", 0.0, 1.0)
                for i in range(PARAMETERS)
            },
        }


def play(landscape: Landscape, sampler: BaseSampler, budgets: list[int], *, screens: bool) -> list[float]:
    """Returns the true loss of the choice minus that of the start, after each budget."""
    study, noise = optuna.create_study(sampler=sampler), np.random.default_rng(1)
    study.enqueue_trial({**landscape.start, **({"epochs": FULL} if screens else {})})
    spent, gains, best = 0, [], (float("inf"), landscape.start)
    while True:
        trial = study.ask()
        epochs = trial.suggest_categorical("epochs", [SHORT, FULL]) if screens else FULL
        point, short = landscape.suggest(trial), epochs == SHORT
        gains += [
            landscape.loss(best[1]) - landscape.loss(landscape.start)
            for budget in budgets[len(gains) :]
            if spent + epochs > budget
        ]
        if len(gains) == len(budgets):
            return gains
        loss = landscape.loss(point, short=short) + (SHORT_NOISE if short else FULL_NOISE) * noise.standard_normal()
        study.tell(trial, loss)
        spent += epochs
        if not short:
            best = min(best, (loss, point), key=lambda entry: entry[0])


@contextmanager
def constants(**values: Any) -> Iterator[None]:
    """Sets constants of the sampler for a while."""
    before = {name: getattr(sampler, name) for name in values}
    vars(sampler).update(values)
    try:
        yield
    finally:
        vars(sampler).update(before)


def screened(seed: int) -> BaseSampler:
    """Returns the sampler as it is."""
    return ScreenedMutationSampler(fidelity="epochs", short=SHORT, full=FULL, seed=seed)


VARIANTS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "without surrogate": {"MIN_TRAININGS": NEVER},
    "surrogate from 30 on": {"MIN_TRAININGS": 30},
    "at most 3 changes": {"MAX_CHANGES": 3},
    "at most 8 changes": {"MAX_CHANGES": 8},
    "no chains": {"CHAIN_SHARE": 0.0},
    "chains only": {"CHAIN_SHARE": 1.0},
    "ratio 1": {"SCREENING_RATIO": 1.0},
    "ratio 3": {"SCREENING_RATIO": 3.0},
    "no uniform values": {"UNIFORM_SHARE": 0.0},
    "100 candidates": {"CANDIDATES": 100},
}
FULL_ONLY: dict[str, Callable[[int], BaseSampler]] = {
    "mutation, full trainings only": lambda seed: ScreenedMutationSampler(seed=seed),
    "TPE, full trainings only": lambda seed: TPESampler(seed=seed, multivariate=True, n_startup_trials=5),
}


def main() -> None:
    """Prints a row for each sampler."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--budgets", type=int, nargs="+", default=[20, 50, 100])
    parser.add_argument("--only", nargs="*", help="names of rows")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for name in [*VARIANTS, *FULL_ONLY]:
        if options.only and name not in options.only:
            continue
        make, changes = FULL_ONLY.get(name, screened), VARIANTS.get(name, {})
        gains = []
        for repeat in range(options.repeats):
            with constants(**changes):
                gains.append(play(Landscape(repeat), make(repeat), options.budgets, screens=name in VARIANTS))
        mean, error = np.mean(gains, axis=0), np.std(gains, axis=0, ddof=1) / np.sqrt(len(gains))
        print(f"{name:32}", *(f"{m:+.3f} ({e:.3f})" for m, e in zip(mean, error, strict=True)), flush=True)


if __name__ == "__main__":
    main()
