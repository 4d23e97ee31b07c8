"""``run --dry-run``: prints the plan and an estimate of its duration from a measurement."""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from statistics import fmean, median

import click

from search.cli.display import describe_probe
from search.cli.plan_view import describe_plan
from search.cli.progress_state import format_clock
from search.errors import FatalError
from search.execution.base import Finished
from search.records.arithmetic import require_same_arithmetic
from search.records.reader import read_recorded_study
from search.records.record import StudyRecord, TrialRecord
from search.session.costs import PlanCosts
from search.session.executors import make_executor
from search.session.forecast import make_forecast
from search.session.parallelism.choose import choose_parallelism
from search.session.plan import Plan
from search.trial import BASELINE, State, Trial


def describe_dry_run(plan: Plan) -> str:
    """Returns the plan, and the duration of a baseline trial measured with all workers busy; writes no study."""
    record = read_recorded_study(plan.location, plan.header) or StudyRecord(header=plan.header, trials=())
    require_same_arithmetic(record, plan.arithmetic)
    parallelism = choose_parallelism(
        plan, record, on_probe_start=lambda layouts: click.echo(describe_probe(layouts), err=True)
    )
    plan = replace(plan, chosen_parallelism=parallelism)
    measured = _train_one_epoch_per_worker(plan)
    epoch_seconds = fmean(entry.outcome.seconds_trained for entry in measured if entry.outcome)
    costs = PlanCosts.of(plan)
    costs = costs.after([*costs.observe(record.trials).values(), *costs.observe(measured).values()])
    forecast = make_forecast(costs, record, elapsed_seconds=record.spent_seconds + parallelism.start_seconds)
    lines = [
        describe_plan(plan, record, forecast),
        f"  measured now, {len(measured)} at a time: {epoch_seconds:.1f} s the first epoch of the baseline",
        _describe_trials(costs),
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


def _train_one_epoch_per_worker(plan: Plan) -> list[TrialRecord]:
    """Trains one epoch of the baseline in every worker at once.

    Raises:
        FatalError: It failed; a search would as well.
    """
    config = plan.header.space.baseline
    measured: list[TrialRecord] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(make_executor(plan, plan.parallelism, log_dir=Path(folder))) as executor,
    ):
        trials = [
            Trial(number=number, config=config, seed=number, epochs=1, origin=BASELINE)
            for number in range(executor.slots)
        ]
        for trial in trials:
            executor.submit(trial)
        while executor.running:
            measured += [
                TrialRecord(trial=trials[event.key[1]], outcome=event.outcome)
                for event in executor.collect(1.0)
                if isinstance(event, Finished)
            ]
    outcomes = [entry.outcome for entry in measured if entry.outcome]
    failed = next((outcome for outcome in outcomes if outcome.state is not State.COMPLETE), None)
    if failed is not None:
        raise FatalError(f"The baseline cannot be trained here: {failed.message}\n{failed.traceback}")
    return measured
