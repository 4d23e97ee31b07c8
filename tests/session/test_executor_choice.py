"""Which executor a plan asks for, and what trials that are trained together cannot have."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from search.errors import UserError
from search.execution.packing import SAMPLED, Basis
from search.execution.vectorized import VectorizedExecutor
from search.session.executors import EXECUTORS, Ties, make_executor
from search.session.planning import POPULATION, Plan, Site, make_plan
from search.session.settings import from_mapping
from search.training.runtime import Backend, Device


def plan(small_mnist: Path, tmp_path: Path, **more: object) -> Plan:
    folders = {name: tmp_path / name for name in ("cache_dir", "studies_dir", "reports_dir")}
    return make_plan(from_mapping({"dataset": small_mnist, "seed": 0, "executor": "vectorized", **folders, **more}))


def test_every_site_has_an_executor() -> None:
    assert set(EXECUTORS) == set(Site)


def test_a_population_runs_on_jax_in_one_process_and_as_large_as_asked(small_mnist: Path, tmp_path: Path) -> None:
    made, given = (plan(small_mnist, tmp_path, devices="cpu", **more) for more in ({}, {"workers": 5}))
    assert made.task.runtime.backend is Backend.JAX
    assert (made.workers, made.packing.basis) == (SAMPLED, Basis.OPEN)
    assert f"{POPULATION[Device.CPU]} a device at most" in made.packing.describe()
    assert (given.workers, given.packing.basis, given.abreast) == (5, Basis.GIVEN, 1)
    for one, slots in ((made, SAMPLED), (given, 5)):
        with closing(make_executor(one, Ties(log_dir=tmp_path))) as executor:
            assert isinstance(executor, VectorizedExecutor)
            assert executor.slots == slots


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"backend": "tensorflow"}, r"trains on JAX. Received: --executor vectorized --backend tensorflow"),
        ({"trial_timeout": "5m"}, r"--executor vectorized --trial-timeout"),
        ({"trial_memory": "4GiB"}, r"--executor vectorized --trial-memory"),
    ],
)
def test_what_it_cannot_have_is_refused(
    small_mnist: Path, tmp_path: Path, option: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        plan(small_mnist, tmp_path, **option)
