"""What every engine must keep; inherited by a test class for each, which gives a factory."""

from __future__ import annotations

import functools
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from search.engines.base import Engine, ProposalPending, SpaceExhausted
from search.records.record import TrialRecord
from search.study.search_source import replay
from search.trial import Cause, Config, EpochReport, Outcome, Proposal, State, Trial
from spaces import Choice, Condition, Float, Int, Space

SMALL = Space(
    name="small",
    parameters={
        "width": Int(4, 64, 16, log=True),
        "optimizer": Choice(("adam", "sgd"), "adam"),
        "momentum": Float(0.0, 0.9, 0.5, step=0.1, when=Condition(parameter="optimizer", values=("sgd",))),
        "rate": Float(1e-4, 1e-1, 1e-3, log=True),
        "norm": Choice((False, True), False),
    },
)
FINITE = Space(
    name="finite",
    parameters={"a": Int(1, 3, 1), "b": Choice(("x", "y"), "x"), "c": Float(0.0, 0.4, 0.2, step=0.2)},
)
FINITE_AND_LARGER = Space(
    name="finite and larger",
    parameters={**FINITE.parameters, "d": Int(1, 4, 1), "e": Choice((False, True), False), "f": Int(0, 6, 0, step=2)},
)
EPOCHS = 9


def error_of(config: Config, epoch: int) -> float:
    """An error in percent with its least value inside the space."""
    rate = config.get("rate", 0.01 * config.get("a", 1))
    return 1.0 + abs(math.log10(rate) + 2.0) + 1.0 / epoch


def play(engine: Engine, number: int, given: Config | None = None) -> TrialRecord:
    """Runs one trial against the engine and returns its record."""
    proposal = engine.ask(number, fixed=None if given is None else Proposal(config=given))
    history: list[EpochReport] = []
    trial = Trial(
        number=number,
        config=proposal.config,
        seed=0,
        epochs=EPOCHS,
        target_epoch=proposal.target_epoch,
        parent=proposal.parent,
        engine_metadata=proposal.engine_metadata,
    )
    state = State.COMPLETE if trial.last_epoch == EPOCHS else State.PAUSED
    for epoch in range(1, trial.last_epoch + 1):
        history.append(
            EpochReport(epoch=epoch, training_loss=1.0, metrics={"error_percent": error_of(trial.config, epoch)})
        )
        if engine.report(number, history[-1]):
            state = State.PRUNED
            break
    outcome = Outcome(state=state, history=tuple(history), metrics=history[-1].metrics)
    engine.tell(number, outcome)
    return TrialRecord(trial=trial, outcome=outcome)


def asked_for(records: Iterable[TrialRecord]) -> list[str]:
    """What must not be asked for twice: a configuration, but for going on with it."""
    trials = [known.trial for known in records]
    return [json.dumps([trial.config, trial.target_epoch, trial.parent], sort_keys=True) for trial in trials]


def ask(engine: Engine, number: int) -> Config:
    """The configuration of a proposal."""
    return engine.ask(number).config


