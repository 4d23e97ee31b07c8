"""The forecast of a run: how fast its machine trains, and how many trials and test runs its budget buys.

Pure, from the predicted seconds of a plan and what its study has recorded. Called by the dry run and the displays,
which show it in three lines before the first trial.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from search.engines.base import short_epochs
from search.engines.hub.samplers.screened_mutation.sampler import SCREENING_RATIO
from search.engines.registry import screens
from search.records.record import StudyRecord
from search.session.costs import PlanCosts
from search.session.first_trials import first_epochs
from search.session.settings import Settings
from search.session.timetable import planned_replicates
from search.study.time_budget import CLOSING_SECONDS, MARGIN
from search.study.verification import best_trials, verification_trials
from search.trial import BASELINE, PROPOSED, RECIPE_PREFIX, Config, Phase, Trial, config_key

MAX_TRIALS = 100_000
"""Trials after which a forecast ends."""
TYPICAL_TRIALS = 10
"""Latest proposals of the engine, whose mean cost is expected of further ones."""
ROUNDED_TO_SECONDS = 60
"""A sufficient time budget is a multiple of this."""
MAX_REPLICATES = 10
"""Most replicates of verification for which a run uses the rest of its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a run is expected to do from now on.

    Args:
        is_measured: Whether the seconds are this machine's; those of other machines otherwise.
        images_per_second: Images that the baseline trains on in a second, all workers together; None if not measured.
        baseline_seconds: Seconds of one full training of the baseline.
        recipe: Name of the best recipe; None if recipes are not tried.
        recipe_seconds: Seconds of one full training of it.
        left_out: Names of the recipes that are not tried, as they take too long.
        epochs: Epochs of a full trial.
        short_epochs: Epochs of a short one; None where the engine has none.
        short_trials: Short trials that the budget buys.
        full_trials: Full trials that it buys, the baseline and the recipes included.
        search_seconds: Wall-clock seconds that these take.
        verified: What is verified, in words; empty without verification.
        replicates: Fresh seeds of each.
        uses_all_time: Whether further seeds follow while the time lasts.
        verification_seconds: Wall-clock seconds of verification.
        first_epochs: Epochs of the baseline and the best recipe; fewer than ``epochs`` if the time is short.
        sufficient_timeout: The time budget in seconds in which both are full trials and are verified; None if it is.
        replicates_timeout: That in which they are, with all seeds that were asked for; None if it is.
    """

    is_measured: bool
    images_per_second: float | None
    baseline_seconds: float
    recipe: str | None
    recipe_seconds: float | None
    left_out: tuple[str, ...]
    epochs: int
    short_epochs: int | None
    short_trials: int
    full_trials: int
    search_seconds: float
    verified: tuple[str, ...]
    replicates: int
    uses_all_time: bool
    verification_seconds: float
    first_epochs: int
    sufficient_timeout: int | None
    replicates_timeout: int | None

    def to_json(self) -> dict[str, Any]:
        """Returns the forecast as a plain dict."""
        seconds = ("images_per_second", "baseline_seconds", "recipe_seconds", "search_seconds", "verification_seconds")
        values = {name: getattr(self, name) for name in self.__slots__}
        rounded = {name: values[name] if values[name] is None else round(values[name], 1) for name in seconds}
        return {**values, **rounded, "verified": list(self.verified), "left_out": list(self.left_out)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """A trial of the forecast.

    Args:
        epochs: Epochs that it trains.
        seconds: Its predicted seconds.
        is_short: Whether it is a short trial.
    """

    epochs: int
    seconds: float
    is_short: bool = False


def make_forecast(costs: PlanCosts, record: StudyRecord, *, elapsed_seconds: float) -> Forecast:
    """Returns the forecast of a session.

    Args:
        costs: Predicted seconds, as far as anything was observed.
        record: The trials of earlier sessions.
        elapsed_seconds: Seconds of the study until trials can begin.
    """
    plan, settings = costs.plan, costs.plan.settings
    epochs, slots = plan.header.protocol.epochs, plan.concurrent_trials
    left = None if settings.timeout is None else settings.timeout - elapsed_seconds - CLOSING_SECONDS
    first = costs.first_configs
    waiting = [config for config in first.values() if not _is_trained(config, record)]
    horizon = first_epochs(costs, waiting, full=epochs, left=left)
    is_short = horizon < epochs
    winners = 0 if is_short else settings.finalists
    replicates, verification_seconds = planned_verification(costs, record, epochs=horizon)
    if is_short:
        steps = [_step(costs, config, horizon, is_short=True) for config in waiting]
    else:
        steps = list(_affordable(costs, record, left, verification_seconds))
    sufficient = MARGIN * costs.first_seconds(waiting, epochs=epochs)
    crowded = 0.0  # seconds of the first trials and of all seeds, where more of these were asked for than fit
    if waiting and not steps and settings.timeout is not None and (settings.replicates or 1) > 1:
        crowded = sum(map(costs.model.trial_seconds, waiting)) / slots + verification_seconds
    recipe = next(iter(costs.recipes), None)
    short = short_epochs(epochs)
    throughput = plan.parallelism.images_per_second.get(plan.parallelism.layout)
    return Forecast(
        is_measured=costs.is_observed,
        images_per_second=throughput,
        baseline_seconds=costs.baseline_seconds(),
        recipe=recipe,
        recipe_seconds=None if recipe is None else costs.recipe_seconds()[recipe],
        left_out=()
        if recipe is None
        else tuple(name for name in plan.header.space.recipes if name not in costs.recipes),
        epochs=epochs,
        short_epochs=short
        if screens(plan.header.engine, plan.header.sampler, plan.header.pruner) and short < epochs
        else None,
        short_trials=sum(step.is_short for step in steps),
        full_trials=sum(not step.is_short for step in steps),
        search_seconds=sum(step.seconds for step in steps) / slots,
        verified=tuple(_verified_names(first, winners)) if plan.has_verification else (),
        replicates=replicates,
        uses_all_time=uses_all_time(settings),
        verification_seconds=verification_seconds,
        first_epochs=horizon,
        sufficient_timeout=_round_up(elapsed_seconds + CLOSING_SECONDS + sufficient) if is_short else None,
        replicates_timeout=_round_up(elapsed_seconds + CLOSING_SECONDS + MARGIN * crowded) if crowded else None,
    )


def uses_all_time(settings: Settings) -> bool:
    """Returns whether further seeds of verification fill the rest of the time: where nothing but time is limited."""
    other_limits = (settings.replicates, settings.trials, settings.total_epochs)
    return settings.timeout is not None and all(limit is None for limit in other_limits)


def planned_verification(costs: PlanCosts, record: StudyRecord, *, epochs: int) -> tuple[int, float]:
    """Returns the planned fresh seeds, and the wall-clock seconds of the test runs that have not begun; 0 without.

    Args:
        costs: Predicted seconds.
        record: The study so far.
        epochs: Epochs of what is verified; fewer than a full trial's if the time is short.
    """
    plan, settings = costs.plan, costs.plan.settings
    if not plan.has_verification:
        return settings.usual_replicates, 0.0
    first, is_short = costs.first_configs, epochs < plan.header.protocol.epochs
    most = math.inf if settings.trials is None else settings.trials - 1
    finalists = 0 if is_short else int(min(settings.finalists, max(0, most)))

    def seconds(config: Config) -> float:
        return costs.model.trial_seconds(config, epochs=epochs, phase=Phase.VERIFICATION)

    # A finalist that is not known yet is expected to take as long as the best recipe.
    typical_seconds = seconds(list(first.values())[-1])
    seed_seconds = sum(map(seconds, first.values())) + finalists * typical_seconds
    replicates = 1 if is_short else planned_replicates(settings, seed_seconds, slots=plan.concurrent_trials)
    runs = verification_trials(record, count=settings.finalists, replicates=replicates)
    known = {config_key(run.config) for run in runs} | {
        config_key(run.trial.config) for run in record.trials_in_phase(Phase.VERIFICATION)
    }
    unknown_seconds = sum(seconds(config) for config in first.values() if config_key(config) not in known)
    unknown_seconds += max(0, finalists - len(best_trials(record, finalists))) * typical_seconds
    worker_seconds = waiting_seconds(costs, record, runs) + replicates * unknown_seconds
    return replicates, worker_seconds / plan.concurrent_trials


def waiting_seconds(costs: PlanCosts, record: StudyRecord, runs: Iterable[Trial]) -> float:
    """Returns the predicted seconds of those test runs that have not begun, over all workers."""
    begun = {
        entry.trial.replicate_key
        for entry in record.trials_in_phase(Phase.VERIFICATION)
        if entry.outcome is None or entry.is_finished
    }
    return sum(costs.trial_seconds(run) for run in runs if run.replicate_key not in begun)


def _verified_names(first: Iterable[str], winners: int) -> Iterator[str]:
    yield from first
    if winners:
        yield "winner" if winners == 1 else f"best {winners}"


def _is_trained(config: Config, record: StudyRecord) -> bool:
    """Returns whether a full trial of a configuration was begun."""
    full = (entry.trial for entry in record.trials_in_phase(Phase.SEARCH) if not entry.trial.is_short)
    return any(config_key(trial.config) == config_key(config) for trial in full)


def _affordable(
    costs: PlanCosts, record: StudyRecord, left: float | None, verification_seconds: float
) -> Iterator[_Step]:
    """Yields the trials that every budget of the plan is enough for."""
    settings, slots = costs.plan.settings, costs.plan.concurrent_trials
    finished = [entry for entry in record.trials_in_phase(Phase.SEARCH) if entry.is_finished]
    trials = math.inf if settings.trials is None else settings.trials - len(finished)
    trained = sum(entry.outcome.epochs_trained for entry in finished if entry.outcome)
    epochs = math.inf if costs.plan.total_epochs is None else costs.plan.total_epochs - trained
    seconds = math.inf if left is None else slots * (left / MARGIN - verification_seconds)
    size = costs.plan.header.space.size()
    configurations = math.inf if size is None else size - sum(not entry.trial.is_short for entry in finished)
    for step in _steps(costs, record):
        trials, seconds = trials - 1, seconds - step.seconds
        configurations -= not step.is_short
        if min(trials, seconds, configurations) < 0 or epochs <= 0:
            return
        epochs -= step.epochs
        yield step


def _steps(costs: PlanCosts, record: StudyRecord) -> Iterator[_Step]:
    """Yields the trials that follow what is recorded: the baseline and the recipes, then what the engine proposes.

    An engine with short trials spends ``SCREENING_RATIO`` times as much on them as on full ones; its configurations are
    expected to take as long as the latest ones did, at first as the best recipe. Those of another engine take the mean
    of the space, without pruning.
    """
    header = costs.plan.header
    full = header.protocol.epochs
    short = short_epochs(full)
    has_short = screens(header.engine, header.sampler, header.pruner) and short < full
    searched = record.trials_in_phase(Phase.SEARCH)
    begun = {(entry.trial.origin, entry.trial.is_short) for entry in searched}
    counts = {True: 0, False: 0}
    for entry in searched:
        counts[entry.trial.is_short] += 1

    def step(config: Config, *, is_short: bool) -> _Step:
        counts[is_short] += 1
        return _step(costs, config, short if is_short else full, is_short=is_short)

    if (BASELINE, False) not in begun:
        yield step(header.space.baseline, is_short=False)
    for index, (name, config) in enumerate(costs.recipes.items()):
        is_short = has_short and index > 0
        if (f"{RECIPE_PREFIX}{name}", is_short) not in begun:
            yield step(config, is_short=is_short)
    proposals = [entry.trial.config for entry in searched if entry.trial.origin == PROPOSED][-TYPICAL_TRIALS:]
    typical_configs = proposals or [next(iter(costs.recipes.values()), header.space.baseline)]
    typical = _Step(epochs=full, seconds=fmean(costs.sampled_seconds()))
    proposed = [_mean_step(costs, typical_configs, epochs, is_short=epochs < full) for epochs in (full, short)]
    for _ in range(MAX_TRIALS):
        is_short = counts[True] * short < SCREENING_RATIO * counts[False] * full
        counts[is_short] += 1
        yield proposed[is_short] if has_short else typical


def _mean_step(costs: PlanCosts, configs: Sequence[Config], epochs: int, *, is_short: bool) -> _Step:
    seconds = fmean(costs.model.trial_seconds(config, epochs=epochs) for config in configs)
    return _Step(epochs=epochs, seconds=seconds, is_short=is_short)


def _step(costs: PlanCosts, config: Config, epochs: int, *, is_short: bool) -> _Step:
    return _Step(epochs=epochs, seconds=costs.model.trial_seconds(config, epochs=epochs), is_short=is_short)


def _round_up(seconds: float) -> int:
    return ROUNDED_TO_SECONDS * math.ceil(seconds / ROUNDED_TO_SECONDS)
