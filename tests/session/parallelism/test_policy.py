"""Workers and threads as decided from measured numbers."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.records.arithmetic import Kernels
from search.session.parallelism.policy import (
    MAX_WORKERS_PER_GPU,
    ChosenBy,
    Parallelism,
    WorkerLayout,
    candidate_layouts,
    fastest,
    gpu_worker_count,
)

TWO, ONE = WorkerLayout(2, 1), WorkerLayout(1, 2)


@given(st.integers(1, 256))
def test_candidates_use_the_cores_and_begin_with_one_thread_a_worker(cores: int) -> None:
    layouts = candidate_layouts(cores)
    assert layouts[0] == WorkerLayout(cores, 1)
    assert all(cores - 1 <= layout.workers * layout.threads <= cores for layout in layouts)
    assert len(set(layouts)) == len(layouts) == {1: 1, 2: 2, 3: 2}.get(cores, 3)


@given(st.integers(1, 256), st.integers(1, 300))
def test_candidates_fit_into_the_memory_together(cores: int, room: int) -> None:
    layouts = candidate_layouts(cores, room)
    assert sum(layout.workers for layout in layouts) <= room
    assert layouts[0] == WorkerLayout(min(cores, room), 1)


@pytest.mark.parametrize(
    ("speeds", "chosen"), [((100.0, 90.0), TWO), ((100.0, 102.0), TWO), ((100.0, 104.0), ONE), ((0.0, 1.0), ONE)]
)
def test_the_fastest_wins_and_a_tie_goes_to_one_thread(speeds: tuple[float, float], chosen: WorkerLayout) -> None:
    assert fastest(dict(zip((TWO, ONE), speeds, strict=True))) == chosen


@pytest.mark.parametrize(
    ("free", "peak", "cores", "workers"),
    [
        ((16_000.0,), 1_000.0, 16, 7),  # 0.9 * 16,000 / 2,000
        ((16_000.0,), 7_300.0, 16, 1),  # not even one with its headroom: still one
        ((80_000.0,), 1_000.0, 64, MAX_WORKERS_PER_GPU),
        ((80_000.0,), 1_000.0, 3, 3),
        ((16_000.0, 8_000.0), 1_000.0, 16, 6),  # the smaller one decides, as they are taken in turn
        ((16_000.0, 16_000.0), 1_000.0, 1, 2),  # a GPU is worth a worker even without a core of its own
    ],
)
def test_workers_on_gpus_by_memory_and_cores(free: tuple[float, ...], peak: float, cores: int, workers: int) -> None:
    assert gpu_worker_count(free_mib=free, peak_mib=peak, cores=cores) == workers


def test_a_description_names_both_throughputs() -> None:
    packing = Parallelism(layout=TWO, chosen_by=ChosenBy.MEASURED, images_per_second={TWO: 10101.8, ONE: 6678.8})
    line = packing.describe()
    assert line == "2 workers of 1 thread: 10,102 images/s; 6,679 with 1 worker of 2 threads (measured now)"
    document = json.loads(json.dumps(packing.to_json()))
    assert (document["workers"], document["threads"]) == (2, 1)
    assert [one["images_per_second"] for one in document["measured"]] == [10101.8, 6678.8]


def test_the_kernels_are_described_with_their_throughputs_if_they_were_measured() -> None:
    measured = Parallelism(
        layout=TWO,
        chosen_by=ChosenBy.CACHED,
        kernels=Kernels.ONEDNN,
        kernels_images_per_second={Kernels.ONEDNN: 4200.0, Kernels.EIGEN: 2240.0},
    )
    line = measured.describe()
    assert "kernels onednn: 4,200 images/s; 2,240 with eigen" in line
    document = json.loads(json.dumps(measured.to_json()))
    assert (document["kernels"], document["measured_kernels"]) == ("onednn", {"onednn": 4200.0, "eigen": 2240.0})
    given = Parallelism(layout=ONE, chosen_by=ChosenBy.SPECIFIED, kernels=Kernels.EIGEN)
    assert given.describe() == "1 worker of 2 threads, kernels eigen"


def test_the_description_of_specified_workers_has_no_reason() -> None:
    assert Parallelism(layout=ONE, chosen_by=ChosenBy.SPECIFIED).describe() == "1 worker of 2 threads"
    reason = Parallelism(layout=TWO, chosen_by=ChosenBy.UNMEASURED, note="a short study").describe()
    assert reason == "2 workers of 1 thread (not measured: a short study)"
