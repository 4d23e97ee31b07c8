"""The source of a search's trials: an engine, the recorded trials, and the trials of other coordinators.

The engine receives all recorded trials, whichever coordinator ran them. Called by ``search.session.run`` and
``search.compare.tabular.simulate``; ``search.study.verification`` has the other source.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial

from search import seeds
from search.engines.base import CanEnd, Engine, NothingFits, ProposalPending, SpaceExhausted, always
from search.records.ledger import Ledger
from search.records.record import StudyRecord, TrialRecord
from search.study.checkpoint_store import CheckpointStore
from search.study.resumable_trials import ResumableTrials
from search.study.retries import should_requeue
from search.study.search_budget import SearchBudget
from search.study.trial_requests import TrialRequest, first_requests, initial_requests
from search.trial import (
    PROPOSED,
    RECIPE_PREFIX,
    Cause,
    Config,
    EpochReport,
    Outcome,
    Phase,
    Proposal,
    State,
    Trial,
    config_key,
    training_key,
)

MAX_PROPOSALS = 8
"""Proposals of an engine after which a search ends if none of them could be trained in the time that is left."""
MAX_TOO_LARGE = 10
"""Proposals that exceed the memory, after which the next one is begun in any case; its trial fails with the figures."""


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
    """Returns the baseline, the recipes and the interrupted trials, then what the engine proposes.

    A ``search.study.interfaces.TrialSource``.

    Args:
        engine: A fresh engine; the recorded trials are replayed into it.
        ledger: Holds the recorded trials.
        recipes: Names of the recipes, in order; None for all of the space.
        tries: Returns whether a recipe other than the first is tried; asked when its turn comes.
        trials: Search trials that end by themselves, over all sessions, after which the search ends; None for no limit.
        epochs: Epochs trained in search trials, over all sessions and unfinished trials included, after which the
            search ends; None for no limit. The last trial may exceed it.
        has_time: Returns whether a configuration can be trained for some epochs in the time that is left; None for no
            limit.
        fits: Returns whether the training of a configuration is not known to exceed the memory. The baseline, the
            recipes and recorded trials are not asked for.
        first_epochs: Returns the epochs of the baseline and of the first recipe, fewer than a full trial's if the time
            is short; None for a full trial's.
        checkpoints: Those of the study; None for the ledger's folder.
    """

    phases = (Phase.SEARCH,)

    def __init__(
        self,
        engine: Engine,
        ledger: Ledger,
        *,
        recipes: Iterable[str] | None = None,
        tries: Callable[[Config], bool] = lambda config: True,
        trials: int | None = None,
        epochs: int | None = None,
        has_time: CanEnd | None = None,
        fits: Callable[[Config], bool] = lambda config: True,
        first_epochs: Callable[[Config], int] | None = None,
        checkpoints: CheckpointStore | None = None,
    ) -> None:
        header, study = ledger.header, ledger.read()
        self._engine, self._seed, self._epochs = engine, header.seed, header.protocol.epochs
        self._is_timed, self._has_time = has_time is not None, has_time or always
        self._fits, self._first_epochs = fits, first_epochs or (lambda config: self._epochs)
        self._tries = tries
        self.checkpoints = checkpoints or CheckpointStore(ledger.folder / "checkpoints")
        recorded = study.trials_in_phase(Phase.SEARCH)
        replay(engine, recorded)
        outcomes = [record.outcome for record in recorded if record.outcome is not None]
        self._budget = SearchBudget(trials=trials, epochs=epochs, full_epochs=self._epochs, outcomes=outcomes)
        self._resumable = ResumableTrials(self.checkpoints, recorded, may_resume=engine.may_resume)
        self._next_number = len(recorded)
        self._epochs_elsewhere: dict[int, int] = {}  # last known epoch of each trial that other coordinators run
        first = first_requests(
            header.space,
            self._epochs,
            header.space.recipes if recipes is None else recipes,
            screens=engine.capabilities.screens,
        )
        # A recipe that the sampler trains again is that recipe still, and not what the search found.
        self._recipes = {
            config_key(header.space.recipe(name)): f"{RECIPE_PREFIX}{name}" for name in header.space.recipes
        }
        self._first_numbers = set[int]()
        self._queue = deque(initial_requests(recorded, first))
        for request in self._queue:
            if (key := self._training_key(request)) is not None:
                self._resumable.hold(key)
        for record in recorded:
            if record.outcome is None:
                self._begin_elsewhere(record)
        # Of a shared study, other coordinators may have begun since, with checkpoints in the same folder.
        self._resumable.clean(orphans=not ledger.is_shared)
        self.is_exhausted = self.is_out_of_time = False
        self._waits_for_end = False  # nothing can end until a running trial did, and the seconds are predicted anew

    @property
    def running_elsewhere(self) -> int:
        """How many trials other coordinators run."""
        return len(self._epochs_elsewhere)

    def next(self) -> Trial | None:
        """Returns the next trial; None if the budget is spent, or if the engine has no proposal, at all or yet."""
        if self._budget.is_spent or (self.is_exhausted and not self._queue):
            return None
        if self._waits_for_end and not self._queue:
            return None
        try:
            trial = self._next_initial() or self._propose()
        except ProposalPending:
            return None
        except NothingFits:
            self.is_out_of_time = self._waits_for_end = True
            return None
        except SpaceExhausted:  # maybe of configurations that could not end, which are not proposed again
            self.is_exhausted, self._waits_for_end = not self.is_out_of_time, True
            return None
        self._charge(trial)
        return trial

    def _next_initial(self) -> Trial | None:
        """Returns the first trial of the queue that is tried and can end; those before it are dropped."""
        while self._queue:
            request = self._queue.popleft()
            assert request.proposal is not None
            if request.is_first:
                return self._make_trial(self._with_first_epochs(request))
            if request.is_new_recipe and not self._tries(request.proposal.config):
                continue
            if self._can_end(request.proposal.config, self._epochs_to_train(request)):
                return self._make_trial(request)
            self.is_out_of_time = True
        return None

    def _with_first_epochs(self, request: TrialRequest) -> TrialRequest:
        """Returns a request with fewer epochs if the time is short; an interrupted trial then starts over."""
        assert request.proposal is not None
        config, whole, left = request.proposal.config, self._whole_epochs(request), self._epochs_to_train(request)
        if left < whole and self._has_time(config, left):
            return request
        epochs = self._first_epochs(config)
        if request.seed is not None and epochs >= whole:
            return request
        short = epochs if epochs < self._epochs else None
        if (key := self._training_key(request)) is not None:
            self._resumable.drop(key)
        return dataclasses.replace(
            request, seed=None, proposal=dataclasses.replace(request.proposal, short_epochs=short)
        )

    def _whole_epochs(self, request: TrialRequest) -> int:
        assert request.proposal is not None
        return request.proposal.short_epochs or self._epochs

    def _epochs_to_train(self, request: TrialRequest) -> int:
        """Returns the epochs that a request trains: of an interrupted trial with a checkpoint, the rest."""
        key, epochs = self._training_key(request), self._whole_epochs(request)
        if key is None or self.checkpoints.resume_path(key) is None:
            return epochs
        return max(1, epochs - request.epochs_trained)

    def _propose(self) -> Trial:
        """Returns a trial that the engine proposes.

        Raises:
            NothingFits: Nothing that it proposes can end.
        """
        too_late = too_large = 0
        while too_late < MAX_PROPOSALS:
            trial = self._make_trial(TrialRequest())
            exceeds = trial.parent is None and too_large < MAX_TOO_LARGE and not self._fits(trial.config)
            if not exceeds and (trial.parent is not None or self._can_end(trial.config, trial.last_epoch)):
                return trial
            too_large, too_late = too_large + exceeds, too_late + (not exceeds)
            self._engine.tell(trial.number, self._refusal(exceeds=exceeds))
        raise NothingFits

    def _refusal(self, *, exceeds: bool) -> Outcome:
        """Returns what an engine is told of a proposal that is not begun, as it exceeds the memory or the time.

        An engine that pauses trials counts those of a round, and must not wait for one that never was.
        """
        if exceeds and not self._engine.capabilities.pauses:
            return Outcome(state=State.FAILED, cause=Cause.OUT_OF_MEMORY)
        return Outcome(state=State.INTERRUPTED)

    def _can_end(self, config: Config, epochs: int) -> bool:
        """Returns whether every budget is enough for a configuration and these epochs."""
        return self._budget.allows(epochs) and self._has_time(config, epochs)

    def ask_again(self) -> None:
        """Notes that a trial or a test run ended: what could not end before may fit now."""
        self._waits_for_end = False

    def undo_next(self, trial: Trial) -> None:
        """Takes the last trial back, and requeues it.

        It will have another number, and the seed of that number unless it resumes an earlier trial.
        """
        self._next_number -= 1
        self._tell_and_refund(trial, Outcome(state=State.INTERRUPTED))
        is_fresh = trial.seed == self._fresh_seed(trial.number)
        self._requeue(trial, seed=None if is_fresh else trial.seed)
        if is_fresh:
            self._resumable.release(trial.training_key)

    def observe(self, record: TrialRecord) -> bool:
        """Tells the engine what another coordinator has recorded of a trial."""
        trial, outcome = record.trial, record.outcome
        is_new = trial.number >= self._next_number
        if not is_new and trial.number not in self._epochs_elsewhere:
            return False  # it had ended before this source was made, or this source runs it
        if is_new:
            self._begin_elsewhere(record)
        for report in record.reports if outcome is None else outcome.history:
            if report.epoch > self._epochs_elsewhere[trial.number]:
                self._engine.report(trial.number, report)
                self._epochs_elsewhere[trial.number] = report.epoch
        if outcome is None:
            return is_new
        del self._epochs_elsewhere[trial.number]
        self._handle_end(trial, outcome)
        if outcome.state is State.INTERRUPTED:
            self._requeue(trial, seed=trial.seed, epochs_trained=len(outcome.history))
        return True

    def _begin_elsewhere(self, record: TrialRecord) -> None:
        trial = record.trial
        self._engine.ask(trial.number, fixed=trial.proposal)
        self._epochs_elsewhere[trial.number] = 0
        begun = [request for request in self._queue if request.is_for(trial.proposal)]
        if any(request.is_first for request in begun):
            self._first_numbers.add(trial.number)
        self._queue = deque(request for request in self._queue if request not in begun)
        self._next_number = max(self._next_number, trial.number)
        self._charge(trial)

    def report(self, trial: Trial, report: EpochReport) -> bool:
        """Asks the engine whether to prune; the baseline and the recipes are never pruned, for comparison."""
        return self._engine.report(trial.number, report) and trial.origin == PROPOSED

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        """Tells the engine, and requeues a trial that is to be retried; an interrupted trial is not counted.

        The checkpoints of an interrupted trial are kept, and those of a paused or pruned trial while the engine may
        resume it.
        """
        self._handle_end(trial, outcome)
        if should_requeue(outcome):
            self._requeue(trial, seed=trial.seed, epochs_trained=len(outcome.history))

    def cancel_cause(self, trial: Trial) -> Cause | None:
        """Returns None: its trials end by themselves."""
        return None

    def _charge(self, trial: Trial) -> None:
        """Counts a trial that begins, here or elsewhere."""
        self._budget.charge(trial)
        self._resumable.hold(trial.training_key)
        self._next_number = max(self._next_number, trial.number + 1)

    def _handle_end(self, trial: Trial, outcome: Outcome) -> None:
        """Tells the engine how a trial ended, and deletes the checkpoints that are not needed any more."""
        self._tell_and_refund(trial, outcome)
        self.ask_again()
        self._resumable.end(TrialRecord(trial=trial, outcome=outcome))

    def _tell_and_refund(self, trial: Trial, outcome: Outcome) -> None:
        self._engine.tell(trial.number, outcome)
        self._budget.settle(trial, outcome)

    def _requeue(self, trial: Trial, *, seed: int | None, epochs_trained: int = 0) -> None:
        """Puts an interrupted trial at the front of the queue."""
        request = TrialRequest(
            proposal=trial.proposal,
            origin=trial.origin,
            seed=seed,
            epochs_trained=epochs_trained,
            is_first=trial.number in self._first_numbers,
        )
        self._queue.appendleft(request)

    def _ask(self, request: TrialRequest) -> Proposal:
        ask = partial(self._engine.ask, self._next_number, fixed=request.proposal)
        try:
            return ask(can_end=self._can_end)
        except NothingFits:
            if self._is_timed:
                raise
            # Trials that are left are used, as asked for; time that is left serves verification.
            return ask(can_end=always)

    def _make_trial(self, request: TrialRequest) -> Trial:
        proposal = self._ask(request)
        parent = None if proposal.parent is None else self._resumable.get(proposal.parent)
        if request.is_first:
            self._first_numbers.add(self._next_number)
        seed = request.seed
        if seed is None:
            seed = self._fresh_seed(self._next_number) if parent is None else parent.seed
        return Trial(
            number=self._next_number,
            config=proposal.config,
            seed=seed,
            epochs=proposal.short_epochs or self._epochs,
            is_short=proposal.short_epochs is not None,
            target_epoch=proposal.target_epoch,
            parent=proposal.parent,
            engine_metadata=proposal.engine_metadata,
            rungs=self._engine.rungs if request.origin == PROPOSED and self.checkpoints.keeps_any else (),
            origin=self._recipes.get(config_key(proposal.config), request.origin),
        )

    def _fresh_seed(self, number: int) -> int:
        """Returns the seed of a trial that begins a training."""
        return seeds.trial_seed(self._seed, Phase.SEARCH, 0 if self._engine.capabilities.shares_seed else number)

    def _training_key(self, request: TrialRequest) -> str | None:
        """Returns the key of the training that a request continues; None if it begins one."""
        if request.proposal is None or request.seed is None:
            return None
        return training_key(request.proposal.config, request.seed, self._whole_epochs(request))


def final_trials(record: StudyRecord) -> list[TrialRecord]:
    """Returns the search trials that ended and were not interrupted."""
    return [trial_record for trial_record in record.trials_in_phase(Phase.SEARCH) if trial_record.is_finished]
