"""Trials an hour: the local executor with two workers, beside the loop of both peers, on the same configurations.

    python benchmarks/throughput.py [--trials 8] [--epochs 4]

The loop is the inside of plain Optuna and plain Keras Tuner (``peers/job.py``): one process, all cores, TensorFlow's
default threads, one ``model.fit`` a trial, scored each epoch. Models, augmentation, optimizer, data, batch sizes and
epochs are the same. The clock starts after TensorFlow's import and includes compiling.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from common import run_trials, table, task

from search.execution.local import local_executor
from search.trial import State, Trial
from spaces import registry


def trials(count: int, epochs: int) -> list[Trial]:
    """Returns the baseline and random configurations, the same at every call."""
    space, draw = registry.load("cnn"), random.Random(1)
    drawn = [space.baseline, *(space.sample(draw) for _ in range(count - 1))]
    configs = [{**config, "clean_epochs": 0} for config in drawn]  # the peers apply these in the last of ten epochs
    return [Trial(number=n, config=config, seed=n, epochs=epochs) for n, config in enumerate(configs)]


def ours(work: list[Trial], epochs: int) -> float:
    """Returns the seconds that two workers take, once warm."""
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(local_executor(task(epochs=epochs), workers=2, log_dir=Path(folder))) as executor,
    ):
        warm_up = [Trial(number=1000 + number, config=work[0].config, seed=0, epochs=1) for number in range(2)]
        run_trials(executor, warm_up)
        started = time.perf_counter()
        outcomes = run_trials(executor, work)
        assert all(outcome.state is State.COMPLETE for outcome in outcomes)
        return time.perf_counter() - started


def plain(count: int, epochs: int) -> float:
    """Returns the seconds that a loop of ``model.fit`` takes, in a process of its own."""
    command = [sys.executable, __file__, "--plain", "--trials", str(count), "--epochs", str(epochs)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def plain_loop(work: list[Trial]) -> float:
    """Trains each configuration with ``model.fit``, as both peers do, and returns the seconds."""
    sys.path.append(str(Path(__file__).parent / "peers"))
    import keras
    from job import Clean, compiled, images

    (x_train, y_train), validation = images()

    def fit(trial: Trial, epochs: int) -> None:
        keras.backend.clear_session()
        compiled(trial.config, len(x_train)).fit(
            x_train,
            y_train,
            batch_size=trial.config["batch_size"],
            epochs=epochs,
            validation_data=validation,
            callbacks=[Clean()],
            verbose=0,
        )

    fit(work[0], 1)
    started = time.perf_counter()
    for trial in work:
        fit(trial, trial.epochs)
    return time.perf_counter() - started


def main() -> None:
    """Runs both, one after the other, and prints trials an hour."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--plain", action="store_true")
    options = parser.parse_args()
    work = trials(options.trials, options.epochs)
    if options.plain:
        print(plain_loop(work))
        return
    theirs, mine = plain(options.trials, options.epochs), ours(work, options.epochs)
    rows = [
        (name, s, 3600 * len(work) / s, theirs / s) for name, s in (("the peers' loop", theirs), ("two workers", mine))
    ]
    table([f"{len(work)} trials of {options.epochs} epochs", "seconds", "trials an hour", "ratio"], rows)


if __name__ == "__main__":
    main()
