"""The contenders of the race: how each is run and how its results are read. Called by ``race.py``.

Our results are read from the ledger. The time of an epoch is the end of its trial minus the seconds of the later
epochs. If a trial was stopped in the middle of an epoch, its earlier epochs count as later than they were.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from common import run_trials, task
from runs import Run, load, path_of, save

from search import seeds
from search.execution.local import local_executor
from search.records.reader import read_studies
from search.records.record import StudyRecord
from search.records.storage.locations import StudyLocation
from search.study.verification import finalists
from search.training.runtime import machine_info, package_versions
from search.trial import Phase, Trial

ROOT = Path(__file__).parents[1]
EPOCHS, REPLICATES, WORKERS = 10, 3, 2
START_SECONDS = 1.0
"""Upper bound on the time between the start of our process and of its study's clock."""
GRACE_SECONDS = 900.0
"""Time after its limit at which a contender is killed; the peers check the clock once a batch."""


def perform(name: str, *, seed: int, seconds: float, results: Path, dataset: str) -> None:
    """Runs a contender, retrains its winner, and saves both, unless they are saved already.

    Raises:
        RuntimeError: It failed; its output is in a file beside the results.
    """
    run = load(results, name, seed=seed, seconds=seconds)
    if run is None:
        print(f"{datetime.now():%H:%M:%S} {name}, seed {seed}: {seconds:g} s", file=sys.stderr, flush=True)
        run = CONTENDERS[name](name, seed, seconds, results, dataset)
        save(run, results)
    if not run.test_errors_percent and run.config is not None:
        print(f"{datetime.now():%H:%M:%S} {name}, seed {seed}: retraining its winner", file=sys.stderr, flush=True)
        save(dataclasses.replace(run, test_errors_percent=_verified(run, dataset)), results)


def _peer(script: str, name: str, seed: int, seconds: float, results: Path, dataset: str) -> Run:
    """Runs a peer's script and reads its log."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.jsonl"
        command = [str(ROOT / "benchmarks" / "peers" / script), "--seconds", f"{seconds:g}", "--seed", str(seed)]
        command += ["--dataset", dataset]
        wall = _run([*command, "--log", str(log)], seconds, path_of(results, name, seed, seconds))
        lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    epochs = [line for line in lines if line["state"] == "epoch" and line["seconds"] <= seconds]
    best = next((line for line in lines if line["state"] == "winner"), {})
    return Run(
        contender=name,
        seed=seed,
        seconds=seconds,
        curve=tuple((line["seconds"], line["trial"], line["epoch"], line["error_percent"]) for line in epochs),
        search_seconds=seconds,
        wall_seconds=wall,
        config=best.get("config"),
        validation_error_percent=best.get("error_percent"),
        made=_environment(" ".join(["python", f"benchmarks/peers/{script}", *command[1:]]), "keras-tuner", "optuna"),
    )


def _ours(options: tuple[str, ...], name: str, seed: int, seconds: float, results: Path, dataset: str) -> Run:
    """Runs our command and reads its ledger."""
    path = path_of(results, name, seed, seconds)
    folder = path.with_suffix("")
    shutil.rmtree(folder, ignore_errors=True)  # of an interrupted run, which would be resumed
    command = ["-m", "search", "run", "--space", "cnn", "--timeout", f"{seconds:g}s", "--seed", str(seed), *options]
    command += ["--dataset", dataset]
    places = ["--studies-dir", str(folder / "studies"), "--reports-dir", str(folder / "reports")]
    wall = _run([*command, *places], seconds, path)
    (record,) = read_studies(StudyLocation(studies_dir=folder / "studies"))
    return dataclasses.replace(
        _recorded(record, seconds),
        contender=name,
        seed=seed,
        wall_seconds=wall,
        made=_environment(" ".join(["python", *command]), "optuna"),
    )


CONTENDERS: Mapping[str, Callable[[str, int, float, Path, str], Run]] = {
    "ours": partial(_ours, ()),
    "keras-tuner": partial(_peer, "keras_tuner_hyperband.py"),
    "optuna": partial(_peer, "optuna_tpe.py"),
    "ours-no-recipes": partial(_ours, ("--no-recipes",)),
}
"""Contenders by name."""


def _run(command: list[str], seconds: float, path: Path) -> float:
    """Runs a Python command to its end and returns the seconds that it took.

    Raises:
        RuntimeError: It failed, or had to be killed.
    """
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    log, started = path.with_suffix(".log"), time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            env=environment,
            cwd=path.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            code = process.wait(timeout=seconds + GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"it did not end within {seconds + GRACE_SECONDS:g} s; see {log}") from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if code != 0:
        raise RuntimeError(f"exit code {code}; see {log}")
    return time.monotonic() - started


def _recorded(record: StudyRecord, seconds: float) -> Run:
    """Returns the run of a recorded study: its search and its finalist."""
    finished = [trial for trial in record.trials_in_phase(Phase.SEARCH) if trial.outcome is not None]
    curve: list[tuple[float, int, int, float]] = []
    for each in finished:
        assert each.outcome is not None and each.outcome.elapsed_seconds is not None
        at = START_SECONDS + each.outcome.elapsed_seconds
        for report in reversed(each.outcome.history):
            if not report.restored:
                assert report.error_percent is not None
                curve.append((round(at, 3), each.trial.number, report.epoch, report.error_percent))
            at -= report.seconds
    best = next(reversed(finalists(record, 1)), None)  # None if the time was too short for a single trial
    verified = [
        run
        for run in record.trials_in_phase(Phase.VERIFICATION)
        if best and run.trial.source_trial == best.trial.number
    ]
    ended = [run.outcome.error_percent for run in verified if run.outcome is not None]
    return Run(
        contender="ours",
        seed=record.header.seed,
        seconds=seconds,
        curve=tuple(sorted(curve)),
        search_seconds=max(START_SECONDS + (each.outcome.elapsed_seconds or 0.0) for each in finished if each.outcome),
        wall_seconds=0.0,
        config=dict(best.trial.config) if best else None,
        validation_error_percent=best.outcome.error_percent if best and best.outcome else None,
        test_errors_percent=tuple(error for error in ended if error is not None),
    )


def _verified(run: Run, dataset: str) -> tuple[float, ...]:
    """Returns test errors of a winner, retrained on all training images with the seeds of our own verification."""
    assert run.config is not None
    trials = [
        Trial(
            number=number,
            config=run.config,
            seed=seeds.trial_seed(run.seed, Phase.VERIFICATION, number),
            epochs=EPOCHS,
            phase=Phase.VERIFICATION,
            source_trial=0,
            replicate=number,
        )
        for number in range(REPLICATES)
    ]
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(local_executor(task(dataset), workers=WORKERS, log_dir=Path(folder))) as executor,
    ):
        outcomes = run_trials(executor, trials)
    failures = [outcome.message for outcome in outcomes if outcome.error_percent is None]
    if failures:
        raise RuntimeError(f"retraining failed: {failures[0]}")
    return tuple(outcome.error_percent for outcome in outcomes if outcome.error_percent is not None)


def _environment(command: str, *packages: str) -> dict[str, Any]:
    return {
        "command": command,
        **machine_info(),
        "versions": package_versions("tensorflow", "keras", "numpy", *packages),
    }
