"""What the trials of a plan will take, predicted from what its study has recorded and from what was measured.

Called by the session, the dry run and the progress display.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice

from search.execution.base import TrialKey
from search.records.record import NO_ENGINE, StudyRecord, TrialRecord
from search.session.plan import Plan
from search.session.settings import ExecutorName
from search.study.cost import MAX_OBSERVATIONS, CostModel, Observation
from search.study.verification import finalists, makespan
from search.trial import BASELINE, Config, Phase, Trial, config_key

FIRST_SHARE, MOST_SHARE = 1 / 2, 2 / 3
"""In the first share of the workers' time baseline and first recipe are trained and verified once; the rest is left to
search. It is large, as a better recipe gains more than the time that it takes from a short search. Any other recipe is
trained and then verified in the second share: what cannot be need not be screened."""
SAMPLED_CONFIGS, MAX_DRAWS = 64, 640
"""Configurations drawn uniformly from a space, within the limits of the search; and most draws for them. Their mean is
expected of what a sampler proposes."""


def _prior(plan: Plan) -> tuple[CostModel, tuple[Observation, ...]]:
    """Returns the shipped model for a plan's space and data, and the throughputs of a worker that were measured."""
    prior = CostModel.for_data(plan.workload, plan.header.protocol, plan.task.dataset)
    if plan.settings.executor != ExecutorName.LOCAL:
        return prior, ()
    layout, baseline = plan.parallelism.layout, plan.header.space.baseline
    by_recipe = plan.parallelism.recipe_images_per_second
    measured: list[tuple[Config, float]] = [
        (baseline, plan.parallelism.images_per_second.get(layout, 0.0) / layout.workers)
    ]
    measured += [(config, by_recipe.get(config_key(config), 0.0)) for config in plan.recipes.values()]
    return prior, tuple(prior.observe_throughput(config, speed) for config, speed in measured if speed > 0.0)


def _sampled(plan: Plan, model: CostModel) -> list[Config]:
    """Returns configurations drawn from a plan's space within its limits; the recipes or the baseline if none is."""
    space, most, draw = plan.header.space, plan.settings.max_seconds, random.Random(0)
    limit = None if plan.workload is None else plan.parameter_limit  # seconds that do not depend on it need no counts

    def is_within(config: Config) -> bool:
        return (limit is None or limit.allows(config)) and (most is None or model.trial_seconds(config) <= most)

    drawn = (space.sample(draw) for _ in range(MAX_DRAWS))
    within: list[Config] = list(islice(filter(is_within, drawn), SAMPLED_CONFIGS))
    return within or [space.recipe(name) for name in space.recipes] or [space.baseline]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlanCosts:
    """Predicts the seconds of a plan's trials.

    Args:
        plan: The run.
        prior: The shipped model for the plan's space and data.
        measured: The throughputs of a worker with the baseline and with recipes, as far as they were measured.
        model: The prior fitted to what was observed.
        is_observed: Whether anything was; otherwise the predictions are those of other machines.
        recipes: The configurations of the recipes that the plan tries, by name: those within ``--max-seconds`` that
            the time can buy, the first of the space that leaves time to search before the others.
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
        prior, measured = _prior(plan)
        model, most = prior.fit(measured), plan.settings.max_seconds
        costs = cls(
            plan=plan,
            prior=prior,
            measured=measured,
            model=model,
            is_observed=bool(measured),
            recipes={
                name: config
                for name, config in plan.recipes.items()
                if most is None or model.trial_seconds(config) <= most
            },
            sampled=tuple(_sampled(plan, model)) if plan.header.engine != NO_ENGINE else (plan.header.space.baseline,),
        )
        return replace(costs, recipes=costs._affordable())

    def _affordable(self) -> dict[str, Config]:
        """Returns the recipes that the time can buy, the best that leaves time to search before the others.

        If none leaves time to search, that is the cheapest, which is tried in any case.
        """
        timeout, baseline = self.plan.settings.timeout, self.plan.header.space.baseline
        if timeout is None or not self.recipes:
            return dict(self.recipes)
        epochs, slots = self.plan.header.protocol.epochs, self.plan.concurrent_trials
        seconds = {name: self._seconds_with_test(config, epochs) for name, config in self.recipes.items()}
        most = FIRST_SHARE * slots * timeout - self._seconds_with_test(baseline, epochs)
        leaving = (name for name in seconds if seconds[name] <= most)
        first = next(leaving, None) or min(seconds, key=seconds.__getitem__)
        others = (name for name, config in self.recipes.items() if name != first and self.is_worth_screening(config))
        return {name: self.recipes[name] for name in (first, *others)}

    def is_worth_screening(self, config: Config) -> bool:
        """Returns whether a recipe other than the first could be trained and verified, if it were found to be good."""
        settings, epochs = self.plan.settings, self.plan.header.protocol.epochs
        if settings.max_seconds is not None and self.model.trial_seconds(config) > settings.max_seconds:
            return False
        return settings.timeout is None or self._seconds_with_test(config, epochs) <= MOST_SHARE * settings.timeout

    def after(self, observations: Collection[Observation]) -> PlanCosts:
        """Returns the predictions after these observations of the prior."""
        if not observations:
            return self
        return replace(self, model=self.prior.fit([*self.measured, *observations]), is_observed=True)

    def observe(self, records: Iterable[TrialRecord]) -> dict[TrialKey, Observation]:
        """Returns what recorded trials, complete or in part, tell about costs."""
        observed = {record.trial.key: self.prior.observe(record) for record in records}
        return {key: observation for key, observation in observed.items() if observation is not None}

    def fitted(self, record: StudyRecord) -> PlanCosts:
        """Returns the predictions after a study's latest trials and those of its finalists."""
        latest = [*finalists(record, self.plan.settings.finalists), *record.trials[-MAX_OBSERVATIONS:]]
        return self.after(self.observe(latest).values())

    @property
    def first_configs(self) -> dict[str, Config]:
        """What is trained and verified in any case, by name: the baseline, and the best recipe if it is tried."""
        recipe = list(self.recipes.values())[:1]
        return dict(zip((BASELINE, "best recipe"), (self.plan.header.space.baseline, *recipe), strict=False))

    def first_seconds(self, configs: Iterable[Config], *, epochs: int) -> float:
        """Returns the seconds in which the workers train configurations, and verify each once."""
        return makespan((self._seconds_with_test(config, epochs) for config in configs), self.plan.concurrent_trials)

    def _seconds_with_test(self, config: Config, epochs: int) -> float:
        phases = (Phase.SEARCH, Phase.VERIFICATION) if self.plan.has_verification else (Phase.SEARCH,)
        return sum(self.model.trial_seconds(config, epochs=epochs, phase=phase) for phase in phases)

    def trial_seconds(self, trial: Trial) -> float:
        """Returns the seconds of a trial from its first epoch to its last."""
        return self.model.trial_seconds(trial.config, epochs=trial.last_epoch, phase=trial.phase)

    def baseline_seconds(self, phase: Phase = Phase.SEARCH) -> float:
        """Returns the seconds of the baseline in a phase."""
        return self.model.trial_seconds(self.plan.header.space.baseline, phase=phase)

    def recipe_seconds(self) -> dict[str, float]:
        """Returns the seconds of a full trial of each recipe that the plan tries, by name."""
        return {name: self.model.trial_seconds(config) for name, config in self.recipes.items()}

    def sampled_seconds(self) -> list[float]:
        """Returns the seconds of full trials of configurations drawn from the space, ascending, without pruning."""
        return sorted(self.model.trial_seconds(config) for config in self.sampled)
