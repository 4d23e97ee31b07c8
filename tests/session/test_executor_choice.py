"""Which executor a plan gets, and which options the vectorized executor refuses."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from search.errors import UserError
from search.execution.vectorized import PROBE_POPULATION_SIZE, VectorizedExecutor
from search.session.executors import EXECUTORS, make_executor
from search.session.parallelism.choose import choose_parallelism
from search.session.parallelism.policy import MAX_POPULATION, ChosenBy
from search.session.plan import Plan, make_plan
from search.session.settings import ExecutorName, from_mapping
from search.training.runtime import Backend, Device


def plan(small_mnist: Path, tmp_path: Path, **more: object) -> Plan:
    folders = {name: tmp_path / name for name in ("cache_dir", "studies_dir", "reports_dir")}
    return make_plan(from_mapping({"dataset": small_mnist, "seed": 0, "executor": "vectorized", **folders, **more}))


def test_every_executor_name_has_an_executor() -> None:
    assert set(EXECUTORS) == set(ExecutorName)


def test_the_vectorized_executor_runs_on_jax_with_the_requested_size(small_mnist: Path, tmp_path: Path) -> None:
    measured, specified = (plan(small_mnist, tmp_path, devices="cpu", **more) for more in ({}, {"workers": 5}))
    assert measured.task.runtime.backend is Backend.JAX
    for made, slots, chosen_by in (
        (measured, PROBE_POPULATION_SIZE, ChosenBy.PENDING),
        (specified, 5, ChosenBy.SPECIFIED),
    ):
        parallelism = choose_parallelism(made)
        assert (parallelism.layout.workers, parallelism.chosen_by) == (slots, chosen_by)
        assert replace(made, chosen_parallelism=parallelism).concurrent_trials == 1
        with closing(make_executor(made, parallelism, log_dir=tmp_path)) as executor:
            assert isinstance(executor, VectorizedExecutor)
            assert executor.slots == slots
    assert f"{MAX_POPULATION[Device.CPU]} a device at most" in choose_parallelism(measured).describe()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"backend": "tensorflow"}, r"trains on JAX. Received: --executor vectorized --backend tensorflow"),
        ({"trial_timeout": "5m"}, r"--executor vectorized --trial-timeout"),
        ({"folds": 5}, r"--executor vectorized --folds 5"),
        ({"executor": "local", "protocol": "tutorial", "folds": 5}, r"--folds 5"),
        ({"trial_memory": "4GiB"}, r"--executor vectorized --trial-memory"),
    ],
)
def test_unsupported_options_are_refused(
    small_mnist: Path, tmp_path: Path, option: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        plan(small_mnist, tmp_path, **option)
