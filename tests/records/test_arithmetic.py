"""What decides a study's bits: read from records of every version, and checked in one place."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from makers import complete, header, trial

from search.errors import UserError
from search.records.arithmetic import (
    Arithmetic,
    Kernels,
    Layers,
    recorded_kernels,
    require_same_arithmetic,
    study_arithmetic,
    with_reliable_kernels,
)
from search.records.record import StudyRecord, TrialRecord

AVX2, AVX512 = "AuthenticAMD 25 1 1 avx avx2 fma", "GenuineIntel 6 207 2 avx2 avx512_vnni avx512f"
NOW = {
    "backend": "tensorflow",
    "device": "CPU",
    "precision": "tf32",
    "threads": 1,
    "kernels": "onednn",
    "layers": "fast",
}


def record(*environments: dict[str, Any]) -> StudyRecord:
    outcomes = [dataclasses.replace(complete(), environment=environment) for environment in environments]
    trials = tuple(TrialRecord(trial=trial(n), outcome=outcome) for n, outcome in enumerate(outcomes))
    return StudyRecord(header=header(), trials=trials)


@pytest.mark.parametrize(
    ("environment", "kernels"),
    [
        (NOW, Kernels.ONEDNN),
        ({**NOW, "kernels": "eigen"}, Kernels.EIGEN),
        ({**NOW, "kernels": "a later version's"}, None),
        ({"onednn": True, "processor_kind": AVX512}, Kernels.ONEDNN),
        ({"onednn": True, "processor_kind": AVX2}, None),
        ({"onednn": True}, None),
        ({"onednn": False, "processor_kind": AVX2}, Kernels.EIGEN),
        ({"onednn": False, "processor_kind": AVX512}, Kernels.EIGEN),
        ({"onednn": True, "processor_kind": AVX512, "device": "NVIDIA H200"}, None),
        ({"backend": "jax"}, None),
        ({}, None),
    ],
)
def test_the_kernels_of_a_record_are_known_only_where_they_are_reliable(
    environment: dict, kernels: Kernels | None
) -> None:
    assert recorded_kernels(environment) is kernels
    assert Arithmetic.from_environment(environment).kernels is kernels


def test_an_environment_names_the_kernels_in_place_of_the_older_key() -> None:
    unsure = {"device": "CPU", "onednn": True, "threads": 1}
    assert with_reliable_kernels(unsure) == {"device": "CPU", "threads": 1}
    assert list(with_reliable_kernels(unsure, unreliable="unsure").items())[1] == ("kernels", "unsure")
    assert with_reliable_kernels({"onednn": False}) == {"kernels": "eigen"}
    assert with_reliable_kernels(NOW) == NOW


@pytest.mark.parametrize(
    ("environment", "layers"),
    [
        (NOW, Layers.FAST),
        ({**NOW, "layers": "keras"}, Layers.KERAS),
        ({"backend": "tensorflow", "device": "CPU"}, Layers.KERAS),
        ({**NOW, "layers": "a later version's"}, None),
        ({"backend": "jax", "device": "CPU"}, None),
        ({"backend": "tensorflow", "device": "NVIDIA H200"}, None),
    ],
)
def test_records_without_layers_had_those_of_keras(environment: dict, layers: Layers | None) -> None:
    assert Arithmetic.from_environment(environment).layers is layers


def test_threads_and_kernels_decide_no_bits_on_a_gpu() -> None:
    on_gpu = Arithmetic.from_environment({**NOW, "device": "NVIDIA H200"})
    assert on_gpu == Arithmetic(backend="tensorflow", precision="tf32")


def test_a_study_goes_on_with_the_latest_known_values() -> None:
    assert study_arithmetic(record()) == Arithmetic()
    mixed = record({**NOW, "threads": 2}, NOW, {"backend": "tensorflow"}, {})
    # Layers were not recorded before there were fast ones.
    assert study_arithmetic(mixed) == dataclasses.replace(Arithmetic.from_environment(NOW), layers=Layers.KERAS)


@pytest.mark.parametrize(
    ("changed", "hint"),
    [
        ({"backend": "jax"}, "--backend tensorflow"),
        ({"precision": "bfloat16"}, "--precision tf32"),
        ({"threads": 2}, "--threads 1"),
        ({"kernels": Kernels.EIGEN}, "--kernels onednn"),
        ({"threads": 2, "kernels": Kernels.EIGEN}, "--threads 1 --kernels onednn"),
        ({"layers": Layers.KERAS}, "--layers fast"),
    ],
)
def test_another_arithmetic_is_refused_with_the_options_that_continue(changed: dict, hint: str) -> None:
    requested = dataclasses.replace(Arithmetic.from_environment(NOW), **changed)
    with pytest.raises(UserError) as refusal:
        require_same_arithmetic(record(NOW), requested)
    assert hint in refusal.value.hint
    assert refusal.value.exit_code == 2


@pytest.mark.parametrize(
    "recorded", [(), ({},), ({"backend": "tensorflow", "onednn": True, "processor_kind": AVX2},), (NOW, {})]
)
def test_what_is_unknown_agrees_with_everything(recorded: tuple[dict, ...]) -> None:
    requested = dataclasses.replace(Arithmetic.from_environment(NOW), layers=None)
    require_same_arithmetic(record(*recorded), requested)
    require_same_arithmetic(record(NOW), Arithmetic(backend="tensorflow"))
