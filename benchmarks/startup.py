"""Seconds of the commands that do not train, beside an empty interpreter and Optuna's own import.

    python benchmarks/startup.py

Also the seconds in which a worker imports Keras, beside Keras's own import.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from common import table

from search.protocol import EvaluationProtocol, Split
from search.records.opening import open_ledger
from search.records.record import StudyHeader, utc_now
from search.records.storage.locations import StudyLocation
from search.trial import EpochReport, Outcome, State, Trial
from spaces import registry

REPEATS, TRIALS = 7, 100
IMPORT_KERAS = "from search.training.runtime import import_keras; import_keras()"


def fill(studies_dir: Path) -> None:
    """Records a study of 100 trials of ten epochs."""
    import random

    space, draw = registry.load("cnn"), random.Random(0)
    protocol = EvaluationProtocol(dataset="mnist", data_sha256="0" * 64, split=Split.BLOCK)
    header = StudyHeader(
        name="hundred", space=space, space_source="cnn", protocol=protocol, engine="optuna", sampler="tpe",
        pruner="asha", seed=0, created=utc_now(),
    )  # fmt: skip
    with open_ledger(StudyLocation(studies_dir=studies_dir), header) as ledger:
        for number in range(TRIALS):
            config = space.baseline if number == 0 else space.sample(draw)
            trial = Trial(number=number, config=config, seed=number, epochs=10)
            history = tuple(
                EpochReport(epoch=e, training_loss=0.1, metrics={"error_percent": 2 - e / 10}) for e in range(1, 11)
            )
            ledger.begin(trial)
            for report in history:
                ledger.report(trial, report)
            ledger.finish(
                trial, Outcome(state=State.COMPLETE, metrics={"error_percent": draw.uniform(0.5, 2)}, history=history)
            )


def seconds(command: list[str]) -> float:
    """Returns the wall-clock seconds of one run."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    """Times the commands in turn, several times, and prints medians and ratios to the empty interpreter."""
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder))
        search = [sys.executable, "-m", "search"]
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            'python -c "import optuna"': [sys.executable, "-c", "import optuna"],
            "search --help": [*search, "--help"],
            "search run --help": [*search, "run", "--help"],
            "search spaces": [*search, "spaces"],
            "search leaderboard, 100 trials": [*search, "leaderboard", "--studies-dir", folder],
            'python -c "import keras"': [sys.executable, "-c", "import keras"],
            "a worker's import of Keras": [sys.executable, "-c", IMPORT_KERAS],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(REPEATS):
            for name, command in commands.items():
                times[name].append(seconds(command))
    empty = median(times["python -c pass"])
    rows = [(name, min(measured), median(measured), median(measured) / empty) for name, measured in times.items()]
    table(["command", "least, s", "median, s", "to an empty interpreter"], rows)


if __name__ == "__main__":
    main()
