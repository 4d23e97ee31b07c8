"""What an array is by its name: training, validation or test; images, labels or groups. Used by ``arrays``.

Names are those in which data sets are published: ``x_train``, ``train_images``, ``X_train``, ``train/data``,
``emnist-letters-train-images-idx3-ubyte``, ``t10k-labels``, ``kmnist-test-imgs/arr_0``, ``fea`` and ``gnd``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from search.data.raw import RawDataset, RawPart
from search.data.readers.stored import StoredArray
from search.data.spill import blocks_of, map_blocks
from search.errors import UserError

SAVE_HINT = (
    "Save it with numpy.savez_compressed(path, x_train=..., y_train=..., x_test=..., y_test=...), "
    "and groups_train=... and groups_test=... where images come from writers or patients."
)

PART_WORDS: Mapping[str, str] = {
    **dict.fromkeys(("train", "training", "trn", "tr"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "te", "t10k"), "test"),
}
"""Words to the part that they name; also names of folders."""

ROLE_WORDS: Mapping[str, tuple[str, int]] = {
    **dict.fromkeys(("x", "image", "images", "img", "imgs", "pixels"), ("x", 0)),
    **dict.fromkeys(("data", "feature", "features", "fea", "input", "inputs"), ("x", 1)),
    **dict.fromkeys(("y", "label", "labels", "lbl", "lbls"), ("y", 0)),
    **dict.fromkeys(("target", "targets", "gnd"), ("y", 1)),
    **dict.fromkeys(("group", "groups"), ("groups", 0)),
}
"""Words to the role that they name and its rank: of two arrays of one role, the one of the lower rank is taken."""

_WORD = re.compile(r"t10k|[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_SIZE = re.compile(r"\d+x\d+")
_JOINED = re.compile(r"(x|y)(train|test|val|tr|te)|(train|test|val)(x|y)")
_UNNAMED = re.compile(r"(?:.*/)?arr_(\d+)")
CLASS_NAMES = ("class_names", "label_names")
IS_VALIDATION = "is_validation"
"""In files that ``data convert`` writes: which training images validate."""


def parse_name(name: str) -> tuple[str | None, str | None, int]:
    """Returns the part ("train", "val", "test"), the role ("x", "y", "groups") and its rank; None if it has none.

    Of several words the last counts: ``data/train/target`` holds labels.
    """
    part, role, rank = None, None, 0
    for word in _WORD.findall(_SIZE.sub(" ", name)):
        joined = _JOINED.fullmatch(word.lower())
        for text in [group for group in joined.groups() if group] if joined else [word.lower()]:
            part = PART_WORDS.get(text, part)
            if text in ROLE_WORDS:
                role, rank = ROLE_WORDS[text]
    return part, role, rank


def assemble(arrays: Sequence[StoredArray], *, source: str, where: str) -> RawDataset:
    """Reads the arrays that make a data set; others are left closed.

    Args:
        arrays: All arrays of one or several files.
        source: What the images are, such as "images in an .npz file".
        where: The file or folder, for messages.

    Raises:
        UserError: Images or labels are missing, or several arrays could be either.
    """
    found = _find_roles(arrays, where)
    parts = {part: {role: array for (other, role), array in found.items() if other == part} for part, _ in found}
    required = [f"{role}_{part}" for part in {"train": {}, **parts} for role in ("x", "y")]
    missing = [name for name in required if name.partition("_")[0] not in parts.get(name.partition("_")[2], {})]
    if missing:
        names = ", ".join(array.name for array in arrays)
        raise UserError(
            f"The data set lacks {', '.join(missing)}. Received: {names or 'nothing'} in {where}.", hint=SAVE_HINT
        )
    read = {
        part: RawPart(
            images=roles["x"].read(),
            labels=roles["y"].read(),
            groups=roles["groups"].read() if "groups" in roles else None,
        )
        for part, roles in parts.items()
    }
    marks = next((array for array in arrays if array.name == IS_VALIDATION), None)
    if marks is not None and "val" not in read:
        read |= _divide(read["train"], marks, where)
    return RawDataset(parts=read, source=source, class_names=_read_class_names(arrays))


def _read_class_names(arrays: Sequence[StoredArray]) -> tuple[str, ...]:
    for array in arrays:
        if array.name in CLASS_NAMES and array.dtype.kind in "SU":
            return tuple(map(str, array.read().astype(str).reshape(-1)))
    return ()


def _find_roles(arrays: Sequence[StoredArray], where: str) -> dict[tuple[str, str], StoredArray]:
    """Returns the array of each part and role."""
    exact = {f"{role}_{part}": (part, role) for part in ("train", "val", "test") for role in ("x", "y", "groups")}
    by_name = {array.name: array for array in arrays}
    if {"x_train", "y_train"} <= by_name.keys():  # files in the form that this project writes may hold other arrays
        return {exact[name]: array for name, array in by_name.items() if name in exact}
    if (unnamed := _find_unnamed(arrays)) is not None:
        return unnamed
    candidates: dict[tuple[str | None, str], list[tuple[int, StoredArray]]] = defaultdict(list)
    for array in arrays:
        part, role, rank = parse_name(array.name)
        if role is not None and array.name not in CLASS_NAMES:
            candidates[part, role].append((rank, array))
    has_parts = any(part is not None for part, _ in candidates)
    found: dict[tuple[str, str], StoredArray] = {}
    for (part, role), ranked in candidates.items():
        if part is None and has_parts:
            continue
        best = min(rank for rank, _ in ranked)
        chosen = [array for rank, array in ranked if rank == best]
        if len(chosen) > 1:
            kind = {"x": "images", "y": "labels"}.get(role, role)
            raise UserError(
                f"Several arrays may be the {kind} of the {part or 'train'} part. "
                f"Received: {', '.join(array.name for array in chosen)} in {where}.",
                hint="Name one file of the set that is meant, or put its files into a folder of their own. "
                + SAVE_HINT,
            )
        found[part or "train", role] = chosen[0]
    return found


def _find_unnamed(arrays: Sequence[StoredArray]) -> dict[tuple[str, str], StoredArray] | None:
    """Returns the arrays that ``numpy.savez`` has numbered, by their dimensions; None if there is more than one way."""
    if not arrays or not all(_UNNAMED.fullmatch(array.name) for array in arrays):
        return None
    if any(parse_name(array.name)[1] for array in arrays):  # the file's name says more
        return None
    images, labels = (
        [array for array in arrays if (array.dtype.kind in "biuf" and len(array.shape) > 1) is is_image]
        for is_image in (True, False)
    )
    if len(images) != len(labels) or len(images) > 2:
        return None
    if any(
        len(image.shape) < 2 or image.shape[0] != label.shape[0] for image, label in zip(images, labels, strict=True)
    ):
        return None
    parts = ("train", "test")
    return {
        **{(part, "x"): array for part, array in zip(parts, images, strict=False)},
        **{(part, "y"): array for part, array in zip(parts, labels, strict=False)},
    }


def _divide(part: RawPart, marks: StoredArray, where: str) -> dict[str, RawPart]:
    """Returns the training and the validation images of a file that marks these."""
    chosen = marks.read().astype(bool).reshape(-1)
    if len(chosen) != len(part.images):
        raise UserError(
            f"{IS_VALIDATION} must mark each training image. Expected: {len(part.images)} entries. "
            f"Received: {len(chosen)} in {where}."
        )
    return {
        name: RawPart(
            images=map_blocks(blocks_of(part.images, np.flatnonzero(mask))),
            labels=part.labels[mask],
            groups=None if part.groups is None else part.groups[mask],
        )
        for name, mask in (("train", ~chosen), ("val", chosen))
    }
