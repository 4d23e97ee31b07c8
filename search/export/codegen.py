"""Generates the Python that makes a network, an optimizer or a loss from the Keras object.

A chain of layers becomes a ``Sequential``, any other graph one line a call. Arguments at the class's defaults are left
out. Called by ``search.export.script_parts``.
"""

from __future__ import annotations

import copy
import inspect
import json
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from search.errors import UserError


@dataclass(frozen=True, slots=True, eq=False)
class _LayerCall:
    """One call in a network's graph: the expressions of the callee and of its arguments."""

    callee: str
    arguments: tuple[str, ...]


def network_statements(model: Any, *, custom_layers: Mapping[type, str]) -> str:
    """Returns statements that define ``model`` as an equal network with fresh weights.

    Args:
        model: A functional model of one input and one output.
        custom_layers: Expressions for layers that are not Keras's own, by class.

    Raises:
        UserError: It holds another layer that is not Keras's own, or one without a Python expression.
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
    """Traces a tensor back to the input and collects the calls on the way, dependencies first."""

    def __init__(self, custom_layers: Mapping[type, str]) -> None:
        self._custom_layers, self.calls = custom_layers, list[_LayerCall]()
        self._names: dict[tuple[int, int], str] = {}

    def tensor_expression(self, tensor: Any) -> str:
        """Returns the expression of a tensor; adds the calls that lead to it."""
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
        # Keras records training=False by default, and passes the model's own mode when it is called.
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
        """Returns the callee and its arguments that are not tensors."""
        if (custom_expression := self._custom_layers.get(type(operation))) is not None:
            return custom_expression, ()
        if not isinstance(operation, keras.layers.Layer):
            return _ops_function(operation)
        if len(operation._inbound_nodes) > 1:
            raise unsupported_error(operation.name, "it is called several times, which shares its weights")
        return object_expression(operation), ()


def _ops_function(operation: Any) -> tuple[str, tuple[str, ...]]:
    """Returns the ``keras.ops`` function of an operation, and its settings."""
    name = to_snake_case(type(operation).__name__)
    if not hasattr(keras.ops, name):
        raise unsupported_error(name, "keras.ops has no function of its name")
    settings = {key: value for key, value in operation.get_config().items() if key not in NON_ARGUMENT_KEYS}
    return f"keras.ops.{name}", tuple(f"{key}={value_expression(value)}" for key, value in settings.items())


LINE_WIDTH = 88
"""Characters of a line that can be broken."""
ALIASED_MODULES = ("keras.initializers", "keras.regularizers", "keras.constraints")
"""Modules whose objects also have a name such as "he_normal"."""
NON_ARGUMENT_KEYS = ("name", "seed_generator")
"""Keys of a config that are not arguments to write."""


def object_expression(keras_object: Any) -> str:
    """Returns an expression that makes an equal object.

    Raises:
        UserError: It is not one of Keras's own.
    """
    return _serialized_object_expression(keras.saving.serialize_keras_object(keras_object))


def _serialized_object_expression(document: Mapping[str, Any]) -> str:
    """Returns the expression that makes a serialized object."""
    module, name = document.get("module") or "", document["class_name"]
    if document.get("registered_name") or not (module == "keras" or module.startswith("keras.")):
        raise unsupported_error(name, "it is not one of Keras's own")
    if name == "DTypePolicy":
        return value_expression(document["config"]["name"])
    if name == "Sequential":
        layers = [
            _serialized_object_expression(layer)
            for layer in document["config"]["layers"]
            if layer["class_name"] != "InputLayer"
        ]
        return format_call("keras.Sequential", [format_list(layers)])
    if name in ("Functional", "Lambda"):
        raise unsupported_error(name, "a nested model or a custom function is not one of Keras's layers")
    if module in ALIASED_MODULES and (alias := _find_alias(module, document)):
        return value_expression(alias)
    return format_call(f"{module}.{name}", _non_default_arguments(document))


def _non_default_arguments(document: Mapping[str, Any]) -> list[str]:
    """Returns the class's required arguments, and those whose values are not its defaults."""
    config = document["config"]
    instance = keras.saving.deserialize_keras_object(copy.deepcopy(dict(document)))  # modifies its argument
    signature = inspect.signature(type(instance).__init__).parameters
    required = [
        name for name, parameter in signature.items() if name in config and parameter.default is inspect.Parameter.empty
    ]
    required_config = {name: config[name] for name in required}
    default = keras.saving.serialize_keras_object(type(instance)(**_deserialize(required_config)))["config"]
    changed = (
        name for name in config if name not in (*required, *NON_ARGUMENT_KEYS) and config[name] != default.get(name)
    )
    return [
        *(value_expression(config[name]) for name in required),
        *(f"{name}={value_expression(config[name])}" for name in changed),
    ]


