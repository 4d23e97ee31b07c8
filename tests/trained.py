"""A small study that was trained for real, with a trial of every ending, as a search would have recorded it.

A small perceptron of a user's own on 1,200 images of MNIST, four epochs a full trial::

    0 baseline   complete, verified with two seeds        3 found   fails: its loss is not finite
    1 found      paused after two epochs                  4 found   stopped after its first epoch
    2 found      goes on from 1, complete, verified       5 found   killed before its first epoch
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from search.data.dataset import prepare
from search.execution.base import Finished, TrialKey
from search.execution.local import local_executor
from search.protocol import EvaluationProtocol, Split
from search.records.arithmetic import Layers
from search.records.opening import open_ledger
from search.records.record import StudyHeader
from search.records.storage.locations import StudyLocation
from search.training.runtime import Device, Precision, Runtime
from search.training.task import Task
from search.trial import BASELINE, NO_FILES, Cause, Outcome, Phase, State, Trial, TrialFiles, epoch_checkpoint_path
from spaces import registry

SOURCE = str(Path(__file__).with_name("own_space.py"))
SPACE = registry.load(SOURCE)
FOUND = {**SPACE.baseline, "learning_rate": 3e-3, "dropout": 0.2, "shift": 1, "clean_epochs": 1, "schedule": "cosine"}
DIVERGING = SPACE.active({**FOUND, "optimizer": "sgd", "learning_rate_sgd": 1e30})
EPOCHS, NAME = 4, "trained"


def header(data: Path, cache_dir: Path) -> StudyHeader:
    dataset = prepare(str(data), cache_dir)
    protocol = EvaluationProtocol(
        dataset=dataset.name, data_sha256=dataset.sha256, split=Split.STRATIFIED, epochs=EPOCHS
    )
    return StudyHeader(
        name=NAME,
        space=SPACE,
        space_source=SOURCE,
        protocol=protocol,
        engine="optuna",
        sampler="random",
        pruner="asha",
        seed=5,
        created="2026-01-01T00:00:00+00:00",
        command=f"python -m search run --space {SOURCE} --dataset {data}",
    )


def record_study(folder: Path, data: Path, cache_dir: Path, precision: Precision = Precision.TF32) -> StudyLocation:
    """Trains the study and records it in a folder."""
    place, study = StudyLocation(studies_dir=folder / "studies"), header(data, cache_dir)
    task = Task(
        protocol=study.protocol,
        dataset=prepare(str(data), cache_dir),
        space_source=study.space_source,
        runtime=Runtime(device=Device.CPU, precision=precision, layers=Layers.KERAS),
    )
    state = str(folder / "state.npz")
    searched = [
        Trial(number=0, config=SPACE.baseline, seed=10, epochs=EPOCHS, origin=BASELINE),
        Trial(number=1, config=FOUND, seed=11, epochs=EPOCHS, target_epoch=2, rungs=(2,)),
        Trial(number=2, config=FOUND, seed=11, epochs=EPOCHS, parent=1),
        Trial(number=3, config=DIVERGING, seed=12, epochs=EPOCHS),
        Trial(number=4, config=FOUND, seed=13, epochs=EPOCHS),
        Trial(number=5, config=FOUND, seed=14, epochs=EPOCHS),
    ]
    verified = [
        Trial(
            number=number,
            config=config,
            seed=seed,
            epochs=EPOCHS,
            phase=Phase.VERIFICATION,
            source_trial=of,
            replicate=repeat,
        )
        for number, (of, config, seed, repeat) in enumerate(
            [(0, SPACE.baseline, 20, 0), (2, FOUND, 20, 0), (0, SPACE.baseline, 21, 1), (2, FOUND, 21, 1)]
        )
    ]
    trials = [*searched, *verified]
    files = {
        searched[1].key: TrialFiles(checkpoint=state),
        searched[2].key: TrialFiles(resume_from=epoch_checkpoint_path(state, 2)),
    }
    with open_ledger(place, study) as ledger:
        for trial, outcome in zip(trials, _train(task, trials, files, folder / "logs"), strict=True):
            ledger.begin(trial)
            ledger.finish(trial, _ended(trial, outcome))
    return place


def copy_study(studies_dir: Path, folder: Path) -> StudyLocation:
    """Copies a recorded study into a folder, where a test may change it."""
    return StudyLocation(studies_dir=shutil.copytree(studies_dir, folder / "studies"))


def _train(task: Task, trials: Sequence[Trial], files: Mapping[TrialKey, TrialFiles], log_dir: Path) -> list[Outcome]:
    """Trains one after the other, since the third goes on from the second."""
    outcomes: list[Outcome] = []
    with closing(local_executor(task, workers=1, log_dir=log_dir)) as executor:
        for trial in trials:
            executor.submit(trial, files.get(trial.key, NO_FILES))
            while executor.running:
                outcomes += [event.outcome for event in executor.collect(1.0) if isinstance(event, Finished)]
    return outcomes


def _ended(trial: Trial, outcome: Outcome) -> Outcome:
    """Cuts trials short as a pruner and the kernel would have, where the list above says so."""
    if trial.phase is Phase.SEARCH and trial.number == 4:
        first = outcome.history[:1]
        return dataclasses.replace(
            outcome,
            state=State.PRUNED,
            history=first,
            metrics=first[0].metrics,
            scored_images=outcome.scored_images,
        )
    if trial.phase is Phase.SEARCH and trial.number == 5:
        return Outcome(state=State.FAILED, cause=Cause.KILLED, message="The worker was killed by signal 9.")
    return outcome
