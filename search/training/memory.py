"""The memory that training a configuration takes at least, predicted from its layers before any of it is allocated.

On a CPU no backend notices that memory runs out: the kernel kills a process, mostly this one, in the middle of a
step. So the trainer predicts first. The prediction is a lower bound, of what a step must hold at once: a configuration
that is refused could not have been trained. One that is not refused may still exceed the memory. A refusal is final, so
it depends on all of the machine's or container's memory, and not on what other workers leave free at that moment.

Called by the trainer. Vectorized training reads XLA's own analysis instead (``search.training.vectorized.program``).
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import psutil

from search.training.cgroup import total_memory
from search.training.devices import total_gpu_memory_mib
from search.training.run_state import ExceedsFreeMemory
from search.training.task import Task

KERNEL_LAYERS = (
    keras.layers.Dense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Conv2DTranspose,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
)
"""Layers whose kernel is multiplied with their whole input, so that the kernel's gradient needs the input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryNeed:
    """Least memory of a training, in bytes.

    Args:
        weights: Variables of the network, and those of other folds.
        optimizer: Variables of the optimizer, such as moments, and those of other folds.
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
        stored_states: Copies of weights and optimizer that are kept in the same memory, one a fold.
    """

    batch_size: int
    evaluation_batch_size: int
    optimizer_slots: int
    stored_states: int = 0


def optimizer_slots(optimizer: Any) -> int:
    """Returns how many values an optimizer that is not built keeps for each parameter: 2 for Adam."""
    shape = (2, 3)
    optimizer.build([keras.Variable(keras.ops.zeros(shape))])
    return sum(tuple(variable.shape) == shape for variable in optimizer.variables)


