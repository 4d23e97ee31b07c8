"""Measurements in real processes on a small piece of MNIST."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import psutil
import pytest

from search.data.dataset import prepare
from search.protocol import EvaluationProtocol, Split
from search.records.arithmetic import Kernels
from search.session.parallelism.policy import WorkerLayout
from search.session.parallelism.probe import ProbeError, measure_gpu_memory, measure_throughput
from search.training.runtime import Device, Runtime, has_both_kernels
from search.training.task import Task
from search.trial import config_key
from spaces import registry

pytestmark = pytest.mark.slow
LAYOUTS = (WorkerLayout(2, 1), WorkerLayout(1, 2))
BASELINE = registry.load("cnn").baseline


@pytest.fixture
def task(small_mnist: Path, cache_dir: Path) -> Task:
    dataset = prepare(str(small_mnist), cache_dir)
    protocol = EvaluationProtocol(dataset=dataset.name, data_sha256=dataset.sha256, split=Split.STRATIFIED)
    return Task(protocol=protocol, dataset=dataset, space_source="cnn", runtime=Runtime(device=Device.CPU))


def probe_processes() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "probe_worker" in " ".join(child.cmdline())]


@pytest.mark.skipif(not has_both_kernels(), reason="TensorFlow has one kind of kernels here")
def test_kernels_are_measured_beside_layouts(task: Task) -> None:
    speeds = measure_throughput(task, BASELINE, LAYOUTS[1:], lambda: False, kernels=tuple(Kernels))
    assert tuple(speeds.kernels) == tuple(Kernels)
    assert all(speed > 50 for speed in speeds.kernels.values())
    assert not speeds.layouts, "one layout leaves nothing to measure"
    assert not probe_processes()


@pytest.mark.skipif(not has_both_kernels(), reason="TensorFlow has one kind of kernels here")
def test_layouts_are_measured_with_other_kernels_if_those_win(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.session.parallelism.probe.fastest", lambda speeds: list(speeds)[-1])
    speeds = measure_throughput(task, BASELINE, LAYOUTS, lambda: False, kernels=tuple(Kernels))
    assert (tuple(speeds.kernels), tuple(speeds.layouts)) == (tuple(Kernels), LAYOUTS)
    assert all(speed > 50 for speed in speeds.layouts.values())
    assert not probe_processes()


@pytest.mark.parametrize("layouts", [LAYOUTS, LAYOUTS[:1]], ids=["two layouts", "one layout"])
def test_recipes_are_measured_with_the_fastest_layout(layouts: tuple[WorkerLayout, ...], task: Task) -> None:
    wide, broken = {**BASELINE, "filters_1": 64}, {**BASELINE, "activation": "no such thing"}
    measured = measure_throughput(task, BASELINE, layouts, lambda: False, recipes=[BASELINE, wide, broken, wide])
    assert list(measured.recipes) == [config_key(BASELINE), config_key(wide)], "a failure ends the measurement"
    assert all(speed > 50 for speed in measured.recipes.values())
    assert not probe_processes()


def test_no_recipe_is_begun_after_some_time(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.session.parallelism.probe.RECIPE_SECONDS", 0.0)
    assert not measure_throughput(task, BASELINE, LAYOUTS[:1], lambda: False, recipes=[BASELINE]).recipes


def test_a_baseline_that_cannot_be_trained_is_reported(task: Task) -> None:
    with pytest.raises(ProbeError, match="no such thing"):
        measure_throughput(task, {**BASELINE, "activation": "no such thing"}, LAYOUTS[1:], lambda: False)
    assert not probe_processes()


def test_a_process_that_cannot_start_is_reported(task: Task) -> None:
    with pytest.raises(ProbeError, match="nowhere"):
        measure_throughput(dataclasses.replace(task, space_source="nowhere"), BASELINE, LAYOUTS[1:], lambda: False)


def test_a_measurement_stops_at_once(task: Task) -> None:
    with pytest.raises(ProbeError, match="stopped"):
        measure_throughput(task, BASELINE, LAYOUTS, lambda: True)
    assert not probe_processes()


def test_gpu_memory_needs_a_driver(task: Task) -> None:
    runtime = Runtime(device=Device.GPU, gpus=("0",))
    with pytest.raises(ProbeError, match="driver"):
        measure_gpu_memory(dataclasses.replace(task, runtime=runtime), BASELINE, lambda: False)
