"""The loop: ask, submit, collect, judge, record, tell.

A source says which trial comes next and hears how it went: the search itself (``SearchSource``), or a fixed list
(``ReplicateSource``: verification and the baseline command). ``drive`` keeps an executor busy with it and records
everything; it is the only place where engine, executor and ledger meet.
"""

from __future__ import annotations

import dataclasses
import json
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from search import seeds
from search.engines.base import Engine, SpaceExhausted, replay
from search.execution.base import Executor, Finished, Key, Reported
from search.ledger import Ledger
from search.record import StudyRecord, TrialRecord
from search.trial import BASELINE, FOUND, Cause, Config, EpochReport, Outcome, Phase, State, Trial
from spaces.space import Space

TICK_SECONDS = 0.2
"""Longest wait for an event before the clock is looked at."""


class Listener(Protocol):
    """Hears what happens; a progress display, mostly."""

    def began(self, trial: Trial) -> None:
        """A trial was handed to the executor."""

    def reported(self, trial: Trial, report: EpochReport) -> None:
        """A trial finished an epoch."""

    def finished(self, trial: Trial, outcome: Outcome) -> None:
        """A trial ended."""

    def tick(self) -> None:
        """Some time passed."""


class Source(Protocol):
    """Says which trial comes next, and hears how it went."""

    def next(self) -> Trial | None:
        """Returns the next trial, or None when there is none now."""

    def report(self, trial: Trial, report: EpochReport) -> bool:
        """Notes an epoch; returns whether to prune the trial."""

    def finished(self, trial: Trial, outcome: Outcome) -> None:
        """Notes how a trial ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """What a loop works with.

    Args:
        executor: Runs the trials.
        ledger: Records them.
        listener: Hears of them.
        stop: Returns the cause for which everything must stop now, or None; asked every ``TICK_SECONDS``.
    """

    executor: Executor
    ledger: Ledger
    listener: Listener
    stop: Callable[[], Cause | None]


@dataclass(slots=True)
class _Loop:
    """What the loop remembers of running trials."""

    pruned: dict[Key, int] = field(default_factory=dict)
    trials: dict[Key, Trial] = field(default_factory=dict)


def drive(source: Source, crew: Crew) -> None:
    """Keeps the executor busy until the source has no more trials and none runs, or until it must stop.

    Running trials are then cancelled and recorded as interrupted.
    """
    loop, executor = _Loop(), crew.executor
    while True:
        cause = crew.stop()
        while cause is None and len(executor.running) < executor.slots and (trial := source.next()) is not None:
            crew.ledger.begin(trial)
            crew.listener.began(trial)
            loop.trials[trial.key] = trial
            executor.submit(trial)
        if cause is not None:
            for key in executor.running:
                executor.cancel(key, cause)
        if not executor.running:
            return
        for event in executor.collect(TICK_SECONDS):
            if isinstance(event, Reported):
                _reported(event, loop, source, crew)
            else:
                _finished(event, loop, source, crew)
        crew.listener.tick()


def _reported(event: Reported, loop: _Loop, source: Source, crew: Crew) -> None:
    """Records an epoch, and cancels the trial where the source prunes it."""
    trial, report = loop.trials[event.key], event.report
    if event.key in loop.pruned:
        return
    crew.ledger.report(trial, report)
    crew.listener.reported(trial, report)
    if source.report(trial, report) and report.epoch < trial.epochs:
        loop.pruned[event.key] = report.epoch
        crew.executor.cancel(event.key, Cause.CANCELLED)


def _finished(event: Finished, loop: _Loop, source: Source, crew: Crew) -> None:
    """Records how a trial ended, and tells the source."""
    trial, outcome = loop.trials.pop(event.key), event.outcome
    epochs = loop.pruned.pop(event.key, None)
    if epochs is not None:
        outcome = _as_pruned(outcome, epochs)
    crew.ledger.finish(trial, outcome)
    source.finished(trial, outcome)
    crew.listener.finished(trial, outcome)


def _as_pruned(outcome: Outcome, epochs: int) -> Outcome:
    """Returns the outcome cut to the epochs the decision was made on; the worker may have run on a little."""
    history = outcome.history[:epochs]
    error = history[-1].error_percent if history else None
    return dataclasses.replace(
        outcome, state=State.PRUNED, history=history, error_percent=error, cause=None, message="", traceback=""
    )


class SearchSource:
    """The search: the baseline first, then recipes, then what was interrupted, then what the engine proposes.

    Args:
        engine: Proposes; a fresh one, which this replays the recorded trials into.
        ledger: For the recorded trials and the places of checkpoints.
        trials: Trials in all, recorded ones included; None for no bound.
        recipes: Whether to try the space's recipes.
    """

    def __init__(self, engine: Engine, ledger: Ledger, *, trials: int | None, recipes: bool) -> None:
        header, record = ledger.header, ledger.read()
        self._engine, self._seed, self._epochs = engine, header.seed, header.protocol.epochs
        self._checkpoints = ledger.folder / "checkpoints"
        recorded = record.phase(Phase.SEARCH)
        replay(engine, recorded)
        self._number = len(recorded)
        self._left = float("inf") if trials is None else trials - len(settled(record))
        self._given = deque(_starts(header.space, record, recipes=recipes))
        self.exhausted = False

    def next(self) -> Trial | None:
        """Returns the next trial, or None when the budget is spent or nothing is left to try."""
        if self._left <= 0 or self.exhausted:
            return None
        try:
            trial = self._trial(self._given.popleft() if self._given else Start())
        except SpaceExhausted:
            self.exhausted = True
            return None
        self._left -= 1
        self._number += 1
        return trial

    def report(self, trial: Trial, report: EpochReport) -> bool:
        """Asks the engine whether to prune; the baseline and the recipes, which anchor the search, never are."""
        return self._engine.report(trial.number, report) and trial.origin == FOUND

    def finished(self, trial: Trial, outcome: Outcome) -> None:
        """Tells the engine; an interrupted trial keeps its checkpoint and does not count."""
        self._engine.tell(trial.number, outcome)
        if outcome.state is State.INTERRUPTED:
            self._left += 1
        elif trial.save_to is not None:
            self._checkpoint(trial.seed).unlink(missing_ok=True)

    def _trial(self, start: Start) -> Trial:
        config = self._engine.ask(self._number, given=start.config)
        seed = seeds.derive(self._seed, Phase.SEARCH, self._number) if start.seed is None else start.seed
        path = self._checkpoint(seed)
        return Trial(
            number=self._number,
            config=config,
            seed=seed,
            epochs=self._epochs,
            origin=start.origin,
            resume_from=str(path) if path.exists() else None,
            save_to=str(path),
        )

    def _checkpoint(self, seed: int) -> Path:
        """Returns where a trial's state is kept; by seed, which a trial that is taken up again keeps."""
        return self._checkpoints / f"{seed}.npz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a trial starts from.

    Args:
        config: The configuration, or None to ask the engine.
        origin: Where it comes from.
        seed: The seed of an interrupted trial that is taken up again.
    """

    config: Config | None = None
    origin: str = FOUND
    seed: int | None = None


def settled(record: StudyRecord) -> list[TrialRecord]:
    """Returns the search trials that count: ended, and not merely interrupted."""
    return [
        known
        for known in record.phase(Phase.SEARCH)
        if known.outcome is not None and known.outcome.state is not State.INTERRUPTED
    ]


def _starts(space: Space, record: StudyRecord, *, recipes: bool) -> list[Start]:
    """Returns what is tried before the engine is asked: baseline, recipes, interrupted; nothing that was settled."""
    starts = [Start(config=space.baseline, origin=BASELINE)]
    if recipes:
        starts += [Start(config=space.recipe(name), origin=f"recipe: {name}") for name in space.recipes]
    interrupted = [known.trial for known in record.phase(Phase.SEARCH) if known not in settled(record)]
    starts += [Start(config=trial.config, origin=trial.origin) for trial in interrupted]
    seeds_of = {_identity(trial.config): trial.seed for trial in interrupted}
    done = {_identity(known.trial.config) for known in settled(record)}
    unique: dict[str, Start] = {}
    for start in starts:
        identity = _identity(start.config or {})
        unique.setdefault(identity, dataclasses.replace(start, seed=seeds_of.get(identity)))
    return [start for identity, start in unique.items() if identity not in done]


def _identity(config: Config) -> str:
    return json.dumps(dict(config), sort_keys=True)


class ReplicateSource:
    """A fixed list of trials, none of them ever pruned.

    Args:
        trials: In the order they are to be run.
    """

    def __init__(self, trials: Iterable[Trial]) -> None:
        self._trials = deque(trials)

    def next(self) -> Trial | None:
        """Returns the next trial of the list."""
        return self._trials.popleft() if self._trials else None

    def report(self, trial: Trial, report: EpochReport) -> bool:
        """Never prunes."""
        return False

    def finished(self, trial: Trial, outcome: Outcome) -> None:
        """Needs to know nothing."""


def reclaim(ledger: Ledger) -> int:
    """Marks trials that their coordinator did not live to finish as interrupted; returns how many there were."""
    orphans = [known.trial for known in ledger.read().trials if known.outcome is None]
    cause = Cause.COORDINATOR_DIED
    for trial in orphans:
        ledger.finish(trial, Outcome(state=State.INTERRUPTED, cause=cause, message=cause.value))
    return len(orphans)
