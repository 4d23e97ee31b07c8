"""Counts the trainable parameters of a Keras Tuner model by building it, in a process of its own.

The coordinator imports no Keras; it sends configurations to this process. Called by ``search.engines.limits``::

    python -m spaces.hypermodels.counting FILE HEIGHT WIDTH CHANNELS CLASSES

Each line of its input is a configuration in JSON; each line of its output is a count, or null for a model that cannot
be built.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from spaces.hypermodels.builder import HypermodelBuilder
from spaces.hypermodels.environment import keras_environment
from spaces.training import complete


class ParameterCounter:
    """Returns the trainable parameters of configurations, each of which is built once.

    The process starts with the first configuration and ends with this object or with the program.

    Args:
        path: The file of the model.
        image_shape: (height, width, channels) of the data.
        classes: Number of classes of the data.
    """

    def __init__(self, path: Path, image_shape: tuple[int, int, int], classes: int) -> None:
        self._arguments = (str(path), *map(str, image_shape), str(classes))
        self._counts: dict[str, float] = {}
        self._process: subprocess.Popen[str] | None = None

    def __call__(self, config: Mapping[str, Any]) -> float:
        """Returns a configuration's trainable parameters; infinitely many where its model cannot be built."""
        question = json.dumps(config, sort_keys=True)
        if question not in self._counts:
            self._counts[question] = self._ask(question)
        return self._counts[question]

    def _ask(self, question: str) -> float:
        process = self._running_process()
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(OSError):  # it has ended; then it has no answer either
            process.stdin.write(f"{question}\n")
            process.stdin.flush()
        answer = process.stdout.readline()
        if not answer:  # a model that is larger than the memory ends the process
            process.wait()
            return math.inf
        count: int | None = json.loads(answer)
        return math.inf if count is None else count

    def _running_process(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, *self._arguments],
                env=keras_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                encoding="utf-8",
                start_new_session=True,  # Ctrl-C is for the coordinator
            )
            weakref.finalize(self, _end, self._process)
        return self._process


def _end(process: subprocess.Popen[str]) -> None:
    """Ends a process and closes its pipes."""
    process.kill()
    with process, contextlib.suppress(OSError):  # what is still to be written has no reader
        process.communicate()


def count_parameters(
    build: HypermodelBuilder, config: Mapping[str, Any], image_shape: tuple[int, int, int], classes: int
) -> int:
    """Returns the trainable parameters of a configuration's network.

    Args:
        build: The model builder.
        config: Training parameters that it leaves out are the tutorial's.
        image_shape: (height, width, channels).
        classes: Number of classes.
    """
    import keras

    keras.utils.clear_session(free_memory=False)
    images = keras.Input(image_shape)
    network = keras.Model(images, build(images, complete(config), classes))
    return sum(math.prod(variable.shape) for variable in network.trainable_variables)


def main(file: str, height: str, width: str, channels: str, classes: str, *, answers: IO[str]) -> None:
    """Answers the configurations of the standard input."""
    build, image_shape = HypermodelBuilder(path=Path(file)), (int(height), int(width), int(channels))
    for line in sys.stdin:
        count: int | None = None
        with contextlib.suppress(Exception):  # a user's builder may raise anything
            count = count_parameters(build, json.loads(line), image_shape, int(classes))
        answers.write(f"{json.dumps(count)}\n")
        answers.flush()


if __name__ == "__main__":
    own_output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the user's file prints is no answer
    main(*sys.argv[1:], answers=own_output)
