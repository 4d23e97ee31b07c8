"""Where trials come from: the search itself, or a fixed list of replicates.

Both answer to ``search.study.loop.Source``. ``SearchSource`` is where an engine meets what the ledger holds.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from search import seeds
from search.engines.base import Engine, NothingYet, SpaceExhausted, replay
from search.records import predictions
from search.records.ledger import Ledger
from search.records.record import StudyRecord, TrialRecord
from search.study.checkpoints import Checkpoints, Waiting
from search.study.retries import Retries, is_retried
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


class SearchSource:
    """The search: the baseline first, then recipes, then what was interrupted, then what the engine proposes.

    Args:
        engine: Proposes; a fresh one, which this replays the recorded trials into.
        ledger: For the recorded trials and the places of predictions.
        limits: When to stop, recorded trials included, and how much to keep.
        recipes: Whether to try the space's recipes.
        checkpoints: The states of unfinished trials; None for those in the ledger's folder.
    """

    def __init__(
        self,
        engine: Engine,
        ledger: Ledger,
        *,
        limits: Limits,
        recipes: bool,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        header, record = ledger.header, ledger.read()
        self._folder = ledger.folder
        self._engine, self._seed, self._epochs = engine, header.seed, header.protocol.epochs
        self._checkpoints = checkpoints or Checkpoints(ledger.folder / "checkpoints", most=limits.weights)
        recorded = record.phase(Phase.SEARCH)
        replay(engine, recorded)
        self._number = len(recorded)
        self._retries = Retries(recorded)
        self._waiting = {known.trial.number: one for known in recorded if (one := _waiting(known))}
        self._in_use: set[int] = set()  # seeds of trials that run, or will be taken up again
        self._trials_left = limits.trials - len(settled(record))
        self._epochs_left = limits.epochs - sum(_cost(known.outcome) for known in recorded if known.outcome)
        self._given = deque(_starts(header.space, record, recipes=recipes))
        self._in_use.update(start.seed for start in self._given if start.seed is not None)
        self._forget()
        self._checkpoints.sweep(self._waiting.values(), self._in_use)
        self._checkpoints.trim(self._waiting.values())
        self.exhausted = False

    def next(self) -> Trial | None:
        """Returns the next trial, or None when the budget is spent, or nothing is left to try or can be tried yet."""
        if self._trials_left <= 0 or self._epochs_left <= 0 or (self.exhausted and not self._given):
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
        self._in_use.add(trial.seed)
        return trial

    def report(self, trial: Trial, report: EpochReport) -> bool:
        """Asks the engine whether to prune; the baseline and the recipes, which anchor the search, never are."""
        return self._engine.report(trial.number, report) and trial.origin == FOUND

    def settle(self, trial: Trial, outcome: Outcome) -> Outcome:
        """Returns the outcome as it counts; see ``search.study.retries``."""
        return self._retries.settle(trial, outcome)

    def finished(self, trial: Trial, outcome: Outcome) -> None:
        """Tells the engine; an interrupted trial does not count.

        Its checkpoint is kept for when it is taken up again, which is soon after a fault of the machine; that of a
        paused or stopped trial, while the engine may go on from it.

        Raises:
            FatalError: The study cannot go on; see ``search.study.retries``.
        """
        self._engine.tell(trial.number, outcome)
        self._epochs_left += trial.last_epoch - _cost(outcome)
        if outcome.state is State.INTERRUPTED:
            self._trials_left += 1
        else:
            self._in_use.discard(trial.seed)
            self._keep(TrialRecord(trial=trial, outcome=outcome))
        if is_retried(outcome):
            self._given.appendleft(Start(proposal=trial.proposal, origin=trial.origin, seed=trial.seed))
        self._forget()
        self._checkpoints.trim(one for one in self._waiting.values() if one.seed not in self._in_use)
        self._retries.check(trial, outcome)

    def _keep(self, ended: TrialRecord) -> None:
        """Keeps the state of a trial that another may go on from, and deletes every other one of it."""
        if (one := _waiting(ended)) is not None:
            self._waiting[ended.trial.number] = one
        self._checkpoints.drop(ended.trial.seed, but=one)

    def _forget(self) -> None:
        """Deletes the states of waiting trials that nothing will go on from any more."""
        for number in [number for number in self._waiting if not self._engine.may_resume(number)]:
            gone = self._waiting.pop(number)
            if gone.seed not in {one.seed for one in self._waiting.values()} | self._in_use:
                self._checkpoints.drop(gone.seed)

    def _trial(self, start: Start) -> Trial:
        proposal = self._engine.ask(self._number, given=start.proposal)
        parent = None if proposal.parent is None else self._waiting.get(proposal.parent)
        seed = start.seed
        if seed is None:
            seed = seeds.derive(self._seed, Phase.SEARCH, self._number) if parent is None else parent.seed
        return Trial(
            number=self._number,
            config=proposal.config,
            seed=seed,
            epochs=self._epochs,
            until=proposal.until,
            parent=proposal.parent,
            notes=proposal.notes,
            rungs=self._engine.rungs if start.origin == FOUND and self._checkpoints.keeps_any else (),
            origin=start.origin,
            resume_from=self._checkpoints.to_resume(seed),
            save_to=self._checkpoints.latest(seed),
            predictions_to=str(predictions.path(self._folder, Phase.SEARCH, self._number)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a search stops, over all its sessions, and how much it may keep.

    Args:
        trials: Search trials that came to their own end.
        epochs: Epochs trained in search trials, unfinished ones included; the last trial may go beyond.
        weights: Paused and stopped trials whose states stay on disk.
    """

    trials: float = float("inf")
    epochs: float = float("inf")
    weights: float = float("inf")


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
    return [known for known in record.phase(Phase.SEARCH) if known.is_settled]


