"""Processor seconds and peak memory of ``leaderboard`` over many studies, by format.

    python benchmarks/board.py [--studies 20] [--trials 10000] [--formats table html] [--repeats 3] [--profile]

The studies are made up: random configurations of the space cnn with histories of ten epochs, a third of them pruned, a
tenth failed before its first epoch, and three seeds of the baseline and of the two best on MNIST's test images. Each
figure is of the whole command: start of the interpreter, imports, reading the studies' files, merging, computing,
laying out and writing. The modules are compiled before, as in an installed package. Medians of the repeats.
``--profile`` prints what each format spends its time on.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from common import table

from search.data.mnist import MNIST_SHA256
from search.protocol import EvaluationProtocol, Split
from search.records import study_json
from search.records.record import StudyHeader, StudyRecord, TrialRecord
from search.trial import BASELINE, PROPOSED, Cause, EpochReport, Outcome, Phase, State, Trial, final_metrics
from spaces import registry

EPOCHS, SEEDS, FINALISTS, TEST_IMAGES = 10, 3, 3, 10_000
ENVIRONMENT = {"device": "CPU", "backend": "tensorflow", "threads": 1, "processor": "A processor", "cores": 2}


def made_up_study(number: int, trials: int) -> StudyRecord:
    """Returns a study of this number of search trials; equal numbers give equal studies."""
    generator, space = random.Random(number), registry.load("cnn")
    protocol = EvaluationProtocol(dataset="mnist", data_sha256=MNIST_SHA256, split=Split.BLOCK, epochs=EPOCHS)
    header = StudyHeader(
        name=f"study-{number}", space=space, space_source="cnn", protocol=protocol, engine="optuna",
        sampler=("tpe", "random", "qmc")[number % 3], pruner="asha", seed=number,
        created=f"2026-11-{1 + number % 28:02d}T10:00:00+00:00", versions={"keras": "3.15.1"},
    )  # fmt: skip
    searched: list[TrialRecord] = []
    for index in range(trials):
        config = space.baseline if index == 0 else space.sample(generator)
        trial = Trial(
            number=index, config=config, seed=generator.getrandbits(31), epochs=EPOCHS,
            origin=PROPOSED if index else BASELINE,
        )  # fmt: skip
        epochs = 0 if index % 10 == 9 else 3 if index % 3 == 2 else EPOCHS
        ended = _outcome(generator, 0.5 + generator.expovariate(1.0), epochs, 40.0 * (index + 1))
        searched.append(TrialRecord(trial=trial, outcome=ended))
    complete = [record for record in searched[1:] if record.state is State.COMPLETE]
    complete.sort(key=lambda record: record.error_percent or 0.0)
    verified = [
        _test_run(generator, source.trial, place)
        for source in (searched[0], *complete[: FINALISTS - 1])
        for place in range(SEEDS)
    ]
    records = (*searched, *(verified if trials > FINALISTS else ()))
    return StudyRecord(header=header, trials=records, spent_seconds=40.0 * trials)


def _outcome(generator: random.Random, error: float, epochs: int, elapsed_seconds: float) -> Outcome:
    history = tuple(
        EpochReport(
            epoch=epoch,
            training_loss=generator.random() / epoch,
            metrics={"loss": 0.5 / epoch, "calibrated_loss": 0.4 / epoch, "error_percent": error * EPOCHS / epoch},
            seconds=3.0 + generator.random(),
        )
        for epoch in range(1, epochs + 1)
    )
    if not epochs:
        return Outcome(state=State.FAILED, cause=Cause.OUT_OF_MEMORY, environment=ENVIRONMENT)
    return Outcome(
        state=State.COMPLETE if epochs == EPOCHS else State.PRUNED, metrics=final_metrics(history), history=history,
        seconds={"build": 1.0, "fit": 30.0, "evaluate": 5.0}, parameter_count=generator.randrange(10_000, 900_000),
        environment=ENVIRONMENT, elapsed_seconds=elapsed_seconds,
    )  # fmt: skip


def _test_run(generator: random.Random, source: Trial, place: int) -> TrialRecord:
    wrong = sorted(generator.sample(range(TEST_IMAGES), generator.randrange(40, 110)))
    error = 100 * len(wrong) / TEST_IMAGES
    ended = _outcome(generator, error, EPOCHS, 0.0)
    ended = Outcome(
        state=ended.state, metrics={"error_percent": error}, history=ended.history, seconds=ended.seconds,
        parameter_count=ended.parameter_count, environment=ENVIRONMENT, scored_images=TEST_IMAGES,
        misclassified=tuple(wrong), predicted_classes=tuple(0 for _ in wrong),
    )  # fmt: skip
    trial = Trial(
        number=SEEDS * source.number + place, config=source.config, seed=generator.getrandbits(31), epochs=EPOCHS,
        phase=Phase.VERIFICATION, source_trial=source.number, replicate=place,
    )  # fmt: skip
    return TrialRecord(trial=trial, outcome=ended)


def measure(folder: Path, form: str, *, is_profiled: bool = False) -> tuple[float, float]:
    """Runs ``leaderboard`` over a folder of studies; returns its processor seconds and its peak memory in MB."""
    profiler = ["-m", "cProfile", "-s", "cumulative"] if is_profiled else []
    command = [*profiler, "-m", "search", "leaderboard", str(folder), "--format", form, "--out", str(folder / "board")]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
    child = subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    assert child.stdout is not None
    print(*child.stdout.read().splitlines()[:60], sep="\n", end="")
    _, status, usage = os.wait4(child.pid, 0)
    assert status == 0
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6


def main() -> None:
    """Prints processor seconds and peak memory by format."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--studies", type=int, default=20)
    parser.add_argument("--trials", type=int, default=10_000, help="of all studies together")
    parser.add_argument("--formats", nargs="+", default=["table", "markdown", "csv", "json", "html"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--profile", action="store_true", help="print what each format spends its time on")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(options.studies):
            (folder / str(number)).mkdir()
            content = study_json.dumps(made_up_study(number, options.trials // options.studies))
            (folder / str(number) / study_json.FILE_NAME).write_bytes(content)
        rows = []
        for form in options.formats:
            measure(folder, form, is_profiled=options.profile)  # compiles the modules
            figures = [measure(folder, form) for _ in range(options.repeats)]
            rows.append((form, *map(median, zip(*figures, strict=True))))
    table(["format", "process, s", "peak memory, MB"], rows)


if __name__ == "__main__":
    main()
