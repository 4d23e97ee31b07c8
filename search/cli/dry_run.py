"""``run --dry-run``: prints the plan and an estimate of its duration from a measurement."""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import click

from search.cli.display import describe_plan, describe_probe
from search.cli.progress_state import format_clock
from search.errors import FatalError
from search.execution.base import Finished
from search.records.reader import read_recorded_study
from search.records.record import StudyRecord
from search.session.executors import make_executor
from search.session.parallelism.choose import choose_parallelism
from search.session.plan import Plan
from search.study.search_source import final_trials
from search.study.verification import FULL_TO_TRAINING_RATIO
from search.trial import BASELINE, Outcome, Phase, State, Trial


def describe_dry_run(plan: Plan) -> str:
    """Returns the plan, and the duration of a baseline trial measured with all workers busy; writes no study."""
    record = read_recorded_study(plan.location, plan.header) or StudyRecord(header=plan.header, trials=())
    parallelism = choose_parallelism(
        plan, record, on_probe_start=lambda layouts: click.echo(describe_probe(layouts), err=True)
    )
    plan = replace(plan, chosen_parallelism=parallelism)
    outcomes = _train_one_epoch_per_worker(plan)
    build_seconds = fmean(outcome.seconds["build"] for outcome in outcomes)
    epoch_seconds = fmean(outcome.seconds["fit"] + outcome.seconds["evaluate"] for outcome in outcomes)
    trial_seconds = build_seconds + epoch_seconds * plan.header.protocol.epochs
    lines = [
        describe_plan(plan, record),
        f"  measured now, {len(outcomes)} at a time: {epoch_seconds:.1f} s an epoch of the baseline, "
        f"{format_clock(trial_seconds)} a trial",
        *_estimate_lines(plan, record, trial_seconds),
        "Dry run: no study was written.",
    ]
    return "\n".join(lines)


def _estimate_lines(plan: Plan, record: StudyRecord, trial_seconds: float) -> list[str]:
    """Returns the estimated durations if every trial takes as long as the baseline's."""
    settings = plan.settings
    runs = (settings.finalists + 1) * settings.replicates if plan.has_verification else 0
    verification_seconds = runs * trial_seconds * FULL_TO_TRAINING_RATIO / plan.concurrent_trials
    bounds = []
    if settings.trials is not None:
        bounds.append(max(0, settings.trials - len(final_trials(record))) * trial_seconds / plan.concurrent_trials)
    if settings.total_epochs is not None:
        searched = record.trials_in_phase(Phase.SEARCH)
        trained = sum(trial_record.outcome.epochs_trained for trial_record in searched if trial_record.outcome)
        bounds.append(
            max(0, settings.total_epochs - trained) / settings.epochs * trial_seconds / plan.concurrent_trials
        )
    if settings.timeout is not None:
        bounds.append(max(0.0, settings.timeout - record.spent_seconds - verification_seconds))
    search_seconds = min(bounds)
    return [
        f"  estimate: search {format_clock(search_seconds)} (about "
        f"{search_seconds * plan.concurrent_trials / trial_seconds:.0f} full trials, more where trials "
        f"are pruned), verification {format_clock(verification_seconds)}"
    ]


def _train_one_epoch_per_worker(plan: Plan) -> list[Outcome]:
    """Trains one epoch of the baseline in every worker at once.

    Raises:
        FatalError: It failed; a search would as well.
    """
    config = plan.header.space.baseline
    outcomes: list[Outcome] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(make_executor(plan, plan.parallelism, log_dir=Path(folder))) as executor,
    ):
        for number in range(executor.slots):
            executor.submit(Trial(number=number, config=config, seed=number, epochs=1, origin=BASELINE))
        while executor.running:
            outcomes += [event.outcome for event in executor.collect(1.0) if isinstance(event, Finished)]
    failed = next((outcome for outcome in outcomes if outcome.state is not State.COMPLETE), None)
    if failed is not None:
        raise FatalError(f"The baseline cannot be trained here: {failed.message}\n{failed.traceback}")
    return outcomes
