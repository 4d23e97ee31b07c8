"""Exports a row as a ``.keras`` file, trained on all training images, that Keras alone can load.

The test images are not opened unless requested; the model's error is the recorded one.
"""

from __future__ import annotations

import dataclasses
import json
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from search.data.dataset import DatasetInfo, open_training
from search.errors import FatalError, UserError
from search.export import model_metadata
from search.export.target import ExportTarget, format_test_error
from search.files import draft_of, write_errors
from search.leaderboard import formatting
from search.reproduction.restore import restore_task
from search.reproduction.retrain import EpochCallback, retrain
from search.trial import Cause, Outcome, Phase, State, Trial, TrialFiles

SUFFIX = ".keras"
KERAS_MODULES = frozenset({"keras", "builtins"})
"""Top-level modules of the classes that Keras itself can load."""
LAMBDA_CLASS = "__lambda__"
"""Class name under which Keras serializes a Python lambda."""
BORDER_SAMPLE_COUNT = 1000
"""Number of training images whose borders decide whether they are light on dark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedModel:
    """A model that was written.

    Args:
        path: Its file.
        outcome: The outcome of its training.
        error_sentence: Its test error as a sentence.
        custom_layers: Names of its layers that are not Keras's own; loading needs the file that defines them.
        holds_lambda: Whether it holds a Python lambda, which Keras loads only without its safe mode.
    """

    path: Path
    outcome: Outcome
    error_sentence: str
    custom_layers: tuple[str, ...]
    holds_lambda: bool


def export_model(
    target: ExportTarget, out: Path, *, is_scored: bool, on_epoch: EpochCallback = lambda trial, report: None
) -> ExportedModel:
    """Trains the row's configuration and writes the model, whole or not at all.

    Args:
        target: The row to export.
        out: The file, ``*.keras``.
        is_scored: Whether to open the test images again, for the error of this model.
        on_epoch: Called after each epoch.

    Raises:
        UserError: The file cannot be written, or the data set or the space is missing.
        FatalError: The training failed, or the disk is full.
    """
    if out.suffix != SUFFIX:
        raise UserError(f"A model's file ends in {SUFFIX}. Received: --out {out}.")
    task = dataclasses.replace(
        restore_task(target.record, target.trial_record, target.reproduction_options), is_scored=is_scored
    )
    with write_errors(out, "model"), draft_of(out, suffix=SUFFIX) as draft:
        (outcome,) = retrain(task, [_trial(target)], on_epoch, files=TrialFiles(model=os.fspath(draft.absolute())))
        if outcome.state is not State.COMPLETE:
            explains_itself = outcome.cause is Cause.DATA
            traceback = "" if explains_itself else f"\n{outcome.traceback}".rstrip()
            raise FatalError(f"The training failed: {outcome.message}{traceback}")
        model_metadata.write(draft, _make_metadata(target, task.dataset))
        custom_layers, with_lambda = find_custom_layers(draft), holds_lambda(draft)
    return ExportedModel(
        path=out,
        outcome=outcome,
        error_sentence=_test_error_sentence(target, outcome),
        custom_layers=custom_layers,
        holds_lambda=with_lambda,
    )


def load_model(path: Path) -> Any:
    """Returns an exported model, loaded in this process."""
    import keras

    return keras.models.load_model(path)


def _trial(target: ExportTarget) -> Trial:
    return Trial(
        number=0,
        config=target.row.config,
        seed=target.seed,
        epochs=target.row.schedule_epochs,
        is_short=target.row.is_short,
        origin=target.trial_record.trial.origin,
        phase=Phase.VERIFICATION,
    )


def _test_error_sentence(target: ExportTarget, outcome: Outcome) -> str:
    """Returns the test error of this model as far as it is known."""
    row, trial_record = target.row, target.test_record
    if outcome.error_percent is not None:
        return (
            f"Its test error, on the test images opened again and not counted in the ledger: "
            f"{formatting.percent(outcome.error_percent)} %."
        )
    recorded = trial_record.outcome if trial_record is not None else None
    if recorded is not None and _training_losses(recorded) == _training_losses(outcome):
        error = formatting.percent(recorded.error_percent)
        return f"It is the recorded test run of seed {target.seed}, bit for bit in every training loss: {error} %."
    if row.test_error is None:
        return "Its row was not verified, so its test error is not known; --score opens the test images."
    reason = (
        "this seed was not tested" if trial_record is None else "its training losses are not bit for bit those recorded"
    )
    return f"Its row's recorded test error is {format_test_error(row)}; its own is not known: {reason}."


def _training_losses(outcome: Outcome) -> list[float]:
    return [report.training_loss for report in outcome.history]


def _make_metadata(target: ExportTarget, dataset: DatasetInfo) -> model_metadata.ModelMetadata:
    header, row = target.record.header, target.row
    return model_metadata.ModelMetadata(
        study=header.name,
        row=row.name,
        dataset=dataset.name,
        data_sha256=dataset.sha256,
        is_dark=_is_dark(open_training(dataset).images[:BORDER_SAMPLE_COUNT]),
        seed=target.seed,
        epochs=row.schedule_epochs,
        config=row.config,
        recorded=format_test_error(row) if row.test_error is not None else "",
        class_names=dataset.class_names,
        white=dataset.white,
    )


def _is_dark(images: np.ndarray) -> bool:
    """Returns whether the borders of images (count, height, width, channels) are closer to black than to white."""
    white = 255 if images.dtype == np.uint8 else 1.0
    borders = [images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]]
    return float(np.concatenate([border.ravel() for border in borders]).mean()) < white / 2


def find_custom_layers(file: Path) -> tuple[str, ...]:
    """Returns the names of classes in a ``.keras`` file that are not Keras's own, sorted."""
    modules = {part["class_name"]: part["module"] or "" for part in _parts(_config(file)) if "module" in part}
    return tuple(sorted(name for name, module in modules.items() if module.partition(".")[0] not in KERAS_MODULES))


def holds_lambda(file: Path) -> bool:
    """Returns whether a ``.keras`` file holds a Python lambda, as of a ``Lambda`` layer."""
    return any(part["class_name"] == LAMBDA_CLASS for part in _parts(_config(file)))


def _config(file: Path) -> Any:
    with zipfile.ZipFile(file) as archive:
        return json.loads(archive.read("config.json"))


def _parts(document: Any) -> Iterator[dict[str, Any]]:
    """Yields every object that Keras serialized in a document, nested ones included."""
    if isinstance(document, dict):
        if "class_name" in document and "config" in document:
            yield document
        for value in document.values():
            yield from _parts(value)
    if isinstance(document, list):
        for value in document:
            yield from _parts(value)
