"""Devices by name. The GPUs are names in the environment; the tests need none."""

from __future__ import annotations

import pytest

from search.errors import UserError
from search.training import devices
from search.training.runtime import Backend, Device, Runtime

VISIBLE = "4, GPU-abc ,6"


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three GPUs that the backend is known to find."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", VISIBLE)
    monkeypatch.setattr(devices, "usable_gpus", lambda _: ("4", "GPU-abc", "6"))


@pytest.mark.slow
def test_the_backend_itself_says_whether_a_gpu_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")  # hides GPUs from the backend, not from this patch
    monkeypatch.setattr(devices, "count_gpus", lambda: 2)
    assert devices.usable_gpus(Backend.TENSORFLOW) == ()
    assert devices.select_devices("auto", Backend.TENSORFLOW) == (Device.CPU, ())
    with pytest.raises(UserError, match="driver finds 2 GPUs, and tensorflow none"):
        devices.select_devices("gpu", Backend.TENSORFLOW)


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
def test_gpus_are_numbered_among_the_visible_ones(
    gpus: None, asked: str, chosen: tuple[Device, tuple[str, ...]]
) -> None:
    assert devices.select_devices(asked, Backend.TENSORFLOW) == chosen


@pytest.mark.parametrize(
    ("asked", "named"),
    [("gpu:3", "gpu:0 to gpu:2"), ("gpu:0,9", "no GPU 9"), ("gpu:", "gpu:0,1"), ("gpu0", "gpu:0,1"), ("GPU", "cpu")],
)
def test_a_missing_gpu_is_refused(gpus: None, asked: str, named: str) -> None:
    with pytest.raises(UserError) as refusal:
        devices.select_devices(asked, Backend.TENSORFLOW)
    assert named in str(refusal.value)
    assert f"--devices {asked}" in str(refusal.value)


@pytest.mark.parametrize(("backend", "extra"), [(Backend.TENSORFLOW, "cuda"), (Backend.JAX, "gpu-jax")])
def test_without_a_gpu_the_hint_names_the_extra(monkeypatch: pytest.MonkeyPatch, backend: Backend, extra: str) -> None:
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


def test_on_a_cpu_no_gpu_is_visible() -> None:
    assert Runtime(device=Device.CPU).environment_variables()["CUDA_VISIBLE_DEVICES"] == "-1"


def test_without_a_driver_the_free_memory_is_unknown() -> None:
    assert devices.free_gpu_memory_mib(("no such GPU",)) is None
    assert devices.total_gpu_memory_mib(("no such GPU",)) is None
