"""Keras's other backends, where they are installed: a whole search, and trials that are the same bit for bit."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from vectorized_job import QUICKLY_COMPILED

from search.data.dataset import prepare
from search.execution.base import Executor, Finished
from search.execution.local import local_executor
from search.protocol import EvaluationProtocol, Split
from search.records.reader import read_study
from search.records.storage.locations import StudyLocation
from search.training.runtime import Backend, Device, Runtime
from search.training.task import Task
from search.trial import Outcome, Phase, State, Trial, TrialFiles, epoch_checkpoint_path
from spaces import registry
from tests.training.small_trials import RICH_TRAINING

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed: pip install '.[jax]'"),
]
MLP = registry.load("mlp")
RICH = MLP.active(
    {
        **MLP.baseline,
        "batch_norm": True,
        "dropout": 0.3,
        "width_1": 32,
        **RICH_TRAINING,
    }
)


def test_a_search_with_jax_is_searched_verified_and_gone_on_with(
    tmp_path: Path, small_mnist: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"backend": "jax", "space": "mlp", "dataset": small_mnist, "cache-dir": cache_dir, "study": "jax"}
    options |= {"fix": "width_1=64", "seed": 0, "threads": 1, "workers": 1, "epochs": 2, "replicates": 1}
    monkeypatch.setenv("XLA_FLAGS", QUICKLY_COMPILED)
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    for trials in ("2", "3"):
        command = [sys.executable, "-m", "search", "run", *words, "--trials", trials]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
    record = read_study(StudyLocation(studies_dir=tmp_path / "studies"), "jax")
    states = [known.outcome.state for known in record.trials_in_phase(Phase.SEARCH)]
    assert states == [State.COMPLETE, State.COMPLETE, State.SCREENED]
    for known in (*record.trials_in_phase(Phase.SEARCH), *record.trials_in_phase(Phase.VERIFICATION)):
        environment = known.outcome.environment
        assert (environment["backend"], environment["threads"], environment["device"]) == ("jax", 1, "CPU")
        assert "jax" in environment["versions"]
    assert record.trials_in_phase(Phase.VERIFICATION)


def run(executor: Executor, trial: Trial, **files: str) -> Outcome:
    """Runs a trial."""
    executor.submit(trial, TrialFiles(**files))
    while executor.running:
        for event in executor.collect(1.0):
            if isinstance(event, Finished):
                return event.outcome
    raise AssertionError("it did not end")


def numbers(outcome: Outcome) -> list[tuple[float, float | None]]:
    assert outcome.state is not State.FAILED, outcome.traceback
    return [(report.training_loss, report.loss) for report in outcome.history]


def test_trials_with_jax_are_the_same_bit_for_bit_also_in_parts(
    tmp_path: Path, small_mnist: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XLA_FLAGS", QUICKLY_COMPILED)
    dataset = prepare(str(small_mnist), cache_dir)
    protocol = EvaluationProtocol(dataset=dataset.name, data_sha256=dataset.sha256, split=Split.STRATIFIED, epochs=2)
    runtime = Runtime(backend=Backend.JAX, device=Device.CPU)
    task = Task(protocol=protocol, dataset=dataset, space_source="mlp", runtime=runtime)
    trial, path = {"number": 0, "config": RICH, "seed": 3, "epochs": 2}, str(tmp_path / "state.npz")
    with closing(local_executor(task, workers=1, log_dir=tmp_path)) as executor:
        straight = run(executor, Trial(**trial))
        run(executor, Trial(**trial, target_epoch=1), checkpoint=path)
        resumed = run(executor, Trial(**trial), resume_from=epoch_checkpoint_path(path, 1))
        other = run(executor, Trial(**{**trial, "seed": 4}))
    with closing(local_executor(task, workers=1, log_dir=tmp_path)) as executor:
        again = run(executor, Trial(**trial))
    assert straight.state is State.COMPLETE
    assert numbers(resumed) == numbers(again) == numbers(straight) != numbers(other)
    assert [report.restored for report in resumed.history] == [True, False]
