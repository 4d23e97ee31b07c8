"""What a worker process runs on: backend, device, threads, determinism, precision.

``Runtime`` is a value that travels to the worker; ``variables`` must be in the worker's environment before Keras is
imported, ``configure`` runs right after. Called by the worker, and by anyone who trains in his own process.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import psutil

from search.errors import FatalError
from search.training.cgroup import available_memory, cpu_quota

WORKER_MEMORY_BYTES = 2**30
"""What one worker takes, a little rounded up."""
VECTOR_INSTRUCTIONS = frozenset(
    {"avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_tile", "asimd", "sve", "bf16"}
)
"""Instructions, of x86 and of ARM, by which Eigen and oneDNN choose their kernels."""


class Device(StrEnum):
    """Where to compute; auto takes the GPUs where there are some that the backend can use."""

    AUTO = "auto"
    CPU = "cpu"
    GPU = "gpu"


class Backend(StrEnum):
    """Keras's backends that can train. On a CPU TensorFlow is 4 to 5 times faster than JAX for small convolutions."""

    TENSORFLOW = "tensorflow"
    JAX = "jax"
    TORCH = "torch"


class Precision(StrEnum):
    """In what matrix products and convolutions are computed; variables and what they are updated with are float32.

    float32   in full
    tf32      10 bits of each factor's fraction, added up in float32, where the device can; a CPU computes in full
    bfloat16  as Keras's policy "mixed_bfloat16": 7 bits, and activations kept in them; see ``search.training.network``

    On NVIDIA GPUs of 2020 and later tf32 is what TensorFlow and JAX do by themselves.
    """

    FLOAT32 = "float32"
    TF32 = "tf32"
    BFLOAT16 = "bfloat16"


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What a worker process runs on.

    Args:
        backend: Keras's backend.
        device: Where to compute.
        gpus: What CUDA calls the GPUs that workers take in turn, one each; empty on a CPU.
        threads: Threads an operation may use. Errors are reproducible bit for bit only at an equal thread count.
        deterministic: Whether operations must give the same bits each time; free on a CPU, dear on a GPU.
        precision: In what products and convolutions are computed.
    """

    backend: Backend = Backend.TENSORFLOW
    device: Device = Device.AUTO
    gpus: tuple[str, ...] = ()
    threads: int = 1
    deterministic: bool = True
    precision: Precision = Precision.TF32

    @property
    def allows_tf32(self) -> bool:
        """Whether float32 factors, with bfloat16 those of the last layer alone, may be rounded to TF32."""
        return self.precision is not Precision.FLOAT32

    def environment_variables(self, worker_slot: int = 0) -> dict[str, str]:
        """Returns the environment variables that must be set before Keras is imported.

        Args:
            worker_slot: Which of several workers it is; they take the GPUs in turn.
        """
        variables = {
            "KERAS_BACKEND": self.backend.value,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            "OMP_NUM_THREADS": str(self.threads),
            "PJRT_NPROC": str(self.threads),  # JAX has no other way to say how many threads a CPU is to it
        }
        if self.device is Device.CPU:
            return variables | {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
        if self.gpus:
            # In the order of the bus, as nvidia-smi and NVML count them.
            variables |= {
                "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
                "CUDA_VISIBLE_DEVICES": self.gpus[worker_slot % len(self.gpus)],
            }
        if self.deterministic and self.backend is Backend.JAX:
            variables["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_deterministic_ops=true".lstrip()
        if self.deterministic and self.backend is Backend.TORCH:
            variables["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
        return variables

    def configure(self) -> dict[str, Any]:
        """Sets threads, determinism and precision in this process and returns what it runs on, for the record.

        Raises:
            FatalError: The backend finds no GPU where one was chosen; on the CPU, other figures would come of it.
        """
        backend_facts = _CONFIGURE_BACKEND[self.backend](self)
        if self.device is Device.GPU and backend_facts["device"] == "CPU":
            raise FatalError(
                f"{self.backend} finds no GPU. Received: CUDA_VISIBLE_DEVICES={os.environ['CUDA_VISIBLE_DEVICES']}.",
                hint="python -m search doctor says why; --devices cpu does without.",
            )
        return {
            "backend": self.backend.value,
            "threads": self.threads,
            "deterministic": self.deterministic,
            "precision": self.precision.value,
            **backend_facts,
            "pid": os.getpid(),
            **machine_info(),
            "versions": package_versions("keras", self.backend.value, "numpy", "keras-image-search"),
        }


def _configure_tensorflow(runtime: Runtime) -> dict[str, Any]:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(runtime.threads)
    tf.config.threading.set_inter_op_parallelism_threads(runtime.threads)
    if runtime.deterministic:
        tf.config.experimental.enable_op_determinism()
    tf.config.experimental.enable_tensor_float_32_execution(runtime.allows_tf32)
    gpus = tf.config.list_physical_devices("GPU")
    details = tf.config.experimental.get_device_details(gpus[0]) if gpus else {"device_name": "CPU"}
    is_onednn = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1") != "0"  # other kernels, other bits
    return {"device": str(details.get("device_name", "GPU")), "onednn": is_onednn}


def _configure_jax(runtime: Runtime) -> dict[str, Any]:
    import jax

    jax.config.update("jax_default_matmul_precision", "tensorfloat32" if runtime.allows_tf32 else "highest")
    device = jax.devices()[0]  # threads and determinism were set by variables
    return {"device": "CPU" if device.platform == "cpu" else str(device.device_kind)}


def _configure_torch(runtime: Runtime) -> dict[str, Any]:
    import torch

    torch.set_num_threads(runtime.threads)
    torch.use_deterministic_algorithms(runtime.deterministic)
    if not torch.cuda.is_available():
        return {"device": "CPU"}
    torch.set_float32_matmul_precision(
        "high" if runtime.allows_tf32 else "highest"
    )  # "high" may move a CPU's bits, too
    torch.backends.cudnn.allow_tf32 = runtime.allows_tf32
    return {"device": torch.cuda.get_device_name()}


_CONFIGURE_BACKEND = {
    Backend.TENSORFLOW: _configure_tensorflow,
    Backend.JAX: _configure_jax,
    Backend.TORCH: _configure_torch,
}


def usable_cores() -> int:
    """Returns how many cores this process may use: those it is bound to, or as many as its container is granted."""
    affinity = getattr(psutil.Process(), "cpu_affinity", None)  # macOS has none
    bound = len(affinity()) if affinity else psutil.cpu_count() or 1
    return max(1, min(bound, int(cpu_quota() or bound)))


def memory_worker_limit() -> int:
    """Returns how many workers the memory that is free now holds, at least one."""
    return max(1, available_memory() // WORKER_MEMORY_BYTES)


def machine_info() -> dict[str, Any]:
    """Returns the machine: host, processor, its exact kind, cores and memory in GiB."""
    return {
        "host": platform.node(),
        "processor": _processor(),
        "processor_kind": _processor_kind(),
        "cores": psutil.cpu_count() or 1,
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _processor() -> str:
    return _read_cpu_info().get("model name") or platform.processor() or platform.machine()


def _processor_kind() -> str:
    """Returns what decides which kernels a processor is given: its model by number, and its vector instructions.

    A virtual machine may call every model by one name; sums taken in another order have other last bits.
    """
    cpu_info = _read_cpu_info()
    model = [
        cpu_info[name] for name in ("vendor_id", "cpu family", "model", "stepping", "CPU part") if name in cpu_info
    ]
    words = (cpu_info.get("flags") or cpu_info.get("Features") or "").split()
    vectors = sorted(VECTOR_INSTRUCTIONS.intersection(words))
    return " ".join([*model, *vectors]) or platform.processor() or platform.machine()


def _read_cpu_info() -> dict[str, str]:
    """Returns what Linux says of the first core; nothing elsewhere."""
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
