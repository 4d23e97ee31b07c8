"""What a worker process runs on: backend, device, threads, determinism, precision; and what this machine has.

``Runtime`` is a value that is sent to the worker. Its environment variables must be set before Keras is imported;
``configure`` is called right after. Called by the worker, and by callers that train in their own process.
"""

from __future__ import annotations

import gc
import importlib.metadata
import importlib.util
import os
import platform
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil

from search.garbage import paused_collection
from search.records.arithmetic import Arithmetic, Kernels, Layers
from search.training.cgroup import available_memory, cpu_quota
from search.trial import HOST_KEY

WORKER_MEMORY_BYTES = 2**30
"""Memory of one worker, rounded up."""
VECTOR_INSTRUCTIONS = frozenset(
    {"avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_tile", "asimd", "sve", "bf16"}
)
"""Instructions of x86 and ARM by which Eigen and oneDNN choose their kernels."""
ONEDNN_VARIABLE = "TF_ENABLE_ONEDNN_OPTS"
"""TensorFlow's own switch for oneDNN, read at its import."""
ONEDNN_SWITCH: Mapping[Kernels, str] = {Kernels.ONEDNN: "1", Kernels.EIGEN: "0"}
"""Its values."""


UNUSED_MODULES = frozenset({"IPython", "jax", "matplotlib", "pandas", "sklearn"})
"""Modules that Keras 3.15 and TensorFlow 2.21 (JAX) import for features that no training here uses, such as
scikit-learn wrappers. Both work without them and import in half the time. Delete this when they import them lazily."""


class Device(StrEnum):
    """Where to compute; auto takes the GPUs that the backend can use, else the CPU."""

    AUTO = "auto"
    CPU = "cpu"
    GPU = "gpu"


class Backend(StrEnum):
    """Keras's backends that can train. On a CPU TensorFlow is 4 to 5 times faster than JAX for small convolutions."""

    TENSORFLOW = "tensorflow"
    JAX = "jax"
    TORCH = "torch"


class Precision(StrEnum):
    """Precision of matrix products and convolutions; variables, gradients and optimizer are float32.

    float32   full precision
    tf32      factors with 10 bits of fraction, sums in float32, if the device has it; full precision on a CPU
    bfloat16  as Keras's policy "mixed_bfloat16": 7 bits, also for activations; see ``search.training.network``

    tf32 is the default of TensorFlow and JAX on NVIDIA GPUs of 2020 and later.
    """

    FLOAT32 = "float32"
    TF32 = "tf32"
    BFLOAT16 = "bfloat16"


