"""Trials of the space cnn that train in a second, for the tests of the trainer."""

from __future__ import annotations

from search.trial import Outcome, Trial
from spaces import registry

CNN = registry.load("cnn")
RICH_TRAINING = {
    "shift": 2,
    "rotation": 10.0,
    "zoom": 0.1,
    "shear": 0.1,
    "elastic": 0.6,
    "clean_epochs": 1,
    "schedule": "one_cycle",
    "optimizer": "adamw",
    "weight_decay": 0.001,
    "batch_size": 64,
}
"""Every augmentation, a schedule and decay."""
RICH = CNN.active(
    {
        **{name: domain.baseline for name, domain in CNN.parameters.items()},
        "conv_stages": 2,
        "filters_1": 8,
        "filters_2": 8,
        "dense_1": 32,
        "batch_norm": True,
        "dropout_dense": 0.3,
        **RICH_TRAINING,
        "label_smoothing": 0.05,
    }
)


def trial(config: dict | None = None, **changes: object) -> Trial:
    fields = {"number": 0, "config": config or CNN.baseline, "seed": 3, "epochs": 3}
    return Trial(**{**fields, **changes})


def numbers(outcome: Outcome) -> list[tuple[float, float | None, float | None]]:
    """The numbers that must agree bit for bit."""
    return [(report.training_loss, report.loss, report.error_percent) for report in outcome.history]
