"""Smoke tests: the engine proposes, a worker process trains two steps of the baseline, and the default workers fit.

The two steps run as any trial does: in a worker process, with data from files. They use fewer images, and score
training images: the test images are never opened.
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
from search.doctor.checks import CheckResult, CheckStatus, format_gib
from search.engines.registry import make_engine, parse_engine
from search.errors import FatalError
from search.execution.base import Finished
from search.execution.local import local_executor
from search.protocol import EvaluationProtocol, ProtocolName, Split
from search.session.parallelism.choose import choose_parallelism
from search.session.plan import make_plan
from search.session.runtime import make_runtime
from search.training.backend_probe import last_lines
from search.training.cgroup import available_memory
from search.training.task import Task
from search.trial import BASELINE, Outcome, Phase, Proposal, State, Trial
from spaces.registry import SPACES
from spaces.training import complete

STEPS = 2
SMOKE_TEST_SECONDS = 180.0
"""Limit for the two steps; 60 s were measured for a worker's start from a cold disk."""


def check_engine(context: CheckContext) -> CheckResult:
    """Checks that the engine proposes a configuration after it received the baseline's error."""
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
    """Trains and scores two steps of the space's baseline in a worker process."""
    assert context.dataset is not None, "this check needs the data"
    with tempfile.TemporaryDirectory(prefix="doctor-") as temporary:
        logs = Path(temporary) / "logs"
        started_at = time.monotonic()
        try:
            outcome = _train(_make_task(context, Path(temporary)), context, logs)
        except FatalError as error:
            return _failure(context, error.message.partition("\n")[0], _last_log(logs))
        seconds = time.monotonic() - started_at
        if outcome.state is not State.COMPLETE:
            return _failure(context, outcome.message, outcome.traceback or _last_log(logs))
    context.outcome = outcome
    start = seconds - sum(outcome.seconds.values())
    return CheckResult(
        message=f"{STEPS} steps of {context.space.name}'s baseline: worker started in {start:.1f} s, model built and "
        f"compiled in {outcome.seconds['build']:.1f} s, trained and scored in "
        f"{outcome.seconds['fit'] + outcome.seconds['evaluate']:.1f} s on {outcome.environment['device']}",
        details={
            "start_seconds": round(start, 2),
            **{f"{part}_seconds": seconds for part, seconds in outcome.seconds.items()},
            "parameters": outcome.parameter_count,
            "peak_memory_mib": outcome.peak_memory_mib,
            "environment": dict(outcome.environment),
        },
    )


def _make_task(context: CheckContext, folder: Path) -> Task:
    """Returns the task of a search on the first training images, copied into a folder."""
    assert context.dataset is not None, "this check needs the data"
    settings, batch = context.settings, complete(context.space.baseline)["batch_size"]
    dataset = _copy(context.dataset, STEPS * int(batch), folder)
    protocol = EvaluationProtocol(
        name=ProtocolName.TUTORIAL,  # it has no split, for which the images may be too few
        dataset=dataset.name,
        data_sha256=dataset.sha256,
        split=Split.BLOCK,
        epochs=1,
    )
    source = settings.space if settings.space in SPACES else str(Path(settings.space).resolve())
    return Task(protocol=protocol, dataset=dataset, space_source=source, runtime=make_runtime(settings))


def _copy(info: DatasetInfo, count: int, folder: Path) -> DatasetInfo:
    """Copies the first training images as training and test images of a small data set."""
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
    """Trains the baseline in a worker process and returns the outcome.

    Raises:
        FatalError: No worker can be started, or the trial takes too long.
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
        fix=_fix(context.settings.space, log_text),
        details={"message": message, "last_words": log_text[-4000:]},
    )


def _fix(space: str, log_text: str) -> str:
    if space in SPACES:
        return "Fix what the last lines of the log name; if packages are damaged: pip install --force-reinstall ."
    lines = re.findall(rf'File "{re.escape(str(Path(space).resolve()))}", line (\d+)', log_text)
    return f"Fix {f'line {lines[-1]} of ' if lines else ''}the space's file {space}."


def check_workers(context: CheckContext) -> CheckResult:
    """Checks that the memory holds the workers that a run would start by default."""
    assert context.outcome is not None, "this check needs the training"
    parallelism = choose_parallelism(make_plan(context.settings), may_measure=False)
    available = available_memory()
    workers, worker_bytes = parallelism.layout.workers, int((context.outcome.peak_memory_mib or 0.0) * 2**20)
    message = f"{parallelism.describe()}; they take at least {format_gib(worker_bytes * workers)}"
    details = {**parallelism.to_json(), "memory_bytes_each": worker_bytes, "available_bytes": available}
    if worker_bytes * workers <= available:
        return CheckResult(message=message, details=details)
    return CheckResult(
        status=CheckStatus.WARNING,
        message=f"{message}, and {format_gib(available)} are available",
        fix=f"python -m search run --workers {max(1, available // worker_bytes)}",
        details=details,
    )
