"""The memory that training a configuration takes at least, predicted from its layers before any of it is allocated.

On a CPU no backend notices that memory runs out: the kernel kills a process, mostly this one, in the middle of a
step. So the trainer predicts first. The prediction is a lower bound, of what a step must hold at once: a configuration
that is refused could not have been trained. One that is not refused may still exceed the memory.

Called by the trainer. Vectorized training reads XLA's own analysis instead (``search.training.vectorized.program``).
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import psutil

from search.training.backends import BACKEND_ADAPTERS
from search.training.cgroup import available_memory
from search.training.devices import free_gpu_memory_mib
from search.training.run_state import ExceedsFreeMemory
from search.training.runtime import Backend
from search.training.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryNeed:
    """Least memory of a training, in bytes.

    Args:
        weights: Variables of the network.
        optimizer: Variables of the optimizer, such as moments.
        gradient: The largest gradient of a variable; others may be freed before it is computed.
        activations: Outputs of layers that the backward pass of a batch needs, and the gradient of one; or what
            evaluation holds, if that is more.
        batch_size: Images a step.
    """

    weights: int
    optimizer: int
    gradient: int
    activations: int
    batch_size: int

    @property
    def total(self) -> int:
        """Bytes that a step holds at once; activations are mostly freed when the last gradients are computed."""
        return self.weights + self.optimizer + max(self.gradient, self.activations)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    """What a training holds beside its network.

    Args:
        batch_size: Images a step.
        evaluation_batch_size: Images that are evaluated at once.
        optimizer_slots: Values that the optimizer keeps for each parameter, as ``optimizer_slots`` returns them.
    """

    batch_size: int
    evaluation_batch_size: int
    optimizer_slots: int


def optimizer_slots(optimizer: Any) -> int:
    """Returns how many values an optimizer that is not built keeps for each parameter: 2 for Adam."""
    shape = (2, 3)
    optimizer.build([keras.Variable(keras.ops.zeros(shape))])
    return sum(tuple(variable.shape) == shape for variable in optimizer.variables)


def predict_memory(model: Any, batches: Batches) -> MemoryNeed:
    """Returns the memory that a training takes at least.

    What the backward pass needs, by layer: the input of a layer with a kernel, of batch normalization and of maximum
    pooling; the output of an activation. Of layers of other kinds, custom ones included, nothing is counted.

    Args:
        model: A Keras model, whose variables need no values.
        batches: What it is trained with.
    """
    kept: dict[int, int] = {}  # bytes an image by tensor, which two layers may both need
    sources: dict[int, int] = {}  # of tensors that are views of another one
    training = evaluation = 0
    for layer in _leaf_layers(model):
        inputs, outputs = _tensors(layer, "input"), _tensors(layer, "output")
        if isinstance(layer, (keras.layers.Flatten, keras.layers.Reshape)):
            sources |= {id(outputs[0]): sources.get(id(inputs[0]), id(inputs[0]))} if inputs and outputs else {}
        needed = [*(inputs if _needs_input(layer) else ()), *(outputs if _needs_output(layer) else ())]
        kept |= {sources.get(id(tensor), id(tensor)): _image_bytes(tensor) for tensor in needed}
        if _has_kernel(layer):
            result = sum(map(_image_bytes, outputs))
            training = max(training, sum(kept.values()) + result)  # its gradient is as large
            evaluation = max(evaluation, sum(map(_image_bytes, inputs)) + result)
    trainable = [_variable_bytes(variable) for variable in model.trainable_variables]
    return MemoryNeed(
        weights=sum(map(_variable_bytes, model.variables)),
        optimizer=batches.optimizer_slots * sum(trainable),
        gradient=max(trainable, default=0),
        activations=max(batches.batch_size * training, batches.evaluation_batch_size * evaluation),
        batch_size=batches.batch_size,
    )


def build_without_values(make_model: Callable[[], Any]) -> Any | None:
    """Returns a model whose variables have shapes and no values, and take no memory; takes 30 to 50 ms.

    Resets Keras's names: a model that is made afterwards, once random numbers are seeded, is the same as without
    this call.

    Args:
        make_model: Returns the model, not compiled.

    Returns:
        The model; None if its builder fails, or needs a variable with a value.
    """
    try:
        with keras.StatelessScope(initialize_variables=False):
            return make_model()
    except Exception:  # noqa: BLE001 - the trial's own build then reports the error
        return None
    finally:
        keras.utils.clear_session(free_memory=False)


class MemoryLimit:
    """The memory that the trials of this process may use; made before the first trial.

    Args:
        task: Holds ``--trial-memory`` and the backend.
        on_cpu: Whether trials train on the CPU. A limit on resident memory does not apply to a GPU.
    """

    def __init__(self, task: Task, *, on_cpu: bool) -> None:
        self._trial_bytes = None if task.trial_memory_mib is None else int(task.trial_memory_mib * 2**20)
        self._backend, self._on_cpu = task.runtime.backend, on_cpu
        self._initial = _resident_bytes()

    def require(self, need: MemoryNeed) -> None:
        """Checks that a training can fit. Memory that earlier trials left to this process counts as free.

        Raises:
            ExceedsFreeMemory: It cannot.
        """
        for available, name in self._bounds():
            if need.total > available:
                raise ExceedsFreeMemory(_describe(need, available, name))

    def _bounds(self) -> Iterator[tuple[int, str]]:
        """Yields upper bounds of what a training can use, in bytes, and what each is."""
        if not self._on_cpu:
            if (free := _free_device_bytes(self._backend)) is not None:
                yield free, "free device memory"
            return
        if self._trial_bytes is not None:
            yield self._trial_bytes - self._initial, "--trial-memory less what the worker took before its first trial"
        yield available_memory() + max(0, _resident_bytes() - self._initial), "free memory"


def _describe(need: MemoryNeed, available: int, name: str) -> str:
    return (
        f"Training needs at least {_gib(need.total)}: {_gib(need.weights + need.optimizer)} for weights and optimizer, "
        f"{_gib(need.activations)} for the activations of a batch of {need.batch_size}. "
        f"Expected: at most {_gib(max(0, available))} ({name}). Narrow batch_size or the sizes of layers with --range, "
        "run fewer trials at a time with --workers, or raise --trial-memory if it is set."
    )


def _gib(count: int) -> str:
    return f"{count / 2**30:.2f} GiB"


def _leaf_layers(model: Any) -> Iterator[Any]:
    """Yields the layers of a model and of models nested in it, in the order of the forward pass."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _leaf_layers(layer)
        else:
            yield layer


