"""What ``run --dry-run`` prints: the plan, and how long it takes by a measurement made now."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path
from statistics import fmean

import click

from search.cli.display import describe_measuring, describe_plan
from search.cli.tally import clock
from search.errors import FatalError
from search.execution.base import Finished
from search.records.ledger import recorded
from search.records.record import StudyRecord
from search.session.executors import Ties, make_executor
from search.session.packing import Watch, pack
from search.session.planning import Plan
from search.session.run import is_verified
from search.study.sources import settled
from search.study.verification import ALL_OVER_TRAINING_SHARE
from search.trial import BASELINE, Outcome, Phase, State, Trial


def describe(plan: Plan) -> str:
    """Returns the plan, and the price of a baseline trial measured with all workers busy; writes no study."""
    record = recorded(plan.place, plan.header) or StudyRecord(header=plan.header, trials=())
    plan = pack(plan, record, Watch(measuring=lambda layouts: click.echo(describe_measuring(layouts), err=True)))
    outcomes = _one_epoch_each(plan)
    build = fmean(outcome.seconds["build"] for outcome in outcomes)
    epoch = fmean(outcome.seconds["fit"] + outcome.seconds["evaluate"] for outcome in outcomes)
    trial = build + epoch * plan.header.protocol.epochs
    lines = [
        describe_plan(plan, record),
        f"  measured now, {len(outcomes)} at a time: {epoch:.1f} s an epoch of the baseline, {clock(trial)} a trial",
        *_estimate(plan, record, trial),
        "Dry run: no study was written.",
    ]
    return "\n".join(lines)


def _estimate(plan: Plan, record: StudyRecord, trial: float) -> list[str]:
    """Returns how long it takes if what is found costs what the baseline does; both budgets may end the search."""
    settings = plan.settings
    runs = (settings.finalists + 1) * settings.replicates if is_verified(plan) else 0
    verification = runs * trial * ALL_OVER_TRAINING_SHARE / plan.abreast
    bounds = []
    if settings.trials is not None:
        bounds.append(max(0, settings.trials - len(settled(record))) * trial / plan.abreast)
    if settings.total_epochs is not None:
        searched = record.phase(Phase.SEARCH)
        trained = sum(known.outcome.epochs_trained for known in searched if known.outcome)
        bounds.append(max(0, settings.total_epochs - trained) / settings.epochs * trial / plan.abreast)
    if settings.timeout is not None:
        bounds.append(max(0.0, settings.timeout - record.spent_seconds - verification))
    search = min(bounds)
    return [
        f"  estimate: search {clock(search)} (about {search * plan.abreast / trial:.0f} full trials, more where trials "
        f"are pruned), verification {clock(verification)}"
    ]


def _one_epoch_each(plan: Plan) -> list[Outcome]:
    """Trains one epoch of the baseline in every worker at once.

    Raises:
        FatalError: It failed; a search would as well.
    """
    config = plan.header.space.baseline
    outcomes: list[Outcome] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(make_executor(plan, Ties(log_dir=Path(folder)))) as executor,
    ):
        for number in range(executor.slots):
            executor.submit(Trial(number=number, config=config, seed=number, epochs=1, origin=BASELINE))
        while executor.running:
            outcomes += [event.outcome for event in executor.collect(1.0) if isinstance(event, Finished)]
    failed = next((outcome for outcome in outcomes if outcome.state is not State.COMPLETE), None)
    if failed is not None:
        raise FatalError(f"The baseline cannot be trained here: {failed.message}\n{failed.traceback}")
    return outcomes
