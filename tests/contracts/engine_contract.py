"""What every engine must keep; inherited by a test class for each, which gives a factory."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from search.engines.base import Engine, SpaceExhausted, replay
from search.record import TrialRecord
from search.trial import Config, EpochReport, Outcome, State, Trial
from spaces import Choice, Float, Int, Space, When

SMALL = Space(
    name="small",
    parameters={
        "width": Int(4, 64, 16, log=True),
        "optimizer": Choice(("adam", "sgd"), "adam"),
        "momentum": Float(0.0, 0.9, 0.5, step=0.1, when=When(parameter="optimizer", values=("sgd",))),
        "rate": Float(1e-4, 1e-1, 1e-3, log=True),
        "norm": Choice((False, True), False),
    },
)
FINITE = Space(
    name="finite",
    parameters={"a": Int(1, 3, 1), "b": Choice(("x", "y"), "x"), "c": Float(0.0, 0.4, 0.2, step=0.2)},
)
EPOCHS = 4


def error_of(config: Config, epoch: int) -> float:
    """An error in percent with its least value inside the space."""
    rate = config.get("rate", 0.01 * config.get("a", 1))
    return 1.0 + abs(math.log10(rate) + 2.0) + 1.0 / epoch


def play(engine: Engine, number: int, given: Config | None = None) -> TrialRecord:
    """Runs one trial against the engine and returns its record."""
    config = engine.ask(number, given=given)
    history: list[EpochReport] = []
    state = State.COMPLETE
    for epoch in range(1, EPOCHS + 1):
        history.append(EpochReport(epoch=epoch, training_loss=1.0, error_percent=error_of(config, epoch)))
        if engine.report(number, history[-1]):
            state = State.PRUNED
            break
    outcome = Outcome(state=state, history=tuple(history), error_percent=history[-1].error_percent)
    engine.tell(number, outcome)
    return TrialRecord(trial=Trial(number=number, config=config, seed=0, epochs=EPOCHS), outcome=outcome)


class EngineContract:
    """Inherit, and define ``make(space, seed)``."""

    name = ""

    @staticmethod
    def make(space: Space, seed: int) -> Engine:
        raise NotImplementedError

    @property
    def space(self) -> Space:
        """The space that the engine can search: a finite one where it needs that."""
        return SMALL

    def _proposals(self, count: int, seed: int = 3) -> list[Config]:
        engine = self.make(self.space, seed)
        baseline = [play(engine, 0, given=self.space.baseline)]
        return [record.trial.config for record in baseline + [play(engine, number) for number in range(1, count)]]

    def test_every_proposal_lies_inside(self) -> None:
        for config in self._proposals(15):
            assert self.space.problems(config) == []

    def test_nothing_is_proposed_twice(self) -> None:
        proposals = [json.dumps(config, sort_keys=True) for config in self._proposals(15)]
        assert len(set(proposals)) == len(proposals)

    @pytest.mark.parametrize("seed", [0, 7])
    def test_the_same_seed_proposes_the_same(self, seed: int) -> None:
        assert self._proposals(12, seed) == self._proposals(12, seed)

    def test_another_seed_proposes_otherwise(self) -> None:
        assert self._proposals(12, 0) != self._proposals(12, 1)

    def test_the_same_seed_proposes_the_same_in_another_process(self) -> None:
        code = (
            "import json, sys; sys.path[:0] = json.loads(sys.argv[1])\n"
            f"from {type(self).__module__} import {type(self).__name__} as suite\n"
            "print(json.dumps(suite()._proposals(10, 0)))"
        )
        paths = [str(Path(__file__).parent), str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]
        command = [sys.executable, "-W", "error", "-c", code, json.dumps(paths)]
        environment = {"PYTHONHASHSEED": "12345", "PATH": "/usr/bin:/bin"}
        printed = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
        assert json.loads(printed) == self._proposals(10, 0)

    def test_a_constant_objective_is_survived(self) -> None:
        engine = self.make(self.space, 0)
        for number in range(10):
            engine.ask(number)
            engine.tell(number, Outcome(state=State.COMPLETE, error_percent=1.0))

    def test_failures_and_interruptions_are_survived(self) -> None:
        engine = self.make(self.space, 0)
        states = [State.FAILED, State.INTERRUPTED, State.COMPLETE, State.PRUNED]
        for number in range(12):
            engine.ask(number)
            state = states[number % 4]
            engine.tell(number, Outcome(state=state, error_percent=1.0 if state is State.COMPLETE else None))

    def test_several_can_run_at_once(self) -> None:
        engine = self.make(self.space, 0)
        configs = [engine.ask(number) for number in range(4)]
        assert len({json.dumps(config, sort_keys=True) for config in configs}) == 4
        for number in (2, 0, 3, 1):
            engine.tell(number, Outcome(state=State.COMPLETE, error_percent=float(number)))
        assert self.space.contains(engine.ask(4))

    def test_a_replayed_engine_goes_on_as_if_it_had_never_stopped(self) -> None:
        straight, first = self.make(self.space, 5), self.make(self.space, 5)
        records = [play(straight, number, self.space.baseline if number == 0 else None) for number in range(9)]
        assert [play(first, 0, self.space.baseline)] + [play(first, number) for number in range(1, 9)] == records
        resumed = self.make(self.space, 5)
        replay(resumed, records)
        for number in (9, 10, 11):
            assert play(resumed, number) == play(straight, number)

    def test_an_exhausted_space_ends_the_search(self) -> None:
        engine = self.make(FINITE, 0)
        seen = []
        with pytest.raises(SpaceExhausted):
            for number in range(FINITE.size() + 1):
                seen.append(json.dumps(play(engine, number).trial.config, sort_keys=True))
        assert len(set(seen)) == len(seen) == FINITE.size() == 18

    def test_pruning_happens_only_where_it_is_claimed(self) -> None:
        engine = self.make(self.space, 0)
        pruned = False
        for number in range(12):
            engine.ask(number)
            for epoch in range(1, EPOCHS + 1):
                report = EpochReport(epoch=epoch, training_loss=1.0, error_percent=1.0 + number)
                pruned = engine.report(number, report) or pruned
            engine.tell(number, Outcome(state=State.COMPLETE, error_percent=1.0 + number))
        assert pruned == engine.capabilities.prunes
