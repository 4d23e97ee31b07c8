"""The loop: ask, submit, collect, judge, record, tell.

A source says which trial comes next and hears how it went: the search itself (``SearchSource``), or a fixed list
(``ReplicateSource``: verification and the baseline command). ``drive`` keeps an executor busy with it and records
everything; it is the only place where engine, executor and ledger meet.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from search import seeds
from search.engines.base import Engine, SpaceExhausted, replay
from search.errors import FatalError
from search.execution.base import Executor, Finished, Key
from search.ledger import Ledger
from search.record import StudyRecord, TrialRecord
from search.trial import (
    BASELINE,
    FOUND,
    Cause,
    Config,
    EpochReport,
    Outcome,
    Phase,
    State,
    Trial,
    identity,
)
from spaces.space import Space

FAILURES_AT_START = 3
"""So many failed trials with nothing else before them end the study: it is not the configurations that are at fault."""
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
class _Run:
    """What the loop remembers of a running trial."""

    trial: Trial
    reports: list[EpochReport] = field(default_factory=list)
    is_pruned: bool = False


def drive(source: Source, crew: Crew) -> None:
    """Keeps the executor busy until the source has no more trials and none runs, or until it must stop.

    Running trials are then cancelled and recorded as interrupted. A wish to stop is not taken back.
    """
    runs: dict[Key, _Run] = {}
    executor, cause = crew.executor, None
    while True:
        cause = cause or crew.stop()
        while cause is None and len(executor.running) < executor.slots and (trial := source.next()) is not None:
            crew.ledger.begin(trial)
            crew.listener.began(trial)
            runs[trial.key] = _Run(trial)
            executor.submit(trial)
        if cause is not None:
            for key in executor.running:
                executor.cancel(key, cause)
        if not executor.running:
            return
        for event in executor.collect(TICK_SECONDS):
            if isinstance(event, Finished):
                _finished(event.outcome, runs.pop(event.key), source, crew)
            elif not runs[event.key].is_pruned:
                _reported(event.report, runs[event.key], source, crew)
        crew.listener.tick()


def _reported(report: EpochReport, run: _Run, source: Source, crew: Crew) -> None:
    """Records an epoch, and cancels the trial where the source prunes it."""
    run.reports.append(report)
    crew.ledger.report(run.trial, report)
    crew.listener.reported(run.trial, report)
    if source.report(run.trial, report) and report.epoch < run.trial.epochs:
        run.is_pruned = True
        crew.executor.cancel(run.trial.key, Cause.CANCELLED)


def _finished(outcome: Outcome, run: _Run, source: Source, crew: Crew) -> None:
    """Records how a trial ended, and tells the source.

    The history is what was reported: a pruned trial's worker may have run on a little, and one that was killed takes
    its own account along.
    """
    error = next((report.error_percent for report in reversed(run.reports)), None)
    outcome = dataclasses.replace(outcome, history=tuple(run.reports), error_percent=error)
    if run.is_pruned:
        outcome = dataclasses.replace(outcome, state=State.PRUNED, cause=None, message="", traceback="")
    crew.ledger.finish(run.trial, outcome)
    crew.listener.finished(run.trial, outcome)
    source.finished(run.trial, outcome)


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
        self._failed_at_start: int | None = None if _has_success(record) else 0
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
        """Tells the engine; an interrupted trial keeps its checkpoint and does not count.

        Raises:
            FatalError: The first trials all failed; the rest would as well.
        """
        self._engine.tell(trial.number, outcome)
        self._look_at_start(outcome)
        if outcome.state is State.INTERRUPTED:
            self._left += 1
        elif trial.save_to is not None:
            self._checkpoint(trial.seed).unlink(missing_ok=True)

    def _look_at_start(self, outcome: Outcome) -> None:
        if self._failed_at_start is None or outcome.state is State.INTERRUPTED:
            return
        self._failed_at_start = self._failed_at_start + 1 if outcome.state is State.FAILED else None
        if self._failed_at_start == FAILURES_AT_START:
            raise FatalError(
                f"The first {FAILURES_AT_START} trials failed, the last with: {outcome.message}\n{outcome.traceback}",
                hint="Mend the cause, then run the study anew under another name with --study.",
            )

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


def _has_success(record: StudyRecord) -> bool:
    return any(known.outcome and known.outcome.state is not State.FAILED for known in settled(record))


def _starts(space: Space, record: StudyRecord, *, recipes: bool) -> list[Start]:
    """Returns what is tried before the engine is asked: baseline, recipes, interrupted; nothing that was settled."""
    starts = [Start(config=space.baseline, origin=BASELINE)]
    if recipes:
        starts += [Start(config=space.recipe(name), origin=f"recipe: {name}") for name in space.recipes]
    interrupted = [known.trial for known in record.phase(Phase.SEARCH) if known not in settled(record)]
    starts += [Start(config=trial.config, origin=trial.origin) for trial in interrupted]
    seeds_of = {identity(trial.config): trial.seed for trial in interrupted}
    done = {identity(known.trial.config) for known in settled(record)}
    unique: dict[str, Start] = {}
    for start in starts:
        key = identity(start.config or {})
        unique.setdefault(key, dataclasses.replace(start, seed=seeds_of.get(key)))
    return [start for key, start in unique.items() if key not in done]


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
