"""What ``run --dry-run`` prints: the plan, and how long it takes by a measurement made now."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path
from statistics import fmean

from search.cli.display import clock, describe_plan
from search.errors import FatalError
from search.execution.base import Finished
from search.execution.local import LocalExecutor
from search.planning import Plan
from search.record import StudyRecord
from search.trial import BASELINE, Outcome, State, Trial


def describe(plan: Plan) -> str:
    """Returns the plan, and the price of a baseline trial measured with all workers busy; writes no study."""
    outcomes = _one_epoch_each(plan)
    build = fmean(outcome.seconds["build"] for outcome in outcomes)
    epoch = fmean(outcome.seconds["fit"] + outcome.seconds["evaluate"] for outcome in outcomes)
    trial = build + epoch * plan.header.protocol.epochs
    lines = [
        describe_plan(plan, StudyRecord(header=plan.header, trials=())),
        f"  measured now, {plan.workers} at a time: {epoch:.1f} s an epoch of the baseline, {clock(trial)} a trial",
    ]
    return "\n".join([*lines, *_estimate(plan, trial), "Dry run: nothing was written."])


def _estimate(plan: Plan, trial: float) -> list[str]:
    settings = plan.settings
    runs = (settings.finalists + 1) * settings.replicates if settings.finalists else 0
    verification = runs * trial * 6 / 5 / plan.workers
    if settings.trials is not None:
        search = settings.trials * trial / plan.workers
        return [
            f"  estimate: search {clock(search)} at most, verification {clock(verification)}, "
            "if what is found costs what the baseline does"
        ]
    searching = max(0.0, (settings.timeout or 0.0) - verification)
    return [
        f"  estimate: verification {clock(verification)}; that leaves {clock(searching)} to search, "
        f"about {searching * plan.workers / trial:.0f} full trials, more where trials are pruned"
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
        closing(LocalExecutor(plan.task, workers=plan.workers, log_dir=Path(folder))) as executor,
    ):
        for number in range(plan.workers):
            executor.submit(Trial(number=number, config=config, seed=number, epochs=1, origin=BASELINE))
        while executor.running:
            outcomes += [event.outcome for event in executor.collect(1.0) if isinstance(event, Finished)]
    failed = next((outcome for outcome in outcomes if outcome.state is not State.COMPLETE), None)
    if failed is not None:
        raise FatalError(f"The baseline cannot be trained here: {failed.message}\n{failed.traceback}")
    return outcomes
