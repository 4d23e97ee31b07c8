"""Every engine and sampler passes the contract; engines broken on purpose do not."""

from __future__ import annotations

import importlib.util
import random
import warnings

import pytest
from engine_contract import FINITE, SMALL, EngineContract

from search.engines.base import Capabilities, Engine
from search.engines.optuna_engine import SAMPLERS, OptunaEngine
from search.engines.registry import ENGINES
from search.trial import Config, EpochReport, Outcome
from spaces import Space


def _suite(sampler: str) -> type[EngineContract]:
    kind = SAMPLERS[sampler]

    class Suite(EngineContract):
        name = f"optuna:{sampler}"

        @staticmethod
        def make(space: Space, seed: int) -> Engine:
            return OptunaEngine(space, sampler=sampler, pruner="asha", seed=seed, epochs=4)

        @property
        def space(self) -> Space:
            return FINITE if kind.finite else SMALL

    missing = kind.module and importlib.util.find_spec(kind.module) is None
    reason = f"sampler {sampler} needs the extra {kind.extra!r}"
    suite = type(f"Test{sampler.capitalize()}", (Suite,), {"__module__": __name__})
    return pytest.mark.skipif(bool(missing), reason=reason)(suite)


TestTpe, TestRandom, TestQmc, TestGrid, TestNsga2, TestCmaes = (
    _suite(name) for name in ("tpe", "random", "qmc", "grid", "nsga2", "cmaes")
)
COVERED = {"optuna": {"tpe", "random", "qmc", "grid", "nsga2", "cmaes"}}
NEEDS_FIVE_GIGABYTES = {"gp"}  # torch, on the registry, brings CUDA along; tried by hand


def test_no_engine_or_sampler_is_left_out() -> None:
    assert set(COVERED) == set(ENGINES)
    assert COVERED["optuna"] | NEEDS_FIVE_GIGABYTES == set(SAMPLERS)


class BrokenEngine(Engine):
    """Ignores its seed, leaves the space, repeats itself and claims to prune."""

    capabilities = Capabilities(prunes=True, parallel=True, conditional=True)

    def __init__(self) -> None:
        self._random = random.Random()

    def ask(self, number: int, *, given: Config | None = None) -> Config:
        return given or {"width": 1000, "optimizer": "adam", "rate": self._random.random(), "norm": number > 3}

    def report(self, number: int, report: EpochReport) -> bool:
        return False

    def tell(self, number: int, outcome: Outcome) -> None:
        pass


class StuckEngine(BrokenEngine):
    """Proposes the baseline for ever."""

    def ask(self, number: int, *, given: Config | None = None) -> Config:
        return SMALL.baseline


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (BrokenEngine, "test_every_proposal_lies_inside"),
        (BrokenEngine, "test_another_seed_proposes_otherwise"),
        (BrokenEngine, "test_pruning_happens_only_where_it_is_claimed"),
        (StuckEngine, "test_nothing_is_proposed_twice"),
        (StuckEngine, "test_several_can_run_at_once"),
        (StuckEngine, "test_another_seed_proposes_otherwise"),
        (StuckEngine, "test_an_exhausted_space_ends_the_search"),
    ],
)
def test_the_contract_catches_a_broken_engine(broken: type[BrokenEngine], test: str) -> None:
    class Suite(EngineContract):
        @staticmethod
        def make(space: Space, seed: int) -> Engine:
            return broken()

    if (broken, test) == (BrokenEngine, "test_another_seed_proposes_otherwise"):
        Suite.make = staticmethod(lambda space, seed: _Seedless())  # type: ignore[method-assign]
    with warnings.catch_warnings(), pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(Suite(), test)()


class _Seedless(BrokenEngine):
    """Draws from one fixed seed whatever it is given."""

    def __init__(self) -> None:
        self._random = random.Random(1)
