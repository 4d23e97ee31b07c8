"""Which model builder of a Keras Tuner file is meant, and with which batch size; from the file's syntax tree alone.

Called by ``spaces.hypermodels.source``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from spaces.errors import SpaceError

BUILDER_NAME = "build_model"
"""The usual name of a function that builds a model."""
TUNERS = frozenset({"RandomSearch", "BayesianOptimization", "Hyperband", "GridSearch", "Tuner"})
"""Keras Tuner's tuners, whose first argument is the builder."""
BASE_CLASS = "HyperModel"
RESULT_NAME = "HYPERMODEL"
"""A file that binds this name says with it which builder is meant."""
FIT_BATCH_SIZE = 32
"""Batch size of Keras's ``fit`` if none is given."""

BATCH_SIZE = "batch_size"
KINDS = ("Int", "Choice", "Fixed")
"""Keras Tuner's kinds of hyperparameters that may hold a batch size."""


def find_target(body: Sequence[ast.stmt], bound: set[str], path: Path) -> ast.expr | None:
    """Returns the expression of the file's model builder; None if it has none.

    In this order: ``HYPERMODEL``; the argument of the first tuner; a function ``build_model``; an instance of a
    HyperModel; a subclass of HyperModel; a function of ``hp``.

    Args:
        body: The file's statements.
        bound: Names that they bind.
        path: The file.

    Raises:
        SpaceError: There are several instances, subclasses or functions.
    """
    for node in reversed(body):
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [RESULT_NAME]:
            return _name(RESULT_NAME, node)
    for target in _tuner_arguments(body):
        if names_of(target) <= bound:
            return target
    functions = [node for node in body if isinstance(node, ast.FunctionDef) and _takes_hyperparameters(node)]
    named = [_name(node.name, node) for node in functions if node.name == BUILDER_NAME]
    if named:
        return named[0]
    classes: dict[str, ast.ClassDef] = {}
    for node in body:
        if isinstance(node, ast.ClassDef) and any(
            (_last_name(base) or "").endswith(BASE_CLASS) or _last_name(base) in classes for base in node.bases
        ):
            classes[node.name] = node
    bases = {_last_name(base) for node in classes.values() for base in node.bases}
    called = {name for function in functions for name in names_of(function) if name != function.name}
    instances = {name: node for node in body if (name := _instance_name(node, classes)) is not None}
    parts = {name for own, node in instances.items() for name in names_of(node) if name != own}  # of another instance
    groups = (
        [_name(name, node) for name, node in instances.items() if name not in parts],
        [_name(name, node) for name, node in classes.items() if name not in bases],
        [_name(node.name, node) for node in functions if node.name not in called],
    )
    for group in groups:
        distinct = {ast.unparse(target): target for target in group}
        if len(distinct) > 1:
            raise SpaceError(
                f"{path} holds several model builders. Expected: one, one that is called {BUILDER_NAME}, or a line "
                f"such as {RESULT_NAME} = {next(iter(distinct))}. Received: {', '.join(distinct)}."
            )
        if distinct:
            return next(iter(distinct.values()))
    return None


def _takes_hyperparameters(node: ast.FunctionDef) -> bool:
    if not node.args.args:
        return False
    first = node.args.args[0]
    annotation = "" if first.annotation is None else ast.unparse(first.annotation)
    return first.arg in ("hp", "hps", "hparams", "hyperparameters") or "HyperParameters" in annotation


def _instance_name(node: ast.stmt, classes: Mapping[str, ast.ClassDef]) -> str | None:
    """Returns the name that a statement binds to an instance of a HyperModel, of the file or of Keras Tuner."""
    if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
        return None
    if not isinstance(node.value, ast.Call):
        return None
    name = _last_name(node.value.func) or ""
    is_instance = name in classes or (name.startswith("Hyper") and name not in ("HyperParameters", "Hyperband"))
    return node.targets[0].id if is_instance else None


def _tuner_arguments(body: Sequence[ast.stmt]) -> Iterator[ast.expr]:
    """Yields the builders that the file gives to tuners, in its order."""
    tuners = set(TUNERS)
    for statement in body:
        if isinstance(statement, ast.ClassDef) and any(_last_name(base) in tuners for base in statement.bases):
            tuners.add(statement.name)
        for node in ast.walk(statement):
            if isinstance(node, ast.Call) and _last_name(node.func) in tuners:
                given = [keyword.value for keyword in node.keywords if keyword.arg == "hypermodel"] or node.args[:1]
                yield from (
                    value for value in given if isinstance(value, ast.Name | ast.Call | ast.Attribute | ast.Lambda)
                )


def find_batch_size(tree: ast.Module) -> int:
    """Returns the batch size that the file gives to ``search`` or ``fit`` as a number."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _last_name(node.func) in ("search", "fit"):
            for keyword in node.keywords:
                if keyword.arg == "batch_size" and isinstance(keyword.value, ast.Constant):
                    value = keyword.value.value
                    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                        return value
    return FIT_BATCH_SIZE


def find_batch_size_call(tree: ast.Module) -> ast.Call | None:
    """Returns a call that declares a batch size, as in ``HyperModel.fit`` or ``Tuner.run_trial``; None without."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _last_name(node.func) in KINDS:
            given = [*node.args[:1], *(keyword.value for keyword in node.keywords if keyword.arg == "name")]
            if any(isinstance(value, ast.Constant) and value.value == BATCH_SIZE for value in given):
                return node
    return None


def names_of(node: ast.AST) -> set[str]:
    """Returns the names that an expression or statement reads, without a lambda's own."""
    read = {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load)}
    return read - {part.arg for part in node.args.args} if isinstance(node, ast.Lambda) else read


def _last_name(node: ast.expr) -> str | None:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else None


def _name(name: Any, node: ast.stmt) -> ast.expr:
    return ast.copy_location(ast.Name(name.id if isinstance(name, ast.Name) else name, ast.Load()), node)
