"""A network as the Python that makes it: a chain of layers as a ``Sequential``, any other graph one line a call.

Written from the network that Keras built, so that it holds for every space. Called by ``search.training.script_parts``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras

from search.training.python_source import UNTOLD, called, expression, listed, snake, source, unwritable


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """One call in a network's graph: the expression of what is called, and of what it is called with."""

    callee: str
    arguments: tuple[str, ...]


def network(model: Any, *, given: Mapping[type, str]) -> str:  # noqa: ANN401 - Keras model
    """Returns statements after which ``model`` is an equal network, with fresh weights.

    Args:
        model: A functional model of one input and one output.
        given: Expressions for layers that are not Keras's own, by class.

    Raises:
        UserError: It holds another layer that is not Keras's own, or one that cannot be written down.
    """
    steps = _Graph(given)
    output = steps.name_of(model.outputs[0])
    shape = f"keras.Input({source(tuple(model.inputs[0].shape[1:]))})"
    previous = ["inputs", *(f"x{place}" for place in range(1, len(steps.calls)))]
    is_chain = all(
        step.arguments == (before,) and step.callee.startswith(("keras.layers.", "keras.Sequential", *given.values()))
        for step, before in zip(steps.calls, previous, strict=True)
    )
    if is_chain:
        return f"model = {called('keras.Sequential', [listed([shape, *(step.callee for step in steps.calls)])])}"
    lines = (
        f"x{place} = {step.callee}({', '.join(step.arguments)})" for place, step in enumerate(steps.calls, start=1)
    )
    return "\n".join([f"inputs = {shape}", *lines, f"model = keras.Model(inputs, {output})"])


class _Graph:
    """Goes back from a tensor to the input, and notes each call on the way, those it depends on first."""

    def __init__(self, given: Mapping[type, str]) -> None:
        self._given, self.calls = given, list[_Step]()
        self._names: dict[tuple[int, int], str] = {}

    def name_of(self, tensor: Any) -> str:  # noqa: ANN401 - Keras tensor
        """Returns the expression of a tensor, after the calls that lead to it were noted."""
        operation, node_index, tensor_index = tensor._keras_history
        if isinstance(operation, keras.layers.InputLayer):
            return "inputs"
        node = operation._inbound_nodes[node_index]
        if (id(operation), node_index) not in self._names:
            arguments = self._arguments(node.arguments)
            callee, settings = self._callee(operation)
            self.calls.append(_Step(callee, (*arguments, *settings)))
            self._names[(id(operation), node_index)] = f"x{len(self.calls)}"
        name = self._names[(id(operation), node_index)]
        return name if len(node.outputs) == 1 else f"{name}[{tensor_index}]"

    def _arguments(self, given: Any) -> tuple[str, ...]:  # noqa: ANN401 - Keras's symbolic arguments
        # Keras notes training=False where nothing was said, and passes the model's own mode when it is called.
        kwargs = {name: value for name, value in given.kwargs.items() if value is not None}
        if kwargs.get("training") is False:
            del kwargs["training"]
        named = (f"{name}={self._argument(value)}" for name, value in kwargs.items())
        return (*(self._argument(value) for value in given.args), *named)

    def _argument(self, value: Any) -> str:  # noqa: ANN401
        if isinstance(value, keras.KerasTensor):
            return self.name_of(value)
        if isinstance(value, list | tuple) and any(isinstance(item, keras.KerasTensor) for item in value):
            return listed([self._argument(item) for item in value])
        return source(value)

    def _callee(self, operation: Any) -> tuple[str, tuple[str, ...]]:  # noqa: ANN401 - Keras layer or operation
        """Returns what is called, and what it takes beside tensors."""
        if (known := self._given.get(type(operation))) is not None:
            return known, ()
        if not isinstance(operation, keras.layers.Layer):
            return _function(operation)
        if len(operation._inbound_nodes) > 1:
            raise unwritable(operation.name, "its weights are used in several places")
        return expression(operation), ()


def _function(operation: Any) -> tuple[str, tuple[str, ...]]:  # noqa: ANN401 - Keras operation
    """Returns the function of ``keras.ops`` that an operation stands for, and its settings."""
    name = snake(type(operation).__name__)
    if not hasattr(keras.ops, name):
        raise unwritable(name, "keras.ops has no function of its name")
    settings = {key: value for key, value in operation.get_config().items() if key not in UNTOLD}
    return f"keras.ops.{name}", tuple(f"{key}={source(value)}" for key, value in settings.items())
