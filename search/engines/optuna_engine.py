"""Optuna as an engine, by ask and tell on a study in memory; the ledger, not Optuna, is the record.

Samplers and pruners are Optuna's own classes. Each ask seeds its sampler from (study seed, trial number, attempt):
Optuna's seeds otherwise repeat their first draws when a study is resumed. The study in memory is rebuilt from the
ledger by replaying its trials.
"""

from __future__ import annotations

import importlib.util
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    SuccessiveHalvingPruner,
    WilcoxonPruner,
)
from optuna.samplers import (
    BaseSampler,
    BruteForceSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.trial import TrialState

from search import seeds
from search.engines.asha import REDUCTION_FACTOR, RungPromotions, first_rung, rungs
from search.engines.base import START_UP_TRIALS, Engine, EngineCapabilities, ProposalPending, SpaceExhausted
from search.errors import UserError, missing_extra, unknown_name
from search.trial import Config, EpochReport, Outcome, Proposal, State, config_key
from spaces.domains import Choice, Domain, Float, Int, Value
from spaces.space import Space

MAX_DRAWS = 30
"""Draws before a space counts as exhausted; where it is finite, one more by brute force finds what is left."""
MAX_MODEL_DRAWS = 5
"""Of these, draws from the sampler asked for; the rest are random, since a model that has settled on one
configuration would propose it for ever."""
CACHED_SEARCH_SPACES = ("_search_space", "_group_decomposed_search_space", "_intersection_search_space")
"""Where Optuna 5.0's samplers keep the parameters that all trials so far share. Without it a sampler that is made anew
goes through all trials at each ask: 65 ms at 1,000 trials, where CMA-ES itself takes 3."""
NSGA2_POPULATION_SIZE = 10
"""Optuna's default of 50 would be random draws throughout a search of tens of trials."""
ASHA = "asha"
"""The pruner whose stopped trials may go on later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerContext:
    """What a sampler is made for: one draw.

    Args:
        study_seed: The study's seed.
        seed: Of this draw.
        stopped_trials: Trials that wait at a rung. To Optuna they run; as start-up trials they count all the same.
    """

    study_seed: int
    seed: int
    stopped_trials: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerKind:
    """A sampler by name.

    Args:
        make: Makes it from a draw.
        module: Module it needs beside Optuna's own dependencies.
        extra: Extra that installs that module.
        stateful: It keeps notes with each trial it was asked for (a generation, a place in a sequence), so it must be
            asked for given configurations as well.
        needs_finite_space: It needs every domain to be finite.
    """

    make: Callable[[SamplerContext], BaseSampler]
    module: str = ""
    extra: str = ""
    stateful: bool = False
    needs_finite_space: bool = False


def _tpe(context: SamplerContext) -> BaseSampler:
    # group=True on purpose: without it one trial without a conditional parameter (the baseline has many inactive)
    # takes that parameter out of the joint model for all trials (optuna#5299).
    start_up = max(0, START_UP_TRIALS - context.stopped_trials)
    return TPESampler(seed=context.seed, n_startup_trials=start_up, multivariate=True, group=True, constant_liar=True)


def _gp(context: SamplerContext) -> BaseSampler:
    return GPSampler(seed=context.seed, n_startup_trials=START_UP_TRIALS, warn_independent_sampling=False)


def _cmaes(context: SamplerContext) -> BaseSampler:
    return CmaEsSampler(seed=context.seed, n_startup_trials=START_UP_TRIALS, warn_independent_sampling=False)


def _qmc(context: SamplerContext) -> BaseSampler:
    return QMCSampler(
        seed=context.study_seed,  # names the scrambled sequence, in which each draw takes the next place
        scramble=True,
        independent_sampler=RandomSampler(seed=context.seed),
        warn_independent_sampling=False,
        warn_asynchronous_seeding=False,
    )


def _random(context: SamplerContext) -> BaseSampler:
    return RandomSampler(seed=context.seed)


def _grid(context: SamplerContext) -> BaseSampler:
    return BruteForceSampler(seed=context.seed)


def _nsga2(context: SamplerContext) -> BaseSampler:
    return NSGAIISampler(seed=context.seed, population_size=NSGA2_POPULATION_SIZE)


SAMPLERS: Mapping[str, SamplerKind] = {
    "tpe": SamplerKind(make=_tpe),
    "gp": SamplerKind(make=_gp, module="torch", extra="gp"),
    "cmaes": SamplerKind(make=_cmaes, module="cmaes", extra="cmaes", stateful=True),
    "random": SamplerKind(make=_random),
    "qmc": SamplerKind(make=_qmc, stateful=True),
    "grid": SamplerKind(make=_grid, needs_finite_space=True),
    "nsga2": SamplerKind(make=_nsga2, stateful=True),
}
"""Samplers by name."""

PRUNERS: Mapping[str, Callable[[int], BasePruner]] = {
    "none": lambda epochs: NopPruner(),
    "median": lambda epochs: MedianPruner(n_startup_trials=START_UP_TRIALS, n_warmup_steps=first_rung(epochs)),
    ASHA: lambda epochs: SuccessiveHalvingPruner(
        min_resource=first_rung(epochs), reduction_factor=REDUCTION_FACTOR, min_early_stopping_rate=0
    ),
    "hyperband": lambda epochs: HyperbandPruner(
        min_resource=first_rung(epochs), max_resource=epochs, reduction_factor=REDUCTION_FACTOR
    ),
    "wilcoxon": lambda epochs: WilcoxonPruner(n_startup_steps=first_rung(epochs)),
}
"""Pruners by name; each is made for trials of so many epochs."""


@dataclass(slots=True)
class _OptunaTrial:
    """A configuration in training, in as many trials as it takes; to Optuna one trial, which runs until it is over.

    Optuna has no word for a trial that waits: to its samplers it is one that runs.
    """

    trial: optuna.Trial
    config: Config
    epoch: int = 0


class OptunaEngine(Engine):
    """Optuna's samplers and pruners.

    Args:
        space: The space to propose from.
        sampler: A name in ``SAMPLERS``.
        pruner: A name in ``PRUNERS``.
        seed: The study's seed; 0 is a seed.
        epochs: Epochs of a full trial, for the rungs.
    """

    capabilities = EngineCapabilities(prunes=True, parallel=True, conditional=True, resumes=True)

    def __init__(self, space: Space, *, sampler: str, pruner: str, seed: int, epochs: int) -> None:
        if pruner not in PRUNERS:
            raise unknown_name("pruner", pruner, PRUNERS)
        self._space, self._seed = space, seed
        self._sampler_kind = _available_sampler(sampler, space)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        # The name enters Hyperband's choice of bracket, so it is the same whatever the study is called.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            optuna_pruner = PRUNERS[pruner](epochs)
        self._study = optuna.create_study(study_name="search", direction="minimize", pruner=optuna_pruner)
        self._previous_sampler: BaseSampler | None = None
        self._running: dict[int, _OptunaTrial] = {}
        self._stopped: dict[int, _OptunaTrial] = {}
        self._interrupted: dict[str, _OptunaTrial] = {}
        self._seen_keys: set[str] = set()
        self._is_exhausted = False
        self._promotions = RungPromotions(epochs) if pruner == ASHA else None
        self.rungs = rungs(epochs) if pruner == ASHA else ()

    def ask(self, number: int, *, fixed: Proposal | None = None) -> Proposal:
        """Returns a stopped trial that is to go on, or a configuration not proposed before; see ``Engine.ask``."""
        if fixed is None:
            fixed = self._next_promotion()
        if fixed is not None:
            self._running[number] = self._resume(fixed) or self._enqueue(number, fixed.config)
            return fixed
        attempts = 0 if self._is_exhausted else MAX_DRAWS + (self._space.size() is not None)
        for attempt in range(attempts):
            trial, config = self._sample(number, attempt)
            if config_key(config) not in self._seen_keys:
                self._running[number] = self._register(trial, config)
                return Proposal(config=config)
            self._tell(trial, state=TrialState.FAIL)
        self._is_exhausted = True
        if self._promotions is not None and self._running:
            raise ProposalPending  # when one of them reaches a rung, a stopped one may be due
        raise SpaceExhausted

    def report(self, number: int, report: EpochReport) -> bool:
        """Notes an epoch's validation error; see ``Engine.report``."""
        run = self._running[number]
        if report.error_percent is None or report.epoch <= run.epoch:
            return False
        run.epoch = report.epoch
        run.trial.report(report.error_percent, report.epoch)
        if self._promotions is not None:
            self._promotions.record_error(run.trial.number, report.epoch, report.error_percent)
        return run.trial.should_prune()

    def tell(self, number: int, outcome: Outcome) -> None:
        """Notes how a trial ended; failed ones carry no value."""
        run, error = self._running.pop(number), outcome.error_percent
        if outcome.state is State.INTERRUPTED:
            self._interrupted[config_key(run.config)] = run
        elif outcome.state is State.COMPLETE and error is not None and math.isfinite(error):
            self._tell(run.trial, error, TrialState.COMPLETE)
        elif outcome.state is not State.PRUNED or not outcome.history:
            self._tell(run.trial, state=TrialState.FAIL)
        elif self._promotions is not None and self._promotions.mark_stopped(run.trial.number):
            self._stopped[number] = run
        else:
            self._tell(run.trial, state=TrialState.PRUNED)

    def may_resume(self, number: int) -> bool:
        """Says whether the trial waits at a rung, from which it goes on when it is among the best there."""
        return number in self._stopped

    def _next_promotion(self) -> Proposal | None:
        """Returns the proposal to go on with a stopped trial, where one is due."""
        promoted = None if self._promotions is None else self._promotions.next_trial()
        stopped = ((number, run) for number, run in self._stopped.items() if run.trial.number == promoted)
        return next((Proposal(config=run.config, parent=number) for number, run in stopped), None)

    def _resume(self, fixed: Proposal) -> _OptunaTrial | None:
        """Returns the run that a given proposal goes on with: an interrupted or a stopped one; None for a new one."""
        if (run := self._interrupted.pop(config_key(fixed.config), None)) is not None:
            return run
        if fixed.parent is None or (run := self._stopped.pop(fixed.parent, None)) is None:
            return None
        if self._promotions is not None:
            self._promotions.mark_resumed(run.trial.number)
        return run

    def _enqueue(self, number: int, config: Config) -> _OptunaTrial:
        """Runs a given configuration through the study, so that samplers learn from it."""
        self._study.enqueue_trial(dict(config))
        trial, _ = self._sample(number, 0, use_random=not self._sampler_kind.stateful)
        return self._register(trial, config)

    def _register(self, trial: optuna.Trial, config: Config) -> _OptunaTrial:
        self._seen_keys.add(config_key(config))
        return _OptunaTrial(trial, config)

    def _sample(self, number: int, attempt: int, *, use_random: bool = False) -> tuple[optuna.Trial, Config]:
        """Draws a configuration, parents first, passing over the parameters whose condition does not hold."""
        seed = seeds.proposal_seed(self._seed, number, attempt)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            self._study.sampler = self._make_sampler(seed, attempt, use_random=use_random)
            trial = self._study.ask()
            if self._sampler_kind.stateful:
                _ = trial.relative_params  # Optuna asks the sampler only when drawing, and nothing is drawn if given
            values: dict[str, object] = {}
            for name, domain in self._space.parameters.items():
                if domain.when is None or domain.when.holds(values):
                    values[name] = _suggest(trial, name, domain)
        return trial, self._space.active(values)

    def _make_sampler(self, seed: int, attempt: int, *, use_random: bool) -> BaseSampler:
        """Returns the sampler of a draw: the one asked for, later a random one, at last one that misses nothing."""
        if attempt == MAX_DRAWS:
            return BruteForceSampler(seed=seed)
        if use_random or (attempt >= MAX_MODEL_DRAWS and not self._sampler_kind.needs_finite_space):
            return RandomSampler(seed=seed)
        fresh = self._sampler_kind.make(
            SamplerContext(study_seed=self._seed, seed=seed, stopped_trials=len(self._stopped))
        )
        for name in CACHED_SEARCH_SPACES:  # what the one before found by going through all trials
            if hasattr(self._previous_sampler, name):
                setattr(fresh, name, getattr(self._previous_sampler, name))
        self._previous_sampler = fresh
        return fresh

    def _tell(self, trial: optuna.Trial, value: float | None = None, state: TrialState | None = None) -> None:
        if not self._sampler_kind.stateful or isinstance(self._study.sampler, BruteForceSampler):
            # Brute force calls Study.stop after its last trial, which Optuna refuses outside optimize.
            self._study.sampler = RandomSampler(seed=0)
        self._study.tell(trial, value, state)


def _available_sampler(sampler: str, space: Space) -> SamplerKind:
    """Returns the sampler's kind, or says why it cannot be used here."""
    if sampler not in SAMPLERS:
        raise unknown_name("sampler", sampler, SAMPLERS)
    kind = SAMPLERS[sampler]
    if kind.module and importlib.util.find_spec(kind.module) is None:
        raise missing_extra(f"Sampler {sampler!r}", kind.extra)
    continuous = [name for name, domain in space.parameters.items() if domain.values() is None]
    if kind.needs_finite_space and continuous:
        raise UserError(
            f"Sampler {sampler!r} needs finitely many values of every parameter. Received: a continuum for "
            f"{', '.join(continuous)}.",
            hint=f"Fix them, such as --fix {continuous[0]}={space.parameters[continuous[0]].baseline}.",
        )
    return kind


def _suggest(trial: optuna.Trial, name: str, domain: Domain) -> Value:
    match domain:
        case Choice():
            return cast(Value, trial.suggest_categorical(name, domain.options))
        case Int():
            return trial.suggest_int(name, domain.low, domain.high, step=domain.step, log=domain.log)
        case Float(low=low, high=high) if low == high:
            return trial.suggest_float(name, low, high, step=1.0)  # brute force refuses a float without a step
        case Float():
            return trial.suggest_float(name, domain.low, domain.high, step=domain.step, log=domain.log)
