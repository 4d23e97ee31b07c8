"""The contract of engines; a test class for each engine inherits it and gives a factory."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Iterable

import pytest

from search.engines.base import Engine, ProposalPending, SpaceExhausted
from search.records.record import TrialRecord
from search.study.search_source import replay
from search.trial import Cause, Config, EpochReport, Outcome, Proposal, State, Trial, completed_state
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
    """Returns an error in percent with its minimum inside the space."""
    rate = config.get("rate", 0.01 * config.get("a", 1))
    return 1.0 + abs(math.log10(rate) + 2.0) + 1.0 / epoch


def play(engine: Engine, number: int, fixed: Config | None = None) -> TrialRecord:
    """Runs one trial against the engine and returns its record."""
    proposal = engine.ask(number, fixed=None if fixed is None else Proposal(config=fixed))
    history: list[EpochReport] = []
    trial = Trial(
        number=number,
        config=proposal.config,
        seed=0,
        epochs=proposal.short_epochs or EPOCHS,
        is_short=proposal.short_epochs is not None,
        target_epoch=proposal.target_epoch,
        parent=proposal.parent,
        engine_metadata=proposal.engine_metadata,
    )
    state = completed_state(trial)
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


def proposal_keys(records: Iterable[TrialRecord]) -> list[str]:
    """Returns what must not be proposed twice: a configuration, with the epochs, part and parent of its trial."""
    return [proposal_key(record.trial.proposal) for record in records]


def proposal_key(proposal: Proposal) -> str:
    """Returns a text that is equal for equal proposals."""
    return json.dumps([proposal.config, proposal.short_epochs, proposal.target_epoch, proposal.parent], sort_keys=True)


def ask(engine: Engine, number: int) -> Config:
    """Returns the configuration of the next proposal."""
    return engine.ask(number).config


class EngineContract:
    """Inherit, and define ``make(space, seed)``."""

    name = ""
    screens_another = False
    """Whether short trials come before the full trials of an engine that has none by itself."""
    count = 15
    """Trials of a search: enough for a model to take over from the start-up, and for promotions."""

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
        baseline = [play(engine, 0, fixed=self.space.baseline)]
        return baseline + [play(engine, number) for number in range(1, count)]

    def test_every_proposal_lies_inside(self) -> None:
        for record in self._records(0):
            assert self.space.problems(record.trial.config) == []
            assert record.trial.config == json.loads(json.dumps(record.trial.config)), "plain values only"

    def test_nothing_is_proposed_twice(self) -> None:
        proposals = proposal_keys(self._records(0))
        assert len(set(proposals)) == len(proposals) == self.count

    def test_a_fixed_proposal_is_returned_unchanged(self) -> None:
        engine = self.make(self.space, 0)
        given = Proposal(config=self.space.baseline, engine_metadata={"whose": "the caller's"})
        assert engine.ask(0, fixed=given) == given

    @pytest.mark.parametrize("seed", [0, 7])
    def test_the_same_seed_gives_the_same_proposals(self, seed: int) -> None:
        assert self._play(seed, self.count - 2) == self._records(seed)[:-2]

    def test_another_seed_gives_other_proposals(self) -> None:
        is_other = proposal_keys(self._records(0)) != proposal_keys(self._records(7))
        assert is_other == self.make(self.space, 0).capabilities.seeded

    def test_the_same_seed_gives_the_same_proposals_in_another_process(
        self, other_process: Callable[[str, str], list[str]]
    ) -> None:
        proposed = other_process(type(self).__module__, type(self).__name__)
        assert proposed == proposal_keys(self._records(0)[:-2])

    def test_handles_a_constant_objective(self) -> None:
        engine = self.make(self.space, 0)
        for number in range(10):
            assert self.space.contains(ask(engine, number))
            engine.tell(number, Outcome(state=State.COMPLETE, metrics={"error_percent": 1.0}))

    def test_handles_failures_and_interruptions(self) -> None:
        engine = self.make(self.space, 0)
        states = [State.FAILED, State.INTERRUPTED, State.COMPLETE, State.PRUNED]
        for number in range(12):
            assert self.space.contains(ask(engine, number))
            state = states[number % 4]
            engine.tell(number, Outcome(state=state, metrics={"error_percent": 1.0} if state is State.COMPLETE else {}))

    def test_handles_only_failures(self) -> None:
        engine = self.make(self.space, 0)
        for number in range(20):
            assert self.space.contains(ask(engine, number))
            engine.tell(number, Outcome(state=State.FAILED, cause=Cause.NOT_FINITE))

    def test_handles_nan_and_infinite_errors(self) -> None:
        engine = self.make(self.space, 0)
        for number in range(16):
            assert self.space.contains(ask(engine, number))
            error = math.nan if number % 3 == 0 else math.inf if number % 3 == 1 else 1.0
            engine.tell(
                number, Outcome(state=State.FAILED if number % 3 else State.COMPLETE, metrics={"error_percent": error})
            )

    def test_several_trials_run_at_once(self) -> None:
        engine = self.make(self.space, 0)
        for first in (0, 8):  # before a model takes over, and after
            proposals = [engine.ask(first + number) for number in range(8)]
            assert len(set(map(proposal_key, proposals))) == 8
            for number in (2, 0, 3, 1, 5, 4, 7, 6):
                engine.tell(first + number, Outcome(state=State.COMPLETE, metrics={"error_percent": float(number)}))
        assert self.space.contains(ask(engine, 16))

    def test_an_interrupted_trial_can_be_proposed_again(self) -> None:
        engine = self.make(self.space, 0)
        play(engine, 0, self.space.baseline)
        proposal = engine.ask(1)
        engine.tell(1, Outcome(state=State.INTERRUPTED, cause=Cause.CANCELLED))
        assert engine.ask(2, fixed=proposal) == proposal
        engine.tell(2, Outcome(state=State.COMPLETE, metrics={"error_percent": 1.0}))
        seen = proposal_keys([play(engine, number) for number in range(3, 10)])
        assert proposal_key(proposal) not in seen

    def test_a_replayed_engine_continues_like_one_that_never_stopped(self) -> None:
        straight = self._records(0)
        for stop in (1, self.count - 6, self.count - 3):
            resumed = self.make(self.space, 0)
            replay(resumed, straight[:stop])
            assert [play(resumed, number) for number in range(stop, stop + 3)] == straight[stop : stop + 3]

    def test_nothing_is_proposed_twice_wherever_it_resumes(self) -> None:
        records: list[TrialRecord] = []
        for session in range(3):
            engine = self.make(self.space, 5)
            replay(engine, records)
            records += [play(engine, 4 * session + number) for number in range(4)]
        assert len(set(proposal_keys(records))) == len(records) == 12

    def test_an_exhausted_space_ends_the_search(self) -> None:
        engine = self.make(FINITE, 0)
        seen: list[TrialRecord] = []
        with pytest.raises(SpaceExhausted):
            for number in range(3 * FINITE.size()):
                seen.append(play(engine, number))
        assert len(set(proposal_keys(seen))) == len(seen)
        assert len({json.dumps(record.trial.config) for record in seen}) == FINITE.size() == 18

    def test_an_exhausted_space_waits_for_running_trials_that_may_be_continued(self) -> None:
        engine = self.make(FINITE, 0)
        running, asked = [], 0
        with pytest.raises((SpaceExhausted, ProposalPending)) as end:
            for number in range(3 * FINITE.size()):
                running.append((number, engine.ask(number)))
                asked += 1
        trains_more = engine.capabilities.pauses or engine.capabilities.resumes or self.screens_another
        assert asked == FINITE.size() * (2 if engine.capabilities.screens and not trains_more else 1)
        assert (end.type is ProposalPending) == trains_more
        for number, proposal in running:
            state = State.COMPLETE if proposal.target_epoch is None else State.PAUSED
            engine.tell(number, Outcome(state=state, metrics={"error_percent": float(number)}))
        if engine.capabilities.pauses:
            assert engine.ask(asked).parent is not None
        elif self.screens_another:
            best = engine.ask(asked)
            assert best.short_epochs is None
            assert best.config == running[0][1].config
        else:
            with pytest.raises(SpaceExhausted):
                engine.ask(asked)

    def test_parts_of_trials_are_proposed_only_as_capabilities_state(self) -> None:
        records = self._records(0)
        parts = [record.trial for record in records if record.trial.target_epoch is not None]
        children = [record.trial for record in records if record.trial.parent is not None]
        capabilities = self.make(self.space, 0).capabilities
        assert bool(parts) == capabilities.pauses
        assert bool(children) == (capabilities.pauses or capabilities.resumes)
        parents = {record.trial.number: record for record in records}
        for record in records:
            if record.trial.parent is not None:
                parent = parents[record.trial.parent]
                assert record.trial.config == parent.trial.config
                assert len(record.outcome.history) > len(parent.outcome.history)
        assert len({child.parent for child in children}) == len(children), "nobody has two children"

    def test_short_trials_are_proposed_only_as_capabilities_state(self) -> None:
        short = [record.trial for record in self._records(0) if record.trial.is_short]
        assert bool(short) == self.make(self.space, 0).capabilities.screens
        assert all(trial.epochs < EPOCHS for trial in short)

    def test_pruning_happens_only_as_capabilities_state(self) -> None:
        engine = self.make(self.space, 0)
        pruned = False
        for number in range(12):
            ask(engine, number)
            for epoch in range(1, EPOCHS + 1):
                report = EpochReport(epoch=epoch, training_loss=1.0, metrics={"error_percent": 1.0 + number})
                pruned = engine.report(number, report) or pruned
            engine.tell(number, Outcome(state=State.COMPLETE, metrics={"error_percent": 1.0 + number}))
        assert pruned == engine.capabilities.prunes
