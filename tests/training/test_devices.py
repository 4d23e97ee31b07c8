"""Devices by name. There is no GPU here: those of the tests are names that the environment gives."""

from __future__ import annotations

import pytest

from search.errors import UserError
from search.training import devices
from search.training.runtime import Backend, Device, Runtime


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three GPUs that can be seen, and a backend that could use them."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, GPU-abc ,6")
    monkeypatch.setitem(devices.CUDA_MARKER_MODULE, Backend.TENSORFLOW, "tensorflow")


@pytest.mark.parametrize(
    ("named", "seen"),
    [("", ()), ("-1", ()), ("0", ("0",)), ("2,0", ("2", "0")), ("1,-1,2", ("1",)), ("GPU-abc", ("GPU-abc",))],
)
def test_the_environment_says_which_gpus_can_be_seen(
    monkeypatch: pytest.MonkeyPatch, named: str, seen: tuple[str, ...]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert devices.visible_gpus() == seen


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        ("auto", (Device.GPU, ("4", "GPU-abc", "6"))),
        ("gpu", (Device.GPU, ("4", "GPU-abc", "6"))),
        ("gpu:1", (Device.GPU, ("GPU-abc",))),
        ("gpu:2,0,2", (Device.GPU, ("4", "6"))),
        ("cpu", (Device.CPU, ())),
    ],
)
def test_gpus_are_numbered_among_those_that_can_be_seen(
    gpus: None, asked: str, chosen: tuple[Device, tuple[str, ...]]
) -> None:
    assert devices.select_devices(asked, Backend.TENSORFLOW) == chosen


@pytest.mark.parametrize(
    ("asked", "named"),
    [("gpu:3", "gpu:0 to gpu:2"), ("gpu:0,9", "no GPU 9"), ("gpu:", "gpu:0,1"), ("gpu0", "gpu:0,1"), ("GPU", "cpu")],
)
def test_a_gpu_that_is_not_there_is_refused_with_a_remedy(gpus: None, asked: str, named: str) -> None:
    with pytest.raises(UserError) as refusal:
        devices.select_devices(asked, Backend.TENSORFLOW)
    assert named in str(refusal.value)
    assert f"--devices {asked}" in str(refusal.value)


@pytest.mark.parametrize(("backend", "extra"), [(Backend.TENSORFLOW, "cuda"), (Backend.JAX, "gpu-jax")])
def test_without_a_gpu_the_remedy_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, backend: Backend, extra: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert devices.select_devices("auto", backend) == (Device.CPU, ())
    with pytest.raises(UserError, match=rf"\[{extra}\]"):
        devices.select_devices("gpu:0", backend)


def test_workers_take_the_gpus_in_turn() -> None:
    runtime = Runtime(device=Device.GPU, gpus=("4", "GPU-abc"), deterministic=False)
    taken = [runtime.environment_variables(slot)["CUDA_VISIBLE_DEVICES"] for slot in range(4)]
    assert taken == ["4", "GPU-abc", "4", "GPU-abc"]
    assert runtime.environment_variables()["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
    assert runtime.environment_variables()["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"


def test_on_a_cpu_no_gpu_can_be_seen() -> None:
    assert Runtime(device=Device.CPU).environment_variables()["CUDA_VISIBLE_DEVICES"] == "-1"


def test_a_driver_that_cannot_be_asked_is_no_error() -> None:
    assert devices.free_gpu_memory_mib(("no such GPU",)) is None
