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
from search.training.population.convolution import Form
from search.training.population.memory import check
from search.training.population.sharing import ADAPTIVE, carrier_of, set_values
from search.training.population.widening import Axes, Layout, Room, cut, lay, layout, plain_layout

State = Mapping[str, list[Any]]
"""The variables of members: trainable, others, and the optimizer's, each (members, ...)."""
KINDS = ("trainable", "others", "optimizer")
RATE = 1
"""Where Keras keeps the learning rate among an optimizer's variables."""


class Images(NamedTuple):
    """Images and labels on the device: pixels (count, height, width, channels) as stored, and labels (count,) int32."""

    pixels: Any
    labels: Any


class Program:
    """Trains and asks members whose networks have one structure.

    Args:
        model: The network of one of them.
        config: Its configuration, for the optimizer's class.
        room: What it has room for.
        form: How convolutions are computed.
        memory: Bytes that are free for it; None for what is measured.

    Attributes:
        room: What it has room for.
        compiled: By what it does and the shapes that it does it with.
        compile_seconds: What all of them took to compile.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401 - Keras model
        config: Mapping[str, Any],
        room: Room,
        *,
        form: Form = Form.GROUPED,
        memory: int | None = None,
    ) -> None:
        self.room, self._carrier, self._memory = room, carrier_of(model, form, room), memory
        name = ADAPTIVE[-1] if config["optimizer"] in ADAPTIVE else config["optimizer"]
        self._has_decay = name == ADAPTIVE[-1]
        plain = {**config, "optimizer": name, "schedule": "constant", "weight_decay": 0.0}
        self._optimizer = make_optimizer(plain, 1)
        self._optimizer.build(self._carrier.trainable_variables)
        self._followed = _followed(make_optimizer(plain, 1), len(self._carrier.trainable_variables))
        self._train, self._predict = jax.jit(self._steps), jax.jit(self._probabilities)
        self.compiled: dict[Any, Any] = {}
        self.compile_seconds = 0.0
        self._order = _order(self._carrier)
        self._strengths = _strengths(self._carrier)

    def layout(self, model: Any) -> Layout:  # noqa: ANN401 - Keras model
        """Returns where a member's own network lies in that of all members."""
        return layout(model, self._carrier) if self.room.ceilings else plain_layout(model)

    def fresh(self, model: Any, place: Layout) -> State:  # noqa: ANN401 - Keras model
        """Returns the state of one member before its first step, from its own network's initial variables."""
        parts = (model.trainable_variables, model.non_trainable_variables)
        own = {kind: [one.value for one in part] for kind, part in zip(KINDS, parts, strict=False)}
        return {**self._laid(own, place), "optimizer": [np.asarray(one.value) for one in self._optimizer.variables]}

    def to_arrays(self, state: State, place: Layout, *, has_rate: bool) -> list[Any]:
        """Returns the state of one member as the variables of its own model and optimizer, in their order.

        Args:
            state: Of the member.
            place: Where its own network lies.
            has_rate: Whether its own optimizer keeps the rate as a variable, since no schedule gives it.
        """
        axes = self._axes(place)
        own = {
            kind: [cut(np.asarray(one), where) for one, where in zip(state[kind], axes[kind], strict=True)]
            for kind in KINDS
        }
        optimizer = [value for index, value in enumerate(own["optimizer"]) if has_rate or index != RATE]
        return [own[kind][index] for kind, index in self._order] + optimizer

    def from_arrays(self, arrays: Sequence[Any], place: Layout, *, has_rate: bool) -> State:
        """Returns the state of one member from these variables."""
        state: dict[str, list[Any]] = {kind: [None] * sum(one == kind for one, _ in self._order) for kind in KINDS}
        for (kind, index), array in zip(self._order, arrays, strict=False):
            state[kind][index] = array
        optimizer = list(arrays[len(self._order) :])
        state["optimizer"] = optimizer if has_rate else [*optimizer[:RATE], np.float32(0.0), *optimizer[RATE:]]
        return self._laid(state, place)

    def _laid(self, own: State, place: Layout) -> State:
        """Returns a member's variables as they lie in those of all members, further units 0."""
        shapes = {kind: [one.shape for one in part] for kind, part in zip(KINDS, self._parts(), strict=True)}
        axes = self._axes(place)
        return {kind: list(map(lay, part, axes[kind], shapes[kind])) for kind, part in own.items()}

    def _axes(self, place: Layout) -> Mapping[str, Sequence[Axes]]:
        optimizer = [None if index is None else place.trainable[index] for index in self._followed]
        return dict(zip(KINDS, (place.trainable, place.others, optimizer), strict=True))

    def _parts(self) -> tuple[Sequence[Any], ...]:
        return self._carrier.trainable_variables, self._carrier.non_trainable_variables, self._optimizer.variables

    def with_strength(self, state: State, strength: np.ndarray) -> State:
        """Returns the state of all members with their augmentation on, 1, or off, 0, (members,)."""
        others = [strength if place in self._strengths else value for place, value in enumerate(state["others"])]
        return {**state, "others": others}

    def train(self, state: State, values: Any, plan: Any, images: Images, steps: tuple[int, int]) -> tuple[State, Any]:  # noqa: ANN401
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
        trained: tuple[State, Any] = self._run("train", self._train, state, values, plan, tuple(images), bounds)
        return trained

    def predict(self, state: State, pixels: Any) -> Any:  # noqa: ANN401 - arrays
        """Returns what all members say of some images, (members, images, classes)."""
        return self._run("predict", self._predict, state["trainable"], state["others"], pixels)

    def _run(self, name: str, function: Any, *arguments: Any) -> Any:  # noqa: ANN401 - arrays
        shapes = (name, *(leaf.shape for leaf in jax.tree.leaves(arguments)))
        if shapes not in self.compiled:
            began = time.perf_counter()
            compiled = function.lower(*arguments).compile()
            self.compile_seconds += time.perf_counter() - began
            check(compiled, self._memory)
            self.compiled[shapes] = compiled
        return self.compiled[shapes](*arguments)

    def _steps(self, state: State, values: Any, plan: Any, images: Any, bounds: Any) -> Any:  # noqa: ANN401
        pixels, labels = images

        def one(step: Any, reached: Any) -> Any:  # noqa: ANN401
            state, losses = reached
            order, counts, rates = plan["order"][step], plan["count"][step], plan["rates"][step]
            stepped, loss = jax.vmap(self._step)(state, values, rates, (pixels[order], labels[order], counts))
            if self.room.is_shared:  # else the steps of all are equally many
                stepped = _where(counts > 0, stepped, state)
            return stepped, losses + loss

        nothing = jnp.zeros(plan["rates"].shape[1:], jnp.float32)
        return jax.lax.fori_loop(*bounds, one, (state, nothing))

    def _step(self, state: State, values: Any, rate: Any, batch: Any) -> Any:  # noqa: ANN401
        """Takes one optimizer step of one member, as Keras's own loop would; returns also the sum of its losses."""
        pixels, labels, count = batch
        present = jnp.arange(len(labels)) < count

        def loss_of(trainable: Any) -> Any:  # noqa: ANN401
            with set_values(self._carrier, values["layers"], present):
                said, others, more = self._carrier.stateless_call(
                    trainable, state["others"], pixels, training=True, return_losses=True
                )
            smoothing, classes = values["label_smoothing"], said.shape[-1]
            targets = jax.nn.one_hot(labels, classes) * (1.0 - smoothing) + smoothing / classes
            losses = jnp.where(present, keras.losses.categorical_crossentropy(targets, said), 0.0)
            return losses.sum() / jnp.maximum(count, 1) + sum(more), others

        (loss, others), gradients = jax.value_and_grad(loss_of, has_aux=True)(state["trainable"])
        optimizer = [rate if place == RATE else value for place, value in enumerate(state["optimizer"])]
        if self._has_decay:
            self._optimizer.weight_decay = values["weight_decay"]
        trainable, optimizer = self._optimizer.stateless_apply(optimizer, gradients, state["trainable"])
        return {"trainable": trainable, "others": others, "optimizer": optimizer}, loss * count

    def _probabilities(self, trainable: Any, others: Any, pixels: Any) -> Any:  # noqa: ANN401
        def one(trainable: Any, others: Any) -> Any:  # noqa: ANN401
            return self._carrier.stateless_call(trainable, others, pixels, training=False)[0]

        return jax.vmap(one)(trainable, others)


