"""What the workers of a run compute on, from its settings: backend, devices, precision, kernels and layers.

Called when a plan is made, and by the doctor.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from search.errors import UserError, missing_extra, unknown_name
from search.records.arithmetic import Kernels, Layers
from search.session.settings import AUTO, BACKEND_VARIABLE, ExecutorName, Settings
from search.training import devices
from search.training.runtime import Backend, Device, Precision, Runtime, is_tensorflow_on_cpu, kernels_of_variable

E = TypeVar("E", bound=StrEnum)


def make_runtime(settings: Settings) -> Runtime:
    """Returns what workers run on; deterministic by default on a CPU, where it costs nothing measurable.

    Raises:
        UserError: The backend is not installed, the precision is unknown, the kernels are unknown or have no effect,
            or the backend cannot use the GPU that was requested. The GPUs of a Ray cluster are checked later.
    """
    is_vectorized, name = settings.executor == ExecutorName.VECTORIZED, settings.keras_backend
    origin = f"--executor {settings.executor}" if is_vectorized else f"{BACKEND_VARIABLE}={name}"
    backend = parse_choice(Backend, name, "backend" if settings.backend else BACKEND_VARIABLE)
    if importlib.util.find_spec(backend.value) is None:
        raise missing_extra(f"--backend {backend}" if settings.backend else origin, backend.value)
    if settings.executor == ExecutorName.RAY:
        device, gpus = _cluster_device(settings.devices, backend), tuple[str, ...]()
    else:
        device, gpus = devices.select_devices(settings.devices, backend)
    on_gpu = device is Device.GPU
    return Runtime(
        backend=backend,
        device=device,
        gpus=gpus,
        deterministic=not on_gpu if settings.deterministic is None else settings.deterministic,
        precision=parse_choice(Precision, settings.precision, "precision"),
        kernels=_choose_kernels(settings, backend, device),
        layers=_choose_layers(settings, backend, device),
    )


def _choose_kernels(settings: Settings, backend: Backend, device: Device) -> Kernels | None:
    """Returns TensorFlow's kernels by the option or else the environment; None if neither says, or without effect.

    Raises:
        UserError: They are unknown, or chosen for another backend or a GPU.
    """
    has_effect = is_tensorflow_on_cpu(backend, device)
    if settings.kernels == AUTO:
        return kernels_of_variable() if has_effect else None
    if settings.kernels not in list(Kernels):
        raise unknown_name("kernels", settings.kernels, [AUTO, *Kernels])
    if not has_effect:
        raise UserError(
            "Kernels can be chosen for TensorFlow on a CPU only. "
            f"Received: --kernels {settings.kernels}, backend {backend}, device {device}.",
            hint="Leave --kernels out, or choose --backend tensorflow --devices cpu.",
        )
    return Kernels(settings.kernels)


def _choose_layers(settings: Settings, backend: Backend, device: Device) -> Layers:
    """Returns the layers by the option, or the default.

    Raises:
        UserError: They are unknown, or chosen for another backend or a GPU.
    """
    if settings.layers == AUTO:
        return Layers.COMPILED
    if settings.layers not in list(Layers):
        raise unknown_name("layers", settings.layers, [AUTO, *Layers])
    if not is_tensorflow_on_cpu(backend, device):
        raise UserError(
            "Layers can be chosen for TensorFlow on a CPU only. "
            f"Received: --layers {settings.layers}, backend {backend}, device {device}.",
            hint="Leave --layers out, or choose --backend tensorflow --devices cpu.",
        )
    return Layers(settings.layers)


def _cluster_device(devices_option: str, backend: Backend) -> Device:
    """Returns the device of a Ray cluster's workers; Ray assigns each of them its GPU."""
    if devices_option.startswith("gpu:"):
        raise UserError(
            f"Ray chooses the GPU of each worker itself. Received: --devices {devices_option}.",
            hint="Use --devices gpu.",
        )
    return Device.GPU if devices_option == Device.GPU else devices.select_devices(devices_option, backend)[0]


def parse_choice(kind: type[E], received: str, option: str) -> E:
    """Returns the member of a kind of names that an option names.

    Raises:
        UserError: There is none.
    """
    members: Mapping[str, E] = {member.value: member for member in kind}
    if received not in members:
        raise unknown_name(option, received, members)
    return members[received]
