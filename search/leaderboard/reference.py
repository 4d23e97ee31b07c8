"""Published error rates, quoted beside the board's rows. They hold for MNIST with its own 10,000 test images.

The data are recognized by their hash: a file of any name may hold MNIST, and one named so may hold other images.

Source: Jason Brownlee, "Handwritten Digit Recognition Using Convolutional Neural Networks in Python with Keras",
Machine Learning Mastery; the figures stand in its text and in the outputs it shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from types import MappingProxyType

from search.data.mnist import MNIST_SHA256
from search.leaderboard.statistics import prediction_interval

TUTORIAL_ERROR_PERCENT: Mapping[str, float] = MappingProxyType({"mlp": 1.74, "cnn": 0.95, "cnn-large": 0.83})
"""The tutorial's test error in percent by space name, one run each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A published error rate.

    Args:
        label: Name of the figure.
        error_percent: Test error, in percent.
        source: Where it was published, and remarks.
        is_rounded: Whether it is quoted as "about".
    """

    label: str
    error_percent: float
    source: str
    is_rounded: bool = False

    @property
    def name(self) -> str:
        """The label."""
        return self.label

    @property
    def interval(self) -> None:
        """None: no interval was published."""
        return None


REFERENCES: tuple[Reference, ...] = (
    Reference(
        label="tutorial: mlp",
        error_percent=TUTORIAL_ERROR_PERCENT["mlp"],
        source="the tutorial's text, one run; the output it shows says 1.71",
    ),
    Reference(label="tutorial: cnn", error_percent=TUTORIAL_ERROR_PERCENT["cnn"], source="the tutorial, one run"),
    Reference(
        label="tutorial: cnn-large",
        error_percent=TUTORIAL_ERROR_PERCENT["cnn-large"],
        source="the tutorial, one run",
    ),
    Reference(
        label="state of the art",
        error_percent=0.2,
        source="as the tutorial quotes it for large convolutional networks",
        is_rounded=True,
    ),
)


def references(data_sha256: str) -> tuple[Reference, ...]:
    """Returns the published figures for data of a hash; empty unless they are MNIST."""
    return REFERENCES if data_sha256 == MNIST_SHA256 else ()


def tutorial_error_percent(data_sha256: str, space: str) -> float | None:
    """Returns the tutorial's test error in percent for a space on data of a hash; None where it has none."""
    return TUTORIAL_ERROR_PERCENT.get(space) if data_sha256 == MNIST_SHA256 else None


def consistency_sentence(errors_percent: Sequence[float], published_error_percent: float | None) -> str:
    """Returns a sentence: whether a published figure, taken as one more run, is consistent with repeats.

    Args:
        errors_percent: Test error of each repeat, in percent; at least one.
        published_error_percent: The published figure; None where there is none.
    """
    if published_error_percent is None:
        return "There is no published figure to compare with."
    interval = prediction_interval(errors_percent)
    if interval is None:
        return "One repeat says nothing about consistency; take at least three."
    verdict = "consistent" if interval.contains(published_error_percent) else "NOT consistent"
    return (
        f"The tutorial's {published_error_percent:.2f} % is {verdict} with these repeats: one more run falls within "
        f"{max(0.0, interval.low):.2f} to {interval.high:.2f} % with 95 % probability "
        f"({fmean(errors_percent) - published_error_percent:+.2f} points from the figure to our mean)."
    )