def predict_memory(model: Any, batches: Batches) -> MemoryNeed:
    """Returns the memory that a training takes at least.

    What the backward pass needs, by layer: the input of a layer with a kernel, of batch normalization and of maximum
    pooling; the output of an activation. It needs nothing before the first trainable variable of a path. Of layers of
    other kinds, custom ones included, and of their layers nothing is counted.

    Args:
        model: A Keras model, whose variables need no values.
        batches: What it is trained with.
    """
    forward_pass = _ForwardPass()
    forward_pass.run(model, [_Activation(buffer=_Buffer(_image_bytes(tensor))) for tensor in model.inputs])
    trainable = [_variable_bytes(variable) for variable in model.trainable_variables]
    return MemoryNeed(
        weights=(1 + batches.stored_states) * sum(map(_variable_bytes, model.variables)),
        optimizer=(1 + batches.stored_states) * batches.optimizer_slots * sum(trainable),
        gradient=max(trainable, default=0),
        activations=max(
            batches.batch_size * forward_pass.training, batches.evaluation_batch_size * forward_pass.evaluation
        ),
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
        task: Holds ``--trial-memory``.
        on_cpu: Whether trials train on the CPU. A limit on resident memory does not apply to a GPU.
    """

    def __init__(self, task: Task, *, on_cpu: bool) -> None:
        self._trial_bytes = None if task.trial_memory_mib is None else int(task.trial_memory_mib * 2**20)
        self._on_cpu = on_cpu
        self._initial = _resident_bytes()

    def require(self, need: MemoryNeed) -> None:
        """Checks that a training could fit if it had the memory for itself.

        Raises:
            ExceedsFreeMemory: It cannot.
        """
        for available, name in self._bounds():
            if need.total > available:
                raise ExceedsFreeMemory(_describe(need, available, name))

    def _bounds(self) -> Iterator[tuple[int, str]]:
        """Yields upper bounds of what a training can use, in bytes, and what each is."""
        if not self._on_cpu:
            if (total := _total_device_bytes()) is not None:
                yield total, "the device's memory"
            return
        if self._trial_bytes is not None:
            limit = f"--trial-memory {_gib(self._trial_bytes)} less what the worker took before its first trial"
            yield self._trial_bytes - self._initial, limit
        yield total_memory(), "the memory of the machine or container"


def _describe(need: MemoryNeed, available: int, name: str) -> str:
    return (
        f"Training needs at least {_gib(need.total)}: {_gib(need.weights + need.optimizer)} for weights and optimizer, "
        f"{_gib(need.activations)} for the activations of a batch of {need.batch_size}. "
        f"Expected: at most {_gib(max(0, available))} ({name}). Narrow batch_size or the sizes of layers with --range, "
        "or raise --trial-memory if it is set."
    )


def _gib(count: int) -> str:
    return f"{count / 2**30:.2f} GiB"


@dataclass(frozen=True, slots=True, eq=False)
class _Buffer:
    """Memory that one tensor and its views share; compared by identity.

    Args:
        size: Bytes an image.
    """

    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Activation:
    """A tensor of the forward pass.

    Args:
        buffer: Its memory.
        is_trained: Whether it depends on a trainable variable, so that the backward pass reaches it.
        kept: What the backward pass needs of this tensor and of those that it depends on.
    """

    buffer: _Buffer
    is_trained: bool = False
    kept: frozenset[_Buffer] = frozenset()


class _ForwardPass:
    """Follows the calls of layers through a model and the models nested in it; a shared layer has several calls.

    Attributes:
        training: Most bytes an image that training holds at once.
        evaluation: Most bytes an image that evaluation holds at once.
    """

    def __init__(self) -> None:
        self.training = self.evaluation = 0

    def run(self, model: Any, inputs: Sequence[_Activation]) -> list[_Activation]:
        """Returns the outputs of a functional or sequential model, for such inputs."""
        graph = getattr(model, "_functional", model)  # a sequential model has its graph in another one
        values = dict(zip(map(id, model.inputs), inputs, strict=True))
        for _, nodes in sorted(graph._nodes_by_depth.items(), reverse=True):
            for node in nodes:
                if not node.is_input:
                    outputs = self._call(node, [values[id(tensor)] for tensor in node.input_tensors])
                    values |= zip(map(id, node.output_tensors), outputs, strict=True)
        return [values[id(tensor)] for tensor in model.outputs]

    def _call(self, node: Any, inputs: list[_Activation]) -> list[_Activation]:
        """Returns the outputs of one call of a layer, function or nested model."""
        layer = node.operation
        if _has_graph(layer) and len(layer.inputs) == len(inputs):
            return self.run(layer, inputs)
        reaches_input = any(value.is_trained for value in inputs)
        is_trained = reaches_input or bool(getattr(layer, "trainable_variables", ()))
        given = [value.buffer for value in inputs]
        results = [_Buffer(_image_bytes(tensor)) for tensor in node.output_tensors]
        if not _makes_new_tensor(layer) and [one.size for one in given] == [one.size for one in results]:
            results = given  # the output may be a view
        kept = frozenset[_Buffer]().union(*(value.kept for value in inputs))
        if _needs_input(layer, reaches_input=reaches_input):
            kept = kept.union(given)
        if is_trained and _has_activation(layer):
            kept = kept.union(results)
        held = _total_size(kept)
        if isinstance(layer, KERNEL_LAYERS):
            held += is_trained * _total_size(results)  # the gradient of the output
            self.evaluation = max(self.evaluation, _total_size(given) + _total_size(results))
        self.training = max(self.training, held)
        return [_Activation(buffer=buffer, is_trained=is_trained, kept=kept) for buffer in results]


def _has_graph(layer: Any) -> bool:
    """Returns whether a layer is a functional or a built sequential model; one of another kind hides its calls."""
    return isinstance(layer, keras.Model) and hasattr(getattr(layer, "_functional", layer), "_nodes_by_depth")


def _needs_input(layer: Any, *, reaches_input: bool) -> bool:
    """Returns whether the backward pass needs a layer's input, for the gradient of its variables or of the input.

    Args:
        layer: The layer.
        reaches_input: Whether the gradient of the input is computed.
    """
    if isinstance(layer, KERNEL_LAYERS):
        return any(len(variable.shape) >= 2 for variable in layer.trainable_variables)
    if isinstance(layer, keras.layers.BatchNormalization):
        return bool(layer.scale and layer.trainable_variables)
    return reaches_input and isinstance(layer, keras.layers.MaxPooling2D)


def _has_activation(layer: Any) -> bool:
    is_known = isinstance(layer, (*KERNEL_LAYERS, keras.layers.Activation))
    return is_known and layer.activation is not keras.activations.linear


def _makes_new_tensor(layer: Any) -> bool:
    """Returns whether a layer's output is known to be no view of its input."""
    is_dropout = isinstance(layer, keras.layers.Dropout) and layer.rate > 0
    return is_dropout or _has_activation(layer) or isinstance(layer, (*KERNEL_LAYERS, keras.layers.BatchNormalization))


def _total_size(buffers: Iterable[_Buffer]) -> int:
    return sum(buffer.size for buffer in buffers)


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


def _total_device_bytes() -> int | None:
    """Returns the memory of the GPU of this process; None if unknown."""
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0]
    total_mib = total_gpu_memory_mib([gpu])
    return None if total_mib is None else int(total_mib[0] * 2**20)
