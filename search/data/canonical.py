"""Brings a data set of any form into the one that all other modules use, and says how it was read.

Called by ``dataset`` before a data set enters the cache. Arrays that are in this form already stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain

import numpy as np

from search.data.holdout import DEFAULT_TEST_SHARE, HOLDOUT_SEED, select_test_images
from search.data.labels import describe_classes, flatten_labels, map_labels
from search.data.pixels import apply_scale, find_scale, flatten_opacity
from search.data.raw import RawDataset, RawPart
from search.data.read_options import ReadOptions
from search.data.resize import resize_images, with_channels
from search.data.shapes import arrange_images
from search.data.spill import blocks_of, map_blocks
from search.data.validate import validate_arrays
from search.errors import UserError

READING = "reading"
"""Name of the array of lines that say how the data were read; no part of the data's hash."""
WHITE = "white"
"""Name of the array of the one value that was white in the given images, (1,) float64; no part of the data's hash."""
CLASS_NAMES = "class_names"
"""Name of the array of the classes' names; no part of the data's hash."""
IS_VALIDATION = "is_validation"
"""Name of the array that marks the training images that validate, (count,) bool, in data that say which."""


def make_canonical(raw: RawDataset, options: ReadOptions) -> dict[str, np.ndarray]:
    """Returns the arrays of a data set in canonical form, as ``validate_arrays`` describes them.

    With them come ``reading`` and, where they apply, ``white``, ``class_names`` and ``is_validation``.
    Validation images that were given stand behind the other training images.

    Args:
        raw: The data set as it stands in its files.
        options: How it is to be read.

    Raises:
        UserError: The data cannot be used.
    """
    labels = {name: flatten_labels(f"y_{name}", part.labels) for name, part in raw.parts.items()}
    given_images = {
        name: arrange_images(f"x_{name}", part.images, len(labels[name]), image_size=options.image_size)
        for name, part in raw.parts.items()
    }
    if options.transpose:
        given_images = {name: part.swapaxes(1, 2) for name, part in given_images.items()}
    scale = find_scale(given_images["train"])
    images = flatten_opacity({name: apply_scale(f"x_{name}", part, scale) for name, part in given_images.items()})
    found_size = images["train"].shape[1:3]
    if not raw.is_resized:
        images = {name: _resized(part, options) for name, part in images.items()}
    _check_lengths(images, labels)
    labels, class_names = map_labels(labels, raw.class_names)
    parts = {
        name: RawPart(images=images[name], labels=labels[name], groups=part.groups) for name, part in raw.parts.items()
    }
    parts, test_line = _with_test_part(parts, options)
    arrays = validate_arrays(_join_parts(parts))
    names = class_names or tuple(map(str, range(int(arrays["y_train"].max()) + 1)))
    is_resized = arrays["x_train"].shape[1:3] != found_size
    size_line = _describe_size(arrays["x_train"], f"{found_size[0]} x {found_size[1]}" if is_resized else raw.sizes)
    validation_line = f"{len(parts['val'].labels):,} of them given for validation" if "val" in parts else ""
    facts = (
        f"{len(arrays['y_train']):,} training and {len(arrays['y_test']):,} test {raw.source}, {size_line}",
        "rows and columns exchanged" if options.transpose else "",
        scale.describe(),
        describe_classes(names),
        validation_line,
        test_line,
    )
    lines = ["; ".join(fact for fact in facts if fact), *raw.notes]
    return {
        **arrays,
        **({} if scale.white is None else {WHITE: np.array([scale.white], dtype=np.float64)}),
        **({CLASS_NAMES: np.array(class_names, dtype=str)} if class_names else {}),
        READING: np.array(lines, dtype=str),
    }


def _resized(images: np.ndarray, options: ReadOptions) -> np.ndarray:
    images = with_channels(images, options.channels)
    return images if options.image_size is None else resize_images(images, options.image_size)


def _describe_size(images: np.ndarray, before: str) -> str:
    height, width, channels = images.shape[1:]
    return f"{f'resized from {before} to ' if before else ''}{height} x {width} {'grey' if channels == 1 else 'color'}"


def _check_lengths(images: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]) -> None:
    for name in images:
        if len(images[name]) != len(labels[name]):
            raise UserError(
                f"x_{name} and y_{name} must be equally long. "
                f"Received: {len(images[name])} and {len(labels[name])} entries.",
                hint="Each image needs exactly one label, in the same order.",
            )


def _with_test_part(parts: Mapping[str, RawPart], options: ReadOptions) -> tuple[dict[str, RawPart], str]:
    """Returns the parts with test images, held out of the training images if there are none, and a text on these."""
    if "test" in parts:
        if options.test_share is not None:
            raise UserError(
                f"The data have test images. Expected: none, to hold some out. "
                f"Received: --test-share {options.test_share:g}.",
                hint="Leave --test-share out.",
            )
        return dict(parts), ""
    share, train = options.test_share or DEFAULT_TEST_SHARE, parts["train"]
    chosen = select_test_images(train.labels, train.groups, share)
    is_test = np.zeros(len(train.labels), dtype=bool)
    is_test[chosen] = True
    held_out = {"train": _select(train, ~is_test), "test": _select(train, is_test)}
    return {**parts, **held_out}, f"{100 * share:g} % held out for testing, seed {HOLDOUT_SEED}"


def _select(part: RawPart, chosen: np.ndarray) -> RawPart:
    groups = None if part.groups is None else part.groups[chosen]
    images = map_blocks(blocks_of(part.images, np.flatnonzero(chosen)))
    return replace(part, images=images, labels=part.labels[chosen], groups=groups)


def _join_parts(parts: Mapping[str, RawPart]) -> dict[str, np.ndarray]:
    """Returns arrays by name; validation images follow the training images."""
    train, test = parts["train"], parts["test"]
    arrays = {"x_test": test.images, "y_test": test.labels}
    if (val := parts.get("val")) is not None:
        has_groups = train.groups is not None and val.groups is not None
        for name, part in (("train", train), ("val", val)):
            if part.images.shape[1:] != train.images.shape[1:]:
                raise UserError(
                    f"x_{name} and x_train must hold images of one size. "
                    f"Received: {part.images.shape[1:]} and {train.images.shape[1:]}.",
                    hint="Resize all of them with --image-size.",
                )
        arrays["is_validation"] = np.repeat([False, True], [len(train.labels), len(val.labels)])
        train = RawPart(
            images=map_blocks(chain(blocks_of(train.images), blocks_of(val.images))),
            labels=np.concatenate([train.labels, val.labels]),
            groups=np.concatenate([train.groups, val.groups]) if has_groups else None,
        )
    arrays |= {"x_train": train.images, "y_train": train.labels}
    for name, part in (("train", train), ("test", test)):
        if part.groups is not None:
            arrays[f"groups_{name}"] = part.groups
    return arrays
