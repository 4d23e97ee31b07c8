"""The GPUs that a backend finds, which of them a run uses, and their memory; imports no backend.

Called while a run is planned, by workers and by the doctor. Whether a GPU can be used, the backend itself says, in a
process of its own. It is not asked where the driver is missing or finds no GPU: an import takes seconds. Memory is the
driver's figure (``nvidia-ml-py``, of the extra ``cuda``), as in ``nvidia-smi``.
"""

from __future__ import annotations

import ctypes
import functools
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from search.errors import UserError, install_command
from search.training.backend_probe import BackendProbe
from search.training.runtime import Backend, Device

CUDA_EXTRA = {Backend.TENSORFLOW: "cuda", Backend.JAX: "gpu-jax", Backend.TORCH: "torch"}
"""The extra that makes a backend use NVIDIA GPUs."""
CUDA_DRIVER = "libcuda.so.1"
"""NVIDIA's driver as a library, on WSL2 and in containers too."""
ROCM_DEVICE = Path("/dev/kfd")
"""Where AMD's driver is."""
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
    if devices == Device.CPU:
        return Device.CPU, ()  # the backend is not asked: its import takes seconds
    usable = usable_gpus(backend)
    if devices == Device.AUTO:
        return (Device.GPU, usable) if usable else (Device.CPU, ())
    if not usable:
        raise UserError(f"{_absence(backend)}. Received: --devices {devices}.", hint=gpu_install_hint(backend))
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


def count_gpus() -> int:
    """Returns how many GPUs of this machine the drivers find and the environment makes visible; no backend is asked."""
    try:
        driver = ctypes.CDLL(CUDA_DRIVER)
    except OSError:
        return 1 if ROCM_DEVICE.exists() else 0  # AMD's driver does not say how many
    count = ctypes.c_int(0)
    is_found = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
    return count.value if is_found else 0


def usable_gpus(backend: Backend) -> tuple[str, ...]:
    """Returns CUDA's names of the GPUs that the installed backend finds.

    Raises:
        FatalError: The drivers find a GPU, and the backend cannot be imported.
    """
    return _ask_backend(backend, os.environ.get("CUDA_VISIBLE_DEVICES")) if count_gpus() else ()


@functools.cache
def _ask_backend(backend: Backend, visible: str | None) -> tuple[str, ...]:
    """Returns the GPUs that a backend finds, asked in a process of its own.

    Args:
        backend: The backend.
        visible: ``CUDA_VISIBLE_DEVICES``; CUDA ignores all from the first invalid name, and so does the backend.
    """
    with BackendProbe(backend) as probe:
        found = len(probe.wait().gpus)
    names = [str(number) for number in range(found)] if visible is None else visible.split(",")
    return tuple(name.strip() for name in names[:found])


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


def _absence(backend: Backend) -> str:
    gpus = count_gpus()
    if gpus:
        return f"The driver finds {gpus} GPU{'s' if gpus > 1 else ''}, and {backend} none"
    return f"There is no GPU here that {backend} can use: no driver finds one"


def gpu_install_hint(backend: Backend) -> str:
    """Returns how a backend comes to use NVIDIA GPUs, and how a run does without."""
    return f"With an NVIDIA GPU and its driver: {install_command(CUDA_EXTRA[backend])}. Without: --devices cpu."
