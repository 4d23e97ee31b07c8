"""Plain Optuna with TPE and median pruning, as its Keras example uses it.

    python benchmarks/peers/optuna_tpe.py --seconds 900 --seed 1 --log optuna.jsonl

Sampler and pruner are Optuna's defaults, TPESampler and MedianPruner. The callback does what
``optuna_integration.KerasPruningCallback`` does, without that package.

Source: github.com/optuna/optuna-examples, keras/keras_integration.py
"""

from __future__ import annotations

import contextlib
from typing import Any

import keras
import optuna
from job import EPOCHS, SPACE, Clean, Log, compiled, images, options, winner

from spaces.domains import Choice, Float, Int


class TimeIsUp(Exception):  # noqa: N818 - the end of the search, not an error
    """Ends the trial that runs."""


class Pruning(keras.callbacks.Callback):
    """Reports each epoch to Optuna and stops a pruned trial.

    Args:
        trial: The study's trial.
        log: Records that the trial was pruned.
    """

    def __init__(self, trial: optuna.Trial, log: Log) -> None:
        super().__init__()
        self.trial, self.log = trial, log

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Called by Keras."""
        self.trial.report(logs["val_accuracy"], step=epoch)
        if self.trial.should_prune():
            self.log.write(state="pruned")
            raise optuna.TrialPruned


def choose(trial: optuna.Trial) -> dict[str, Any]:
    """Returns a configuration of the space, drawn by Optuna."""
    config: dict[str, Any] = {}
    for name, domain in SPACE.parameters.items():
        if domain.when is not None and not domain.when.holds(config):
            continue
        match domain:
            case Choice():
                config[name] = trial.suggest_categorical(name, domain.options)
            case Int():
                config[name] = trial.suggest_int(name, domain.low, domain.high, step=domain.step, log=domain.log)
            case Float():
                config[name] = trial.suggest_float(name, domain.low, domain.high, step=domain.step, log=domain.log)
    return config


def main() -> None:
    """Searches until the time is over and writes the log."""
    given = options()
    (x_train, y_train), validation = images(given.dataset)

    def objective(trial: optuna.Trial) -> float:
        keras.backend.clear_session()  # as the example has it
        config = choose(trial)
        log = Log(given, TimeIsUp)
        history = compiled(config, len(x_train)).fit(
            x_train,
            y_train,
            batch_size=config["batch_size"],
            epochs=EPOCHS,
            validation_data=validation,
            callbacks=[Clean(), log, Pruning(trial, log)],
            verbose=0,
        )
        return float(history.history["val_accuracy"][-1])

    sampler = optuna.samplers.TPESampler(seed=given.seed)
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=optuna.pruners.MedianPruner())
    with contextlib.suppress(TimeIsUp):
        study.optimize(objective, timeout=given.seconds)
    if any(trial.state is optuna.trial.TrialState.COMPLETE for trial in study.trials):
        winner(given.log, study.best_params, 100 * (1 - study.best_value))


if __name__ == "__main__":
    main()
