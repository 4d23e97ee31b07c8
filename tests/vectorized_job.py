"""A process on JAX, without TensorFlow, that trains trials together and alone; prints the outcomes as JSON."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.abc import MetaPathFinder
from typing import Any

from search.execution.vectorized import PROBE_POPULATION_SIZE
from search.training.runtime import import_keras
from search.training.task import Task
from search.trial import NO_FILES, Outcome, Trial, TrialFiles

QUICKLY_COMPILED = "--xla_backend_optimization_level=0"
"""Halves the time of tests that compile more than they train."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is trained.

    Args:
        task: What the trials share.
        together: Rounds of trials; a round is taken in when the one before has trained an epoch.
        alone: Trained by the trainer, one after the other, after the others.
        files: Files of trials, by number.
        most: Trials at a time in one program.
        memory: Bytes that a program may take.
    """

    task: Task
    together: Sequence[Sequence[Trial]]
    alone: Sequence[Trial] = field(default=())
    files: Mapping[int, TrialFiles] = field(default_factory=dict)
    most: int = 3
    memory: int | None = None


def run(job: Job) -> tuple[dict[int, Outcome], dict[int, Outcome]]:
    """Outcomes by the trial's number, of those that were trained together and alone."""
    return run_all([job])[0]


def run_all(jobs: Sequence[Job]) -> list[tuple[dict[int, Outcome], dict[int, Outcome]]]:
    """The same of several jobs, one after the other in one process."""
    return [
        tuple({int(key): Outcome.from_json(one) for key, one in part.items()} for part in parts)
        for parts in _answer("train", jobs)
    ]


def held(job: Job, memories: Sequence[int | None]) -> list[int]:
    """How many members of the first trial's configuration are found to fit, where so many bytes are free."""
    return _answer("measure", [replace(job, memory=memory) for memory in memories])


def _answer(function: str, jobs: Sequence[Job]) -> Any:
    """Calls a function of this file on each job, in a process of its own."""
    variables = {**jobs[0].task.runtime.environment_variables(), "XLA_FLAGS": QUICKLY_COMPILED}
    return answer("vectorized_job", variables, function, pickle.dumps(list(jobs)).hex())


def answer(module: str, variables: Mapping[str, str], *words: str) -> Any:
    """Runs the ``main`` of a module in a process of its own; returns its last line, as JSON."""
    environment = {**os.environ, **variables, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", f"import {module}; {module}.main()", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def train(job: Job) -> list[dict[int, dict[str, Any]]]:
    """The same in this process, as JSON."""
    from search.training.epochs import Hooks
    from search.training.trainer import Trainer
    from search.training.vectorized.scheduler import PopulationScheduler

    pool = PopulationScheduler(job.task, max_members=job.most, memory_limit=job.memory)
    together: dict[int, Outcome] = {}
    rounds = list(job.together)
    while rounds or len(pool):
        for trial in rounds.pop(0) if rounds else ():
            if (outcome := pool.add(trial, Hooks(), job.files.get(trial.number, NO_FILES))) is not None:
                together[trial.number] = outcome
        together |= {trial.number: outcome for trial, outcome in (pool.train_epoch() if len(pool) else ())}
    trainer = Trainer(job.task) if job.alone else None
    parts = (
        together,
        {trial.number: trainer.run(trial, files=job.files.get(trial.number, NO_FILES)) for trial in job.alone},
    )
    return [{key: one.to_json() for key, one in part.items()} for part in parts]


def measure(job: Job) -> int:
    """The same in this process."""
    from search.training.vectorized.scheduler import PopulationScheduler

    pool = PopulationScheduler(job.task, max_members=job.most, memory_limit=job.memory)
    return pool.measure_capacity(job.together[0][0].config, job.together[0][0].phase, PROBE_POPULATION_SIZE)


class WithoutTensorFlow(MetaPathFinder):
    """Makes TensorFlow impossible to import."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        if fullname == "tensorflow":
            raise ModuleNotFoundError(fullname)


def main() -> None:
    """Runs the function of the first argument on the jobs of the second."""
    sys.meta_path.insert(0, WithoutTensorFlow())
    import_keras()
    function = {"train": train, "measure": measure}[sys.argv[1]]
    said = [function(job) for job in pickle.loads(bytes.fromhex(sys.argv[2]))]
    print()
    print(json.dumps(said))
