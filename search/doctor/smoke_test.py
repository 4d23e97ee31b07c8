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

from search.data.cache import file_sha256
from search.data.dataset import DatasetInfo, open_training
from search.doctor.check_context import CheckContext
from search.doctor.check_result import CheckResult, CheckStatus, format_gib, last_lines
from search.engines.registry import make_engine, parse_engine
from search.errors import FatalError
from search.execution.base import Finished
from search.execution.local import local_executor
from search.protocol import EvaluationProtocol, ProtocolName, Split
from search.session.parallelism.choose import choose_parallelism
from search.session.plan import make_plan, make_runtime
from search.training.cgroup import available_memory
from search.training.task import Task
from search.trial import BASELINE, Outcome, Phase, Proposal, State, Trial
from spaces.registry import SPACES
from spaces.training import TUTORIAL_TRAINING

STEPS = 2
SMOKE_TEST_SECONDS = 180.0
"""What the proof may take; a worker's start from a cold disk was seen to take 60."""


def check_engine(context: CheckContext) -> CheckResult:
    """The engine: takes the baseline, hears of it, and proposes another configuration."""
    settings = context.settings
    choice = parse_engine(settings.engine, sampler=settings.sampler, pruner=settings.pruner)
    engine = make_engine(choice, context.space, seed=0, epochs=settings.epochs)
    engine.ask(0, fixed=Proposal(config=context.space.baseline))
    engine.tell(0, Outcome(state=State.COMPLETE, metrics={"error_percent": 1.0}))
    proposed = engine.ask(1)
    return CheckResult(
        message=f"{choice.name}, pruner {choice.pruner}, proposes",
        details={**dataclasses.asdict(choice), "proposed": dict(proposed.config)},
    )


def check_training(context: CheckContext) -> CheckResult:
    """Two steps of the space's baseline in a worker process, and a scoring."""
    assert context.dataset is not None, "this check needs the data"
    with tempfile.TemporaryDirectory(prefix="doctor-") as temporary:
        logs = Path(temporary) / "logs"
        started_at = time.monotonic()
        try:
            outcome = _train(_task(context, Path(temporary)), context, logs)
        except FatalError as error:
            return _failure(context, error.message.partition("\n")[0], _last_log(logs))
        seconds = time.monotonic() - started_at
        if outcome.state is not State.COMPLETE:
            return _failure(context, outcome.message, outcome.traceback or _last_log(logs))
    context.outcome = outcome
    start = seconds - sum(outcome.seconds.values())
    details = {"start_seconds": round(start, 2), **{f"{part}_seconds": took for part, took in outcome.seconds.items()}}
    return CheckResult(
        message=f"{STEPS} steps of {context.space.name}'s baseline: worker started in {start:.1f} s, model built and "
        f"compiled in {outcome.seconds['build']:.1f} s, trained and scored in "
        f"{outcome.seconds['fit'] + outcome.seconds['evaluate']:.1f} s on {outcome.environment['device']}",
        details={
            **details,
            "parameters": outcome.parameter_count,
            "peak_memory_mib": outcome.peak_memory_mib,
            "environment": dict(outcome.environment),
        },
    )


def _task(context: CheckContext, folder: Path) -> Task:
    """Returns the task of a search on the first training images alone, copied into a folder."""
    assert context.dataset is not None, "this check needs the data"
    settings, batch = context.settings, {**TUTORIAL_TRAINING, **context.space.baseline}["batch_size"]
    dataset = _copy(context.dataset, STEPS * int(batch), folder)
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


def _train(task: Task, context: CheckContext, logs: Path) -> Outcome:
    """Runs the one trial.

    Raises:
        FatalError: No worker can be started, or it takes too long.
    """
    trial = Trial(number=0, config=context.space.baseline, seed=0, epochs=1, origin=BASELINE, phase=Phase.REPRODUCTION)
    deadline = time.monotonic() + SMOKE_TEST_SECONDS
    with closing(local_executor(task, workers=1, log_dir=logs)) as executor:
        executor.submit(trial)
        while time.monotonic() < deadline:
            for event in executor.collect(1.0):
                if isinstance(event, Finished):
                    return event.outcome
    raise FatalError(f"It did not end within {SMOKE_TEST_SECONDS:.0f} s.")


def _last_log(logs: Path) -> str:
    files = sorted(logs.glob("*.log"), key=lambda path: path.stat().st_mtime)
    return files[-1].read_text(encoding="utf-8", errors="replace") if files else ""


def _failure(context: CheckContext, message: str, log_text: str) -> CheckResult:
    return CheckResult(
        status=CheckStatus.FAILED,
        message=f"The baseline of {context.space.name} cannot be trained. {message}\n{last_lines(log_text)}".rstrip(),
        fix=_remedy(context.settings.space, log_text),
        details={"message": message, "last_words": log_text[-4000:]},
    )


def _remedy(space: str, log_text: str) -> str:
    if space in SPACES:
        return "Mend what the last words name; where packages are damaged: pip install --force-reinstall ."
    lines = re.findall(rf'File "{re.escape(str(Path(space).resolve()))}", line (\d+)', log_text)
    return f"Mend {f'line {lines[-1]} of ' if lines else ''}the space's file {space}."


def check_workers(context: CheckContext) -> CheckResult:
    """How many workers of how many threads a run would start by default, and whether the memory holds them."""
    assert context.outcome is not None, "this check needs the training"
    parallelism = choose_parallelism(make_plan(context.settings), may_measure=False)
    available = available_memory()
    workers, worker_bytes = parallelism.layout.workers, int((context.outcome.peak_memory_mib or 0.0) * 2**20)
    message = f"{parallelism.describe()}; they take {format_gib(worker_bytes * workers)} at least"
    details = {**parallelism.to_json(), "memory_bytes_each": worker_bytes, "available_bytes": available}
    if worker_bytes * workers <= available:
        return CheckResult(message=message, details=details)
    return CheckResult(
        status=CheckStatus.WARNING,
        message=f"{message}, and {format_gib(available)} are available",
        fix=f"python -m search run --workers {max(1, available // worker_bytes)}",
        details=details,
    )
