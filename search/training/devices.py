"""The GPUs of this machine, which of them a run uses, and their memory; imports no backend.

Called while a run is planned, by workers and by the doctor. Memory is the driver's figure (``nvidia-ml-py``, of the
extra ``cuda``), as in ``nvidia-smi``.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from search.errors import UserError, install_command
from search.training.runtime import Backend, Device

CUDA_MARKER_MODULE = {Backend.TENSORFLOW: "nvidia.cudnn", Backend.JAX: "jax_plugins", Backend.TORCH: "torch"}
"""A module that only an installation with CUDA has; PyTorch's own check runs in the worker."""
CUDA_EXTRA = {Backend.TENSORFLOW: "cuda", Backend.JAX: "gpu-jax", Backend.TORCH: "torch"}
"""The extra that makes a backend use NVIDIA GPUs."""
_GPU_PATTERN = re.compile(r"gpu(?::(\d+(?:,\d+)*))?")
DEVICE_SYNTAX = "auto, cpu, gpu, or GPUs by number, such as gpu:0,1"


def select_devices(devices: str, backend: Backend) -> tuple[Device, tuple[str, ...]]:
    """Returns the device to compute on, and CUDA's names of the requested GPUs.

    Args:
        devices: As ``DEVICE_SYNTAX`` describes. Numbers count from 0 among the visible GPUs.
        backend: The backend that uses them.

    Raises:
        UserError: The syntax is wrong, or the backend can use no such GPU.
    """
    if devices not in (Device.AUTO, Device.CPU) and not _GPU_PATTERN.fullmatch(devices):
        raise UserError(f"Unknown device. Received: --devices {devices}.", hint=f"Known: {DEVICE_SYNTAX}.")
    usable = usable_gpus(backend)
    if devices == Device.CPU or (devices == Device.AUTO and not usable):
        return Device.CPU, ()
    if devices == Device.AUTO:
        return Device.GPU, usable
    if not usable:
        raise UserError(
            f"There is no GPU here that {backend} can use. Received: --devices {devices}.",
            hint=_gpu_install_hint(backend),
        )
    match = _GPU_PATTERN.fullmatch(devices)
    assert match is not None
    requested = sorted({int(number) for number in match[1].split(",")}) if match[1] else range(len(usable))
    if missing := [number for number in requested if number >= len(usable)]:
        last = f"gpu:0 to gpu:{len(usable) - 1}" if len(usable) > 1 else "gpu:0"
        raise UserError(
            f"There is no GPU {missing[0]} here. Expected: {last}. Received: --devices {devices}.",
            hint="nvidia-smi lists them; CUDA_VISIBLE_DEVICES, where it is set, says which of them are visible.",
        )
    return Device.GPU, tuple(usable[number] for number in requested)


def visible_gpus() -> tuple[str, ...]:
    """Returns CUDA's names of the NVIDIA GPUs of this machine that the environment makes visible."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        # CUDA numbers the visible devices from 0, also in a container.
        return tuple(str(number) for number, _ in enumerate(Path("/dev").glob("nvidia[0-9]*")))
    names = [name.strip() for name in visible.split(",")]
    # CUDA ignores everything from the first invalid name, such as -1.
    end = next((place for place, name in enumerate(names) if not name or name.startswith("-")), len(names))
    return tuple(names[:end])


def usable_gpus(backend: Backend) -> tuple[str, ...]:
    """Returns the GPUs that the installed backend can use, without importing it."""
    package = CUDA_MARKER_MODULE[backend]
    parent = package.partition(".")[0]
    return visible_gpus() if importlib.util.find_spec(parent) and importlib.util.find_spec(package) else ()


def free_gpu_memory_mib(gpus: Sequence[str]) -> tuple[float, ...] | None:
    """Returns the free memory of GPUs in MiB by the driver; None if it cannot be queried.

    Args:
        gpus: CUDA's names: numbers in the order of the bus, or UUIDs.
    """
    memory = _gpu_memory(gpus)
    return None if memory is None else tuple(one.free / 2**20 for one in memory)


def total_gpu_memory_mib(gpus: Sequence[str]) -> tuple[float, ...] | None:
    """Returns the memory of GPUs in MiB, in use or not; arguments and None as for ``free_gpu_memory_mib``."""
    memory = _gpu_memory(gpus)
    return None if memory is None else tuple(one.total / 2**20 for one in memory)


def _gpu_memory(gpus: Sequence[str]) -> tuple[Any, ...] | None:
    """Returns the driver's figures in bytes, ``free`` and ``total`` by GPU; None if it cannot be queried."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        try:
            handles = [
                pynvml.nvmlDeviceGetHandleByIndex(int(gpu)) if gpu.isdigit() else pynvml.nvmlDeviceGetHandleByUUID(gpu)
                for gpu in gpus
            ]
            return tuple(pynvml.nvmlDeviceGetMemoryInfo(handle) for handle in handles)
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return None


def _gpu_install_hint(backend: Backend) -> str:
    return f"With an NVIDIA GPU and its driver: {install_command(CUDA_EXTRA[backend])}. Without: --devices cpu."
