"""Describes a session before its first trial: the study, its data, its budget, and what is to be heeded.

Called by the displays and the dry run.
"""

from __future__ import annotations

import dataclasses

from search.cli.forecast_view import describe_forecast
from search.cli.progress_state import format_clock
from search.data.split import VALIDATION_DIVISOR
from search.leaderboard import formatting
from search.protocol import ProtocolName
from search.records.record import NO_ENGINE, StudyRecord
from search.session.costs import PlanCosts
from search.session.forecast import Forecast
from search.session.plan import Plan
from search.session.settings import ExecutorName, flag
from search.study.search_source import final_trials
from search.training.devices import count_gpus, gpu_install_hint
from search.training.runtime import Device
from spaces.registry import baseline_changes
from spaces.training import complete

LARGE_PARAMETERS = 10_000_000
"""Parameters of a baseline that are mentioned before it trains; on MNIST those of all spaces are below a million."""
COARSE_POINTS = 1.0
"""Error of one validation image, in points, from which ``--folds`` is proposed."""
USUAL_SIDES = (128, 96, 64, 48, 32, 28)
"""Heights and widths of images that are proposed in place of larger ones."""


def describe_plan(plan: Plan, record: StudyRecord, forecast: Forecast | None = None) -> str:
    """Returns a few lines that describe the session.

    Args:
        plan: The run.
        record: What is recorded already.
        forecast: What its budget buys; None where nothing is searched.
    """
    header, settings = plan.header, plan.settings
    protocol = header.protocol
    folds = f", {protocol.folds} folds" if protocol.folds > 1 else ""
    details = [
        f"  space {header.space.name}, data {protocol.dataset}, {formatting.epochs(protocol.epochs)} a trial{folds}",
        *describe_baseline_changes(plan),
        *(f"  {line}" for line in describe_data(plan)),
        f"  {plan.parallelism.describe()}",
        *_describe_unused_gpus(plan),
    ]
    if header.engine == NO_ENGINE:
        title = f"Study {header.name}: {settings.trials} repeats of the baseline, seed {header.seed}"
        return "\n".join([title, *details])
    stopping_criteria = []
    if settings.trials is not None:
        stopping_criteria.append("1 trial" if settings.trials == 1 else f"{settings.trials} trials")
    if settings.total_epochs is not None:
        stopping_criteria.append(f"{formatting.epochs(settings.total_epochs)} of all trials together")
    if settings.timeout is not None:
        included = ", verification included" if plan.has_verification else ""
        stopping_criteria.append(f"{format_clock(settings.timeout)} in all{included}")
    stopping_criteria += settings.stop_when
    lines = [
        f"Study {header.name}: {header.engine} {header.sampler}, pruner {header.pruner}, seed {header.seed}",
        *details,
        f"  until {' or '.join(stopping_criteria)}",
        *_describe_limits(plan),
        *_describe_space(plan, is_new=not record.trials),
        *(describe_forecast(forecast) if forecast else ()),
    ]
    if protocol.name is ProtocolName.TUTORIAL:
        lines.append("  Caution: the tutorial protocol searches on the test images, so its errors are optimistic.")
    if done := len(final_trials(record)):
        said = "1 trial is" if done == 1 else f"{done} trials are"
        lines.append(f"  {said} recorded already; {format_clock(record.spent_seconds)} spent")
    return "\n".join(lines)


def describe_baseline_changes(plan: Plan) -> list[str]:
    """Returns a line that says how the baseline differs from the tutorial's; none if it does not."""
    changed = baseline_changes(plan.header.space, plan.header.space_source)
    return [f"  the baseline is not the tutorial's: {formatting.some_of(changed)}"] if changed else []


def describe_data(plan: Plan) -> list[str]:
    """Returns lines that say how the data were read, and what is to be heeded of them."""
    dataset = plan.task.dataset
    caution = f"Caution: {dataset.caution}" if dataset.caution else ""
    return [line for line in (*dataset.reading, caution, describe_size(plan), describe_resolution(plan)) if line]


