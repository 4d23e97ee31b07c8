"""Keras objects as the Python that makes them: a network's layers, an optimizer, a loss.

Only arguments that differ from the class's own defaults are written. A chain of layers becomes a ``Sequential``, any
other graph one line a layer. Written from the built network itself, so that it holds for every space. Called by
``search.training.script_parts``.
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

WIDTH = 88
"""Characters of a line, where it can be broken."""
NICKNAMED = ("keras.initializers", "keras.regularizers", "keras.constraints")
"""Modules whose objects Keras also knows by a name such as "he_normal"."""
_UNTOLD = ("name", "seed_generator")


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """One call in a network's graph: the expression of what is called, and of what it is called with."""

    callee: str
    arguments: tuple[str, ...]


def expression(thing: Any) -> str:  # noqa: ANN401 - any Keras object
    """Returns an expression that makes an equal object.

    Raises:
        UserError: It is not one of Keras's own.
    """
    return _object(keras.saving.serialize_keras_object(thing))


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
    shape = f"keras.Input({_value(tuple(model.inputs[0].shape[1:]))})"
    previous = ["inputs", *(f"x{place}" for place in range(1, len(steps.calls)))]
    is_chain = all(
        step.arguments == (before,) and step.callee.startswith(("keras.layers.", "keras.Sequential", *given.values()))
        for step, before in zip(steps.calls, previous, strict=True)
    )
    if is_chain:
        return f"model = {_call('keras.Sequential', [_list([shape, *(step.callee for step in steps.calls)])])}"
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
        kwargs = {name: value for name, value in given.kwargs.items() if value is not None and value is not False}
        named = (f"{name}={self._argument(value)}" for name, value in kwargs.items())
        return (*(self._argument(value) for value in given.args), *named)

    def _argument(self, value: Any) -> str:  # noqa: ANN401
        if isinstance(value, keras.KerasTensor):
            return self.name_of(value)
        if isinstance(value, list | tuple) and any(isinstance(item, keras.KerasTensor) for item in value):
            return _list([self._argument(item) for item in value])
        return _value(value)

    def _callee(self, operation: Any) -> tuple[str, tuple[str, ...]]:  # noqa: ANN401 - Keras layer or operation
        """Returns what is called, and what it takes beside tensors."""
        if (known := self._given.get(type(operation))) is not None:
            return known, ()
        if not isinstance(operation, keras.layers.Layer):
            return _function(operation)
        if len(operation._inbound_nodes) > 1:
            raise _unwritable(operation.name, "its weights are used in several places")
        return expression(operation), ()


def _function(operation: Any) -> tuple[str, tuple[str, ...]]:  # noqa: ANN401 - Keras operation
    """Returns the function of ``keras.ops`` that an operation stands for, and its settings."""
    name = _snake(type(operation).__name__)
    if not hasattr(keras.ops, name):
        raise _unwritable(name, "keras.ops has no function of its name")
    settings = {key: value for key, value in operation.get_config().items() if key not in _UNTOLD}
    return f"keras.ops.{name}", tuple(f"{key}={_value(value)}" for key, value in settings.items())


def _object(document: Mapping[str, Any]) -> str:
    """Returns the call that makes what Keras has serialized."""
    module, name = document.get("module") or "", document["class_name"]
    if document.get("registered_name") or not (module == "keras" or module.startswith("keras.")):
        raise _unwritable(name, "it is not one of Keras's own")
    if name == "Sequential":
        layers = [_object(layer) for layer in document["config"]["layers"] if layer["class_name"] != "InputLayer"]
        return _call("keras.Sequential", [_list(layers)])
    if name in ("Functional", "Lambda"):
        raise _unwritable(name, "a model or a function of one's own within the network is no layer of Keras")
    if module in NICKNAMED and (nickname := _nickname(module, document)):
        return _value(nickname)
    return _call(f"{module}.{name}", _arguments(document))


def _arguments(document: Mapping[str, Any]) -> list[str]:
    """Returns the arguments that the class must be given, and those whose values are not its own defaults."""
    config = document["config"]
    made = keras.saving.deserialize_keras_object(copy.deepcopy(dict(document)))  # it takes its argument apart
    signature = inspect.signature(type(made).__init__).parameters
    required = [
        name for name, parameter in signature.items() if name in config and parameter.default is inspect.Parameter.empty
    ]
    bare = {name: config[name] for name in required}
    default = keras.saving.serialize_keras_object(type(made)(**_deserialized(bare)))["config"]
    changed = (name for name in config if name not in (*required, *_UNTOLD) and config[name] != default.get(name))
    return [*(_value(config[name]) for name in required), *(f"{name}={_value(config[name])}" for name in changed)]


def _deserialized(config: Mapping[str, Any]) -> dict[str, Any]:
    known: dict[str, Any] = keras.saving.deserialize_keras_object(copy.deepcopy(dict(config)))
    return known


def _nickname(module: str, document: Mapping[str, Any]) -> str:
    """Returns the name by which Keras knows an object of just these settings; empty where it has none."""
    nickname = _snake(document["class_name"])
    try:
        known = keras.saving.serialize_keras_object(getattr(keras, module.partition(".")[2]).get(nickname))
    except ValueError:
        return ""
    return nickname if known == document else ""


def _value(value: Any) -> str:  # noqa: ANN401 - anything in a config
    """Returns an expression for a value in an object's config."""
    if (write := _WRITERS.get(type(value))) is None:
        raise _unwritable(type(value).__name__, "its value cannot be written down")
    return write(value)


def _document(value: Mapping[str, Any]) -> str:
    """Returns an expression for what Keras has serialized as a dict: a tuple, a function or an object."""
    if value.get("class_name") == "__tuple__":
        return _tuple(tuple(value["items"]))
    if value.get("class_name") == "function" and (value.get("module") or "").startswith("keras."):
        return _value(value["config"])
    if "class_name" in value:
        return _object(value)
    raise _unwritable("dict", "its value cannot be written down")


def _tuple(value: tuple[Any, ...]) -> str:
    return f"({', '.join(map(_value, value))}{',' if len(value) == 1 else ''})"


def _number(value: float) -> str:
    """Returns the shortest text of a number; Keras keeps some as 32 bits, which read as 0.0010000000474974513."""
    if value == 1 / 255:
        return "1 / 255"
    return repr(float(str(np.float32(value)))) if float(np.float32(value)) == value else repr(value)


_WRITERS: Mapping[type, Callable[[Any], str]] = {
    type(None): repr,
    bool: repr,
    int: repr,
    float: _number,
    str: json.dumps,
    tuple: _tuple,
    list: lambda value: _list(list(map(_value, value))),
    dict: _document,
}
"""Types of a config's values to what writes them."""


def _list(items: Sequence[str]) -> str:
    return _wrapped("[", items, "]")


def _call(callee: str, arguments: Sequence[str]) -> str:
    return _wrapped(f"{callee}(", arguments, ")")


def _wrapped(opening: str, items: Sequence[str], closing: str) -> str:
    """Returns items between brackets, on one line where they fit; a single one hugs its brackets."""
    line = f"{opening}{', '.join(items)}{closing}"
    if len(items) == 1 and items[0].startswith("["):
        return line
    if len(line) <= WIDTH and "\n" not in line and not (opening == "[" and len(items) > 2 and "(" in line):
        return line
    return "\n".join([opening, *(textwrap.indent(f"{item},", "    ") for item in items), closing])


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _unwritable(name: str, reason: str) -> UserError:
    return UserError(
        f"The network cannot be written as a script of Keras alone. Received: {name}; {reason}.",
        hint="Export it with --as model, or build it of Keras's own layers.",
    )
