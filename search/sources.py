"""Where trials come from: the search itself, or a fixed list of replicates.

Both answer to ``search.study.Source``. ``SearchSource`` is where an engine meets what the ledger holds.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from search import seeds
from search.engines.base import Engine, NothingYet, SpaceExhausted, replay
from search.errors import FatalError
from search.ledger import Ledger
from search.record import StudyRecord, TrialRecord
from search.trial import (
    BASELINE,
    FOUND,
    Cause,
    EpochReport,
    Outcome,
    Phase,
    Proposal,
    State,
    Trial,
    identity,
)
from spaces.space import Space

FAILURES_AT_START = 3
"""So many failed trials with nothing else before them end the study: it is not the configurations that are at fault."""


class SearchSource:
    """The search: the baseline first, then recipes, then what was interrupted, then what the engine proposes.

    Args:
        engine: Proposes; a fresh one, which this replays the recorded trials into.
        ledger: For the recorded trials and the places of checkpoints.
        limits: When to stop, recorded trials included.
        recipes: Whether to try the space's recipes.
    """

    def __init__(self, engine: Engine, ledger: Ledger, *, limits: Limits, recipes: bool) -> None:
        header, record = ledger.header, ledger.read()
        self._engine, self._seed, self._epochs = engine, header.seed, header.protocol.epochs
        self._checkpoints = ledger.folder / "checkpoints"
        recorded = record.phase(Phase.SEARCH)
        replay(engine, recorded)
        self._number = len(recorded)
        self._seeds = {known.trial.number: known.trial.seed for known in recorded}
        self._paused = {known.trial.number for known in recorded if _is_paused(known)}
        self._trials_left = limits.trials - len(settled(record))
        self._epochs_left = limits.epochs - sum(_cost(known.outcome) for known in recorded if known.outcome)
        self._given = deque(_starts(header.space, record, recipes=recipes))
        self._failed_at_start: int | None = None if _has_success(record) else 0
        self._sweep()
        self.exhausted = False

    def next(self) -> Trial | None:
        """Returns the next trial, or None when the budget is spent, or nothing is left to try or can be tried yet."""
        if self._trials_left <= 0 or self._epochs_left <= 0 or self.exhausted:
            return None
        try:
            trial = self._trial(self._given.popleft() if self._given else Start())
        except NothingYet:
            return None
        except SpaceExhausted:
            self.exhausted = True
            return None
        self._trials_left -= 1
        self._epochs_left -= trial.last_epoch  # as long as it runs; then what it trained
        self._number += 1
        return trial

    def report(self, trial: Trial, report: EpochReport) -> bool:
        """Asks the engine whether to prune; the baseline and the recipes, which anchor the search, never are.

        Nor is a trial for epochs that it came with: it was judged by them when they were trained.
        """
        return self._engine.report(trial.number, report) and trial.origin == FOUND and not report.restored

    def finished(self, trial: Trial, outcome: Outcome) -> None:
        """Tells the engine; an interrupted trial does not count.

        Its checkpoint is kept for when it is taken up again; a paused trial's, while the engine may go on from it.

        Raises:
            FatalError: The first trials all failed; the rest would as well.
        """
        self._engine.tell(trial.number, outcome)
        self._look_at_start(outcome)
        self._epochs_left += trial.last_epoch - _cost(outcome)
        if outcome.state is State.INTERRUPTED:
            self._trials_left += 1
        elif outcome.state is State.PAUSED:
            self._paused.add(trial.number)
        else:
            self._checkpoint(trial.seed).unlink(missing_ok=True)
        self._drop_checkpoints()

    def _sweep(self) -> None:
        """Deletes the states that nothing will go on from, such as that of a trial whose end a kill came upon."""
        resumed = {start.seed for start in self._given}
        resumed |= {self._seeds[number] for number in self._paused if self._engine.may_resume(number)}
        for path in self._checkpoints.glob("*.npz"):
            if int(path.stem) not in resumed:
                path.unlink(missing_ok=True)

    def _drop_checkpoints(self) -> None:
        """Deletes the states of paused trials that nothing will go on from."""
        for number in [number for number in self._paused if not self._engine.may_resume(number)]:
            self._paused.remove(number)
            if not any(self._seeds[other] == self._seeds[number] for other in range(number + 1, self._number)):
                self._checkpoint(self._seeds[number]).unlink(missing_ok=True)

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
        proposal = self._engine.ask(self._number, given=start.proposal)
        seed = self._seed_of(proposal) if start.seed is None else start.seed
        self._seeds[self._number] = seed
        path = self._checkpoint(seed)
        return Trial(
            number=self._number,
            config=proposal.config,
            seed=seed,
            epochs=self._epochs,
            until=proposal.until,
            parent=proposal.parent,
            notes=proposal.notes,
            origin=start.origin,
            resume_from=str(path) if path.exists() else None,
            save_to=str(path),
        )

    def _seed_of(self, proposal: Proposal) -> int:
        """Returns its parent's seed, with which it goes on as if it had never paused, or a new one."""
        if proposal.parent is not None:
            return self._seeds[proposal.parent]
        return seeds.derive(self._seed, Phase.SEARCH, self._number)

    def _checkpoint(self, seed: int) -> Path:
        """Returns where a trial's state is kept; by seed, which a trial that goes on keeps."""
        return self._checkpoints / f"{seed}.npz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a search stops, over all its sessions.

    Args:
        trials: Search trials that came to their own end.
        epochs: Epochs trained in search trials, unfinished ones included; the last trial may go beyond.
    """

    trials: float = float("inf")
    epochs: float = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a trial starts from.

    Args:
        proposal: What to run, or None to ask the engine.
        origin: Where it comes from.
        seed: The seed of an interrupted trial that is taken up again.
    """

    proposal: Proposal | None = None
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


