"""Minimizes a made-up loss of ten parameters, whose short trainings are noisy and a little biased."""

from __future__ import annotations

import random

import optuna
import optunahub

EPOCHS_SHORT, EPOCHS_FULL = 2, 10
module = optunahub.load_module("samplers/screened_mutation")


def objective(trial: optuna.Trial) -> float:
    """Returns the loss: a bowl, with more noise and an offset after a short training."""
    epochs = trial.suggest_categorical("epochs", [EPOCHS_SHORT, EPOCHS_FULL])
    loss = sum((trial.suggest_float(f"x{index}", 0.0, 1.0) - 0.7) ** 2 for index in range(10))
    return loss + random.Random(trial.number).gauss(1.0 / epochs, 0.1 / epochs)


if __name__ == "__main__":
    sampler = module.ScreenedMutationSampler(fidelity="epochs", short=EPOCHS_SHORT, full=EPOCHS_FULL, seed=1)
    study = optuna.create_study(sampler=sampler)
    study.enqueue_trial({"epochs": EPOCHS_FULL, **{f"x{index}": 0.2 for index in range(10)}})
    study.optimize(objective, n_trials=60)
    full = [trial for trial in study.trials if trial.params["epochs"] == EPOCHS_FULL]
    print(min(full, key=lambda trial: trial.values[0]))  # noqa: T201
