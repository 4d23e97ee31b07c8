"""``run --dry-run``: prints the plan and an estimate of its duration, from what was measured before; trains nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from statistics import median

from search.cli.plan_view import describe_plan
from search.cli.progress_state import format_clock
from search.records.arithmetic import require_same_arithmetic
from search.records.reader import read_recorded_study
from search.records.record import StudyRecord
from search.session.costs import PlanCosts
from search.session.forecast import make_forecast
from search.session.parallelism.choose import choose_parallelism
from search.session.parallelism.policy import ChosenBy
from search.session.plan import Plan


def describe_dry_run(plan: Plan, *, as_json: bool = False) -> str:
    """Returns the plan, the seconds of trials, and where these are known from; writes no study.

    Args:
        plan: The run.
        as_json: Whether to return the event "plan" of ``run --json`` instead.
    """
    record = read_recorded_study(plan.location, plan.header) or StudyRecord(header=plan.header, trials=())
    require_same_arithmetic(record, plan.arithmetic)
    parallelism = choose_parallelism(plan, record, may_measure=False)
    plan = replace(plan, chosen_parallelism=parallelism)
    costs = PlanCosts.of(plan)
    observed = costs.observe(record.trials)
    is_measured = costs.is_observed
    costs = costs.after(observed.values())
    forecast = make_forecast(costs, record, elapsed_seconds=record.spent_seconds + parallelism.start_seconds)
    if as_json:
        return json.dumps({"event": "plan", "seconds": record.spent_seconds, **forecast.to_json()})
    lines = [
        describe_plan(plan, record, forecast),
        _describe_trials(costs),
        _describe_source(parallelism.chosen_by, has_trials=bool(observed), is_measured=is_measured),
        "Dry run: no study was written.",
    ]
    return "\n".join(lines)


def _describe_trials(costs: PlanCosts) -> str:
    """Returns the seconds of full trials: the baseline, the recipes, and the middle four fifths of the space."""
    recipes, sampled = sorted(costs.recipe_seconds().values()), costs.sampled_seconds()
    parts = [f"baseline {format_clock(costs.baseline_seconds())}"]
    if recipes:
        parts.append(f"recipes {format_clock(recipes[0])} to {format_clock(recipes[-1])}")
    low, high = sampled[len(sampled) // 10], sampled[-1 - len(sampled) // 10]
    parts.append(f"others mostly {format_clock(low)} to {format_clock(high)}, median {format_clock(median(sampled))}")
    return f"  a full trial takes about: {'; '.join(parts)}"


def _describe_source(chosen_by: ChosenBy, *, has_trials: bool, is_measured: bool) -> str:
    """Returns where the seconds are known from: the study's trials, an earlier measurement, or other machines."""
    if has_trials:
        return "  these seconds are from the recorded trials of this study"
    if is_measured:
        return "  these seconds are from a measurement that an earlier run made on this machine"
    measures = ";\n  the run measures its speed first" if chosen_by is ChosenBy.PENDING else ""
    return (
        "  Caution: no earlier run has measured this space and data on this machine; these\n"
        f"  seconds are of another machine, and may be several times too long or short{measures}"
    )
