"""Writes a space that is given as a Python object, in a notebook or a script, as the text of a space file.

Trials run in other processes, and a study is continued and reproduced from its space's file. So the file holds the
source of the builder and of all that it refers to: functions and classes as they were defined, imports, and constants
by their values. It does not depend on the order of a notebook's cells, and is the same in the next session. What cannot
be written as source is refused. Called by ``search.api``.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import linecache
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from spaces import registry
from spaces.errors import SpaceError
from spaces.hypermodels.source import read_names
from spaces.hypermodels.target import RESULT_NAME
from spaces.local_modules import is_installed_file
from spaces.space import Space

HEAD = '"""Written by search.run from objects of a notebook or a script; keep it with the study."""'
REMEDY = "Define it inside the function, or write the space to a file and give its path."


def shipped_name(given: object) -> str | None:
    """Returns the name of a shipped space that is given as an object; None for other objects."""
    return next((name for name in registry.SPACES if registry.load(name) is given), None)


def space_file(given: object) -> tuple[str, str]:
    """Returns the name of a space and the text of its file.

    Args:
        given: A ``Space``, a function ``build_model(hp)``, or a class or an instance of Keras Tuner's ``HyperModel``.

    Raises:
        SpaceError: It is none of these, or it refers to what cannot be written as source; the text names it.
    """
    file = _File()
    if isinstance(given, Space):
        name, definition = given.name, file.space(given)
    elif isinstance(given, FunctionType):
        _check_builder(given)
        name, definition = given.__name__, f"{RESULT_NAME} = {file.refer(given)}"
    elif isinstance(given, type) and callable(getattr(given, "build", None)):
        name, definition = given.__name__, f"{RESULT_NAME} = {file.refer(given)}"
    elif callable(getattr(given, "build", None)) and not isinstance(given, ModuleType):
        name, definition = type(given).__name__, file.instance(given)
    else:
        raise SpaceError(
            "A space is a shipped name, the path of a file, a Space, a function build_model(hp), or Keras Tuner's "
            f"HyperModel. Received: {given!r} of type {type(given).__name__}."
        )
    lines = [HEAD, "", "from __future__ import annotations", "", *sorted(file.imports.values())]
    return name, "\n\n\n".join(["\n".join(lines), *file.definitions.values(), definition]) + "\n"


def _check_builder(function: FunctionType) -> None:
    """Raises a SpaceError for a builder of configurations, whose parameters nothing declares."""
    if "config" in inspect.signature(function).parameters:
        raise SpaceError(
            "A builder that takes a config needs a Space, which declares its parameters: "
            f"Space(name=..., parameters={{...}}, build={function.__name__}). Received: {function.__name__} alone."
        )


@dataclass(slots=True)
class _File:
    """The statements of a file by the name that each binds.

    Args:
        imports: Those that import.
        definitions: All others, in the order in which they must run.
    """

    imports: dict[str, str] = field(default_factory=dict)
    definitions: dict[str, str] = field(default_factory=dict)
    _bound: dict[str, object] = field(default_factory=dict)

    def space(self, space: Space) -> str:
        """Returns the statement that defines ``SPACE``."""
        self._bind("spaces", sys.modules["spaces"], space.name)
        lines = [f"    name={space.name!r},", f"    doc={space.doc!r},"]
        for title, values in (("parameters", space.declared), ("recipes", space.recipes)):
            entries = [f"        {name!r}: {_constructor(value)}," for name, value in values.items()]
            lines += [f"    {title}={{", *entries, "    },"] if entries else []
        for title in ("build", "workload"):
            if (function := getattr(space, title)) is not None:
                lines.append(f"    {title}={self._function(function, f'{title} of {space.name}')},")
        return "\n".join(["SPACE = spaces.Space(", *lines, ")"])

    def instance(self, given: object) -> str:
        """Returns the statements that make an equal instance, without calling its constructor.

        Keras Tuner's ``HyperModel`` keeps bound methods of the instance among its attributes.
        """
        cls, name = self.refer(type(given)), "_instance"
        lines = [f"{name} = {cls}.__new__({cls})"]
        for attribute, value in vars(given).items():
            text: str | None
            if inspect.ismethod(value) and value.__self__ is given:
                text = f"{cls}.{value.__func__.__name__}.__get__({name})"
            elif (text := _literal(value) or self._reference(value)) is None:
                raise SpaceError(
                    f"The attribute {attribute} of {type(given).__name__} is of type {type(value).__name__} and cannot "
                    f"be written to the study's space file. Expected: numbers, texts, functions or classes. {REMEDY}"
                )
            lines.append(f"{name}.{attribute} = {text}")
        return "\n".join([*lines, f"{RESULT_NAME} = {name}"])

    def refer(self, value: Any) -> str:
        """Returns the name of a function or a class, after adding its definition or import."""
        name: str = value.__name__
        self._bind(name, value, name)
        return name

    def _function(self, value: object, what: str) -> str:
        if isinstance(value, FunctionType):
            return self.refer(value)
        raise SpaceError(
            f"{what} is of type {type(value).__name__}. Expected: a function that is defined with def. Give the path "
            "of the space's file instead."
        )

    def _reference(self, value: object) -> str | None:
        return self.refer(value) if isinstance(value, FunctionType | type) else None

    def _bind(self, name: str, value: object, user: str) -> None:
        """Adds the statement that binds a name to a value, after those of the names that it reads.

        Args:
            name: The name.
            value: Its value.
            user: What refers to it, for messages.
        """
        if name in self._bound:
            if self._bound[name] is not value:
                raise SpaceError(f"{user} refers to two objects of the name {name}, of two modules. Rename one.")
            return
        self._bound[name] = value
        if (statement := _import(name, value)) is not None:
            self.imports[name] = statement
        elif isinstance(value, FunctionType | type):
            self.definitions[name] = self._definition(name, value)
        elif (text := _literal(value)) is not None:
            self.definitions[name] = f"{name} = {text}"
        else:
            what = f"the module {value.__name__}" if isinstance(value, ModuleType) else f"a {type(value).__name__}"
            raise SpaceError(
                f"{user} refers to {name}, {what}, which cannot be written to the study's space file. Expected: "
                f"installed modules, functions, classes, numbers, texts, and lists of these. {REMEDY}"
            )

    def _definition(self, name: str, value: Any) -> str:
        """Returns the source of a function or a class, after adding what it refers to."""
        node, text, names = _find_definition(value)
        for read in sorted(read_names(node)):
            if read in names and not (read.startswith("__") and read.endswith("__")):
                self._bind(read, names[read], name)
        return text if name == value.__name__ else f"{text}\n{name} = {value.__name__}"


def _find_definition(value: Any) -> tuple[ast.stmt, str, Mapping[str, Any]]:
    """Returns a definition as a statement and as text, and the global names of its module."""
    name = value.__qualname__
    function = inspect.unwrap(value) if isinstance(value, FunctionType) else _own_method(value)
    if "<lambda>" in name:
        raise SpaceError("A lambda cannot be written to the study's space file. Expected: a function defined with def.")
    if "<locals>" in name:
        variables = function.__code__.co_freevars if isinstance(value, FunctionType) else ()
        uses = f" and uses its variables {', '.join(variables)}" if variables else ""
        outer, _, inner = name.rpartition(".<locals>.")
        raise SpaceError(
            f"{inner} is defined inside {outer}{uses}, so it cannot be written to the study's space file. Define it at "
            "the top level of a cell or a module."
        )
    code = function.__code__
    lines = linecache.getlines(code.co_filename, function.__globals__)
    try:
        body = ast.parse("".join(lines)).body
    except SyntaxError:
        body = []
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name.partition(".")[0]:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if first <= code.co_firstlineno <= (node.end_lineno or first):
                return node, "".join(lines[first - 1 : node.end_lineno]).rstrip("\n"), function.__globals__
    raise SpaceError(
        f"The source of {name} was not found. Expected: a definition at the top level of a notebook's cell or a file. "
        "Write the space to a file and give its path."
    )


def _own_method(cls: type) -> FunctionType:
    """Returns a function that a class defines, which knows where its source is; a class does not."""
    for value in vars(cls).values():
        function = inspect.unwrap(value) if isinstance(value, FunctionType) else None
        if isinstance(function, FunctionType) and function.__qualname__ == f"{cls.__qualname__}.{function.__name__}":
            return function
    raise SpaceError(f"The source of the class {cls.__qualname__} was not found, since it defines no method. {REMEDY}")


def _is_installed(module: str) -> bool:
    """Returns whether a module can be imported anywhere: one of Python, this project or an installed package."""
    root = module.partition(".")[0]
    if root == "__main__" or module not in sys.modules:
        return False
    file = getattr(sys.modules[module], "__file__", None)
    return root in sys.stdlib_module_names or file is None or is_installed_file(Path(file))


def _import(name: str, value: Any) -> str | None:
    """Returns the statement that binds a name to an installed module, or to its function or class; None for others."""
    if isinstance(value, ModuleType):
        home = value.__name__  # of ``tensorflow.keras``, which stands for another module, the name of that one
        if not _is_installed(home):
            return None
        return f"import {home}" if home == name else f"import {home} as {name}"
    if not isinstance(value, FunctionType | BuiltinFunctionType | type):
        return None
    home, own = value.__module__, value.__qualname__
    if home is None or not _is_installed(home) or getattr(sys.modules[home], own, None) is not value:
        return None
    home = min(_public_modules(home, own, value), key=lambda module: (module.count("."), module), default=home)
    return f"from {home} import {own}" if own == name else f"from {home} import {own} as {name}"


def _public_modules(home: str, name: str, value: object) -> list[str]:
    """Returns the modules of an object's package that offer it under its name, private ones left out."""
    root = home.partition(".")[0]
    return [
        module_name
        for module_name, module in list(sys.modules.items())
        if module_name.partition(".")[0] == root
        and not any(part.startswith("_") or part == "src" for part in module_name.split("."))
        and isinstance(module, ModuleType)
        and vars(module).get(name) is value
    ]


def _literal(value: object) -> str | None:
    """Returns a value as a literal of Python; None if it has none."""
    text = repr(value)
    try:
        read = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return text if type(read) is type(value) and read == value else None


def _constructor(value: Any) -> str:
    """Returns the expression that makes a value of this package; fields at their defaults are left out."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key!r}: {_constructor(item)}' for key, item in value.items())}}}"
    if not dataclasses.is_dataclass(value):
        return repr(value)
    arguments = [
        f"{each.name}={_constructor(getattr(value, each.name))}"
        for each in dataclasses.fields(value)
        if each.init and getattr(value, each.name) != each.default
    ]
    return f"spaces.{type(value).__name__}({', '.join(arguments)})"