class EngineContract:
    """Inherit, and define ``make(space, seed)``."""

    name = ""
    count = 15
    """Trials of a played search: enough for a model to take over from the start-up, and for promotions."""

    @staticmethod
    def make(space: Space, seed: int) -> Engine:
        raise NotImplementedError

    @property
    def space(self) -> Space:
        """The space that the engine can search: a finite one where it needs that."""
        return SMALL

    @classmethod
    @functools.cache  # some engines take a second to propose
    def _records(cls, seed: int) -> list[TrialRecord]:
        return cls()._play(seed, cls.count)

    def _play(self, seed: int, count: int) -> list[TrialRecord]:
        engine = self.make(self.space, seed)
        baseline = [play(engine, 0, given=self.space.baseline)]
        return baseline + [play(engine, number) for number in range(1, count)]

    def test_every_proposal_lies_inside(self) -> None:
        for known in self._records(0):
            assert self.space.problems(known.trial.config) == []
            assert known.trial.config == json.loads(json.dumps(known.trial.config)), "plain values only"

    def test_nothing_is_proposed_twice(self) -> None:
        proposals = asked_for(self._records(0))
        assert len(set(proposals)) == len(proposals) == self.count

    def test_a_given_proposal_is_returned_as_it_is(self) -> None:
        engine = self.make(self.space, 0)
        given = Proposal(config=self.space.baseline, engine_metadata={"whose": "the caller's"})
        assert engine.ask(0, fixed=given) == given

    @pytest.mark.parametrize("seed", [0, 7])
    def test_the_same_seed_proposes_the_same(self, seed: int) -> None:
        assert self._play(seed, self.count - 2) == self._records(seed)[:-2]

    def test_another_seed_proposes_otherwise(self) -> None:
        is_other = asked_for(self._records(0)) != asked_for(self._records(7))
        assert is_other == self.make(self.space, 0).capabilities.seeded

    def test_the_same_seed_proposes_the_same_in_another_process(self) -> None:
        code = (
            "import json, sys; sys.path[:0] = json.loads(sys.argv[1])\n"
            f"from {type(self).__module__} import {type(self).__name__} as suite\n"
            "from engine_contract import asked_for\n"
            "print(json.dumps(asked_for(suite()._play(0, suite.count - 2))))"
        )
        paths = [str(Path(__file__).parent), str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]
        command = [sys.executable, "-W", "error", "-c", code, json.dumps(paths)]
        environment = {**os.environ, "PYTHONHASHSEED": "12345"}
        printed = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
        assert json.loads(printed) == asked_for(self._records(0)[:-2])

    def test_a_constant_objective_is_survived(self) -> None:
        engine = self.make(self.space, 0)
        for number in range(10):
            assert self.space.contains(ask(engine, number))
            engine.tell(number, Outcome(state=State.COMPLETE, metrics={"error_percent": 1.0}))

    def test_failures_and_interruptions_are_survived(self) -> None:
        engine = self.make(self.space, 0)
        states = [State.FAILED, State.INTERRUPTED, State.COMPLETE, State.PRUNED]
        for number in range(12):
            assert self.space.contains(ask(engine, number))
            state = states[number % 4]
            engine.tell(number, Outcome(state=state, metrics={"error_percent": 1.0} if state is State.COMPLETE else {}))

    def test_nothing_but_failures_is_survived(self) -> None:
        engine = self.make(self.space, 0)
        for number in range(20):
            assert self.space.contains(ask(engine, number))
            engine.tell(number, Outcome(state=State.FAILED, cause=Cause.NOT_FINITE))

    def test_figures_that_are_no_numbers_are_survived(self) -> None:
        engine = self.make(self.space, 0)
        for number in range(16):
            assert self.space.contains(ask(engine, number))
            error = math.nan if number % 3 == 0 else math.inf if number % 3 == 1 else 1.0
            engine.tell(
                number, Outcome(state=State.FAILED if number % 3 else State.COMPLETE, metrics={"error_percent": error})
            )

    def test_several_can_run_at_once(self) -> None:
        engine = self.make(self.space, 0)
        for first in (0, 8):  # before a model takes over, and after
            configs = [ask(engine, first + number) for number in range(8)]
            assert len({json.dumps(config, sort_keys=True) for config in configs}) == 8
            for number in (2, 0, 3, 1, 5, 4, 7, 6):
                engine.tell(first + number, Outcome(state=State.COMPLETE, metrics={"error_percent": float(number)}))
        assert self.space.contains(ask(engine, 16))

    def test_an_interrupted_trial_can_be_given_again(self) -> None:
        engine = self.make(self.space, 0)
        play(engine, 0, self.space.baseline)
        proposal = engine.ask(1)
        engine.tell(1, Outcome(state=State.INTERRUPTED, cause=Cause.CANCELLED))
        assert engine.ask(2, fixed=proposal) == proposal
        engine.tell(2, Outcome(state=State.COMPLETE, metrics={"error_percent": 1.0}))
        seen = asked_for([play(engine, number) for number in range(3, 10)])
        assert json.dumps([proposal.config, proposal.target_epoch, proposal.parent], sort_keys=True) not in seen

    def test_a_replayed_engine_goes_on_as_if_it_had_never_stopped(self) -> None:
        straight = self._records(0)
        for stop in (1, self.count - 6, self.count - 3):
            resumed = self.make(self.space, 0)
            replay(resumed, straight[:stop])
            assert [play(resumed, number) for number in range(stop, stop + 3)] == straight[stop : stop + 3]

    def test_resumed_anywhere_nothing_is_proposed_twice(self) -> None:
        records: list[TrialRecord] = []
        for session in range(3):
            engine = self.make(self.space, 5)
            replay(engine, records)
            records += [play(engine, 4 * session + number) for number in range(4)]
        assert len(set(asked_for(records))) == len(records) == 12

    def test_an_exhausted_space_ends_the_search(self) -> None:
        engine = self.make(FINITE, 0)
        seen: list[TrialRecord] = []
        with pytest.raises(SpaceExhausted):
            for number in range(3 * FINITE.size()):
                seen.append(play(engine, number))
        assert len(set(asked_for(seen))) == len(seen)
        assert len({json.dumps(known.trial.config) for known in seen}) == FINITE.size() == 18

    def test_an_exhausted_space_waits_for_running_trials_that_others_may_go_on_from(self) -> None:
        engine = self.make(FINITE, 0)
        running, asked = [], 0
        with pytest.raises((SpaceExhausted, ProposalPending)) as end:
            for number in range(3 * FINITE.size()):
                running.append((number, engine.ask(number)))
                asked += 1
        assert asked == FINITE.size()
        assert (end.type is ProposalPending) == (engine.capabilities.pauses or engine.capabilities.resumes)
        for number, proposal in running:
            state = State.COMPLETE if proposal.target_epoch is None else State.PAUSED
            engine.tell(number, Outcome(state=state, metrics={"error_percent": float(number)}))
        if engine.capabilities.pauses:
            assert engine.ask(asked).parent is not None
        else:
            with pytest.raises(SpaceExhausted):
                engine.ask(asked)

    def test_parts_of_trials_are_asked_for_only_where_it_is_claimed(self) -> None:
        records = self._records(0)
        parts = [known.trial for known in records if known.trial.target_epoch is not None]
        children = [known.trial for known in records if known.trial.parent is not None]
        capabilities = self.make(self.space, 0).capabilities
        assert bool(parts) == capabilities.pauses
        assert bool(children) == (capabilities.pauses or capabilities.resumes)
        parents = {known.trial.number: known for known in records}
        for known in records:
            if known.trial.parent is not None:
                parent = parents[known.trial.parent]
                assert known.trial.config == parent.trial.config
                assert len(known.outcome.history) > len(parent.outcome.history)
        assert len({child.parent for child in children}) == len(children), "nobody has two children"

    def test_pruning_happens_only_where_it_is_claimed(self) -> None:
        engine = self.make(self.space, 0)
        pruned = False
        for number in range(12):
            ask(engine, number)
            for epoch in range(1, EPOCHS + 1):
                report = EpochReport(epoch=epoch, training_loss=1.0, metrics={"error_percent": 1.0 + number})
                pruned = engine.report(number, report) or pruned
            engine.tell(number, Outcome(state=State.COMPLETE, metrics={"error_percent": 1.0 + number}))
        assert pruned == engine.capabilities.prunes
