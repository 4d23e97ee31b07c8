"""The displays of a running session: text with a live line, and JSON lines for scripts.

The text goes to standard error; standard output holds only the leaderboard. Called by ``run`` and ``baseline``.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from search.cli.forecast_view import describe_forecast
from search.cli.progress_state import ProgressState, format_clock
from search.leaderboard import formatting
from search.leaderboard.board import Board
from search.leaderboard.files import FORMATS
from search.protocol import ProtocolName
from search.records.record import NO_ENGINE, StudyRecord
from search.session.callbacks import Callback
from search.session.forecast import Forecast
from search.session.parallelism.policy import KERNELS_BY_PREFERENCE, WorkerLayout
from search.session.plan import Plan
from search.session.settings import ExecutorName
from search.study.retries import is_retried
from search.study.search_source import final_trials
from search.study.time_budget import TimeBudget
from search.training.devices import count_gpus, gpu_install_hint
from search.training.runtime import Device
from search.trial import EpochReport, Outcome, Phase, State, Trial
from spaces.registry import baseline_changes
from spaces.training import complete

REDRAW_SECONDS = 0.5
"""Least time between two drawings of the live line."""
LARGE_PARAMETERS = 10_000_000
"""Parameters of a baseline that are mentioned before it trains; on MNIST those of all spaces are below a million."""
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
        f"  space {header.space.name}, data {protocol.dataset}, {protocol.epochs} epochs a trial{folds}",
        *describe_baseline_changes(plan),
        *(f"  {line}" for line in describe_data(plan)),
        f"  {plan.parallelism.describe()}",
        *_describe_unused_gpus(plan),
    ]
    if header.engine == NO_ENGINE:
        title = f"Study {header.name}: {settings.trials} repeats of the baseline, seed {header.seed}"
        return "\n".join([title, *details])
    stopping_criteria = [f"{settings.trials} trials"] if settings.trials is not None else []
    if settings.total_epochs is not None:
        stopping_criteria.append(f"{settings.total_epochs} epochs of all trials together")
    if settings.timeout is not None:
        included = ", verification included" if plan.has_verification else ""
        stopping_criteria.append(f"{format_clock(settings.timeout)} in all{included}")
    stopping_criteria += settings.stop_when
    lines = [
        f"Study {header.name}: {header.engine} {header.sampler}, pruner {header.pruner}, seed {header.seed}",
        *details,
        f"  until {' or '.join(stopping_criteria)}",
        *_describe_limits(plan),
        *(describe_forecast(forecast) if forecast else ()),
    ]
    if protocol.name is ProtocolName.TUTORIAL:
        lines.append("  Caution: the tutorial protocol searches on the test images, so its errors are optimistic.")
    if done := len(final_trials(record)):
        lines.append(f"  {done} trials are recorded already; {format_clock(record.spent_seconds)} spent")
    return "\n".join(lines)


def describe_baseline_changes(plan: Plan) -> list[str]:
    """Returns a line that says how the baseline differs from the tutorial's; none if it does not."""
    changed = baseline_changes(plan.header.space, plan.header.space_source)
    return [f"  the baseline is not the tutorial's: {', '.join(changed)}"] if changed else []


def describe_data(plan: Plan) -> list[str]:
    """Returns lines that say how the data were read, and what is to be heeded of them."""
    dataset = plan.task.dataset
    caution = f"Caution: {dataset.caution}" if dataset.caution else ""
    return [line for line in (*dataset.reading, caution, describe_size(plan)) if line]


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


def _describe_limits(plan: Plan) -> list[str]:
    settings = plan.settings
    limits = [format_clock(settings.trial_timeout)] if settings.trial_timeout is not None else []
    if settings.trial_memory is not None:
        limits.append(f"{settings.trial_memory / 1024:.1f} GiB of memory")
    return [f"  a trial may take {' and '.join(limits)}"] if limits else []


def describe_probe(layouts: Sequence[WorkerLayout]) -> str:
    """Returns what is measured before a study begins, and which option skips it."""
    if not layouts:
        return "Measuring the GPU memory of a worker, once on this machine; --workers N skips it"
    choices, option = " or ".join(map(str, layouts)), "--threads 1"
    if len(layouts) == 1:
        choices, option = "oneDNN or TensorFlow's own kernels", f"--kernels {KERNELS_BY_PREFERENCE[0]}"
    return f"Measuring which is faster, {choices}, once for this space and data on this machine; {option} skips it"


