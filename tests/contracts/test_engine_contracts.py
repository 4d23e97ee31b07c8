"""Tests that every engine and sampler passes the contract, and that broken ones fail it."""

from __future__ import annotations

import importlib.util
import random
import warnings

import pytest
from engine_contract import EPOCHS, FINITE_AND_LARGER, SMALL, EngineContract

from search.engines.base import CanEnd, Engine, EngineCapabilities, always
from search.engines.registry import engine_names, make_engine, parse_engine
from search.engines.samplers import OPTUNA_PRUNERS, OPTUNA_SAMPLERS, SCREENING
from search.trial import EpochReport, Outcome, Proposal, State
from spaces import Space


def _suite(engine: str, sampler: str, pruner: str | None = None) -> type[EngineContract]:
    needs = OPTUNA_SAMPLERS[sampler] if engine == "optuna" else None
    is_finite = needs is not None and needs.needs_finite_space

    class Suite(EngineContract):
        name = f"{engine}:{sampler}"
        screens_another = pruner == SCREENING
        count = 10 if sampler == "bayesian" else EngineContract.count  # its model takes over sooner, and is slow

        @staticmethod
        def make(space: Space, seed: int) -> Engine:
            return make_engine(parse_engine(Suite.name, pruner=pruner), space, seed=seed, epochs=EPOCHS)

        @property
        def space(self) -> Space:
            return FINITE_AND_LARGER if is_finite else SMALL

    missing = needs is not None and needs.module and importlib.util.find_spec(needs.module) is None
    reason = f"sampler {sampler} needs the extra {needs.extra if needs else ''!r}"
    title = f"Test{engine.title()}{sampler.title()}{(pruner or '').title()}".replace("-", "")
    return pytest.mark.skipif(bool(missing), reason=reason)(type(title, (Suite,), {"__module__": __name__}))


NEEDS_FIVE_GIGABYTES = {"optuna:gp"}  # torch, on the registry, brings CUDA along; tried by hand
# A sampler that is registered is covered, without another line here. By name, since another process looks them up.
for _name in sorted(set(engine_names()) - NEEDS_FIVE_GIGABYTES):
    _made = _suite(*_name.split(":"))
    globals()[_made.__name__] = _made
# One of each kind: a model, a state that is stored with the trials, an oracle.
for _name in ("optuna:tpe", "optuna:nsga2", "keras-tuner:random"):
    _made = _suite(*_name.split(":"), pruner=SCREENING)
    globals()[_made.__name__] = _made


@pytest.mark.parametrize("pruner", OPTUNA_PRUNERS)
def test_every_pruner_prunes_worse_trials_and_none_prunes_nothing(pruner: str) -> None:
    engine = make_engine(parse_engine("optuna:random", pruner=pruner), SMALL, seed=0, epochs=EPOCHS)
    pruned = False
    for number in range(20):
        engine.ask(number)
        for epoch in range(1, EPOCHS + 1):
            report = EpochReport(epoch=epoch, training_loss=1.0, metrics={"error_percent": 1.0 + number})
            pruned = engine.report(number, report) or pruned
        engine.tell(number, Outcome(state=State.COMPLETE, metrics={"error_percent": 1.0 + number}))
    assert pruned == (pruner != "none")


class BrokenEngine(Engine):
    """Ignores its seed, leaves the space, repeats itself, and claims to prune and to screen."""

    capabilities = EngineCapabilities(prunes=True, pauses=True, screens=True)

    def __init__(self) -> None:
        self._random = random.Random()

    def ask(self, number: int, *, fixed: Proposal | None = None, can_end: CanEnd = always) -> Proposal:
        config = {"width": 1000, "optimizer": "adam", "rate": self._random.random(), "norm": number > 3}
        return fixed or Proposal(config=config)

    def report(self, number: int, report: EpochReport) -> bool:
        return False

    def tell(self, number: int, outcome: Outcome) -> None:
        pass


class StuckEngine(BrokenEngine):
    """Always proposes the baseline."""

    def ask(self, number: int, *, fixed: Proposal | None = None, can_end: CanEnd = always) -> Proposal:
        return Proposal(config=SMALL.baseline)


class FragileEngine(BrokenEngine):
    """Fails on an error that is not finite, and on a failed trial."""

    def tell(self, number: int, outcome: Outcome) -> None:
        assert outcome.error_percent is not None
        assert outcome.error_percent < 100


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (BrokenEngine, "test_every_proposal_lies_inside"),
        (BrokenEngine, "test_another_seed_gives_other_proposals"),
        (BrokenEngine, "test_pruning_happens_only_as_capabilities_state"),
        (BrokenEngine, "test_parts_of_trials_are_proposed_only_as_capabilities_state"),
        (BrokenEngine, "test_short_trials_are_proposed_only_as_capabilities_state"),
        (BrokenEngine, "test_an_exhausted_space_waits_for_running_trials_that_may_be_continued"),
        (FragileEngine, "test_handles_only_failures"),
        (FragileEngine, "test_handles_nan_and_infinite_errors"),
        (FragileEngine, "test_handles_failures_and_interruptions"),
        (StuckEngine, "test_a_fixed_proposal_is_returned_unchanged"),
        (StuckEngine, "test_nothing_is_proposed_twice_wherever_it_resumes"),
        (StuckEngine, "test_an_interrupted_trial_can_be_proposed_again"),
        (StuckEngine, "test_nothing_is_proposed_twice"),
        (StuckEngine, "test_several_trials_run_at_once"),
        (StuckEngine, "test_another_seed_gives_other_proposals"),
        (StuckEngine, "test_an_exhausted_space_ends_the_search"),
    ],
)
def test_the_contract_catches_a_broken_engine(broken: type[BrokenEngine], test: str) -> None:
    class Suite(EngineContract):
        @staticmethod
        def make(space: Space, seed: int) -> Engine:
            return broken()

    if (broken, test) == (BrokenEngine, "test_another_seed_gives_other_proposals"):
        Suite.make = staticmethod(lambda space, seed: _Seedless())  # type: ignore[method-assign]
    with warnings.catch_warnings(), pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(Suite(), test)()


class _Seedless(BrokenEngine):
    """Draws from one fixed seed, whatever the study's seed."""

    def __init__(self) -> None:
        self._random = random.Random(1)
