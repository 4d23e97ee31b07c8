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

from search.cgroup import available_memory, cpu_quota
from search.errors import FatalError

WORKER_BYTES = 2**30
"""What one worker takes, a little rounded up."""
VECTORS = frozenset(
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
    def has_tf32(self) -> bool:
        """Whether float32 factors, with bfloat16 those of the last layer alone, may be rounded to TF32."""
        return self.precision is not Precision.FLOAT32

    def variables(self, slot: int = 0) -> dict[str, str]:
        """Returns the environment variables that must be set before Keras is imported.

        Args:
            slot: Which of several workers it is; they take the GPUs in turn.
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
            variables |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": self.gpus[slot % len(self.gpus)]}
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
        found = _CONFIGURE[self.backend](self)
        if self.device is Device.GPU and found["device"] == "CPU":
            raise FatalError(
                f"{self.backend} finds no GPU. Received: CUDA_VISIBLE_DEVICES={os.environ['CUDA_VISIBLE_DEVICES']}.",
                hint="python -m search doctor says why; --devices cpu does without.",
            )
        return {
            "backend": self.backend.value,
            "threads": self.threads,
            "deterministic": self.deterministic,
            "precision": self.precision.value,
            **found,
            "pid": os.getpid(),
            **machine(),
            "versions": versions("keras", self.backend.value, "numpy", "keras-image-search"),
        }


def _tensorflow(runtime: Runtime) -> dict[str, Any]:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(runtime.threads)
    tf.config.threading.set_inter_op_parallelism_threads(runtime.threads)
    if runtime.deterministic:
        tf.config.experimental.enable_op_determinism()
    tf.config.experimental.enable_tensor_float_32_execution(runtime.has_tf32)
    gpus = tf.config.list_physical_devices("GPU")
    details = tf.config.experimental.get_device_details(gpus[0]) if gpus else {"device_name": "CPU"}
    is_onednn = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1") != "0"  # other kernels, other bits
    return {"device": str(details.get("device_name", "GPU")), "onednn": is_onednn}


def _jax(runtime: Runtime) -> dict[str, Any]:
    import jax

    jax.config.update("jax_default_matmul_precision", "tensorfloat32" if runtime.has_tf32 else "highest")
    device = jax.devices()[0]  # threads and determinism were set by variables
    return {"device": "CPU" if device.platform == "cpu" else str(device.device_kind)}


def _torch(runtime: Runtime) -> dict[str, Any]:
    import torch

    torch.set_num_threads(runtime.threads)
    torch.use_deterministic_algorithms(runtime.deterministic)
    if not torch.cuda.is_available():
        return {"device": "CPU"}
    torch.set_float32_matmul_precision("high" if runtime.has_tf32 else "highest")  # "high" may move a CPU's bits, too
    torch.backends.cudnn.allow_tf32 = runtime.has_tf32
    return {"device": torch.cuda.get_device_name()}


_CONFIGURE = {Backend.TENSORFLOW: _tensorflow, Backend.JAX: _jax, Backend.TORCH: _torch}


def cores() -> int:
    """Returns how many cores this process may use: those it is bound to, or as many as its container is granted."""
    affinity = getattr(psutil.Process(), "cpu_affinity", None)  # macOS has none
    bound = len(affinity()) if affinity else psutil.cpu_count() or 1
    return max(1, min(bound, int(cpu_quota() or bound)))


def room() -> int:
    """Returns how many workers the memory that is free now holds, at least one."""
    return max(1, available_memory() // WORKER_BYTES)


def machine() -> dict[str, Any]:
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
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


def _processor_kind() -> str:
    """Returns what decides which kernels a processor is given: its model by number, and its vector instructions.

    A virtual machine may call every model by one name; sums taken in another order have other last bits.
    """
    known = _cpuinfo()
    model = [known[name] for name in ("vendor_id", "cpu family", "model", "stepping", "CPU part") if name in known]
    words = (known.get("flags") or known.get("Features") or "").split()
    vectors = sorted(VECTORS.intersection(words))
    return " ".join([*model, *vectors]) or platform.processor() or platform.machine()


def _cpuinfo() -> dict[str, str]:
    """Returns what Linux says of the first core; nothing elsewhere."""
    try:
        first, _, _ = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")
    except OSError:
        return {}
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in first.splitlines())}


def versions(*packages: str) -> dict[str, str]:
    """Returns Python's version and those of the named packages that are installed, without importing them."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