def describe_trial_end(trial: Trial, outcome: Outcome, *, is_best: bool) -> str:
    """Returns a line about a trial that ended."""
    is_search = trial.phase is Phase.SEARCH
    name, kind = ("trial", "validation") if is_search else (trial.phase.value, "test")
    is_screened = outcome.state is State.SCREENED
    parts = [f"{name} {trial.number}  {trial.origin}"]
    if trial.is_short:
        parts.append(f"short, {formatting.epochs(trial.epochs)}")
    if not is_screened:
        parts.append(outcome.state.value)
    if outcome.error_percent is not None:
        parts.append(f"{kind} error {outcome.error_percent:.2f} %{' (best)' if is_best else ''}")
    if outcome.state is State.FAILED or is_retried(outcome):
        parts.append(outcome.message)
    if is_retried(outcome):
        parts.append("tried again")
    after = f" after {trial.parent}" if trial.parent is not None else ""
    epochs = "" if is_screened else f"{formatting.epochs(outcome.epochs_trained)}{after} "
    parts.append(f"{epochs}in {outcome.seconds_trained:.0f} s")
    return "  ".join(parts)


class LiveLine:
    """Prints lines on standard error and, on a terminal, draws a live line below them."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._live = Live(Text(""), console=self._console, auto_refresh=False, transient=True)
        self._last_redraw_at = 0.0

    def print(self, text: str, style: str = "") -> None:
        """Prints a line above the live line."""
        self._console.print(Text(text, style=style))

    def start(self) -> None:
        """Starts the live line, on a terminal only."""
        if self._console.is_terminal:
            self._live.start()

    def redraw(self, line: Callable[[], str]) -> None:
        """Redraws the live line, unless it was drawn less than ``REDRAW_SECONDS`` ago."""
        if self._live.is_started and time.monotonic() - self._last_redraw_at > REDRAW_SECONDS:
            self._last_redraw_at = time.monotonic()
            self._live.update(Text(line(), style="bold", no_wrap=True, overflow="ellipsis"), refresh=True)

    def stop(self) -> None:
        """Removes the live line."""
        self._live.stop()


class TerminalDisplay(Callback):
    """Shows the plan, a line for each trial that ends, and a live line."""

    def __init__(self) -> None:
        self._live = LiveLine()
        self._progress_state: ProgressState | None = None

    def on_probe_start(self, layouts: Sequence[WorkerLayout]) -> None:
        """Prints what is measured."""
        self._live.print(describe_probe(layouts))

    def on_session_start(self, plan: Plan, record: StudyRecord, budget: TimeBudget) -> None:
        """Prints the plan and starts the live line."""
        self._progress_state = ProgressState(plan, record, budget)
        is_search = plan.header.engine != NO_ENGINE
        self._live.print(describe_plan(plan, record, self._state.forecast() if is_search else None))
        self._live.start()

    def on_message(self, text: str) -> None:
        """Prints the message."""
        self._live.print(text, "yellow")

    def on_trial_start(self, trial: Trial) -> None:
        """Counts the trial."""
        self._state.record_start(trial)

    def on_epoch_end(self, trial: Trial, report: EpochReport) -> None:
        """Counts the epoch."""
        self._state.record_epoch(trial, report)

    def on_trial_end(self, trial: Trial, outcome: Outcome) -> None:
        """Prints how it ended."""
        is_best = self._state.record_end(trial, outcome)
        style = "green" if is_best else "red" if outcome.state is State.FAILED else ""
        self._live.print(self._trial_end_line(trial, outcome, is_best=is_best), style)

    def on_trial_end_elsewhere(self, trial: Trial, outcome: Outcome) -> None:
        """Prints how it ended."""
        is_best = self._state.record_end_elsewhere(trial, outcome)
        line = f"{self._trial_end_line(trial, outcome, is_best=is_best)}  elsewhere"
        self._live.print(line, "green" if is_best else "")

    def on_waiting_for_peers(self, count: int) -> None:
        """Prints how many trials are waited for."""
        self._live.print(f"Waiting for {count} trials that other coordinators run")

    def on_space_exhausted(self) -> None:
        """Records it for the closing message."""
        self._state.is_exhausted = True

    def on_goal_reached(self, reason: str) -> None:
        """Prints the goal, now and at the end."""
        self._state.goal_reason = reason
        self._live.print(f"Goal reached: {reason}")

    def on_verification_incomplete(self, missing: int, sufficient_timeout: int) -> None:
        """Records it for the closing message."""
        self._state.incomplete_verification = (missing, sufficient_timeout)

    def on_replication_start(self, count: int) -> None:
        """Prints how many runs follow."""
        self._state.start_replication(count)
        if count:
            self._live.print(f"{count} runs scored on the test images follow")

    def on_tick(self) -> None:
        """Redraws the live line."""
        self._live.redraw(self._state.status_line)

    def close(self) -> None:
        """Removes the live line and prints the closing message."""
        self._live.stop()
        if self._progress_state is not None and (message := self._progress_state.closing_message()):
            self._live.print(message)

    @property
    def _state(self) -> ProgressState:
        assert self._progress_state is not None, "on_session_start comes first"
        return self._progress_state

    def _trial_end_line(self, trial: Trial, outcome: Outcome, *, is_best: bool) -> str:
        elapsed = format_clock(self._state.budget.elapsed_seconds())
        return f"{elapsed:>6}  {describe_trial_end(trial, outcome, is_best=is_best)}"


class JsonDisplay(Callback):
    """Writes a JSON object a line to standard output for each event."""

    def __init__(self) -> None:
        self._budget: TimeBudget | None = None

    def on_probe_start(self, layouts: Sequence[WorkerLayout]) -> None:
        """Writes what is measured before the study begins."""
        self._write("measuring", layouts=[dataclasses.asdict(layout) for layout in layouts])

    def on_session_start(self, plan: Plan, record: StudyRecord, budget: TimeBudget) -> None:
        """Writes the study's header, workers and forecast."""
        self._budget = budget
        self._write(
            "opened",
            study=plan.header.to_json(),
            recorded=len(record.trials),
            workers=plan.workers,
            reading=describe_data(plan),
            equal_images=plan.task.dataset.equal_images,
        )
        self._write("packed", **plan.parallelism.to_json())
        if plan.header.engine != NO_ENGINE:
            self._write("plan", **ProgressState(plan, record, budget).forecast().to_json())

    def on_message(self, text: str) -> None:
        """Writes the message."""
        self._write("note", text=text)

    def on_trial_start(self, trial: Trial) -> None:
        """Writes the trial."""
        self._write("began", trial=trial.to_json())

    def on_epoch_end(self, trial: Trial, report: EpochReport) -> None:
        """Writes the epoch."""
        self._write("reported", phase=trial.phase.value, number=trial.number, report=report.to_json())

    def on_trial_end(self, trial: Trial, outcome: Outcome) -> None:
        """Writes the outcome."""
        self._write("finished", phase=trial.phase.value, number=trial.number, outcome=outcome.to_json())

    def on_trial_end_elsewhere(self, trial: Trial, outcome: Outcome) -> None:
        """Writes the outcome."""
        self._write("heard", phase=trial.phase.value, number=trial.number, outcome=outcome.to_json())

    def on_waiting_for_peers(self, count: int) -> None:
        """Writes how many trials are waited for."""
        self._write("waiting", trials=count)

    def on_space_exhausted(self) -> None:
        """Writes that every configuration was tried."""
        self._write("exhausted")

    def on_goal_reached(self, reason: str) -> None:
        """Writes which goal was reached."""
        self._write("reached", goal=reason)

    def on_verification_incomplete(self, missing: int, sufficient_timeout: int) -> None:
        """Writes how many verification runs are missing."""
        self._write("cut", missing=missing, enough_seconds=sufficient_timeout)

    def on_replication_start(self, count: int) -> None:
        """Writes how many runs follow."""
        self._write("replicating", runs=count)

    def _write(self, event: str, **fields: Any) -> None:
        seconds = 0.0 if self._budget is None else round(self._budget.elapsed_seconds(), 3)
        click.echo(json.dumps({"event": event, "seconds": seconds, **fields}))


def leaderboard_event(board: Board) -> str:
    """Returns the leaderboard as the last JSON line."""
    return json.dumps({"event": "leaderboard", "leaderboard": json.loads(FORMATS["json"](board))})


def make_display(*, quiet: bool, as_json: bool) -> Callback:
    """Returns the display that fits the options and the terminal."""
    if as_json:
        return JsonDisplay()
    return Callback() if quiet else TerminalDisplay()
