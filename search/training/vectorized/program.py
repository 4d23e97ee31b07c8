"""One compiled program: trains and evaluates all members of one network structure at once.

JAX compiles a program for each number of members, and loads it from the compilation cache if it was compiled before.
Works on arrays and a template model, without trials. Called by populations.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import keras
import numpy as np

from search.training.augmentation import RandomAffine
from search.training.cgroup import available_memory
from search.training.network import make_optimizer
from search.training.run_state import ExceedsFreeMemory
from search.training.vectorized.convolution import ConvolutionMethod
from search.training.vectorized.program_key import ADAM_FAMILY, is_samplewise, make_template, traced_values_set

ProgramState = Mapping[str, list[Any]]
"""The variables of members: "trainable", "others" and "optimizer", each a list of arrays (members, ...)."""
LEARNING_RATE_INDEX = 1
"""Index of the learning rate among a Keras optimizer's variables."""
USABLE_FRACTION = 0.9
"""Share of the free memory that a program may use."""


class DeviceImages(NamedTuple):
    """Images and labels on the device: pixels (count, height, width, channels) as stored, and labels (count,) int32."""

    pixels: Any
    labels: Any


class Program:
    """Trains and evaluates members whose networks have one structure.

    Args:
        model: The network of one member.
        config: Its complete configuration, for the optimizer's class.
        method: How convolutions are computed.
        memory_limit: Free bytes; None to query the device.
        class_weights: Factor of the loss of an image of each class, (classes,); None for 1.

    Attributes:
        pads_last_batch: Whether a short last batch is filled up and masked; else it is a step of another shape.
        compiled: The compiled functions by name and argument shapes.
        compile_seconds: Total seconds of compilation.
    """

    def __init__(
        self,
        model: Any,
        config: Mapping[str, Any],
        *,
        method: ConvolutionMethod = ConvolutionMethod.GROUPED,
        memory_limit: int | None = None,
        class_weights: np.ndarray | None = None,
    ) -> None:
        self._class_weights = class_weights
        self._template, self._memory_limit = make_template(model, method), memory_limit
        self.pads_last_batch = is_samplewise(model)
        optimizer_name = ADAM_FAMILY[-1] if config["optimizer"] in ADAM_FAMILY else config["optimizer"]
        self._has_decay = optimizer_name == ADAM_FAMILY[-1]
        self._optimizer = make_optimizer(
            {**config, "optimizer": optimizer_name, "schedule": "constant", "weight_decay": 0.0}, 1
        )
        self._optimizer.build(self._template.trainable_variables)
        self._train, self._predict = jax.jit(self._train_steps), jax.jit(self._predict_members)
        self.compiled: dict[Any, Any] = {}
        self.compile_seconds = 0.0
        # Where each variable of the template stands in a state, in the model's own order.
        parts = {
            "trainable": self._template.trainable_variables,
            "others": self._template.non_trainable_variables,
        }
        positions = {id(variable): (kind, i) for kind, part in parts.items() for i, variable in enumerate(part)}
        self._variable_order = [positions[id(variable)] for variable in self._template.variables]
        strengths = [layer.strength for layer in self._template.layers if isinstance(layer, RandomAffine)]
        self._augmentation_indices = {positions[id(strength)][1] for strength in strengths}

    def initial_state(self, model: Any) -> ProgramState:
        """Returns the state of one member before its first step, from its own network's initial variables."""
        return {
            "trainable": [np.asarray(variable.value) for variable in model.trainable_variables],
            "others": [np.asarray(variable.value) for variable in model.non_trainable_variables],
            "optimizer": [np.asarray(variable.value) for variable in self._optimizer.variables],
        }

    def to_arrays(self, state: ProgramState, *, has_rate: bool) -> list[Any]:
        """Returns the state of one member as the variables of its own model and optimizer, in their order.

        Args:
            state: The member's state.
            has_rate: Whether its own optimizer keeps the learning rate as a variable, as it does without a schedule.
        """
        optimizer = [array for i, array in enumerate(state["optimizer"]) if has_rate or i != LEARNING_RATE_INDEX]
        return [np.asarray(array) for array in (*(state[kind][i] for kind, i in self._variable_order), *optimizer)]

    def from_arrays(self, arrays: Sequence[Any], *, has_rate: bool) -> ProgramState:
        """Returns the state of one member that ``to_arrays`` described."""
        by_position = dict(zip(self._variable_order, arrays, strict=False))
        optimizer = list(arrays[len(self._variable_order) :])
        if not has_rate:
            optimizer.insert(LEARNING_RATE_INDEX, np.float32(0.0))
        return {
            "trainable": [by_position["trainable", i] for i in range(len(self._template.trainable_variables))],
            "others": [by_position["others", i] for i in range(len(self._template.non_trainable_variables))],
            "optimizer": optimizer,
        }

    def with_augmentation(self, state: ProgramState, strength: np.ndarray) -> ProgramState:
        """Returns the state of all members with their augmentation on, 1, or off, 0, (members,)."""
        others = [strength if i in self._augmentation_indices else array for i, array in enumerate(state["others"])]
        return {**state, "others": others}

    def train(
        self, state: ProgramState, values: Any, plan: Any, images: DeviceImages, steps: tuple[int, int]
    ) -> tuple[ProgramState, Any]:
        """Trains all members for some steps; returns their state, and the sum of their losses (members,).

        Args:
            state: Of all members.
            values: The per-member values, each (members,).
            plan: For each step the indices of its images, ``order`` (steps, members, batch), how many of them count,
                ``count`` (steps,), and the learning rates, ``rates`` (steps, members).
            images: The training images.
            steps: First step, and the end of the range.
        """
        bounds = (jnp.int32(steps[0]), jnp.int32(steps[1]))
        trained: tuple[ProgramState, Any] = self._run_compiled(
            "train", self._train, state, values, plan, tuple(images), bounds
        )
        return trained

    def predict(self, state: ProgramState, pixels: Any) -> Any:
        """Returns the probabilities that all members give to some images, (members, images, classes)."""
        return self._run_compiled("predict", self._predict, state["trainable"], state["others"], pixels)

    def max_members(self, members: int, free: int) -> int:
        """Returns how many members fit into memory, at least one, by XLA's memory analysis.

        Three states are kept beside the memory of a running function: before the epoch, before the last call, and the
        result of the call.

        Args:
            members: How many members the functions were compiled for.
            free: Bytes that were free before there were any members.
        """
        analyses = [
            analysis for function in self.compiled.values() if (analysis := function.memory_analysis()) is not None
        ]
        if not analyses:
            return members
        state = max(analysis.output_size_in_bytes for analysis in analyses)
        needed = max(analysis.temp_size_in_bytes for analysis in analyses) + 3 * state
        return max(1, int(USABLE_FRACTION * free * members / needed))

    def _run_compiled(self, name: str, function: Any, *arguments: Any) -> Any:
        """Calls a function; compiles it first for new shapes.

        Raises:
            ExceedsFreeMemory: It would use more memory than is free.
        """
        shapes = (name, *(leaf.shape for leaf in jax.tree.leaves(arguments)))
        if shapes not in self.compiled:
            started = time.perf_counter()
            compiled = function.lower(*arguments).compile()
            self.compile_seconds += time.perf_counter() - started
            analysis, free = compiled.memory_analysis(), self._memory_limit or free_bytes()
            needed = 0 if analysis is None else analysis.temp_size_in_bytes + analysis.output_size_in_bytes
            if needed > USABLE_FRACTION * free:
                raise ExceedsFreeMemory(
                    f"The program needs {needed / 2**30:.2f} GiB of memory. {free / 2**30:.2f} GiB are free."
                )
            self.compiled[shapes] = compiled
        return self.compiled[shapes](*arguments)

    def _train_steps(self, state: ProgramState, values: Any, plan: Any, images: Any, bounds: Any) -> Any:
        pixels, labels = images
        train_members = jax.vmap(self._train_step, in_axes=(0, 0, 0, 0, 0, None))

        def body(step: Any, carry: Any) -> Any:
            state, losses = carry
            order = plan["order"][step]
            state, loss = train_members(
                state, values, plan["rates"][step], pixels[order], labels[order], plan["count"][step]
            )
            return state, losses + loss

        return jax.lax.fori_loop(*bounds, body, (state, jnp.zeros(plan["rates"].shape[1:], jnp.float32)))

    def _train_step(self, state: ProgramState, values: Any, rate: Any, pixels: Any, labels: Any, count: Any) -> Any:
        """Takes one optimizer step of one member, as Keras's own loop does; returns also the sum of its losses."""
        mask = jnp.arange(len(labels)) < count

        def loss_function(trainable: Any) -> Any:
            with traced_values_set(self._template, values["layers"], mask):
                probabilities, others, extra_losses = self._template.stateless_call(
                    trainable, state["others"], pixels, training=True, return_losses=True
                )
            smoothing, classes = values["label_smoothing"], probabilities.shape[-1]
            targets = jax.nn.one_hot(labels, classes) * (1.0 - smoothing) + smoothing / classes
            losses = jnp.where(mask, keras.losses.categorical_crossentropy(targets, probabilities), 0.0)
            if self._class_weights is not None:
                losses *= jnp.asarray(self._class_weights)[labels]
            return losses.sum() / count + sum(extra_losses), others

        (loss, others), gradients = jax.value_and_grad(loss_function, has_aux=True)(state["trainable"])
        optimizer = [rate if i == LEARNING_RATE_INDEX else array for i, array in enumerate(state["optimizer"])]
        if self._has_decay:
            self._optimizer.weight_decay = values["weight_decay"]
        trainable, optimizer = self._optimizer.stateless_apply(optimizer, gradients, state["trainable"])
        return {"trainable": trainable, "others": others, "optimizer": optimizer}, loss * count

    def _predict_members(self, trainable: Any, others: Any, pixels: Any) -> Any:
        def predict_member(trainable: Any, others: Any) -> Any:
            return self._template.stateless_call(trainable, others, pixels, training=False)[0]

        return jax.vmap(predict_member)(trainable, others)


def free_bytes() -> int:
    """Returns the free memory of the device; on a CPU, of the machine or its container."""
    device = jax.devices()[0]
    stats = device.memory_stats() if device.platform != "cpu" else None
    if not stats or "bytes_limit" not in stats:
        return available_memory()
    return int(stats["bytes_limit"] - stats["bytes_in_use"])
