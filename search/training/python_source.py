"""Keras objects as the Python that makes them: layers, optimizers, losses.

Only arguments that differ from the class's own defaults are written. Called by ``search.training.network_source`` and
``search.training.script_parts``.
"""

from __future__ import annotations

import copy
import inspect
import json
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from search.errors import UserError

WIDTH = 88
"""Characters of a line, where it can be broken."""
NICKNAMED = ("keras.initializers", "keras.regularizers", "keras.constraints")
"""Modules whose objects Keras also knows by a name such as "he_normal"."""
UNTOLD = ("name", "seed_generator")
"""What of a config is no setting."""


def expression(thing: Any) -> str:  # noqa: ANN401 - any Keras object
    """Returns an expression that makes an equal object.

    Raises:
        UserError: It is not one of Keras's own.
    """
    return _object(keras.saving.serialize_keras_object(thing))


def _object(document: Mapping[str, Any]) -> str:
    """Returns the call that makes what Keras has serialized."""
    module, name = document.get("module") or "", document["class_name"]
    if document.get("registered_name") or not (module == "keras" or module.startswith("keras.")):
        raise unwritable(name, "it is not one of Keras's own")
    if name == "DTypePolicy":
        return source(document["config"]["name"])
    if name == "Sequential":
        layers = [_object(layer) for layer in document["config"]["layers"] if layer["class_name"] != "InputLayer"]
        return called("keras.Sequential", [listed(layers)])
    if name in ("Functional", "Lambda"):
        raise unwritable(name, "a model or a function of one's own within the network is no layer of Keras")
    if module in NICKNAMED and (nickname := _nickname(module, document)):
        return source(nickname)
    return called(f"{module}.{name}", _arguments(document))


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
    changed = (name for name in config if name not in (*required, *UNTOLD) and config[name] != default.get(name))
    return [*(source(config[name]) for name in required), *(f"{name}={source(config[name])}" for name in changed)]


def _deserialized(config: Mapping[str, Any]) -> dict[str, Any]:
    known: dict[str, Any] = keras.saving.deserialize_keras_object(copy.deepcopy(dict(config)))
    return known


def _nickname(module: str, document: Mapping[str, Any]) -> str:
    """Returns the name by which Keras knows an object of just these settings; empty where it has none."""
    nickname = snake(document["class_name"])
    try:
        known = keras.saving.serialize_keras_object(getattr(keras, module.partition(".")[2]).get(nickname))
    except ValueError:
        return ""
    return nickname if known == document else ""


def source(value: Any) -> str:  # noqa: ANN401 - anything in a config
    """Returns an expression for a value in an object's config."""
    if (write := _WRITERS.get(type(value))) is None:
        raise unwritable(type(value).__name__, "its value cannot be written down")
    return write(value)


def _document(value: Mapping[str, Any]) -> str:
    """Returns an expression for what Keras has serialized as a dict: a tuple, a function or an object."""
    if value.get("class_name") == "__tuple__":
        return _tuple(tuple(value["items"]))
    if value.get("class_name") == "function" and (value.get("module") or "").startswith("keras."):
        return source(value["config"])
    if "class_name" in value:
        return _object(value)
    raise unwritable("dict", "its value cannot be written down")


def _tuple(value: tuple[Any, ...]) -> str:
    return f"({', '.join(map(source, value))}{',' if len(value) == 1 else ''})"


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
    list: lambda value: listed(list(map(source, value))),
    dict: _document,
}
"""Types of a config's values to what writes them."""


def listed(items: Sequence[str]) -> str:
    """Returns a list of expressions."""
    return _wrapped("[", items, "]")


def called(callee: str, arguments: Sequence[str]) -> str:
    """Returns a call."""
    return _wrapped(f"{callee}(", arguments, ")")


def _wrapped(opening: str, items: Sequence[str], closing: str) -> str:
    """Returns items between brackets, on one line where they fit; a single one hugs its brackets."""
    line = f"{opening}{', '.join(items)}{closing}"
    if len(items) == 1 and items[0].startswith("["):
        return line
    if len(line) <= WIDTH and "\n" not in line and not (opening == "[" and len(items) > 2 and "(" in line):
        return line
    return "\n".join([opening, *(textwrap.indent(f"{item},", "    ") for item in items), closing])


def snake(name: str) -> str:
    """Returns a class's name as Keras names its functions: "HeNormal" as "he_normal"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def unwritable(name: str, reason: str) -> UserError:
    """Returns the error for what Keras alone could not make again."""
    return UserError(
        f"The network cannot be written as a script of Keras alone. Received: {name}; {reason}.",
        hint="Export it with --as model, or build it of Keras's own layers.",
    )
