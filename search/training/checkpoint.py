"""Pause and resume, bit for bit: every variable of the model and its optimizer, in order, in one file.

Keras's own formats leave out the states of seed generators (keras#19796) and, for a model not yet trained, the
optimizer's slots; a trial resumed from them diverges. Here the variables are saved flat and assigned back to a model
that was rebuilt from the same configuration.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np

from search.errors import TrialError
from search.training import places
from search.trial import EpochReport


def save(model: Any, history: Sequence[EpochReport], seconds: Mapping[str, float], path: Path) -> None:  # noqa: ANN401
    """Writes the state after ``len(history)`` epochs and so many seconds; whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {str(index): keras.ops.convert_to_numpy(variable) for index, variable in enumerate(_variables(model))}
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            reached = {"history": [asdict(report) for report in history], "seconds": dict(seconds)}
            np.savez(file, reached=json.dumps(reached), **arrays)
        places.move(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def restore(model: Any, path: Path) -> tuple[tuple[EpochReport, ...], dict[str, float]]:  # noqa: ANN401 - Keras model
    """Sets a compiled model to a saved state and returns history and seconds up to there; all of it or nothing.

    The reports are marked as restored.

    Raises:
        TrialError: The file is missing, damaged, or belongs to another configuration.
    """
    model.optimizer.build(model.trainable_variables)
    variables = _variables(model)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            reached = json.loads(str(archive["reached"]))
            arrays = [archive[str(index)] for index in range(len(archive.files) - 1)]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise TrialError(f"The checkpoint is missing or damaged. Received: {path}.") from error
    if [array.shape for array in arrays] != [tuple(variable.shape) for variable in variables]:
        raise TrialError(f"The checkpoint belongs to another configuration. Received: {path}.")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    return tuple(EpochReport(**{**report, "restored": True}) for report in reached["history"]), reached["seconds"]


def _variables(model: Any) -> list[Any]:  # noqa: ANN401 - Keras model
    """Returns weights, batch statistics, seed states and optimizer state, always in the same order."""
    return [*model.variables, *model.optimizer.variables]
