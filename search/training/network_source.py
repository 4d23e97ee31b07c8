"""A network as the Python that makes it: a chain of layers as a ``Sequential``, any other graph one line a call.

Written from the network that Keras built, so that it holds for every space. Called by ``search.training.script_parts``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras

from search.training.python_source import (
    NON_ARGUMENT_KEYS,
    format_call,
    format_list,
    object_expression,
    to_snake_case,
    unsupported_error,
    value_expression,
)


@dataclass(frozen=True, slots=True, eq=False)
class _LayerCall:
    """One call in a network's graph: the expression of what is called, and of what it is called with."""

    callee: str
    arguments: tuple[str, ...]


def network_statements(model: Any, *, custom_layers: Mapping[type, str]) -> str:
    """Returns statements after which ``model`` is an equal network, with fresh weights.

    Args:
        model: A functional model of one input and one output.
        custom_layers: Expressions for layers that are not Keras's own, by class.

    Raises:
        UserError: It holds another layer that is not Keras's own, or one that cannot be written down.
    """
    graph = _GraphWriter(custom_layers)
    output = graph.tensor_expression(model.outputs[0])
    shape = f"keras.Input({value_expression(tuple(model.inputs[0].shape[1:]))})"
    previous = ["inputs", *(f"x{place}" for place in range(1, len(graph.calls)))]
    is_chain = all(
        step.arguments == (before,)
        and step.callee.startswith(("keras.layers.", "keras.Sequential", *custom_layers.values()))
        for step, before in zip(graph.calls, previous, strict=True)
    )
    if is_chain:
        return (
            f"model = {format_call('keras.Sequential', [format_list([shape, *(step.callee for step in graph.calls)])])}"
        )
    lines = (
        f"x{place} = {step.callee}({', '.join(step.arguments)})" for place, step in enumerate(graph.calls, start=1)
    )
    return "\n".join([f"inputs = {shape}", *lines, f"model = keras.Model(inputs, {output})"])


class _GraphWriter:
    """Goes back from a tensor to the input, and notes each call on the way, those it depends on first."""

    def __init__(self, custom_layers: Mapping[type, str]) -> None:
        self._custom_layers, self.calls = custom_layers, list[_LayerCall]()
        self._names: dict[tuple[int, int], str] = {}

    def tensor_expression(self, tensor: Any) -> str:
        """Returns the expression of a tensor, after the calls that lead to it were noted."""
        operation, node_index, tensor_index = tensor._keras_history
        if isinstance(operation, keras.layers.InputLayer):
            return "inputs"
        node = operation._inbound_nodes[node_index]
        if (id(operation), node_index) not in self._names:
            arguments = self._argument_expressions(node.arguments)
            callee, settings = self._callee_expression(operation)
            self.calls.append(_LayerCall(callee, (*arguments, *settings)))
            self._names[(id(operation), node_index)] = f"x{len(self.calls)}"
        name = self._names[(id(operation), node_index)]
        return name if len(node.outputs) == 1 else f"{name}[{tensor_index}]"

    def _argument_expressions(self, arguments: Any) -> tuple[str, ...]:
        # Keras notes training=False where nothing was said, and passes the model's own mode when it is called.
        kwargs = {name: value for name, value in arguments.kwargs.items() if value is not None}
        if kwargs.get("training") is False:
            del kwargs["training"]
        named = (f"{name}={self._argument_expression(value)}" for name, value in kwargs.items())
        return (*(self._argument_expression(value) for value in arguments.args), *named)

    def _argument_expression(self, value: Any) -> str:
        if isinstance(value, keras.KerasTensor):
            return self.tensor_expression(value)
        if isinstance(value, list | tuple) and any(isinstance(item, keras.KerasTensor) for item in value):
            return format_list([self._argument_expression(item) for item in value])
        return value_expression(value)

    def _callee_expression(self, operation: Any) -> tuple[str, tuple[str, ...]]:
        """Returns what is called, and what it takes beside tensors."""
        if (custom_expression := self._custom_layers.get(type(operation))) is not None:
            return custom_expression, ()
        if not isinstance(operation, keras.layers.Layer):
            return _ops_function(operation)
        if len(operation._inbound_nodes) > 1:
            raise unsupported_error(operation.name, "its weights are used in several places")
        return object_expression(operation), ()


def _ops_function(operation: Any) -> tuple[str, tuple[str, ...]]:
    """Returns the function of ``keras.ops`` that an operation stands for, and its settings."""
    name = to_snake_case(type(operation).__name__)
    if not hasattr(keras.ops, name):
        raise unsupported_error(name, "keras.ops has no function of its name")
    settings = {key: value for key, value in operation.get_config().items() if key not in NON_ARGUMENT_KEYS}
    return f"keras.ops.{name}", tuple(f"{key}={value_expression(value)}" for key, value in settings.items())
