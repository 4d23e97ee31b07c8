"""Values that many tests need: a space, a protocol, a header, trials."""

from __future__ import annotations

from typing import Any

from search.data.dataset import DatasetInfo
from search.protocol import EvaluationProtocol, Split
from search.records.record import StudyHeader
from search.trial import BASELINE, EpochReport, Outcome, State, Trial
from spaces import Choice, Condition, Float, Int, Recipe, Space

TINY = Space(
    name="tiny",
    parameters={
        "width": Int(4, 64, 16, log=True),
        "optimizer": Choice(("adam", "sgd"), "adam"),
        "momentum": Float(0.0, 0.9, 0.5, step=0.1, when=Condition(parameter="optimizer", values=("sgd",))),
        "learning_rate": Float(1e-4, 1e-1, 1e-3, log=True),
    },
    recipes={"faster": Recipe(values={"learning_rate": 0.01}, doc="A higher rate", source="this test")},
)

MNIST = DatasetInfo(
    name="mnist",
    sha256="ab" * 32,
    image_shape=(28, 28, 1),
    classes=10,
    training_count=60_000,
    test_count=10_000,
    has_groups=False,
    equal_images=0,
    folder="",
    files={},
)
"""MNIST's sizes; no file is there."""


def header(name: str = "study", **changes: Any) -> StudyHeader:
    """A study's header; any field can be changed."""
    protocol = EvaluationProtocol(dataset="mnist", data_sha256="ab" * 32, split=Split.BLOCK, epochs=4)
    fields = {
        "name": name,
        "space": TINY,
        "space_source": "tiny",
        "protocol": protocol,
        "engine": "optuna",
        "sampler": "random",
        "pruner": "none",
        "seed": 5,
        "created": "2026-01-01T00:00:00+00:00",
    }
    return StudyHeader(**{**fields, **changes})


def trial(number: int = 0, **changes: Any) -> Trial:
    """A trial of the baseline; any field can be changed."""
    fields = {"number": number, "config": TINY.baseline, "seed": number, "epochs": 4, "origin": BASELINE}
    return Trial(**{**fields, **changes})


ADDED_KEYS = {
    "objective": "error_percent",
    "builder_sha256": "",
    "max_parameters": None,
    "equal_images": 0,
    "is_short": False,
    "calibrated_loss": None,
    "test_groups": [],
    "test_labels": [],
    "folds": 1,
    "class_weight": "none",
    "balanced_error_percent": None,
    "test_class_counts": [],
}
"""Keys of ``study/2`` that ``study/1`` lacks, each with the value that older records have."""

COMPUTED_KEYS = {"test_openings", "searched_after_opening"}
"""Keys of ``study/2`` that are computed from the trials."""


def as_study_1(document: Any) -> Any:
    """A document of ``study/2`` as ``study/1`` had it: without the added keys, where they hold what is assumed."""
    if isinstance(document, list):
        return [as_study_1(item) for item in document]
    if not isinstance(document, dict):
        return "study/1" if document == "study/2" else document
    added = {key for key, item in document.items() if key in ADDED_KEYS and item == ADDED_KEYS[key]} | COMPUTED_KEYS
    kept = {key: item for key, item in document.items() if key not in added}
    return {key: as_study_1(item) for key, item in kept.items()}


def complete(error_percent: float = 1.5, epochs: int = 4) -> Outcome:
    """An outcome with a history that ends at the error."""
    history = tuple(
        EpochReport(
            epoch=epoch,
            training_loss=0.1,
            metrics={"loss": 0.1, "error_percent": error_percent + epochs - epoch},
            seconds=1.0,
        )
        for epoch in range(1, epochs + 1)
    )
    return Outcome(
        state=State.COMPLETE,
        metrics={"error_percent": error_percent},
        history=history,
        seconds={"build": 0.5, "fit": 3.0, "evaluate": 0.5},
        parameter_count=100,
        environment={"device": "CPU", "versions": {"keras": "3"}},
    )
