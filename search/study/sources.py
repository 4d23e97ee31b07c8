"""Where the trials of a search come from; ``search.study.replicates`` is the other source.

It answers to ``search.study.loop.Source``. Here an engine meets what the ledger holds, and what other coordinators add
to it: their trials are told to the engine like one's own.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from dataclasses import dataclass

from search import seeds
from search.engines.base import Engine, NothingYet, SpaceExhausted, replay
from search.records import predictions
from search.records.ledger import Ledger
from search.records.record import StudyRecord, TrialRecord
from search.study.checkpoints import Checkpoints, Waiting
from search.study.retries import Retries, is_given_again
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

    phase = Phase.SEARCH

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
        ended = [known for known in recorded if known.outcome is not None]
        replay(engine, ended)
        self._number = len(recorded)
        self._retries = Retries(ended)
        self._waiting = {known.trial.number: one for known in ended if (one := _waiting(known))}
        self._in_use: set[int] = set()  # seeds of trials that run, or will be taken up again
        self._elsewhere: dict[int, int] = {}  # trials that other coordinators run, and the last epoch heard of
        self._trials_left = limits.trials - len(settled(record))
        self._epochs_left = limits.epochs - sum(_cost(known.outcome) for known in ended if known.outcome)
        self._given = deque(_starts(header.space, record, recipes=recipes))
        self._in_use.update(start.seed for start in self._given if start.seed is not None)
        for known in recorded:
            if known.outcome is None:
                self._begun_elsewhere(known)
        self._forget()
        if not ledger.is_shared:  # else others may have begun since, and keep theirs in the same folder
            self._checkpoints.sweep(self._waiting.values(), self._in_use)
        self._checkpoints.trim(self._waiting.values())
        self.exhausted = False

    @property
    def elsewhere(self) -> int:
        """How many trials other coordinators run."""
        return len(self._elsewhere)

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
        self._count(trial)
        return trial

    def withdraw(self, trial: Trial) -> None:
        """Takes the next trial back; it will be given again under another number, and with the seed that goes with it.

        Only the seed of one that goes on from an earlier trial is kept.
        """
        self._number -= 1
        self._settle_account(trial, Outcome(state=State.INTERRUPTED))
        own = seeds.derive(self._seed, Phase.SEARCH, trial.number)
        self._again(trial, seed=None if trial.seed == own else trial.seed)
        if trial.seed == own:
            self._in_use.discard(own)

    def hear(self, known: TrialRecord) -> bool:
        """Notes what another coordinator has recorded of a trial: to the engine it is like any other."""
        trial, outcome = known.trial, known.outcome
        is_new = trial.number >= self._number
        if not is_new and trial.number not in self._elsewhere:
            return False  # this source knew it when it was made, or runs it
        if is_new:
            self._begun_elsewhere(known)
        for report in known.reports if outcome is None else outcome.history:
            if report.epoch > self._elsewhere[trial.number]:
                self._engine.report(trial.number, report)
                self._elsewhere[trial.number] = report.epoch
        if outcome is None:
            return is_new
        del self._elsewhere[trial.number]
        self._retries.hear(trial, outcome)
        self._over(trial, outcome)
        if outcome.state is State.INTERRUPTED:
            self._again(trial, seed=trial.seed)
        return True

    def _begun_elsewhere(self, known: TrialRecord) -> None:
        trial = known.trial
        self._engine.ask(trial.number, given=trial.proposal)
        self._elsewhere[trial.number] = 0
        self._given = deque(start for start in self._given if not _is_of(start, trial))
        self._number = max(self._number, trial.number)
        self._count(trial)

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
        self._over(trial, outcome)
        if is_given_again(outcome):
            self._again(trial, seed=trial.seed)
        self._retries.check(trial, outcome)

    def _count(self, trial: Trial) -> None:
        """Takes what a trial that begins may cost from what is left."""
        self._trials_left -= 1
        self._epochs_left -= trial.last_epoch  # as long as it runs; then what it trained
        self._number = max(self._number, trial.number + 1)
        self._in_use.add(trial.seed)

    def _over(self, trial: Trial, outcome: Outcome) -> None:
        """Tells the engine how a trial ended, and keeps or deletes its states."""
        self._settle_account(trial, outcome)
        if outcome.state is not State.INTERRUPTED:
            self._in_use.discard(trial.seed)
            self._keep(TrialRecord(trial=trial, outcome=outcome))
        self._forget()
        self._checkpoints.trim(one for one in self._waiting.values() if one.seed not in self._in_use)

    def _settle_account(self, trial: Trial, outcome: Outcome) -> None:
        self._engine.tell(trial.number, outcome)
        self._epochs_left += trial.last_epoch - _cost(outcome)
        self._trials_left += outcome.state is State.INTERRUPTED

    def _again(self, trial: Trial, *, seed: int | None) -> None:
        """Gives an interrupted trial before anything else."""
        self._given.appendleft(Start(proposal=trial.proposal, origin=trial.origin, seed=seed))

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
    recorded = record.phase(Phase.SEARCH)
    interrupted = [known.trial for known in recorded if known.outcome and not known.is_settled]
    done = {_key(known.trial.proposal) for known in recorded if known.outcome is None or known.is_settled}
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


def _is_of(start: Start, trial: Trial) -> bool:
    return start.proposal is not None and _key(start.proposal) == _key(trial.proposal)


def reclaim(ledger: Ledger) -> int:
    """Marks trials that their coordinator did not live to finish as interrupted; returns how many there were.

    The epochs that they reported are theirs, and count for every budget.
    """
    orphans, cause = ledger.orphans(), Cause.COORDINATOR_DIED
    at_seconds = ledger.read().spent_seconds if orphans else 0.0
    for known in orphans:
        outcome = Outcome(
            state=State.INTERRUPTED,
            error_percent=known.reports[-1].error_percent if known.reports else None,
            history=known.reports,
            at_seconds=at_seconds,
            cause=cause,
            message=cause.value,
        )
        ledger.finish(known.trial, outcome)
    return len(orphans)
