"""The three backends: how each is configured, its GPUs, and its use of device memory. Imports a backend when called.

Importing a backend takes seconds and cannot be undone, so the doctor queries it in a process of its own::

    python -m search.training.backends tensorflow    prints one line of JSON, the fields of ``BackendInfo``
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from search.errors import FatalError
from search.records.arithmetic import KERNELS_KEY, LAYERS_KEY, Kernels
from search.training.runtime import (
    ONEDNN_VARIABLE,
    Backend,
    Device,
    Runtime,
    import_keras,
    machine_info,
    package_versions,
)
from search.trial import DETERMINISTIC_KEY, PID_KEY, THREADS_KEY


def _configure_tensorflow(runtime: Runtime) -> dict[str, Any]:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(runtime.threads)
    tf.config.threading.set_inter_op_parallelism_threads(runtime.threads)
    if runtime.deterministic:
        tf.config.experimental.enable_op_determinism()
    tf.config.experimental.enable_tensor_float_32_execution(runtime.allows_tf32)
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return {
            "device": "CPU",
            KERNELS_KEY: _require_kernels(runtime.kernels).value,
            LAYERS_KEY: runtime.layers.value,
        }
    return {"device": str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU"))}


def tensorflow_kernels() -> Kernels:
    """Returns the kernels that TensorFlow uses in this process; a build without oneDNN has its own only."""
    # No public function tells; this one decides in TensorFlow itself, by the variable, the processor and the build.
    from tensorflow.python.util import _pywrap_util_port

    return Kernels.ONEDNN if _pywrap_util_port.IsMklEnabled() else Kernels.EIGEN


def _require_kernels(requested: Kernels | None) -> Kernels:
    """Returns TensorFlow's kernels.

    Raises:
        FatalError: Others were requested; the results would differ.
    """
    kernels = tensorflow_kernels()
    if requested in (None, kernels):
        return kernels
    raise FatalError(
        f"TensorFlow uses other kernels than were chosen. Expected: {requested}. Received: {kernels}.",
        hint=f"Use --kernels {kernels}, the kernels that TensorFlow has here. In a process of your own, set "
        f"{ONEDNN_VARIABLE} before TensorFlow is imported.",
    )


def _configure_jax(runtime: Runtime) -> dict[str, Any]:
    import jax

    jax.config.update("jax_default_matmul_precision", "tensorfloat32" if runtime.allows_tf32 else "highest")
    device = jax.devices()[0]  # threads and determinism were set by environment variables
    return {"device": "CPU" if device.platform == "cpu" else str(device.device_kind)}


def _configure_torch(runtime: Runtime) -> dict[str, Any]:
    import torch

    torch.set_num_threads(runtime.threads)
    torch.use_deterministic_algorithms(runtime.deterministic)
    if not torch.cuda.is_available():
        return {"device": "CPU"}
    # Not on a CPU, whose bits "high" may change too.
    torch.set_float32_matmul_precision("high" if runtime.allows_tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = runtime.allows_tf32
    return {"device": torch.cuda.get_device_name()}


def _tensorflow_gpus() -> list[str]:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    return [str(tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)) for gpu in gpus]


def _jax_gpus() -> list[str]:
    import jax

    return [str(device.device_kind) for device in jax.devices() if device.platform != "cpu"]


def _torch_gpus() -> list[str]:
    import torch

    return [str(torch.cuda.get_device_name(index)) for index in range(torch.cuda.device_count())]


def _tensorflow_peak_memory_mib() -> float:
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        return 0.0
    return float(tf.config.experimental.get_memory_info("GPU:0")["peak"]) / 2**20


def _jax_peak_memory_mib() -> float:
    import jax

    statistics: dict[str, Any] = jax.devices()[0].memory_stats() or {}  # None on a CPU
    return float(statistics.get("peak_bytes_in_use", 0)) / 2**20


def _torch_peak_memory_mib() -> float:
    import torch

    return float(torch.cuda.max_memory_reserved()) / 2**20 if torch.cuda.is_available() else 0.0


class BackendAdapter(NamedTuple):
    """What the three backends do in different ways.

    Args:
        configure: Sets threads, determinism and precision in this process; returns the device, for the record.
        gpu_names: Returns the names of the GPUs that the backend finds.
        peak_memory_mib: Returns the most device memory used so far in MiB, 0 on a CPU.
    """

    configure: Callable[[Runtime], dict[str, Any]]
    gpu_names: Callable[[], list[str]]
    peak_memory_mib: Callable[[], float]


BACKEND_ADAPTERS: Mapping[Backend, BackendAdapter] = {
    Backend.TENSORFLOW: BackendAdapter(_configure_tensorflow, _tensorflow_gpus, _tensorflow_peak_memory_mib),
    Backend.JAX: BackendAdapter(_configure_jax, _jax_gpus, _jax_peak_memory_mib),
    Backend.TORCH: BackendAdapter(_configure_torch, _torch_gpus, _torch_peak_memory_mib),
}


def configure_backend(runtime: Runtime) -> dict[str, Any]:
    """Sets threads, determinism and precision in this process; returns the environment, for the record.

    Raises:
        FatalError: A GPU was chosen and the backend finds none; on the CPU the results would differ.
    """
    backend_facts = BACKEND_ADAPTERS[runtime.backend].configure(runtime)
    if runtime.device is Device.GPU and backend_facts["device"] == "CPU":
        raise FatalError(
            f"{runtime.backend} finds no GPU. Received: CUDA_VISIBLE_DEVICES={os.environ['CUDA_VISIBLE_DEVICES']}.",
            hint="python -m search doctor shows the reason; --devices cpu needs no GPU.",
        )
    return {
        "backend": runtime.backend.value,
        THREADS_KEY: runtime.threads,
        DETERMINISTIC_KEY: runtime.deterministic,
        "precision": runtime.precision.value,
        **backend_facts,
        PID_KEY: os.getpid(),
        **machine_info(),
        "versions": package_versions("keras", runtime.backend.value, "numpy", "keras-image-search"),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendInfo:
    """What a backend reports on this machine.

    Args:
        versions: Versions of Keras and the backend.
        import_seconds: Seconds of the import.
        gpus: The names of its GPUs.
        kernels: TensorFlow's kernels on a CPU without a choice; empty for another backend.
    """

    versions: Mapping[str, str]
    import_seconds: float
    gpus: tuple[str, ...]
    kernels: str = ""


def query_backend(backend: Backend) -> BackendInfo:
    """Imports Keras and its backend, ``KERAS_BACKEND``, and returns what it reports."""
    started = time.perf_counter()
    keras = import_keras()
    assert keras.backend.backend() == backend, "the caller's environment names the backend"
    gpus = tuple(BACKEND_ADAPTERS[backend].gpu_names())
    seconds = round(time.perf_counter() - started, 2)
    kernels = tensorflow_kernels().value if backend is Backend.TENSORFLOW else ""
    versions = package_versions("keras", backend.value)
    return BackendInfo(versions=versions, import_seconds=seconds, gpus=gpus, kernels=kernels)


if __name__ == "__main__":
    sys.stdout.write(f"\n{json.dumps(asdict(query_backend(Backend(sys.argv[1]))))}\n")
