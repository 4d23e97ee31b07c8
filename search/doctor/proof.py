"""Proof: the engine proposes, a worker process trains two steps of the baseline, and what a run would start by default.

The two steps take the way of any trial: a worker process, its data from files, build, compile, fit, score. Only the
data are fewer, and the images that are scored are training images: the test images stay closed.
"""

from __future__ import annotations

import dataclasses
import re
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np

from search.cgroup import available_memory
from search.doctor.finding import Finding, Status, gib, last_lines
from search.doctor.subject import Subject
from search.engines.registry import choose_engine, make_engine
from search.errors import FatalError
from search.execution.base import Finished
from search.execution.local import local_executor
from search.protocol import EvaluationProtocol, ProtocolName, Split
from search.session.packing import remembered
from search.session.planning import make_plan, make_runtime
from search.training.data import DatasetInfo, open_training
from search.training.hashes import file_sha256
from search.training.task import Task
from search.trial import BASELINE, Outcome, Phase, Proposal, State, Trial
from spaces.registry import SPACES
from spaces.training import TUTORIAL_TRAINING

STEPS = 2
PROOF_SECONDS = 180.0
"""What the proof may take; a worker's start from a cold disk was seen to take 60."""


def check_engine(subject: Subject) -> Finding:
    """The engine: takes the baseline, hears of it, and proposes another configuration."""
    settings = subject.settings
    choice = choose_engine(settings.engine, sampler=settings.sampler, pruner=settings.pruner)
    engine = make_engine(choice, subject.space, seed=0, epochs=settings.epochs)
    engine.ask(0, given=Proposal(config=subject.space.baseline))
    engine.tell(0, Outcome(state=State.COMPLETE, error_percent=1.0))
    proposed = engine.ask(1)
    return Finding(
        found=f"{choice.name}, pruner {choice.pruner}, proposes",
        details={**dataclasses.asdict(choice), "proposed": dict(proposed.config)},
    )


def check_training(subject: Subject) -> Finding:
    """Two steps of the space's baseline in a worker process, and a scoring."""
    assert subject.dataset is not None, "this check needs the data"
    with tempfile.TemporaryDirectory(prefix="doctor-") as temporary:
        logs = Path(temporary) / "logs"
        began = time.monotonic()
        try:
            outcome = _train(_task(subject, Path(temporary)), subject, logs)
        except FatalError as error:
            return _failure(subject, error.message.partition("\n")[0], _last_log(logs))
        seconds = time.monotonic() - began
        if outcome.state is not State.COMPLETE:
            return _failure(subject, outcome.message, outcome.traceback or _last_log(logs))
    subject.outcome = outcome
    start = seconds - sum(outcome.seconds.values())
    details = {"start_seconds": round(start, 2), **{f"{part}_seconds": took for part, took in outcome.seconds.items()}}
    return Finding(
        found=f"{STEPS} steps of {subject.space.name}'s baseline: worker started in {start:.1f} s, model built and "
        f"compiled in {outcome.seconds['build']:.1f} s, trained and scored in "
        f"{outcome.seconds['fit'] + outcome.seconds['evaluate']:.1f} s on {outcome.environment['device']}",
        details={
            **details,
            "parameters": outcome.parameters,
            "peak_memory_mib": outcome.peak_memory_mib,
            "environment": dict(outcome.environment),
        },
    )


def _task(subject: Subject, folder: Path) -> Task:
    """Returns the task of a search on the first training images alone, copied into a folder."""
    assert subject.dataset is not None, "this check needs the data"
    settings, batch = subject.settings, {**TUTORIAL_TRAINING, **subject.space.baseline}["batch_size"]
    dataset = _copy(subject.dataset, STEPS * int(batch), folder)
    protocol = EvaluationProtocol(
        name=ProtocolName.TUTORIAL,  # without a split, which so few images may not allow
        dataset=dataset.name,
        data_sha256=dataset.sha256,
        split=Split.BLOCK,
        epochs=1,
    )
    source = settings.space if settings.space in SPACES else str(Path(settings.space).resolve())
    return Task(protocol=protocol, dataset=dataset, space_source=source, runtime=make_runtime(settings))


def _copy(info: DatasetInfo, count: int, folder: Path) -> DatasetInfo:
    """Copies the first training images, to train on and to be scored."""
    training = open_training(info)
    for name, array in (("x", training.images[:count]), ("y", training.labels[:count])):
        for part in ("train", "test"):
            np.save(folder / f"{name}_{part}.npy", array)
    count = min(count, info.training_count)
    return dataclasses.replace(
        info,
        training_count=count,
        test_count=count,
        has_groups=False,
        folder=str(folder),
        files={path.name: file_sha256(path) for path in folder.glob("*.npy")},
    )


def _train(task: Task, subject: Subject, logs: Path) -> Outcome:
    """Runs the one trial.

    Raises:
        FatalError: No worker can be started, or it takes too long.
    """
    trial = Trial(number=0, config=subject.space.baseline, seed=0, epochs=1, origin=BASELINE, phase=Phase.REPRODUCTION)
    deadline = time.monotonic() + PROOF_SECONDS
    with closing(local_executor(task, workers=1, log_dir=logs)) as executor:
        executor.submit(trial)
        while time.monotonic() < deadline:
            for event in executor.collect(1.0):
                if isinstance(event, Finished):
                    return event.outcome
    raise FatalError(f"It did not end within {PROOF_SECONDS:.0f} s.")


def _last_log(logs: Path) -> str:
    files = sorted(logs.glob("*.log"), key=lambda path: path.stat().st_mtime)
    return files[-1].read_text(encoding="utf-8", errors="replace") if files else ""


def _failure(subject: Subject, message: str, words: str) -> Finding:
    return Finding(
        status=Status.FAILS,
        found=f"The baseline of {subject.space.name} cannot be trained. {message}\n{last_lines(words)}".rstrip(),
        remedy=_remedy(subject.settings.space, words),
        details={"message": message, "last_words": words[-4000:]},
    )


def _remedy(space: str, words: str) -> str:
    if space in SPACES:
        return "Mend what the last words name; where packages are damaged: pip install --force-reinstall ."
    lines = re.findall(rf'File "{re.escape(str(Path(space).resolve()))}", line (\d+)', words)
    return f"Mend {f'line {lines[-1]} of ' if lines else ''}the space's file {space}."


def check_workers(subject: Subject) -> Finding:
    """How many workers of how many threads a run would start by default, and whether the memory holds them."""
    assert subject.outcome is not None, "this check needs the training"
    packing, available = remembered(make_plan(subject.settings)), available_memory()
    workers, each = packing.layout.workers, int((subject.outcome.peak_memory_mib or 0.0) * 2**20)
    found = f"{packing.describe()}; they take {gib(each * workers)} at least"
    details = {**packing.to_json(), "memory_bytes_each": each, "available_bytes": available}
    if each * workers <= available:
        return Finding(found=found, details=details)
    return Finding(
        status=Status.WARNING,
        found=f"{found}, and {gib(available)} are available",
        remedy=f"python -m search run --workers {max(1, available // each)}",
        details=details,
    )
