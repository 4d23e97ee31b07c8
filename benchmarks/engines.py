"""Cost of ask + tell for each engine and sampler, beside the library used plainly, at a growing number of trials.

    python benchmarks/engines.py [--trials 100 1000 5000] [--engines optuna:tpe,...] [--asks 10] [--patience 20]

Both sides get the same finished trials of the space cnn; then ask + tell is timed on both in turn, and the median
taken. Plain Optuna is ``study.ask``, ``suggest_*`` and ``tell`` on a study in memory, with the same sampler. Plain
Keras Tuner is ``create_trial``, ``update_trial``, ``end_trial`` and ``save``, as its tuner calls them, in a folder.
Where a sampler screens, five trials in six are short. An engine that takes longer than ``--patience`` seconds an ask is
not measured at larger numbers.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras_tuner
import optuna
from common import table
from optuna.distributions import CategoricalDistribution

from search.engines.base import START_UP_TRIALS, short_epochs
from search.engines.hub.samplers.screened_mutation import ScreenedMutationSampler
from search.engines.keras_tuner_engine import to_hyperparameters
from search.engines.optuna_engine import suggest
from search.engines.registry import engine_names, make_engine, parse_engine, screens
from search.engines.samplers import OPTUNA_SAMPLERS
from search.optuna_domains import to_optuna_distributions
from search.records.record import TrialRecord
from search.study.search_source import replay
from search.trial import EpochReport, Outcome, State, Trial
from spaces import Space, load

SPACE = load("cnn")
EPOCHS, FIDELITY = 10, "epochs"
FULL_EVERY = 6
"""Of a sampler that screens, each so many-th trial is full."""
Turn = Callable[[int], None]
"""Asks for trial ``number`` and tells its outcome."""


def history(count: int, *, is_screened: bool = False) -> list[TrialRecord]:
    """Returns finished trials at random points, the same at every call; most of them short if an engine screens."""
    generator, records, seen = random.Random(0), [], set()
    while len(records) < count:
        config = SPACE.sample(generator) if records else SPACE.baseline
        key = json.dumps(config, sort_keys=True)
        if key not in seen:
            seen.add(key)
            epochs = short_epochs(EPOCHS) if is_screened and len(records) % FULL_EVERY else EPOCHS
            trial = Trial(number=len(records), config=config, seed=0, epochs=epochs, is_short=epochs < EPOCHS)
            records.append(TrialRecord(trial=trial, outcome=ended(generator.uniform(0.5, 3.0), epochs)))
    return records


def ended(error: float, epochs: int = EPOCHS) -> Outcome:
    """Returns the outcome of a trial that ran to its end."""
    metrics = {"error_percent": error, "calibrated_loss": error / 30}
    report = EpochReport(epoch=epochs, training_loss=0.1, metrics=metrics)
    state = State.COMPLETE if epochs == EPOCHS else State.SCREENED
    return Outcome(state=state, metrics=metrics, history=(report,))


def ours(name: str, records: Sequence[TrialRecord]) -> Turn:
    """Returns a turn of our engine."""
    choice = parse_engine(name, pruner="none")
    engine = make_engine(choice, space_for(name), seed=0, epochs=EPOCHS)
    replay(engine, records)

    def turn(number: int) -> None:
        proposal = engine.ask(number)
        outcome = ended(1.0 + random.Random(number).random(), proposal.short_epochs or EPOCHS)
        engine.report(number, outcome.history[-1])
        if proposal.target_epoch is not None:
            outcome = Outcome(state=State.PAUSED, metrics=outcome.metrics)
        engine.tell(number, outcome)

    return turn


def plain_optuna(sampler: str, records: Sequence[TrialRecord]) -> Turn:
    """Returns a turn of Optuna as its own documentation asks and tells."""
    lengths, is_screened = [short_epochs(EPOCHS), EPOCHS], OPTUNA_SAMPLERS[sampler].screens
    made = (
        ScreenedMutationSampler(fidelity=FIDELITY, short=lengths[0], full=EPOCHS, seed=1)
        if is_screened
        else OPTUNA_SAMPLERS[sampler].make(optuna.samplers, 1, 0, 0)
    )
    study = optuna.create_study(sampler=made, pruner=optuna.pruners.NopPruner())
    space = space_for(f"optuna:{sampler}")
    for record in () if OPTUNA_SAMPLERS[sampler].stateful else records:
        values, distributions = dict(record.trial.config), to_optuna_distributions(space, record.trial.config)
        if is_screened:
            values[FIDELITY], distributions[FIDELITY] = record.trial.epochs, CategoricalDistribution(lengths)
        study.add_trial(
            optuna.trial.create_trial(params=values, distributions=distributions, value=record.outcome.error_percent)
        )

    def turn(number: int) -> None:
        trial = study.ask()
        if is_screened:
            trial.suggest_categorical(FIDELITY, lengths)
        values: dict[str, Any] = {}
        for name, domain in space.parameters.items():
            if domain.when is None or domain.when.holds(values):
                values[name] = suggest(trial, name, domain)
        error = 1.0 + random.Random(number).random()
        trial.report(error, EPOCHS)
        study.tell(trial, error)

    if OPTUNA_SAMPLERS[sampler].stateful:  # it learns only from trials that it proposed itself
        for number in range(len(records)):
            turn(number)
    return turn


def plain_keras_tuner(sampler: str, records: Sequence[TrialRecord]) -> Turn:
    """Returns a turn of Keras Tuner's oracle as its own tuner drives it."""
    objective = keras_tuner.Objective("error", "min")
    shared = {"objective": objective, "hyperparameters": to_hyperparameters(SPACE), "seed": 1}
    makers = {
        "random": lambda: keras_tuner.oracles.RandomSearchOracle(max_trials=10**6, **shared),
        "bayesian": lambda: keras_tuner.oracles.BayesianOptimizationOracle(
            max_trials=10**6, num_initial_points=START_UP_TRIALS, **shared
        ),
        "hyperband": lambda: keras_tuner.oracles.HyperbandOracle(max_epochs=EPOCHS, hyperband_iterations=0, **shared),
        "grid": lambda: keras_tuner.oracles.GridSearchOracle(**shared),
    }
    oracle = makers[sampler]()
    oracle.verbose = 0
    oracle._set_project_dir(tempfile.mkdtemp(), "plain")
    for record in records if sampler != "grid" else ():
        values = to_hyperparameters(SPACE)
        values.values = dict(record.trial.config)
        number = f"{record.trial.number:07d}"
        trial = keras_tuner.engine.trial.Trial(values, trial_id=number, status="COMPLETED")
        trial.score = record.outcome.error_percent
        oracle.trials[number] = trial
        oracle.start_order.append(number)
        oracle.end_order.append(number)
        oracle._record_values(trial)

    def turn(number: int) -> None:
        trial = oracle.create_trial("tuner")
        oracle.update_trial(trial.trial_id, {"error": 1.0 + random.Random(number).random()}, step=EPOCHS)
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
        oracle.save()

    if sampler == "grid":  # it accepts no trials that it did not propose
        for number in range(len(records)):
            turn(number)
    return turn


