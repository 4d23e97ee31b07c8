"""What Optuna learns from failures."""

from __future__ import annotations

from search.engines.optuna_engine import OptunaEngine
from search.trial import Cause, Outcome, State
from spaces import Float, Space

SPACE = Space(name="sized", parameters={"size": Float(0.0, 1.0, 0.1), "other": Float(0.0, 1.0, 0.5)})
LARGEST = 0.5
"""The largest size that does not fail. The error falls with the size up to there."""


def proposals_that_fail(cause: Cause, seed: int) -> int:
    """Returns how many of 60 proposals after the first 20 are too large, where such trials fail for a cause."""
    engine = OptunaEngine(SPACE, sampler="tpe", pruner="none", seed=seed, epochs=4)
    failed = 0
    for number in range(80):
        size = engine.ask(number).config["size"]
        outcome = Outcome(state=State.COMPLETE, metrics={"error_percent": 10.0 - size})
        engine.tell(number, outcome if size <= LARGEST else Outcome(state=State.FAILED, cause=cause))
        failed += number >= 20 and size > LARGEST
    return failed


def test_tpe_avoids_what_does_not_fit_into_memory() -> None:
    """The seeds are fixed, so that there are no false alarms."""
    avoided = sum(proposals_that_fail(Cause.OUT_OF_MEMORY, seed) for seed in range(5))
    ignored = sum(proposals_that_fail(Cause.NOT_FINITE, seed) for seed in range(5))
    assert avoided < 0.7 * ignored
