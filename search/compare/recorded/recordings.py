"""Recorded trainings of one space on one data set, at several numbers of epochs: a file of JSON lines, plain or gzip.

The first line describes the recording; each further line is one training. A training over fewer epochs has its complete
schedule in them. ``benchmarks/record.py`` appends to such a file; ``model`` learns from it.

Keys of the first line: ``schema``, ``space``, ``dataset``, ``images`` (trained on), ``search_images`` (those that a
search would train on), ``validation_images``, ``epochs`` (of a full training), ``image_shape``, ``classes``, ``made``
(versions, processor, options). Keys of the others: ``config``, ``epochs``, ``seed``, ``state``, ``curve`` (error in
percent, calibrated loss, loss and seconds of each epoch; null where not finite), ``seconds``, ``cpu_seconds``,
``parameters``, ``kind`` (how the configuration was chosen).
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from search.errors import UserError
from search.trial import Config, State
from spaces import registry
from spaces.space import Space

SCHEMA = "trainings/1"
SUFFIXES = (".jsonl", ".jsonl.gz")
CURVE_DIGITS = 5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Training:
    """One recorded training.

    Args:
        config: Its configuration.
        epochs: Epochs of its schedule.
        seed: Its seed.
        state: How it ended.
        curve: (epochs trained, 4): error in percent, calibrated loss, loss and seconds of each epoch, scoring included.
        seconds: Wall-clock seconds, building included.
        cpu_seconds: Processor seconds of the same; None if they were not measured.
        parameters: Trainable parameters; None if it failed before they were counted.
        kind: How its configuration was chosen, such as "recipe" or "mutant".
    """

    config: Config
    epochs: int
    seed: int
    state: State
    curve: np.ndarray
    seconds: float
    cpu_seconds: float | None = None
    parameters: int | None = None
    kind: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether it reached its last epoch with finite metrics."""
        return self.state in (State.COMPLETE, State.SCREENED) and bool(np.isfinite(self.curve).all())

    def to_json(self) -> dict[str, Any]:
        """Returns the training as a plain dict."""
        curve = [
            [round(number, CURVE_DIGITS) if math.isfinite(number) else None for number in epoch]
            for epoch in self.curve.tolist()
        ]
        return {**{item.name: getattr(self, item.name) for item in dataclasses.fields(self)}, "curve": curve}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Training:
        """Returns the training that ``to_json`` described; unknown keys are ignored."""
        values = {item.name: document[item.name] for item in dataclasses.fields(cls) if item.name in document}
        curve = np.array(document["curve"], dtype=float).reshape(-1, 4)
        return cls(**{**values, "state": State(document["state"]), "curve": curve})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recording:
    """A file of recorded trainings.

    Args:
        space: The space, with its recipes of today if the shipped space of this name still has these parameters.
        dataset: Name of the data.
        images: Training images of each training.
        search_images: Training images of a search on the same data.
        validation_images: Images on which every epoch is scored.
        epochs: Epochs of a full training.
        image_shape: (height, width, channels).
        classes: Number of classes.
        made: Versions, processor and options.
        trainings: The trainings, in the order in which they ended.
    """

    space: Space
    dataset: str
    images: int
    search_images: int
    validation_images: int
    epochs: int
    image_shape: tuple[int, int, int]
    classes: int
    made: Mapping[str, Any] = field(default_factory=dict)
    trainings: Sequence[Training] = ()

    @property
    def full_trainings(self) -> list[Training]:
        """The complete full trainings with the first seed: one for each configuration."""
        return [each for each in self.trainings if each.epochs == self.epochs and each.seed == 1 and each.is_complete]

    @property
    def has_cpu_seconds(self) -> bool:
        """Whether processor seconds were measured, which do not depend on other programs, as wall-clock seconds do."""
        return all(training.cpu_seconds is not None for training in self.trainings)

    @property
    def epoch_scale(self) -> float:
        """Work of an epoch on a search's images as a multiple of that of a recorded one.

        An image that is trained on takes three passes through the network, one that is scored takes one.
        """
        return (3 * self.search_images + self.validation_images) / (3 * self.images + self.validation_images)

    def header_json(self) -> dict[str, Any]:
        """Returns the first line as a plain dict."""
        values = {item.name: getattr(self, item.name) for item in dataclasses.fields(self) if item.name != "trainings"}
        return {"schema": SCHEMA, **values, "space": self.space.to_json()}


def read_recording(path: Path) -> Recording:
    """Returns the recording in a file; a last line that a killed process left incomplete is ignored.

    Raises:
        UserError: The file cannot be read or is of another kind.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        header, *lines = [line for line in content.decode().splitlines(keepends=True) if line.endswith("\n")]
        document = json.loads(header)
        if document.pop("schema") != SCHEMA:
            raise ValueError(f"its schema is not {SCHEMA}")
        space = _with_recipes_of_today(Space.from_json(document.pop("space")))
        trainings = tuple(Training.from_json(json.loads(line)) for line in lines)
        shape = tuple(document.pop("image_shape"))
        return Recording(space=space, image_shape=shape, trainings=trainings, **document)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"The recorded trainings cannot be read. Received: {path} ({type(error).__name__}: {error}).",
            hint="benchmarks/record.py makes such a file.",
        ) from error


def write_header(path: Path, recording: Recording) -> None:
    """Begins a file, not compressed, with the description of a recording."""
    path.write_text(json.dumps(recording.header_json(), allow_nan=False) + "\n", encoding="utf-8")


def append_training(path: Path, training: Training) -> None:
    """Appends a training to a file that is not compressed."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(training.to_json(), allow_nan=False) + "\n")


def find_recordings(path: Path) -> tuple[Path, ...]:
    """Returns the files of recorded trainings at a path: the file itself, or those of a folder.

    Raises:
        UserError: There are none.
    """
    files = sorted(path.iterdir()) if path.is_dir() else [path] if path.exists() else []
    if not (found := tuple(file for file in files if file.name.endswith(SUFFIXES))):
        raise UserError(
            f"There are no recorded trainings. Expected: a file {' or '.join(SUFFIXES)}, or a folder of such files. "
            f"Received: {path}.",
            hint="benchmarks/record.py makes such files.",
        )
    return found


def recording_name(path: Path) -> str:
    """Returns the name of a file without its folder and suffixes."""
    return path.name.removesuffix(".gz").removesuffix(".jsonl")


def _with_recipes_of_today(space: Space) -> Space:
    """Returns the space with the recipes of the shipped space of its name; unchanged where they do not fit."""
    if space.name not in registry.SPACES:
        return space
    try:
        return dataclasses.replace(space, recipes=registry.load(space.name).recipes)
    except ValueError:
        return space
