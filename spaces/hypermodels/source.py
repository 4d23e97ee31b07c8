"""Finds Keras Tuner's model builder in a Python file, and runs the statements that it needs.

Scripts and tutorials load data, search and plot at their top level. None of that runs: only statements that bind a name
which the builder uses, directly or through others. Pure Python; called before and after Keras is imported.
"""

from __future__ import annotations

import ast
import dis
import functools
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from spaces.errors import SpaceError
from spaces.hypermodels.target import (
    FIT_BATCH_SIZE,
    find_batch_size,
    find_batch_size_call,
    find_target,
    names_of,
)

SHAPE_ARGUMENTS = frozenset({"input_shape", "image_shape", "img_shape", "shape"})
CLASSES_ARGUMENTS = frozenset(
    {"num_classes", "n_classes", "nb_classes", "classes", "number_of_classes", "num_outputs", "n_outputs"}
)
"""Usual names of a builder's arguments; they receive the image shape and the number of classes of the data."""
Build = Callable[[Any], Any]
"""Makes a Keras model from ``keras_tuner.HyperParameters``."""


def is_hypermodel_file(path: Path) -> bool:
    """Returns whether a file holds a model builder of Keras Tuner and no ``SPACE``; does not run it.

    Raises:
        SpaceError: It holds several builders, and nothing says which one is meant.
    """
    return find_hypermodel(path) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypermodel:
    """A model builder in a file.

    Args:
        path: The file.
        name: As it is called there.
        statements: The statements of the file that the builder needs, and the expression of the builder.
        batch_size: Images a training step, as the file gives it to ``search`` or ``fit``, else Keras's default.
        batch_size_call: A call such as ``hp.Choice("batch_size", [16, 32])``, wherever the file has it; None without.
    """

    path: Path
    name: str
    statements: ast.Module
    batch_size: int = FIT_BATCH_SIZE
    batch_size_call: ast.Call | None = None

    def run(self) -> object:
        """Returns the function, class or instance that the file defines.

        Raises:
            SpaceError: The file fails; the text names the line.
        """
        module = ModuleType(f"_space_file_{self.path}")
        module.__file__ = str(self.path)
        sys.modules[module.__name__] = module  # dataclasses and pickle look their module up here
        if (folder := str(self.path.parent)) not in sys.path:
            sys.path.append(folder)  # as Python does for a script, for modules beside the file
        try:
            exec(compile(self.statements, str(self.path), "exec", dont_inherit=True), module.__dict__)
        except (Exception, SystemExit) as error:  # a user's file may raise anything
            raise SpaceError(f"The file {self.path} cannot be run: {error_location(error, self.path)}") from error
        return getattr(module, _RESULT)

    def takes_data(self, found: object) -> bool:
        """Returns whether the builder needs the image shape or the number of classes of the data."""
        return bool(self._required_arguments(found))

    def bind(self, found: Any, image_shape: tuple[int, int, int], classes: int) -> Build:
        """Returns the function that builds a model from hyperparameters.

        Args:
            found: What ``run`` returned.
            image_shape: (height, width, channels) of the data.
            classes: Number of classes of the data.

        Raises:
            SpaceError: It needs arguments of unknown names, or its constructor fails.
        """
        arguments = self._data_arguments(found, image_shape, classes)
        if not inspect.isclass(found):
            return functools.partial(getattr(found, "build", found), **arguments)
        try:
            hypermodel: Any = found(**arguments)
        except Exception as error:
            raise SpaceError(f"{self.name} cannot be made: {error_location(error, self.path)}") from error
        build: Build = hypermodel.build
        return build

    def call(self, found: object, image_shape: tuple[int, int, int], classes: int, hyperparameters: str) -> str:
        """Returns the expression that builds a model where the file's statements have run.

        Args:
            found: What ``run`` returned.
            image_shape: As in ``bind``.
            classes: As in ``bind``.
            hyperparameters: Name of the hyperparameters.
        """
        arguments = self._data_arguments(found, image_shape, classes)
        given = [f"{name}={value!r}" for name, value in arguments.items()]
        if inspect.isclass(found):
            return f"{self.name}({', '.join(given)}).build({hyperparameters})"
        method = ".build" if hasattr(found, "build") else ""
        return f"{self.name}{method}({', '.join([hyperparameters, *given])})"

    @property
    def text(self) -> str:
        """The statements that the builder needs as they stand in the file, without imports from ``__future__``."""
        lines = self.path.read_text(encoding="utf-8").splitlines()
        text = ""
        for node in self.statements.body[:-1]:
            if not (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
                first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
                gap = "\n\n\n" if text and not lines[first - 2].strip() else "\n"
                text += gap + "\n".join(lines[first - 1 : node.end_lineno])
        return text.lstrip("\n")

    def _data_arguments(self, found: object, image_shape: tuple[int, int, int], classes: int) -> dict[str, Any]:
        """Returns the arguments that the data decide.

        Raises:
            SpaceError: There is one of an unknown name.
        """
        arguments: dict[str, Any] = {}
        for name in self._required_arguments(found):
            if name not in SHAPE_ARGUMENTS | CLASSES_ARGUMENTS:
                known = ", ".join(sorted(SHAPE_ARGUMENTS | CLASSES_ARGUMENTS))
                raise SpaceError(
                    f"{self.name} of {self.path} needs an argument of unknown meaning. Expected: hp, and any of "
                    f"{known}. Received: {name}. Give it a default value."
                )
            arguments[name] = tuple(image_shape) if name in SHAPE_ARGUMENTS else classes
        return arguments

    def _required_arguments(self, found: object) -> list[str]:
        """Returns the names of the arguments without a default value, the hyperparameters left out."""
        called: Any = found if inspect.isclass(found) or not hasattr(found, "build") else found.build
        parameters = [
            name
            for name, parameter in inspect.signature(called).parameters.items()
            if parameter.default is parameter.empty
            and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        ]
        return parameters if inspect.isclass(found) else parameters[1:]


_RESULT = "_hypermodel"


def find_hypermodel(path: Path) -> Hypermodel | None:
    """Returns the model builder of a file; None if it defines ``SPACE``, holds no builder, or is not Python.

    Raises:
        SpaceError: It holds several builders, and nothing says which one is meant.
    """
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None
    statements = [_Statement.of(node) for node in tree.body]
    bound = set[str]().union(*(statement.binds for statement in statements))
    target = None if "SPACE" in bound else find_target(tree.body, bound, path)
    if target is None:
        return None
    (place,) = (place for place, node in enumerate(tree.body) if node.lineno <= target.lineno <= (node.end_lineno or 0))
    if isinstance(tree.body[place], ast.Assign | ast.Expr):
        statements = statements[: place + 1]  # tutorials bind the same names anew further down
    needed = _needed_statements(statements, names_of(target))
    result = ast.Assign(targets=[ast.Name(_RESULT, ast.Store())], value=target)
    module = ast.Module(body=[*needed, ast.copy_location(result, target)], type_ignores=[])
    return Hypermodel(
        path=path,
        name=f"({ast.unparse(target)})" if isinstance(target, ast.Lambda) else ast.unparse(target),
        statements=ast.fix_missing_locations(module),
        batch_size=find_batch_size(tree),
        batch_size_call=find_batch_size_call(tree),
    )


def error_location(error: BaseException, path: Path) -> str:
    """Returns an error's type and first line, and the line of the file that raised it."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}{f' on line {lines[-1]}' if lines else ''}: {text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Statement:
    """A statement of a file's top level.

    Args:
        node: The statement.
        binds: Names that it binds or changes.
        reads: Global names that it reads, also when its functions are called.
        is_always_run: Whether later statements may depend on it without a name.
    """

    node: ast.stmt
    binds: frozenset[str]
    reads: frozenset[str]
    is_always_run: bool

    @classmethod
    def of(cls, node: ast.stmt) -> _Statement:
        is_future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        is_star = isinstance(node, ast.ImportFrom) and node.names[0].name == "*"
        code = _compiled(node)
        binds = {step.argval for step in _instructions(code) if step.opname == "STORE_GLOBAL"}
        binds |= {step.argval for step in dis.get_instructions(code) if step.opname == "STORE_NAME"}
        if (changed := _changed_name(node)) is not None:
            binds.add(changed)
        return cls(node=node, binds=frozenset(binds), reads=_names_read(code), is_always_run=is_future or is_star)


def read_names(node: ast.stmt) -> frozenset[str]:
    """Returns the global names that a statement reads, also when its functions are called; not those of annotations."""
    return _names_read(_compiled(node, annotations.compiler_flag))


def _compiled(node: ast.stmt, flags: int = 0) -> CodeType:
    module = ast.Module(body=[node], type_ignores=[])
    code: CodeType = compile(module, "<statement>", "exec", flags=flags, dont_inherit=True)
    return code


def _names_read(code: CodeType) -> frozenset[str]:
    loads = ("LOAD_NAME", "LOAD_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS")
    return frozenset(step.argval for step in _instructions(code) if step.opname in loads)


def _instructions(code: CodeType) -> Iterator[dis.Instruction]:
    """Yields the instructions of a code object and of all functions and classes within it."""
    yield from dis.get_instructions(code)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _instructions(constant)


def _changed_name(node: ast.stmt) -> str | None:
    """Returns the name whose object a statement changes, such as ``sizes`` for ``sizes.append(3)``."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Attribute):
        return _root_name(node.value.func)
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign) else []
    return next((_root_name(target) for target in targets if isinstance(target, ast.Attribute | ast.Subscript)), None)


def _root_name(node: ast.expr) -> str | None:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def _needed_statements(statements: Sequence[_Statement], names: set[str]) -> list[ast.stmt]:
    """Returns the statements that names depend on, in the file's order."""
    imported = set[str]().union(
        *(statement.binds for statement in statements if isinstance(statement.node, ast.Import | ast.ImportFrom))
    )
    needed: set[int] = set()
    while True:
        added = [
            place
            for place, statement in enumerate(statements)
            if place not in needed
            and (
                statement.is_always_run
                or statement.binds & (names if not _only_changes(statement) else names - imported)
            )
        ]
        if not added:
            return [statements[place].node for place in sorted(needed)]
        needed.update(added)
        names = names.union(*(statements[place].reads for place in added))


def _only_changes(statement: _Statement) -> bool:
    """Returns whether a statement is a call or changes an object; for a module, such as a seed, it is left out."""
    return _changed_name(statement.node) is not None
