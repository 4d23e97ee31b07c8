"""Populations in real processes: who leaves one, and what a death costs; then a whole study of them."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from pathlib import Path

import pytest
from executor_contract import drain, outcomes
from population_job import QUICKLY_COMPILED

import search
from search.execution.base import Finished, Reported
from search.execution.vectorized import VectorizedExecutor
from search.protocol import EvaluationProtocol, Split
from search.training.data import prepare
from search.training.runtime import Backend, Device, Runtime
from search.training.task import Task
from search.trial import Cause, Phase, State, Trial
from spaces import registry

pytest.importorskip("jax", reason="JAX is not installed: pip install '.[jax]'")
pytestmark = pytest.mark.slow
SHAPE = {"hidden_layers": 1, "width_1": 64, "activation": "relu", "batch_norm": False, "optimizer": "adam"}
SHAPE |= {
    "batch_size": 100,
    "dropout": 0.1,
    "dropout_input": 0.1,
    "rotation": 0.0,
    "shift": 0,
    "zoom": 0.0,
    "shear": 0.0,
}
LONG = 10_000


def trial(number: int, epochs: int) -> Trial:
    config = {**registry.load("mlp").baseline, "width_1": 64}
    return Trial(number=number, config=config, seed=number, epochs=epochs)


def test_members_leave_their_population_and_a_death_costs_all_of_it(
    small_mnist: Path, cache_dir: Path, tmp_path: Path
) -> None:
    dataset = prepare(str(small_mnist), cache_dir)
    protocol = EvaluationProtocol(dataset=dataset.name, data_sha256=dataset.sha256, split=Split.STRATIFIED)
    runtime = Runtime(backend=Backend.JAX, device=Device.CPU)
    task = Task(protocol=protocol, dataset=dataset, space_source="mlp", runtime=runtime)
    with closing(VectorizedExecutor(task, workers=3, log_dir=tmp_path)) as executor:
        for number, epochs in enumerate((LONG, LONG, 3)):
            executor.submit(trial(number, epochs))
        events = executor.collect(60)
        while not any(isinstance(event, Finished) for event in events):
            events += executor.collect(60)
        assert outcomes(events) == {2: State.COMPLETE}
        pid = next(event.outcome.environment["pid"] for event in events if isinstance(event, Finished))

        executor.cancel((Phase.SEARCH, 0), Cause.TIMEOUT)
        events = executor.collect(60)
        while not any(isinstance(event, Finished) for event in events):
            events += executor.collect(60)
        assert outcomes(events) == {0: State.INTERRUPTED}
        assert set(executor.running) == {(Phase.SEARCH, 1)}
        while not any(isinstance(event, Reported) for event in executor.collect(60)):
            pass

        executor.submit(trial(3, LONG))
        os.kill(pid, signal.SIGKILL)
        events = drain(executor)
        assert outcomes(events) == {1: State.FAILED, 3: State.FAILED}
        assert {event.outcome.cause for event in events if isinstance(event, Finished)} == {Cause.KILLED}
        assert executor.slots == 1

        executor.submit(trial(4, 1))
        assert outcomes(drain(executor)) == {4: State.COMPLETE}


def test_a_study_of_populations_is_like_any_other(
    small_mnist: Path, cache_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XLA_FLAGS", QUICKLY_COMPILED)
    study = search.run(
        space="mlp",
        dataset=small_mnist,
        executor="vectorized",
        devices="cpu",
        workers=3,
        trials=4,
        epochs=4,
        replicates=2,
        recipes=False,
        fix=SHAPE,
        seed=0,
        cache_dir=cache_dir,
        studies_dir=tmp_path / "studies",
        reports_dir=tmp_path / "reports",
    )
    ended = [
        known.outcome for known in study.record.trials if known.outcome and known.trial.phase is not Phase.ENSEMBLE
    ]
    assert len(ended) == 4 + 4
    assert {one.state for one in ended} <= {State.COMPLETE, State.PRUNED}
    assert max(one.environment["population"] for one in ended) == 3
    assert {one.environment["backend"] for one in ended} == {"jax"}
    assert not study.leaderboard().empty