def _deserialize(config: Mapping[str, Any]) -> dict[str, Any]:
    deserialized: dict[str, Any] = keras.saving.deserialize_keras_object(copy.deepcopy(dict(config)))
    return deserialized


def _find_alias(module: str, document: Mapping[str, Any]) -> str:
    """Returns Keras's name for an object with exactly these settings, or ""."""
    alias = to_snake_case(document["class_name"])
    try:
        aliased = keras.saving.serialize_keras_object(getattr(keras, module.partition(".")[2]).get(alias))
    except ValueError:
        return ""
    return alias if aliased == document else ""


def value_expression(value: Any) -> str:
    """Returns an expression for a value in an object's config."""
    if (write := _WRITERS.get(type(value))) is None:
        raise unsupported_error(type(value).__name__, "its value has no Python expression")
    return write(value)


def _dict_expression(value: Mapping[str, Any]) -> str:
    """Returns an expression for a tuple, function or object that Keras serialized as a dict."""
    if value.get("class_name") == "__tuple__":
        return _tuple_expression(tuple(value["items"]))
    if value.get("class_name") == "function" and (value.get("module") or "").startswith("keras."):
        return value_expression(value["config"])
    if "class_name" in value:
        return _serialized_object_expression(value)
    raise unsupported_error("dict", "its value has no Python expression")


def _tuple_expression(value: tuple[Any, ...]) -> str:
    return f"({', '.join(map(value_expression, value))}{',' if len(value) == 1 else ''})"


def _float_expression(value: float) -> str:
    """Returns the shortest text of a number; a 32-bit one would read as 0.0010000000474974513."""
    if value == 1 / 255:
        return "1 / 255"
    return repr(float(str(np.float32(value)))) if float(np.float32(value)) == value else repr(value)


_WRITERS: Mapping[type, Callable[[Any], str]] = {
    type(None): repr,
    bool: repr,
    int: repr,
    float: _float_expression,
    str: json.dumps,
    tuple: _tuple_expression,
    list: lambda value: format_list(list(map(value_expression, value))),
    dict: _dict_expression,
}
"""Writers by the type of a config's value."""


def format_list(items: Sequence[str]) -> str:
    """Returns a list of expressions."""
    return _format_bracketed("[", items, "]")


def format_call(callee: str, arguments: Sequence[str]) -> str:
    """Returns a call."""
    return _format_bracketed(f"{callee}(", arguments, ")")


def _format_bracketed(opening: str, items: Sequence[str], closing: str) -> str:
    """Returns items between brackets, on one line if they fit."""
    line = f"{opening}{', '.join(items)}{closing}"
    if len(items) == 1 and items[0].startswith("["):
        return line
    if len(line) <= LINE_WIDTH and "\n" not in line and not (opening == "[" and len(items) > 2 and "(" in line):
        return line
    return "\n".join([opening, *(textwrap.indent(f"{item},", "    ") for item in items), closing])


def to_snake_case(name: str) -> str:
    """Returns a class's name in snake case, as Keras names functions: "HeNormal" as "he_normal"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def unsupported_error(name: str, reason: str) -> UserError:
    """Returns the error for an object that cannot be written with Keras alone."""
    return UserError(
        f"The network cannot be written as a script of Keras alone. Received: {name}; {reason}.",
        hint="Export it with --as model, or build it of Keras's own layers.",
    )