def describe_resolution(plan: Plan) -> str:
    """Returns a sentence on the validation images if they are few; else an empty text."""
    dataset, protocol = plan.task.dataset, plan.header.protocol
    if protocol.folds > 1 or protocol.name is not ProtocolName.HOLDOUT:
        return ""
    share = 100 / (dataset.given_validation or dataset.training_count / VALIDATION_DIVISOR)
    if share < COARSE_POINTS:
        return ""
    return f"one validation image is about {share:.0f} points of error; --folds 5 judges by all training images"


def _describe_unused_gpus(plan: Plan) -> list[str]:
    """Returns a caution if this machine has GPUs that the search could use and its backend does not find."""
    runtime, settings = plan.task.runtime, plan.settings
    if runtime.device is not Device.CPU or settings.devices != Device.AUTO or settings.executor == ExecutorName.RAY:
        return []
    gpus = count_gpus()
    found = f"{gpus} GPU{'s' if gpus > 1 else ''}, {runtime.backend} none"
    hint = gpu_install_hint(runtime.backend)
    return [f"  Caution: the driver finds {found}, so this search runs on the CPU. {hint}"] if gpus else []


def describe_size(plan: Plan) -> str:
    """Returns a sentence on the baseline if it is large because the images are; else an empty text.

    A network that flattens its images has as many weights for each unit as they have pixels.
    """
    height, width, channels = plan.task.dataset.image_shape
    parameters = _count_parameters(plan, (height, width, channels))
    if parameters <= LARGE_PARAMETERS:
        return ""
    said = f"the baseline has {parameters / 1e6:,.0f} million parameters at {height} x {width}"
    for side in USUAL_SIDES:
        smaller = _count_parameters(plan, (side, side, channels))
        if side < min(height, width) and smaller <= LARGE_PARAMETERS:
            return f"{said}; with --image-size {side} it has {smaller / 1e6:,.1f} million"
    return said


def _count_parameters(plan: Plan, image_shape: tuple[int, int, int]) -> int:
    """Returns the trainable parameters of the baseline; 0 if the space does not count them."""
    if plan.workload is None:
        return 0
    return plan.workload(complete(plan.header.space.baseline), image_shape, plan.task.dataset.classes).parameters


def _describe_space(plan: Plan, *, is_new: bool) -> list[str]:
    """Returns lines on how many configurations there are, and on trials that leave none to a new sampler."""
    space, settings = plan.header.space, plan.settings
    size, lines = space.size(), []
    if size is not None:
        lines.append(f"  at most {size:,} configuration{'' if size == 1 else 's'}")
    if (limit := plan.parameter_limit) is not None:
        baseline = "" if limit.allows(space.baseline) else "; the baseline has more and is there for comparison"
        lines.append(f"  at most {plan.header.max_parameters:,} trainable parameters{baseline}")
    options = {field.name for field in dataclasses.fields(settings)}
    lines += [
        f"  parameter {name}: fix it with --fix {name}=VALUE; {flag(name)} is an option of the run"
        for name in space.parameters
        if name in options
    ]
    recipes = len(space.recipes) if settings.recipes else 0
    if is_new and recipes and settings.trials is not None and settings.trials <= 1 + recipes:
        lines.append(
            f"  no trial is left for the sampler: the baseline and {recipes} recipe{'' if recipes == 1 else 's'} come "
            f"first; --no-recipes leaves these out"
        )
    return lines


def _describe_limits(plan: Plan) -> list[str]:
    settings = plan.settings
    limits = [format_clock(settings.trial_timeout)] if settings.trial_timeout is not None else []
    if settings.trial_memory is not None:
        limits.append(f"{settings.trial_memory / 1024:.1f} GiB of memory")
    lines = [f"  a trial may take {' and '.join(limits)}"] if limits else []
    if settings.max_seconds is not None:
        slow = [name for name in plan.header.space.recipes if name not in PlanCosts.of(plan).recipes]
        lines.append(f"  a full trial is to take {format_clock(settings.max_seconds)} at most, as predicted")
        if slow and settings.recipes:
            lines.append(f"  recipes that take longer are left out: {'; '.join(slow)}")
    return lines