def _cost(outcome: Outcome) -> int:
    """Returns the epochs that a trial is charged: those it trained, and one at least where it failed.

    Else a search whose proposals all fail at once would never use its budget up.
    """
    return max(outcome.epochs_trained, 1 if outcome.state is State.FAILED else 0)


def _is_paused(known: TrialRecord) -> bool:
    return known.outcome is not None and known.outcome.state is State.PAUSED


def _starts(space: Space, record: StudyRecord, *, recipes: bool) -> list[Start]:
    """Returns what is tried before the engine is asked: baseline, recipes, interrupted; nothing that was settled."""
    starts = [Start(proposal=Proposal(config=space.baseline), origin=BASELINE)]
    if recipes:
        given = {name: Proposal(config=space.recipe(name)) for name in space.recipes}
        starts += [Start(proposal=proposal, origin=f"recipe: {name}") for name, proposal in given.items()]
    done = {_key(known.trial.proposal) for known in settled(record)}
    numbers = {known.trial.number for known in settled(record)}
    interrupted = [known.trial for known in record.phase(Phase.SEARCH) if known.trial.number not in numbers]
    starts += [Start(proposal=trial.proposal, origin=trial.origin) for trial in interrupted]
    seeds_of = {_key(trial.proposal): trial.seed for trial in interrupted}
    unique: dict[tuple[str, int | None], Start] = {}
    for start in starts:
        assert start.proposal is not None
        key = _key(start.proposal)
        unique.setdefault(key, dataclasses.replace(start, seed=seeds_of.get(key)))
    return [start for key, start in unique.items() if key not in done]


def _key(proposal: Proposal) -> tuple[str, int | None]:
    """Returns what two proposals share when they ask for the same training."""
    return (identity(proposal.config), proposal.until)


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
    """Marks trials that their coordinator did not live to finish as interrupted; returns how many there were.

    The epochs that they reported are theirs, and count for every budget.
    """
    record, cause = ledger.read(), Cause.COORDINATOR_DIED
    orphans = [known for known in record.trials if known.outcome is None]
    for known in orphans:
        outcome = Outcome(
            state=State.INTERRUPTED,
            error_percent=known.reports[-1].error_percent if known.reports else None,
            history=known.reports,
            at_seconds=record.spent_seconds,
            cause=cause,
            message=cause.value,
        )
        ledger.finish(known.trial, outcome)
    return len(orphans)
