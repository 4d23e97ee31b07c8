"""Plain Keras Tuner with Hyperband, as TensorFlow's "Introduction to the Keras Tuner" uses it.

    python benchmarks/peers/keras_tuner_hyperband.py --seconds 900 --seed 1 --log keras-tuner.jsonl

Its ``max_epochs=10, factor=3`` and its early stopping after five epochs are the tutorial's own; the batch size is tuned
as Keras Tuner's "Getting started" has it. Hyperband is iterated until the time is over ("set this to as high a value as
is within your resource budget"). Needs the extra ``bench``: Keras Tuner 1.4.8 imports TensorBoard, which TensorFlow
2.21 no longer installs.

Source: www.tensorflow.org/tutorials/keras/keras_tuner; keras.io/keras_tuner/getting_started
"""

from __future__ import annotations

import contextlib
import tempfile
from typing import Any

import keras
import keras_tuner as kt
from job import EPOCHS, SPACE, Clean, Log, compiled, images, options, winner

from spaces.domains import Choice, Condition, Float, Int


class TimeIsUp(kt.errors.FatalError):
    """The only kind of error that ends a search of Keras Tuner from within a trial."""


class Network(kt.HyperModel):
    """The networks of the space.

    Args:
        count: Images of an epoch.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def build(self, hp: kt.HyperParameters) -> keras.Model:
        """Called by Keras Tuner."""
        return compiled(choose(hp), self.count)

    def fit(self, hp: kt.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
        """Called by Keras Tuner."""
        return model.fit(*args, batch_size=hp.get("batch_size"), **kwargs)


def choose(hp: kt.HyperParameters) -> dict[str, Any]:
    """Returns a configuration of the space, drawn by Keras Tuner."""
    config: dict[str, Any] = {}
    for name, domain in SPACE.parameters.items():
        when = domain.when
        # Keras Tuner has no condition on several parameters; such a parameter is always drawn.
        is_scope = isinstance(when, Condition)
        scope = hp.conditional_scope(when.parameter, list(when.values)) if is_scope else contextlib.nullcontext()
        with scope:
            match domain:
                case Choice(options=(False, True)):
                    config[name] = hp.Boolean(name)
                case Choice():
                    config[name] = hp.Choice(name, list(domain.options))
                case Int(log=True) | Float(log=True):
                    ask = hp.Int if isinstance(domain, Int) else hp.Float
                    config[name] = ask(name, domain.low, domain.high, sampling="log")
                case Int():
                    config[name] = hp.Int(name, domain.low, domain.high, step=domain.step)
                case Float():
                    config[name] = hp.Float(name, domain.low, domain.high, step=domain.step)
    return {name: value for name, value in config.items() if value is not None}


def main() -> None:
    """Searches until the time is over and writes the log."""
    given = options()
    (x_train, y_train), validation = images(given.dataset)
    with tempfile.TemporaryDirectory() as folder:
        tuner = kt.Hyperband(
            Network(len(x_train)),
            objective="val_accuracy",
            max_epochs=EPOCHS,
            factor=3,
            hyperband_iterations=1000,
            seed=given.seed,
            directory=folder,
            project_name="peer",
        )
        stop_early = keras.callbacks.EarlyStopping(monitor="val_loss", patience=5)
        callbacks = [stop_early, Clean(), Log(given, TimeIsUp)]
        with contextlib.suppress(TimeIsUp):
            tuner.search(x_train, y_train, epochs=EPOCHS, validation_data=validation, callbacks=callbacks, verbose=0)
        for best in tuner.oracle.get_best_trials(1):
            if best.score is not None:  # None if the time ended in its first epoch
                winner(given.log, choose(best.hyperparameters), 100 * (1 - best.score))


if __name__ == "__main__":
    main()
