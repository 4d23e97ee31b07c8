"""What a backend finds here: its version, its GPUs, and whether it can be imported at all.

Importing a backend takes seconds and stays in the process, so this is asked in a process of its own::

    python -m search.training.device_query tensorflow    prints one line of JSON, the fields of ``BackendInfo``
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from search.training.keras_import import import_keras
from search.training.runtime import Backend, package_versions


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendInfo:
    """What a backend finds.

    Args:
        versions: Keras's and the backend's.
        seconds: What the import took.
        gpus: The names of its GPUs.
    """

    versions: Mapping[str, str]
    import_seconds: float
    gpus: tuple[str, ...]


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


_LIST_GPUS: Mapping[Backend, Callable[[], list[str]]] = {
    Backend.TENSORFLOW: _tensorflow_gpus,
    Backend.JAX: _jax_gpus,
    Backend.TORCH: _torch_gpus,
}


def query_backend(backend: Backend) -> BackendInfo:
    """Imports Keras and its backend, ``KERAS_BACKEND``, and returns what is found."""
    began = time.perf_counter()
    keras = import_keras()
    assert keras.backend.backend() == backend, "the caller's environment names the backend"
    gpus = tuple(_LIST_GPUS[backend]())
    seconds = round(time.perf_counter() - began, 2)
    return BackendInfo(versions=package_versions("keras", backend.value), import_seconds=seconds, gpus=gpus)


if __name__ == "__main__":
    sys.stdout.write(f"\n{json.dumps(asdict(query_backend(Backend(sys.argv[1]))))}\n")