def space_for(name: str) -> Space:
    """Returns the space cnn, made finite for Optuna's grid, which needs that."""
    if name != "optuna:grid":
        return SPACE
    changes = {n: domain for n, domain in SPACE.parameters.items() if domain.values() is not None}
    return Space(name="finite", parameters={n: d for n, d in changes.items() if d.when is None})


def seconds(turns: Sequence[Turn], first: int, asks: int) -> list[float]:
    """Returns the median seconds of each of several turns, taken one after the other."""
    spent: list[list[float]] = [[] for _ in turns]
    for number in range(first, first + asks):
        for own, turn in zip(spent, turns, strict=True):
            began = time.perf_counter()
            turn(number)
            own.append(time.perf_counter() - began)
            if own[-1] > 5.0 and len(own) >= 2:
                asks = 0
        if asks == 0:
            break
    return [statistics.median(own) for own in spent]


def main() -> None:
    """Prints a row for each engine, sampler and number of trials."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000, 5000])
    parser.add_argument("--engines", default=",".join(name for name in engine_names() if name != "optuna:gp"))
    parser.add_argument("--asks", type=int, default=10)
    parser.add_argument("--patience", type=float, default=20.0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rows = []
    for name in options.engines.split(","):
        library, sampler = name.split(":")
        for count in options.trials:
            records = history(count, is_screened=screens(library, sampler, "none"))
            if name == "optuna:grid":
                finite = space_for(name)
                records = [r for r in records if not set(finite.parameters) - set(r.trial.config)]
                records = [
                    TrialRecord(
                        trial=Trial(number=i, config=finite.active(r.trial.config), seed=0, epochs=EPOCHS),
                        outcome=r.outcome,
                    )
                    for i, r in enumerate(records)
                ]
            plain = plain_optuna if library == "optuna" else plain_keras_tuner
            began = time.perf_counter()
            turns = (ours(name, records), plain(sampler, records))
            mine, theirs = seconds(turns, count, options.asks)
            rows.append((name, count, 1000 * mine, 1000 * theirs, 1000 * (mine - theirs), mine / theirs))
            print(f"{name} {count}: {mine:.4f} {theirs:.4f}  ({time.perf_counter() - began:.0f} s in all)", flush=True)
            if max(mine, theirs) > options.patience:
                break
    table(["engine", "finished trials", "ours, ms", "plain, ms", "added, ms", "ratio"], rows)


if __name__ == "__main__":
    main()
