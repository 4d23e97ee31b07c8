"""The import of Keras without unused modules, in real processes and in a worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from executor_contract import drain

from search.data.dataset import prepare
from search.execution.base import Finished
from search.execution.local import local_executor
from search.protocol import EvaluationProtocol, Split
from search.training.runtime import UNUSED_MODULES, Device, Runtime
from search.training.task import Task
from search.trial import State, Trial

CODE = """
import json, sys
import {before}
from search.training.runtime import import_keras
keras = import_keras()
there = sorted(name for name in {unused} if name in sys.modules)
import {after}
print(json.dumps([keras.backend.backend(), there]))
"""


def imported_modules(backend: str, before: str, after: str) -> list[object]:
    """Returns Keras's backend, and the unused modules that were imported with it."""
    code = CODE.format(before=before, after=after, unused=set(UNUSED_MODULES))
    environment = {**os.environ, "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: list[object] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(("backend", "needed"), [("tensorflow", []), ("jax", ["jax"])])
def test_keras_is_imported_without_unused_modules(backend: str, needed: list[str]) -> None:
    assert imported_modules(backend, before="math", after="pandas, sklearn, matplotlib, jax") == [backend, needed]


def test_a_module_that_was_imported_before_stays() -> None:
    assert imported_modules("jax", before="pandas", after="pandas") == ["jax", ["jax", "pandas"]]


SPACE = """
import sys
from spaces import TRAINING, Int, Space

FOUND = []

def build(images, config, classes):
    import keras
    if not FOUND:  # a trial calls the builder twice
        FOUND.append([name for name in ("pandas", "sklearn", "matplotlib", "jax") if name in sys.modules])
    if FOUND[0]:
        raise RuntimeError(f"imported: {FOUND[0]}")
    import pandas
    return keras.layers.Dense(classes, activation="softmax")(keras.layers.Flatten()(images))

SPACE = Space(name="curious", parameters={"units": Int(1, 2, 1), **TRAINING}, build=build)
"""


def test_a_worker_trains_without_them_and_a_builder_can_import_them(
    tmp_path: Path, small_mnist: Path, cache_dir: Path
) -> None:
    (tmp_path / "curious.py").write_text(SPACE)
    dataset = prepare(str(small_mnist), cache_dir)
    task = Task(
        protocol=EvaluationProtocol(dataset=dataset.name, data_sha256=dataset.sha256, split=Split.BLOCK),
        dataset=dataset,
        space_source=str(tmp_path / "curious.py"),
        runtime=Runtime(device=Device.CPU),
    )
    with closing(local_executor(task, workers=1, log_dir=tmp_path / "logs")) as executor:
        executor.submit(Trial(number=0, config={"units": 1}, seed=0, epochs=1))
        ended = drain(executor)[-1]
    assert isinstance(ended, Finished)
    assert ended.outcome.state is State.COMPLETE, ended.outcome


@pytest.mark.parametrize(
    "module",
    ["search.execution.worker_loop", "search.execution.vectorized_worker", "search.session.parallelism.probe_worker"],
)
def test_a_workers_module_leaves_the_import_of_keras_to_its_main(module: str) -> None:
    code = f"import sys; import {module}; sys.exit('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
