"""One compiled program: how members of one structure are trained and asked, whatever their values and their number.

Knows arrays, and the one model they are the variables of; knows no trial. JAX compiles a function anew for each number
of members, and takes it from the disk where another process compiled it before. A step has room for one number of
images; where a member has fewer, at the end of an epoch or since its batches are smaller, the rest counts for nothing.
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
from search.training.optimizer import make_optimizer
from search.training.vectorized.convolution import ConvolutionMethod
from search.training.vectorized.memory import check_fits
from search.training.vectorized.padding import (
    Axes,
    PaddedLayout,
    ProgramShape,
    embed,
    extract,
    padded_layout,
    unpadded_layout,
)
from search.training.vectorized.program_key import ADAM_FAMILY, make_template, traced_values_set

ProgramState = Mapping[str, list[Any]]
"""The variables of members: trainable, others, and the optimizer's, each (members, ...)."""
VARIABLE_KINDS = ("trainable", "others", "optimizer")
LEARNING_RATE_INDEX = 1
"""Where Keras keeps the learning rate among an optimizer's variables."""


class DeviceImages(NamedTuple):
    """Images and labels on the device: pixels (count, height, width, channels) as stored, and labels (count,) int32."""

    pixels: Any
    labels: Any


class Program:
    """Trains and asks members whose networks have one structure.

    Args:
        model: The network of one of them.
        config: Its configuration, for the optimizer's class.
        shape: What it has room for.
        method: How convolutions are computed.
        memory_limit: Bytes that are free for it; None for what is measured.

    Attributes:
        shape: What it has room for.
        compiled: By what it does and the shapes that it does it with.
        compile_seconds: What all of them took to compile.
    """

    def __init__(
        self,
        model: Any,
        config: Mapping[str, Any],
        shape: ProgramShape,
        *,
        method: ConvolutionMethod = ConvolutionMethod.GROUPED,
        memory_limit: int | None = None,
    ) -> None:
        self.shape, self._template, self._memory_limit = shape, make_template(model, method, shape), memory_limit
        optimizer_name = ADAM_FAMILY[-1] if config["optimizer"] in ADAM_FAMILY else config["optimizer"]
        self._has_decay = optimizer_name == ADAM_FAMILY[-1]
        optimizer_config = {**config, "optimizer": optimizer_name, "schedule": "constant", "weight_decay": 0.0}
        self._optimizer = make_optimizer(optimizer_config, 1)
        self._optimizer.build(self._template.trainable_variables)
        self._slot_owners = _optimizer_slot_owners(
            make_optimizer(optimizer_config, 1), len(self._template.trainable_variables)
        )
        self._train, self._predict = jax.jit(self._train_steps), jax.jit(self._predict_members)
        self.compiled: dict[Any, Any] = {}
        self.compile_seconds = 0.0
        self._variable_order = _order_of_variables(self._template)
        self._augmentation_indices = _augmentation_strength_indices(self._template)

    def layout(self, model: Any) -> PaddedLayout:
        """Returns where a member's own network lies in that of all members."""
        return padded_layout(model, self._template) if self.shape.padded_widths else unpadded_layout(model)

    def initial_state(self, model: Any, place: PaddedLayout) -> ProgramState:
        """Returns the state of one member before its first step, from its own network's initial variables."""
        parts = (model.trainable_variables, model.non_trainable_variables)
        own = {kind: [one.value for one in part] for kind, part in zip(VARIABLE_KINDS, parts, strict=False)}
        return {
            **self._embed_state(own, place),
            "optimizer": [np.asarray(one.value) for one in self._optimizer.variables],
        }

    def to_arrays(self, state: ProgramState, place: PaddedLayout, *, has_rate: bool) -> list[Any]:
        """Returns the state of one member as the variables of its own model and optimizer, in their order.

        Args:
            state: Of the member.
            place: Where its own network lies.
            has_rate: Whether its own optimizer keeps the rate as a variable, since no schedule gives it.
        """
        axes = self._padding_axes(place)
        own = {
            kind: [extract(np.asarray(one), where) for one, where in zip(state[kind], axes[kind], strict=True)]
            for kind in VARIABLE_KINDS
        }
        optimizer = [value for index, value in enumerate(own["optimizer"]) if has_rate or index != LEARNING_RATE_INDEX]
        return [own[kind][index] for kind, index in self._variable_order] + optimizer

    def from_arrays(self, arrays: Sequence[Any], place: PaddedLayout, *, has_rate: bool) -> ProgramState:
        """Returns the state of one member from these variables."""
        state: dict[str, list[Any]] = {
            kind: [None] * sum(one == kind for one, _ in self._variable_order) for kind in VARIABLE_KINDS
        }
        for (kind, index), array in zip(self._variable_order, arrays, strict=False):
            state[kind][index] = array
        optimizer = list(arrays[len(self._variable_order) :])
        state["optimizer"] = (
            optimizer
            if has_rate
            else [*optimizer[:LEARNING_RATE_INDEX], np.float32(0.0), *optimizer[LEARNING_RATE_INDEX:]]
        )
        return self._embed_state(state, place)

    def _embed_state(self, own: ProgramState, place: PaddedLayout) -> ProgramState:
        """Returns a member's variables as they lie in those of all members, further units 0."""
        shapes = {
            kind: [one.shape for one in part]
            for kind, part in zip(VARIABLE_KINDS, self._variable_groups(), strict=True)
        }
        axes = self._padding_axes(place)
        return {kind: list(map(embed, part, axes[kind], shapes[kind])) for kind, part in own.items()}

    def _padding_axes(self, place: PaddedLayout) -> Mapping[str, Sequence[Axes]]:
        optimizer = [None if index is None else place.trainable[index] for index in self._slot_owners]
        return dict(zip(VARIABLE_KINDS, (place.trainable, place.others, optimizer), strict=True))

    def _variable_groups(self) -> tuple[Sequence[Any], ...]:
        return self._template.trainable_variables, self._template.non_trainable_variables, self._optimizer.variables

    def with_augmentation(self, state: ProgramState, strength: np.ndarray) -> ProgramState:
        """Returns the state of all members with their augmentation on, 1, or off, 0, (members,)."""
        others = [
            strength if place in self._augmentation_indices else value for place, value in enumerate(state["others"])
        ]
        return {**state, "others": others}

    def train(
        self, state: ProgramState, values: Any, plan: Any, images: DeviceImages, steps: tuple[int, int]
    ) -> tuple[ProgramState, Any]:
        """Trains all members for some steps; returns their state, and the sum of their losses (members,).

        Args:
            state: Of all members.
            values: What travels, each (members,).
            plan: ``order``, which images a step takes, (steps, members, room), how many of them ``count``,
                (steps, members), and ``rates``, (steps, members). A member that none counts for rests in that step.
            images: Trained on.
            steps: The first, and that behind the last.
        """
        bounds = (jnp.int32(steps[0]), jnp.int32(steps[1]))
        trained: tuple[ProgramState, Any] = self._run_compiled(
            "train", self._train, state, values, plan, tuple(images), bounds
        )
        return trained

    def predict(self, state: ProgramState, pixels: Any) -> Any:
        """Returns what all members say of some images, (members, images, classes)."""
        return self._run_compiled("predict", self._predict, state["trainable"], state["others"], pixels)

    def _run_compiled(self, name: str, function: Any, *arguments: Any) -> Any:
        shapes = (name, *(leaf.shape for leaf in jax.tree.leaves(arguments)))
        if shapes not in self.compiled:
            began = time.perf_counter()
            compiled = function.lower(*arguments).compile()
            self.compile_seconds += time.perf_counter() - began
            check_fits(compiled, self._memory_limit)
            self.compiled[shapes] = compiled
        return self.compiled[shapes](*arguments)

    def _train_steps(self, state: ProgramState, values: Any, plan: Any, images: Any, bounds: Any) -> Any:
        pixels, labels = images

        def body(step: Any, reached: Any) -> Any:
            state, losses = reached
            order, counts, rates = plan["order"][step], plan["count"][step], plan["rates"][step]
            stepped, loss = jax.vmap(self._train_step)(state, values, rates, (pixels[order], labels[order], counts))
            if self.shape.pads_to_share:  # else the steps of all are equally many
                stepped = _select_members(counts > 0, stepped, state)
            return stepped, losses + loss

        nothing = jnp.zeros(plan["rates"].shape[1:], jnp.float32)
        return jax.lax.fori_loop(*bounds, body, (state, nothing))

    def _train_step(self, state: ProgramState, values: Any, rate: Any, batch: Any) -> Any:
        """Takes one optimizer step of one member, as Keras's own loop would; returns also the sum of its losses."""
        pixels, labels, count = batch
        mask = jnp.arange(len(labels)) < count

        def loss_function(trainable: Any) -> Any:
            with traced_values_set(self._template, values["layers"], mask):
                probabilities, others, extra_losses = self._template.stateless_call(
                    trainable, state["others"], pixels, training=True, return_losses=True
                )
            smoothing, classes = values["label_smoothing"], probabilities.shape[-1]
            targets = jax.nn.one_hot(labels, classes) * (1.0 - smoothing) + smoothing / classes
            losses = jnp.where(mask, keras.losses.categorical_crossentropy(targets, probabilities), 0.0)
            return losses.sum() / jnp.maximum(count, 1) + sum(extra_losses), others

        (loss, others), gradients = jax.value_and_grad(loss_function, has_aux=True)(state["trainable"])
        optimizer = [rate if place == LEARNING_RATE_INDEX else value for place, value in enumerate(state["optimizer"])]
        if self._has_decay:
            self._optimizer.weight_decay = values["weight_decay"]
        trainable, optimizer = self._optimizer.stateless_apply(optimizer, gradients, state["trainable"])
        return {"trainable": trainable, "others": others, "optimizer": optimizer}, loss * count

    def _predict_members(self, trainable: Any, others: Any, pixels: Any) -> Any:
        def predict_member(trainable: Any, others: Any) -> Any:
            return self._template.stateless_call(trainable, others, pixels, training=False)[0]

        return jax.vmap(predict_member)(trainable, others)