def is_tensorflow_on_cpu(backend: Backend, device: Device) -> bool:
    """Returns whether kernels and layers can be chosen: with TensorFlow, unless a GPU computes."""
    return backend is Backend.TENSORFLOW and device is not Device.GPU


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What a worker process runs on.

    Args:
        backend: Keras's backend.
        device: Where to compute.
        gpus: CUDA's names of the GPUs; worker number i takes GPU number i modulo their count. Empty on a CPU.
        threads: Threads an operation may use. Errors are reproducible bit for bit only at an equal thread count.
        deterministic: Whether operations must give the same bits each time; free on a CPU, expensive on a GPU.
        precision: Precision of matrix products and convolutions.
        kernels: TensorFlow's kernels on a CPU; None for its default, and where there is no choice.
        layers: Implementation of layers; without effect on a GPU and with other backends than TensorFlow.
    """

    backend: Backend = Backend.TENSORFLOW
    device: Device = Device.AUTO
    gpus: tuple[str, ...] = ()
    threads: int = 1
    deterministic: bool = True
    precision: Precision = Precision.TF32
    kernels: Kernels | None = None
    layers: Layers = Layers.COMPILED

    @property
    def arithmetic(self) -> Arithmetic:
        """What decides the bits; on a GPU, threads and CPU kernels do not."""
        return Arithmetic(
            backend=self.backend.value,
            precision=self.precision.value,
            threads=None if self.device is Device.GPU else self.threads,
            kernels=self.kernels,
            layers=self.layers if is_tensorflow_on_cpu(self.backend, self.device) else None,
        )

    @property
    def allows_tf32(self) -> bool:
        """Whether float32 factors may be rounded to TF32; with bfloat16 only those of the last layer are float32."""
        return self.precision is not Precision.FLOAT32

    def environment_variables(self, worker_slot: int = 0) -> dict[str, str]:
        """Returns the environment variables that must be set before Keras is imported.

        Args:
            worker_slot: The worker's number.
        """
        variables = {
            "KERAS_BACKEND": self.backend.value,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            "OMP_NUM_THREADS": str(self.threads),
            "PJRT_NPROC": str(self.threads),  # JAX has no other setting for a CPU's threads
        }
        if self.kernels is not None:
            variables[ONEDNN_VARIABLE] = ONEDNN_SWITCH[self.kernels]
        if self.device is Device.CPU:
            return variables | {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
        if self.gpus:
            # As nvidia-smi and NVML number them.
            variables |= {
                "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
                "CUDA_VISIBLE_DEVICES": self.gpus[worker_slot % len(self.gpus)],
            }
        if self.deterministic and self.backend is Backend.JAX:
            variables["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_deterministic_ops=true".lstrip()
        if self.deterministic and self.backend is Backend.TORCH:
            variables["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
        return variables


def kernels_of_variable() -> Kernels | None:
    """Returns the kernels that the environment variable ``TF_ENABLE_ONEDNN_OPTS`` asks for; None if it is not set.

    TensorFlow reads it in the same way and ignores other values.
    """
    match os.environ.get(ONEDNN_VARIABLE, "").lower():
        case "1" | "true":
            return Kernels.ONEDNN
        case "0" | "false":
            return Kernels.EIGEN
        case _:
            return None


def has_both_kernels() -> bool:
    """Returns whether TensorFlow here is known to hold both kernels: it is a wheel of PyPI for Linux on x86.

    Other builds may lack oneDNN, which cannot be seen without importing them.
    """
    tags = (_wheel_tags("tensorflow") or _wheel_tags("tensorflow-cpu")) if platform.system() == "Linux" else ""
    return "manylinux" in tags and platform.machine() == "x86_64"


def _wheel_tags(package: str) -> str:
    """Returns the description of the wheel from which a package was installed; empty if there is none."""
    try:
        return importlib.metadata.distribution(package).read_text("WHEEL") or ""
    except importlib.metadata.PackageNotFoundError:
        return ""


def import_keras() -> ModuleType:
    """Imports Keras without ``UNUSED_MODULES``, and returns it.

    For our own processes only, before their first ``import keras``: user code in the same process, such as a notebook,
    may need the modules. Model builders can still import them afterwards. The garbage collection would take a sixth of
    the import's time; it leaves out what is imported from then on.
    """
    with paused_collection(), _hide_modules(UNUSED_MODULES - {os.environ.get("KERAS_BACKEND")}):
        import keras
    gc.freeze()

    assert isinstance(keras, ModuleType)
    return keras


@contextmanager
def _hide_modules(names: Collection[str]) -> Iterator[None]:
    """Hides modules from the import system, unless they are already imported."""
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # makes their import fail
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


def usable_cores() -> int:
    """Returns how many cores this process may use, by its CPU affinity and its container's quota."""
    affinity = getattr(psutil.Process(), "cpu_affinity", None)  # macOS has none
    bound = len(affinity()) if affinity else psutil.cpu_count() or 1
    return max(1, min(bound, int(cpu_quota() or bound)))


def memory_worker_limit() -> int:
    """Returns how many workers fit into the memory that is free now, at least one."""
    return max(1, available_memory() // WORKER_MEMORY_BYTES)


def machine_info() -> dict[str, Any]:
    """Returns the machine: host, processor, its exact model, cores, memory in GiB and system."""
    return {
        HOST_KEY: platform.node(),
        "processor": _processor(),
        "processor_kind": _processor_kind(),
        "cores": psutil.cpu_count() or 1,
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _processor() -> str:
    return _read_cpu_info().get("model name") or platform.processor() or platform.machine()


def _processor_kind() -> str:
    """Returns the processor's model numbers and vector instructions, by which libraries choose their kernels.

    Other kernels sum in another order, which changes the last bits. A virtual machine may hide the model's name.
    """
    cpu_info = _read_cpu_info()
    model = [
        cpu_info[name] for name in ("vendor_id", "cpu family", "model", "stepping", "CPU part") if name in cpu_info
    ]
    words = (cpu_info.get("flags") or cpu_info.get("Features") or "").split()
    vectors = sorted(VECTOR_INSTRUCTIONS.intersection(words))
    return " ".join([*model, *vectors]) or platform.processor() or platform.machine()


def _read_cpu_info() -> dict[str, str]:
    """Returns Linux's description of the first core; empty on other systems."""
    try:
        first, _, _ = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")
    except OSError:
        return {}
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in first.splitlines())}


def package_versions(*packages: str) -> dict[str, str]:
    """Returns Python's version and those of the named packages that are installed, without importing them."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
