"""Where the trials of a search come from; ``search.study.replicate_source`` is the other source.

It answers to ``search.study.loop.Source``. Here an engine meets what the ledger holds, and what other coordinators add
to it: their trials are told to the engine like one's own.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from search import seeds
from search.engines.base import Engine, ProposalPending, SpaceExhausted
from search.records.ledger import Ledger
from search.records.record import StudyRecord, TrialRecord
from search.study.checkpoint_store import CheckpointStore, ResumableTrial
from search.study.retries import RetryPolicy, should_requeue
from search.training import predictions
from search.trial import (
    BASELINE,
    PROPOSED,
    Cause,
    EpochReport,
    Outcome,
    Phase,
    Proposal,
    State,
    Trial,
    config_key,
    final_metrics,
)
from spaces.space import Space


def replay(engine: Engine, records: Iterable[TrialRecord]) -> None:
    """Brings a fresh engine to the state after the recorded trials; skips trials that are still running."""
    for record in records:
        if record.outcome is None:
            continue
        engine.ask(record.trial.number, fixed=record.trial.proposal)
        for report in record.outcome.history:
            engine.report(record.trial.number, report)
        engine.tell(record.trial.number, record.outcome)


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
        limits: SearchLimits,
        recipes: bool,
        checkpoints: CheckpointStore | None = None,
    ) -> None:
        header, record = ledger.header, ledger.read()
        self._folder = ledger.folder
        self._engine, self._seed, self._epochs = engine, header.seed, header.protocol.epochs
        self._checkpoints = checkpoints or CheckpointStore(ledger.folder / "checkpoints", max_kept=limits.checkpoints)
        recorded = record.trials_in_phase(Phase.SEARCH)
        ended = [known for known in recorded if known.outcome is not None]
        replay(engine, ended)
        self._next_number = len(recorded)
        self._retries = RetryPolicy(ended)
        self._resumable = {known.trial.number: one for known in ended if (one := _resumable_trial(known))}
        self._seeds_in_use: set[int] = set()  # seeds of trials that run, or will be taken up again
        self._epochs_elsewhere: dict[int, int] = {}  # trials that other coordinators run, and the last epoch heard of
        self._trials_left = limits.trials - len(final_trials(record))
        self._epochs_left = limits.epochs - sum(_charged_epochs(known.outcome) for known in ended if known.outcome)
        self._queue = deque(_initial_requests(header.space, record, recipes=recipes))
        self._seeds_in_use.update(start.seed for start in self._queue if start.seed is not None)
        for known in recorded:
            if known.outcome is None:
                self._begin_elsewhere(known)
        self._delete_unneeded_checkpoints()
        if not ledger.is_shared:  # else others may have begun since, and keep theirs in the same folder
            self._checkpoints.delete_orphans(self._resumable.values(), self._seeds_in_use)
        self._checkpoints.trim(self._resumable.values())
        self.is_exhausted = False

    @property
    def running_elsewhere(self) -> int:
        """How many trials other coordinators run."""
        return len(self._epochs_elsewhere)

    def next(self) -> Trial | None:
        """Returns the next trial, or None when the budget is spent, or nothing is left to try or can be tried yet."""
        if self._trials_left <= 0 or self._epochs_left <= 0 or (self.is_exhausted and not self._queue):
            return None
        try:
            trial = self._make_trial(self._queue.popleft() if self._queue else TrialRequest())
        except ProposalPending:
            return None
        except SpaceExhausted:
            self.is_exhausted = True
            return None
        self._charge(trial)
        return trial

    def undo_next(self, trial: Trial) -> None:
        """Takes the next trial back; it will be given again under another number, and with the seed that goes with it.

        Only the seed of one that goes on from an earlier trial is kept.
        """
        self._next_number -= 1
        self._tell_and_refund(trial, Outcome(state=State.INTERRUPTED))
        own = seeds.trial_seed(self._seed, Phase.SEARCH, trial.number)
        self._requeue(trial, seed=None if trial.seed == own else trial.seed)
        if trial.seed == own:
            self._seeds_in_use.discard(own)

    def observe(self, record: TrialRecord) -> bool:
        """Notes what another coordinator has recorded of a trial: to the engine it is like any other."""
        trial, outcome = record.trial, record.outcome
        is_new = trial.number >= self._next_number
        if not is_new and trial.number not in self._epochs_elsewhere:
            return False  # this source knew it when it was made, or runs it
        if is_new:
            self._begin_elsewhere(record)
        for report in record.reports if outcome is None else outcome.history:
            if report.epoch > self._epochs_elsewhere[trial.number]:
                self._engine.report(trial.number, report)
                self._epochs_elsewhere[trial.number] = report.epoch
        if outcome is None:
            return is_new
        del self._epochs_elsewhere[trial.number]
        self._retries.observe(trial, outcome)
        self._handle_end(trial, outcome)
        if outcome.state is State.INTERRUPTED:
            self._requeue(trial, seed=trial.seed)
        return True

    def _begin_elsewhere(self, record: TrialRecord) -> None:
        trial = record.trial
        self._engine.ask(trial.number, fixed=trial.proposal)
        self._epochs_elsewhere[trial.number] = 0
        self._queue = deque(start for start in self._queue if not _is_request_for(start, trial))
        self._next_number = max(self._next_number, trial.number)
        self._charge(trial)

    def report(self, trial: Trial, report: EpochReport) -> bool:
        """Asks the engine whether to prune; the baseline and the recipes, which anchor the search, never are."""
        return self._engine.report(trial.number, report) and trial.origin == PROPOSED

    def classify(self, trial: Trial, outcome: Outcome) -> Outcome:
        """Returns the outcome as it counts; see ``search.study.retries``."""
        return self._retries.classify(trial, outcome)

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        """Tells the engine; an interrupted trial does not count.

        Its checkpoint is kept for when it is taken up again, which is soon after a fault of the machine; that of a
        paused or stopped trial, while the engine may go on from it.

        Raises:
            FatalError: The study cannot go on; see ``search.study.retries``.
        """
        self._handle_end(trial, outcome)
        if should_requeue(outcome):
            self._requeue(trial, seed=trial.seed)
        self._retries.raise_if_fatal(trial, outcome)

    def _charge(self, trial: Trial) -> None:
        """Takes what a trial that begins may cost from what is left."""
        self._trials_left -= 1
        self._epochs_left -= trial.last_epoch  # as long as it runs; then what it trained
        self._next_number = max(self._next_number, trial.number + 1)
        self._seeds_in_use.add(trial.seed)

    def _handle_end(self, trial: Trial, outcome: Outcome) -> None:
        """Tells the engine how a trial ended, and keeps or deletes its states."""
        self._tell_and_refund(trial, outcome)
        if outcome.state is not State.INTERRUPTED:
            self._seeds_in_use.discard(trial.seed)
            self._keep_checkpoint(TrialRecord(trial=trial, outcome=outcome))
        self._delete_unneeded_checkpoints()
        self._checkpoints.trim(one for one in self._resumable.values() if one.seed not in self._seeds_in_use)

    def _tell_and_refund(self, trial: Trial, outcome: Outcome) -> None:
        self._engine.tell(trial.number, outcome)
        self._epochs_left += trial.last_epoch - _charged_epochs(outcome)
        self._trials_left += outcome.state is State.INTERRUPTED

    def _requeue(self, trial: Trial, *, seed: int | None) -> None:
        """Gives an interrupted trial before anything else."""
        self._queue.appendleft(TrialRequest(proposal=trial.proposal, origin=trial.origin, seed=seed))

    def _keep_checkpoint(self, ended: TrialRecord) -> None:
        """Keeps the state of a trial that another may go on from, and deletes every other one of it."""
        if (resumable := _resumable_trial(ended)) is not None:
            self._resumable[ended.trial.number] = resumable
        self._checkpoints.delete(ended.trial.seed, keep=resumable)

    def _delete_unneeded_checkpoints(self) -> None:
        """Deletes the states of waiting trials that nothing will go on from any more."""
        for number in [number for number in self._resumable if not self._engine.may_resume(number)]:
            resumable = self._resumable.pop(number)
            if resumable.seed not in {one.seed for one in self._resumable.values()} | self._seeds_in_use:
                self._checkpoints.delete(resumable.seed)

    def _make_trial(self, request: TrialRequest) -> Trial:
        proposal = self._engine.ask(self._next_number, fixed=request.proposal)
        parent = None if proposal.parent is None else self._resumable.get(proposal.parent)
        seed = request.seed
        if seed is None:
            seed = seeds.trial_seed(self._seed, Phase.SEARCH, self._next_number) if parent is None else parent.seed
        return Trial(
            number=self._next_number,
            config=proposal.config,
            seed=seed,
            epochs=self._epochs,
            target_epoch=proposal.target_epoch,
            parent=proposal.parent,
            engine_metadata=proposal.engine_metadata,
            rungs=self._engine.rungs if request.origin == PROPOSED and self._checkpoints.keeps_any else (),
            origin=request.origin,
            resume_from=self._checkpoints.resume_path(seed),
            save_to=self._checkpoints.latest_path(seed),
            predictions_to=str(predictions.file_path(self._folder, Phase.SEARCH, self._next_number)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchLimits:
    """When a search stops, over all its sessions, and how much it may keep.

    Args:
        trials: Search trials that came to their own end.
        epochs: Epochs trained in search trials, unfinished ones included; the last trial may go beyond.
        checkpoints: Paused and stopped trials whose states stay on disk.
    """

    trials: float = float("inf")
    epochs: float = float("inf")
    checkpoints: float = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRequest:
    """What a trial starts from.

    Args:
        proposal: What to run, or None to ask the engine.
        origin: Where it comes from.
        seed: The seed of an interrupted trial that is taken up again.
    """

    proposal: Proposal | None = None
    origin: str = PROPOSED
    seed: int | None = None


def final_trials(record: StudyRecord) -> list[TrialRecord]:
    """Returns the search trials that count: ended, and not merely interrupted."""
    return [trial for trial in record.trials_in_phase(Phase.SEARCH) if trial.is_finished]


def _charged_epochs(outcome: Outcome) -> int:
    """Returns the epochs that a trial is charged: those it trained, and one at least where it failed.

    Else a search whose proposals all fail at once would never use its budget up.
    """
    return max(outcome.epochs_trained, 1 if outcome.state is State.FAILED else 0)


def _resumable_trial(record: TrialRecord) -> ResumableTrial | None:
    """Returns where a paused or stopped trial waits; None for any other."""
    outcome = record.outcome
    if outcome is None or outcome.state not in (State.PAUSED, State.PRUNED) or outcome.error_percent is None:
        return None
    return ResumableTrial(seed=record.trial.seed, epoch=len(outcome.history), error_percent=outcome.error_percent)


def _initial_requests(space: Space, record: StudyRecord, *, recipes: bool) -> list[TrialRequest]:
    """Returns what is tried before the engine is asked: baseline, recipes, interrupted; nothing that was settled."""
    requests = [TrialRequest(proposal=Proposal(config=space.baseline), origin=BASELINE)]
    if recipes:
        recipe_proposals = {name: Proposal(config=space.recipe(name)) for name in space.recipes}
        requests += [
            TrialRequest(proposal=proposal, origin=f"recipe: {name}") for name, proposal in recipe_proposals.items()
        ]
    recorded = record.trials_in_phase(Phase.SEARCH)
    interrupted = [known.trial for known in recorded if known.outcome and not known.is_finished]
    done = {training_key(known.trial.proposal) for known in recorded if known.outcome is None or known.is_finished}
    requests += [TrialRequest(proposal=trial.proposal, origin=trial.origin) for trial in interrupted]
    seeds_of = {training_key(trial.proposal): trial.seed for trial in interrupted}
    unique: dict[tuple[str, int | None, int | None], TrialRequest] = {}
    for start in requests:
        assert start.proposal is not None
        key = training_key(start.proposal)
        unique.setdefault(key, dataclasses.replace(start, seed=seeds_of.get(key)))
    return [start for key, start in unique.items() if key not in done]


def training_key(proposal: Proposal) -> tuple[str, int | None, int | None]:
    """Returns what two proposals share when they ask for the same training."""
    return (config_key(proposal.config), proposal.target_epoch, proposal.parent)


def _is_request_for(request: TrialRequest, trial: Trial) -> bool:
    return request.proposal is not None and training_key(request.proposal) == training_key(trial.proposal)


def interrupt_orphans(ledger: Ledger) -> int:
    """Marks trials that their coordinator did not live to finish as interrupted; returns how many there were.

    The epochs that they reported are theirs, and count for every budget.
    """
    orphans, cause = ledger.orphans(), Cause.COORDINATOR_DIED
    at_seconds = ledger.read().spent_seconds if orphans else 0.0
    for record in orphans:
        outcome = Outcome(
            state=State.INTERRUPTED,
            metrics=final_metrics(record.reports),
            history=record.reports,
            elapsed_seconds=at_seconds,
            cause=cause,
            message=cause.value,
        )
        ledger.finish(record.trial, outcome)
    return len(orphans)