def _select_members(condition: Any, one: ProgramState, other: ProgramState) -> ProgramState:
    """Returns the state of one for the members for which it is so, (members,), of the other for the rest."""
    chosen: ProgramState = jax.tree.map(
        lambda this, that: jnp.where(condition.reshape(-1, *[1] * (jnp.ndim(this) - 1)), this, that), one, other
    )
    return chosen


def _optimizer_slot_owners(optimizer: Any, count: int) -> list[int | None]:
    """Returns which of the trained variables each of an optimizer's goes with; None for those of all.

    Found by building it for variables that no two of which have one shape.
    """
    optimizer.build([keras.Variable(np.zeros(index + 1, np.float32)) for index in range(count)])
    return [one.shape[0] - 1 if one.shape else None for one in optimizer.variables]


def _order_of_variables(model: Any) -> list[tuple[str, int]]:
    """Returns where each of a model's variables stands in a state, in the model's own order."""
    parts = ((VARIABLE_KINDS[0], model.trainable_variables), (VARIABLE_KINDS[1], model.non_trainable_variables))
    places = {id(variable): (kind, place) for kind, part in parts for place, variable in enumerate(part)}
    return [places[id(variable)] for variable in model.variables]


def _augmentation_strength_indices(model: Any) -> set[int]:
    """Returns which of a model's non-trainable variables are strengths of an augmentation."""
    strengths = {id(layer.strength) for layer in model.layers if isinstance(layer, RandomAffine)}
    return {place for place, one in enumerate(model.non_trainable_variables) if id(one) in strengths}
