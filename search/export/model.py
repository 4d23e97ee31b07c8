"""A row as a ``.keras`` file: trained on all training images, and read by Keras alone.

The test images stay closed unless somebody asks for them; what is said of the model's error is what the ledger records.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from search.errors import FatalError, UserError
from search.export.order import Order
from search.export.sayings import recorded
from search.leaderboard import words
from search.reproduction.restoring import restore_task
from search.reproduction.retraining import Hear, retrain
from search.training import provenance
from search.training.data import DatasetInfo, open_training
from search.trial import Outcome, Phase, State, Trial

SUFFIX = ".keras"
OWN_MODULES = frozenset({"keras", "builtins"})
"""Where the classes live that Keras can make by itself."""
LOOKED_AT = 1000
"""Training images whose borders tell whether they are light on dark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A model that was written.

    Args:
        path: Its file.
        outcome: Of its training.
        error: What is known of its test error, in a sentence.
        foreign: Names of layers in it that are not Keras's own, without whose file it cannot be loaded.
    """

    path: Path
    outcome: Outcome
    error: str
    foreign: tuple[str, ...]


def export_model(order: Order, out: Path, *, is_scored: bool, hear: Hear = lambda trial, report: None) -> Exported:
    """Trains the row's configuration and writes the model, whole or not at all.

    Args:
        order: What is exported.
        out: The file, ``*.keras``.
        is_scored: Whether to open the test images once more, to say the very model's error.
        hear: Hears of each epoch.

    Raises:
        UserError: The file cannot be written, or the data set or the space is gone.
        FatalError: The training failed, or the disk is full.
    """
    if out.suffix != SUFFIX:
        raise UserError(f"A model's file ends in {SUFFIX}. Received: --out {out}.")
    task = dataclasses.replace(restore_task(order.record, order.run, order.means), is_scored=is_scored)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".export-") as folder:
            draft = Path(folder) / f"model{SUFFIX}"
            (outcome,) = retrain(task, [_trial(order, draft)], hear)
            if outcome.state is not State.COMPLETE:
                raise FatalError(f"The training failed: {outcome.message}\n{outcome.traceback}".rstrip())
            provenance.add(draft, _provenance(order, task.dataset))
            foreign = foreign_layers(draft)
            draft.replace(out)
    except OSError as error:
        kind = FatalError if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else UserError
        hint = "Name another place with --out."
        raise kind(f"The model cannot be written: {error.strerror}. Received: --out {out}.", hint=hint) from error
    return Exported(path=out, outcome=outcome, error=_error(order, outcome), foreign=foreign)


def _trial(order: Order, draft: Path) -> Trial:
    return Trial(
        number=0,
        config=order.row.config,
        seed=order.seed,
        epochs=order.record.header.protocol.epochs,
        origin=order.run.trial.origin,
        phase=Phase.VERIFICATION,
        model_to=os.fspath(draft.absolute()),
    )


def _error(order: Order, outcome: Outcome) -> str:
    """Returns what is known of this very model's test error."""
    row, run = order.row, order.recorded_run
    if outcome.error_percent is not None:
        return (
            f"Its test error, for which the test images were opened once more, uncounted in the ledger: "
            f"{words.percent(outcome.error_percent)} %."
        )
    if run is not None and run.outcome is not None and _losses(run.outcome) == _losses(outcome):
        error = words.percent(run.outcome.error_percent)
        return f"It is the recorded test run of seed {order.seed}, bit for bit in every training loss: {error} %."
    if row.test is None:
        return "Its row was not verified, so its test error is not known; --score opens the test images."
    why = "this seed was not tested" if run is None else "its training losses are not bit for bit those recorded"
    return f"Its row's recorded test error is {recorded(row)}; its own is not known: {why}."


def _losses(outcome: Outcome) -> list[float]:
    return [report.training_loss for report in outcome.history]


def _provenance(order: Order, dataset: DatasetInfo) -> provenance.Provenance:
    header, row = order.record.header, order.row
    return provenance.Provenance(
        study=header.name,
        row=row.name,
        dataset=dataset.name,
        data_sha256=dataset.sha256,
        is_dark=_is_dark(open_training(dataset).images[:LOOKED_AT]),
        seed=order.seed,
        epochs=header.protocol.epochs,
        config=row.config,
        recorded=recorded(row) if row.test is not None else "",
    )


def _is_dark(images: np.ndarray) -> bool:
    """Says whether the borders of images (count, height, width, channels) are nearer to black than to white."""
    white = 255 if images.dtype == np.uint8 else 1.0
    borders = [images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]]
    return float(np.concatenate([border.ravel() for border in borders]).mean()) < white / 2


def foreign_layers(file: Path) -> tuple[str, ...]:
    """Returns the names of classes in a ``.keras`` file that are not Keras's own, in the order of the alphabet."""
    with zipfile.ZipFile(file) as archive:
        document = json.loads(archive.read("config.json"))
    modules = {part["class_name"]: part["module"] or "" for part in _parts(document) if "module" in part}
    return tuple(sorted(name for name, module in modules.items() if module.partition(".")[0] not in OWN_MODULES))


def _parts(document: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - JSON
    """Yields every object that Keras has serialized in a document, those within others too."""
    if isinstance(document, dict):
        if "class_name" in document and "config" in document:
            yield document
        for value in document.values():
            yield from _parts(value)
    if isinstance(document, list):
        for value in document:
            yield from _parts(value)