def _cost(outcome: Outcome) -> int:
    """Returns the epochs that a trial is charged: those it trained, and one at least where it failed.

    Else a search whose proposals all fail at once would never use its budget up.
    """
    return max(outcome.epochs_trained, 1 if outcome.state is State.FAILED else 0)


def _waiting(known: TrialRecord) -> Waiting | None:
    """Returns where a paused or stopped trial waits; None for any other."""
    outcome = known.outcome
    if outcome is None or outcome.state not in (State.PAUSED, State.PRUNED) or outcome.error_percent is None:
        return None
    return Waiting(seed=known.trial.seed, epoch=len(outcome.history), error_percent=outcome.error_percent)


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
    unique: dict[tuple[str, int | None, int | None], Start] = {}
    for start in starts:
        assert start.proposal is not None
        key = _key(start.proposal)
        unique.setdefault(key, dataclasses.replace(start, seed=seeds_of.get(key)))
    return [start for key, start in unique.items() if key not in done]


def _key(proposal: Proposal) -> tuple[str, int | None, int | None]:
    """Returns what two proposals share when they ask for the same training."""
    return (identity(proposal.config), proposal.until, proposal.parent)


class ReplicateSource:
    """A fixed list of trials, none of them ever pruned.

    Args:
        trials: In the order they are to be run, numbered one after the other.
        recorded: What earlier sessions recorded of the same phase.
        folder: The study's, where predictions are kept.
    """

    def __init__(self, trials: Sequence[Trial], recorded: Iterable[TrialRecord] = (), *, folder: Path) -> None:
        self._trials, self._retries, self._folder = deque(trials), Retries(recorded), folder
        self._number = trials[-1].number + 1 if trials else 0

    def next(self) -> Trial | None:
        """Returns the next trial of the list."""
        if not self._trials:
            return None
        trial = self._trials.popleft()
        kept = predictions.path(self._folder, trial.phase, trial.number)
        return dataclasses.replace(trial, predictions_to=str(kept))

    def report(self, trial: Trial, report: EpochReport) -> bool:
        """Never prunes."""
        return False

    def settle(self, trial: Trial, outcome: Outcome) -> Outcome:
        """Returns the outcome as it counts; see ``search.study.retries``."""
        return self._retries.settle(trial, outcome)

    def finished(self, trial: Trial, outcome: Outcome) -> None:
        """Puts a trial that is to be tried again at the end of the list.

        Raises:
            FatalError: The study cannot go on; see ``search.study.retries``.
        """
        if is_retried(outcome):
            self._trials.append(dataclasses.replace(trial, number=self._number))
            self._number += 1
        self._retries.check(trial, outcome)


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