def _where(is_so: Any, one: State, other: State) -> State:  # noqa: ANN401 - array
    """Returns the state of one for the members for which it is so, (members,), of the other for the rest."""
    chosen: State = jax.tree.map(
        lambda this, that: jnp.where(is_so.reshape(-1, *[1] * (jnp.ndim(this) - 1)), this, that), one, other
    )
    return chosen


def _followed(optimizer: Any, count: int) -> list[int | None]:  # noqa: ANN401 - Keras optimizer
    """Returns which of the trained variables each of an optimizer's goes with; None for those of all.

    Found by building it for variables that no two of which have one shape.
    """
    optimizer.build([keras.Variable(np.zeros(index + 1, np.float32)) for index in range(count)])
    return [one.shape[0] - 1 if one.shape else None for one in optimizer.variables]


def _order(model: Any) -> list[tuple[str, int]]:  # noqa: ANN401 - Keras model
    """Returns where each of a model's variables stands in a state, in the model's own order."""
    parts = ((KINDS[0], model.trainable_variables), (KINDS[1], model.non_trainable_variables))
    places = {id(variable): (kind, place) for kind, part in parts for place, variable in enumerate(part)}
    return [places[id(variable)] for variable in model.variables]


def _strengths(model: Any) -> set[int]:  # noqa: ANN401 - Keras model
    """Returns which of a model's non-trainable variables are strengths of an augmentation."""
    strengths = {id(layer.strength) for layer in model.layers if isinstance(layer, RandomAffine)}
    return {place for place, one in enumerate(model.non_trainable_variables) if id(one) in strengths}
