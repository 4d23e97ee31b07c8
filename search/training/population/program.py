"""One compiled program: how members of one structure are trained and asked, whatever their values and their number.

Knows arrays, and the one model they are the variables of; knows no trial. JAX compiles a function anew for each number
of members, each size of batch, and takes it from the disk where another process compiled it before.
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
        form: How convolutions are computed.
        memory: Bytes that are free for it; None for what is measured.

    Attributes:
        compiled: By what it does and the shapes that it does it with.
        compile_seconds: What all of them took to compile.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401 - Keras model
        config: Mapping[str, Any],
        form: Form = Form.GROUPED,
        memory: int | None = None,
    ) -> None:
        self._carrier, self._memory = carrier_of(model, form), memory
        name = ADAPTIVE[-1] if config["optimizer"] in ADAPTIVE else config["optimizer"]
        self._has_decay = name == ADAPTIVE[-1]
        self._optimizer = make_optimizer({**config, "optimizer": name, "schedule": "constant", "weight_decay": 0.0}, 1)
        self._optimizer.build(self._carrier.trainable_variables)
        self._train, self._predict = jax.jit(self._steps), jax.jit(self._probabilities)
        self.compiled: dict[Any, Any] = {}
        self.compile_seconds = 0.0
        self._order = _order(self._carrier)
        self._strengths = _strengths(self._carrier)

    def fresh(self, model: Any) -> State:  # noqa: ANN401 - Keras model
        """Returns the state of one member before its first step, from its own network's initial variables."""
        parts = (model.trainable_variables, model.non_trainable_variables, self._optimizer.variables)
        return {kind: [np.asarray(one.value) for one in part] for kind, part in zip(KINDS, parts, strict=True)}

    def to_arrays(self, state: State, *, has_rate: bool) -> list[Any]:
        """Returns the state of one member as the variables of its own model and optimizer, in their order.

        Args:
            state: Of the member.
            has_rate: Whether its own optimizer keeps the rate as a variable, since no schedule gives it.
        """
        own = [value for place, value in enumerate(state["optimizer"]) if has_rate or place != RATE]
        return [state[kind][place] for kind, place in self._order] + own

    def from_arrays(self, arrays: Sequence[Any], *, has_rate: bool) -> State:
        """Returns the state of one member from these variables."""
        state: dict[str, list[Any]] = {kind: [None] * sum(one == kind for one, _ in self._order) for kind in KINDS}
        for (kind, place), array in zip(self._order, arrays, strict=False):
            state[kind][place] = array
        optimizer = list(arrays[len(self._order) :])
        state["optimizer"] = optimizer if has_rate else [*optimizer[:RATE], np.float32(0.0), *optimizer[RATE:]]
        return state

    def with_strength(self, state: State, strength: np.ndarray) -> State:
        """Returns the state of all members with their augmentation on, 1, or off, 0, (members,)."""
        others = [strength if place in self._strengths else value for place, value in enumerate(state["others"])]
        return {**state, "others": others}

    def train(self, state: State, values: Any, plan: Any, images: Images, steps: tuple[int, int]) -> tuple[State, Any]:  # noqa: ANN401
        """Trains all members for some steps; returns their state, and the sum of their losses (members,).

        Args:
            state: Of all members.
            values: What travels, each (members,).
            plan: ``order``, which images a step takes, (steps, members, batch size), and ``rates``, (steps, members).
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
            order, rates = plan["order"][step], plan["rates"][step]
            state, loss = jax.vmap(self._step)(state, values, rates, pixels[order], labels[order])
            return state, losses + loss

        nothing = jnp.zeros(plan["rates"].shape[1:], jnp.float32)
        return jax.lax.fori_loop(*bounds, one, (state, nothing))

    def _step(self, state: State, values: Any, rate: Any, pixels: Any, labels: Any) -> Any:  # noqa: ANN401
        """Takes one optimizer step of one member, as Keras's own loop would."""

        def loss_of(trainable: Any) -> Any:  # noqa: ANN401
            with set_values(self._carrier, values["layers"]):
                said, others, more = self._carrier.stateless_call(
                    trainable, state["others"], pixels, training=True, return_losses=True
                )
            smoothing, classes = values["label_smoothing"], said.shape[-1]
            targets = jax.nn.one_hot(labels, classes) * (1.0 - smoothing) + smoothing / classes
            return keras.losses.categorical_crossentropy(targets, said).mean() + sum(more), others

        (loss, others), gradients = jax.value_and_grad(loss_of, has_aux=True)(state["trainable"])
        optimizer = [rate if place == RATE else value for place, value in enumerate(state["optimizer"])]
        if self._has_decay:
            self._optimizer.weight_decay = values["weight_decay"]
        trainable, optimizer = self._optimizer.stateless_apply(optimizer, gradients, state["trainable"])
        return {"trainable": trainable, "others": others, "optimizer": optimizer}, loss

    def _probabilities(self, trainable: Any, others: Any, pixels: Any) -> Any:  # noqa: ANN401
        def one(trainable: Any, others: Any) -> Any:  # noqa: ANN401
            return self._carrier.stateless_call(trainable, others, pixels, training=False)[0]

        return jax.vmap(one)(trainable, others)


def _order(model: Any) -> list[tuple[str, int]]:  # noqa: ANN401 - Keras model
    """Returns where each of a model's variables stands in a state, in the model's own order."""
    parts = ((KINDS[0], model.trainable_variables), (KINDS[1], model.non_trainable_variables))
    places = {id(variable): (kind, place) for kind, part in parts for place, variable in enumerate(part)}
    return [places[id(variable)] for variable in model.variables]


def _strengths(model: Any) -> set[int]:  # noqa: ANN401 - Keras model
    """Returns which of a model's non-trainable variables are strengths of an augmentation."""
    strengths = {id(layer.strength) for layer in model.layers if isinstance(layer, RandomAffine)}
    return {place for place, one in enumerate(model.non_trainable_variables) if id(one) in strengths}
