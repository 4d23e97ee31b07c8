"""What the trials of a plan will take, predicted from what its study has recorded and from what was measured.

Called by the session, the dry run and the progress display.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from statistics import fmean

from search.execution.base import TrialKey
from search.records.record import NO_ENGINE, StudyRecord, TrialRecord
from search.session.plan import Plan
from search.session.settings import ExecutorName
from search.study.cost import MAX_OBSERVATIONS, CostModel, Observation
from search.study.verification import finalists
from search.trial import Config, Phase, Trial

SAMPLED_CONFIGS = 64
"""Configurations drawn uniformly from a space. Their mean is expected of what a sampler proposes."""


def fit_model(plan: Plan, record: StudyRecord) -> CostModel:
    """Returns the cost model fitted to a study: to its latest trials, and to those of its finalists."""
    prior, measured = _prior(plan)
    records = [*finalists(record, plan.settings.finalists), *record.trials[-MAX_OBSERVATIONS:]]
    unique = {entry.trial.key: entry for entry in records}.values()
    seen = [observation for entry in unique if (observation := prior.observe(entry)) is not None]
    return prior.fit([*measured, *seen])


def _prior(plan: Plan) -> tuple[CostModel, tuple[Observation, ...]]:
    """Returns the shipped model for a plan's space and data, and the throughput of a worker, if it was measured."""
    prior = CostModel.for_data(plan.workload, plan.header.protocol, plan.task.dataset)
    layout, throughput = plan.parallelism.layout, plan.parallelism.images_per_second
    speed = throughput.get(layout, 0.0) / layout.workers
    if not speed > 0.0 or plan.settings.executor != ExecutorName.LOCAL:
        return prior, ()
    return prior, (prior.observe_throughput(plan.header.space.baseline, speed),)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlanCosts:
    """Predicts the seconds of a plan's trials.

    Args:
        plan: The run.
        prior: The shipped model for the plan's space and data.
        measured: The throughput of a worker, if it was measured.
        model: The prior fitted to what was observed.
        is_observed: Whether anything was; otherwise the predictions are those of other machines.
        recipes: The configurations of the recipes that the plan tries, by name.
        sampled: Configurations drawn from the space.
    """

    plan: Plan
    prior: CostModel
    measured: tuple[Observation, ...]
    model: CostModel
    is_observed: bool
    recipes: Mapping[str, Config]
    sampled: tuple[Config, ...]

    @classmethod
    def of(cls, plan: Plan) -> PlanCosts:
        """Returns the predictions before any trial has run; the plan's workers are chosen."""
        space, draw = plan.header.space, random.Random(0)
        is_search = plan.header.engine != NO_ENGINE
        prior, measured = _prior(plan)
        return cls(
            plan=plan,
            prior=prior,
            measured=measured,
            model=prior.fit(measured),
            is_observed=bool(measured),
            recipes={name: space.recipe(name) for name in space.recipes} if is_search and plan.settings.recipes else {},
            sampled=tuple(space.sample(draw) for _ in range(SAMPLED_CONFIGS)) if is_search else (space.baseline,),
        )

    def after(self, observations: Collection[Observation]) -> PlanCosts:
        """Returns the predictions after these observations of the prior."""
        if not observations:
            return self
        return replace(self, model=self.prior.fit([*self.measured, *observations]), is_observed=True)

    def observe(self, records: Iterable[TrialRecord]) -> dict[TrialKey, Observation]:
        """Returns what recorded trials, complete or in part, tell about costs."""
        observed = {record.trial.key: self.prior.observe(record) for record in records}
        return {key: observation for key, observation in observed.items() if observation is not None}

    def trial_seconds(self, trial: Trial) -> float:
        """Returns the seconds of a trial from its first epoch to its last."""
        return self.model.trial_seconds(trial.config, epochs=trial.last_epoch, phase=trial.phase)

    def baseline_seconds(self, phase: Phase = Phase.SEARCH) -> float:
        """Returns the seconds of the baseline in a phase."""
        return self.model.trial_seconds(self.plan.header.space.baseline, phase=phase)

    def recipe_seconds(self, phase: Phase = Phase.SEARCH) -> dict[str, float]:
        """Returns the seconds of each recipe that the plan tries, by name."""
        return {name: self.model.trial_seconds(config, phase=phase) for name, config in self.recipes.items()}

    def sampled_seconds(self, phase: Phase = Phase.SEARCH) -> list[float]:
        """Returns the seconds of configurations drawn from the space, ascending, without pruning."""
        return sorted(self.model.trial_seconds(config, phase=phase) for config in self.sampled)

    def verification_seconds(self) -> float:
        """Returns the seconds of verification as expected before its configurations are known; 0 without it.

        The finalists are expected to take as long as the slowest recipe, or without recipes as a mean configuration.
        """
        settings, phase = self.plan.settings, Phase.VERIFICATION
        if not self.plan.has_verification:
            return 0.0
        finalist = max(self.recipe_seconds(phase).values(), default=0.0) or fmean(self.sampled_seconds(phase))
        replicate = self.baseline_seconds(phase) + settings.finalists * finalist
        return settings.usual_replicates * replicate / self.plan.concurrent_trials