def _tensors(layer: Any, side: str) -> list[Any]:
    """Returns the input or output tensors of a layer; none if it was called several times or not symbolically."""
    try:
        return list(keras.tree.flatten(getattr(layer, side)))
    except (AttributeError, ValueError):
        return []


def _has_kernel(layer: Any) -> bool:
    return any(len(variable.shape) >= 2 for variable in layer.trainable_variables)


def _needs_input(layer: Any) -> bool:
    return _has_kernel(layer) or isinstance(layer, (keras.layers.BatchNormalization, keras.layers.MaxPooling2D))


def _needs_output(layer: Any) -> bool:
    activation = getattr(layer, "activation", None)
    return activation is not None and activation is not keras.activations.linear


def _image_bytes(tensor: Any) -> int:
    """Returns the bytes of a symbolic tensor (batch, ...) an image; unknown sides count as 1."""
    return math.prod(int(side or 1) for side in tensor.shape[1:]) * _item_bytes(tensor.dtype)


def _variable_bytes(variable: Any) -> int:
    return math.prod(map(int, variable.shape)) * _item_bytes(variable.dtype)


def _item_bytes(dtype: Any) -> int:
    bits = re.search(r"\d+", keras.backend.standardize_dtype(dtype))
    return int(bits[0]) // 8 if bits else 1  # bool has none


def _resident_bytes() -> int:
    return int(psutil.Process().memory_info().rss)


def _free_device_bytes(backend: Backend) -> int | None:
    """Returns the bytes that this process can use on its GPU, those it has used before included; None if unknown."""
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0]
    free_mib = free_gpu_memory_mib([gpu])
    return None if free_mib is None else int((free_mib[0] + BACKEND_ADAPTERS[backend].peak_memory_mib()) * 2**20)
