"""Maps labels of any usual form to 0..k-1 and keeps the names of the classes. Called by ``canonical``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import numpy as np

from search.errors import UserError

MAX_CLASSES = 1000
_INTEGER = re.compile(r"[+-]?\d+")


def flatten_labels(name: str, labels: np.ndarray) -> np.ndarray:
    """Returns labels as (count,) integers or strings.

    Args:
        name: Name of the array in messages.
        labels: (count,), (count, 1) or (1, count), integers, booleans, strings or whole floats; or (count, classes),
            with a single 1 in each row.

    Raises:
        UserError: They are something else, such as several labels an image.
    """
    if labels.dtype.kind not in "biufSU" or labels.ndim not in (1, 2):
        raise UserError(
            f"{name} must hold one label an image: integers, strings, or rows with a single 1. "
            f"Received: dtype={labels.dtype}, shape={labels.shape}.",
            hint="Save it with shape (count,), as integers or as strings of fixed width.",
        )
    if labels.size == 0:
        raise UserError(f"{name} must hold at least one label. Received: shape={labels.shape}.")
    if labels.ndim == 2 and 1 not in labels.shape:
        return _from_one_hot(name, labels)
    labels = labels.reshape(-1)
    if labels.dtype.kind == "S":
        return np.char.decode(labels, "utf-8", "replace")
    if labels.dtype.kind == "b":
        return labels.astype(str)
    if labels.dtype.kind == "f":
        return _from_floats(name, labels)
    if labels.dtype.kind == "i" and labels.min() < 0 and set(np.unique(labels).tolist()) != {-1, 1}:
        raise UserError(
            f"{name} holds negative labels. Expected: integers from 0, or -1 and 1. "
            f"Received: {labels.min()} to {labels.max()}.",
            hint="If they mark images without a label, leave these out.",
        )
    return labels


def _from_floats(name: str, labels: np.ndarray) -> np.ndarray:
    whole = np.isfinite(labels) & (labels == np.floor(labels)) & (np.abs(labels) < 2**53)
    if not whole.all():
        index = int(np.flatnonzero(~whole)[0])
        raise UserError(
            f"{name} must hold classes. Expected: whole numbers. Received: {labels[index]:g} for image {index}.",
            hint="Leave out images without a label; quantities are no classes.",
        )
    return flatten_labels(name, labels.astype(np.int64))


def _from_one_hot(name: str, labels: np.ndarray) -> np.ndarray:
    """Returns the column of the 1 in each row."""
    expected = "Expected: one label an image, or rows with a single 1 and else 0"
    if labels.dtype.kind in "SU" or not np.isin(labels, (0, 1)).all():
        raise UserError(f"{name} is no list of classes. {expected}. Received: shape={labels.shape}, other values.")
    ones = labels.astype(bool).sum(axis=1)
    if (ones > 1).any():
        index = int(np.flatnonzero(ones > 1)[0])
        raise UserError(
            f"{name} holds several labels an image (multi-label), which is not supported. {expected}. "
            f"Received: {ones[index]} ones for image {index}.",
            hint="Keep the images with one label, or search for one of the labels alone: its column as 0 and 1.",
        )
    if (ones == 0).any():
        index = int(np.flatnonzero(ones == 0)[0])
        raise UserError(
            f"{name} has rows without a 1. {expected}. Received: none for image {index}.",
            hint="Leave such images out, or add a column that marks them.",
        )
    columns: np.ndarray = labels.astype(bool).argmax(axis=1)
    return columns


def map_labels(
    labels: Mapping[str, np.ndarray], class_names: tuple[str, ...] = ()
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Returns labels as int64 from 0 to classes - 1, and the classes' names; no names if they are these numbers.

    Args:
        labels: Flattened labels by part; the classes are those of "train".
        class_names: Names of the classes if labels are indices into them, else empty.

    Raises:
        UserError: There are too few or too many classes, or a part has one that "train" lacks.
    """
    classes = sort_classes(np.unique(labels["train"]))
    if not 2 <= len(classes) <= MAX_CLASSES:
        raise UserError(
            f"y_train must hold 2 to {MAX_CLASSES} classes. Received: {len(classes)}.",
            hint="One class is nothing to tell apart; many different values are quantities or names of single images.",
        )
    order = np.argsort(classes, kind="stable")
    mapped = {}
    for part, given in labels.items():
        if (given.dtype.kind == "U") is not (classes.dtype.kind == "U"):
            raise UserError(
                f"y_{part} and y_train must hold labels of one type. Received: {given.dtype} and {classes.dtype}.",
                hint="Number or name the classes of both alike.",
            )
        unknown = np.setdiff1d(given, classes)
        if len(unknown):
            is_named = class_names and unknown.dtype.kind in "iu" and 0 <= unknown[0] < len(class_names)
            name = class_names[unknown[0]] if is_named else unknown[0]
            raise UserError(
                f"y_{part} must hold classes of y_train. Received: {name}, which no training image has.",
                hint="Number or name the classes of both alike.",
            )
        mapped[part] = order[np.searchsorted(classes, given, sorter=order)].astype(np.int64)
    return mapped, _class_names(classes, class_names)


def _class_names(classes: np.ndarray, class_names: tuple[str, ...]) -> tuple[str, ...]:
    if class_names and classes.dtype.kind in "iu" and classes[0] >= 0 and classes[-1] < len(class_names):
        names = tuple(class_names[label] for label in classes)
    else:
        names = tuple(map(str, classes))
    return () if names == tuple(map(str, range(len(classes)))) else names


def sort_classes(names: np.ndarray) -> np.ndarray:
    """Returns classes in order: by number if all of them are numbers, else by name."""
    if names.dtype.kind == "U" and all(_INTEGER.fullmatch(name) for name in names):
        return np.array(sorted(names, key=int))
    return np.sort(names)


def describe_classes(names: Iterable[str]) -> str:
    """Returns the classes in words, such as ``classes 0 to 9`` or ``3 classes: cat, dog, owl``."""
    names = tuple(names)
    if all(_INTEGER.fullmatch(name) for name in names):
        numbers = [int(name) for name in names]
        if numbers == list(range(numbers[0], numbers[0] + len(numbers))):
            return f"classes {numbers[0]} to {numbers[-1]}"
    if len(names) <= 6:
        return f"{len(names)} classes: {', '.join(names)}"
    return f"{len(names)} classes: {names[0]}, {names[1]}, ... {names[-1]}"
