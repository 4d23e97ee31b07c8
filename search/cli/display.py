"""The displays of a running session: text with a live line, and JSON lines for scripts.

The text goes to standard error; standard output holds only the leaderboard. Called by ``run`` and ``baseline``.
"""

from __future__ import annotations

import dataclasses
import json
import textwrap
import time
from collections.abc import Callable, Sequence
from typing import Any

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from search.cli.plan_view import describe_data, describe_plan
from search.cli.progress_state import ProgressState, format_clock
from search.leaderboard import formatting
from search.leaderboard.board import Board
from search.leaderboard.files import FORMATS
from search.records.record import NO_ENGINE, StudyRecord
from search.session.callbacks import Callback
from search.session.parallelism.policy import KERNELS_BY_PREFERENCE, WorkerLayout
from search.session.plan import Plan
from search.study.retries import is_retried
from search.study.time_budget import TimeBudget
from search.trial import EpochReport, Outcome, Phase, State, Trial

REDRAW_SECONDS = 0.5
"""Least time between two drawings of the live line."""
IMPORTING_KERAS_TUNER = "Importing Keras Tuner and TensorFlow"
"""Printed first where an engine is Keras Tuner's: it takes seconds, on a busy machine a minute."""
LINE_SECONDS = 60.0
"""Time after the last line at which the state is printed where no terminal shows the live line."""


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


def _wrapped(line: str, width: int) -> str:
    """Returns a line broken between words, its further lines indented; a terminal would break within words."""
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    return textwrap.fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


class LiveLine:
    """Prints lines on standard error and, on a terminal, draws a live line below them."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._live = Live(Text(""), console=self._console, auto_refresh=False, transient=True)
        self._last_redraw_at = 0.0
        self._last_line_at = time.monotonic()

    @property
    def is_terminal(self) -> bool:
        """Whether a live line can be drawn."""
        return self._console.is_terminal

    def print(self, text: str, style: str = "") -> None:
        """Prints a line above the live line."""
        self._last_line_at = time.monotonic()
        if self.is_terminal:
            text = "\n".join(_wrapped(line, self._console.width) for line in text.split("\n"))
        self._console.print(Text(text, style=style))

    def start(self) -> None:
        """Starts the live line, on a terminal only."""
        if self._console.is_terminal:
            self._live.start()

    def redraw(self, line: Callable[[], str]) -> None:
        """Redraws the live line, unless it was drawn less than ``REDRAW_SECONDS`` ago.

        Without a terminal it is printed once no line was for ``LINE_SECONDS``.
        """
        if not self.is_terminal and time.monotonic() - self._last_line_at > LINE_SECONDS:
            self.print(line())
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
        """Counts the trial, and without a terminal prints that it begins."""
        self._state.record_start(trial)
        if not self._live.is_terminal:
            name = "trial" if trial.phase is Phase.SEARCH else trial.phase.value
            kind = f"  short, {formatting.epochs(trial.epochs)}" if trial.is_short else ""
            elapsed = format_clock(self._state.budget.elapsed_seconds())
            self._live.print(f"{elapsed:>6}  begins: {name} {trial.number}  {trial.origin}{kind}")

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
        self._live.print(f"Waiting for {count} trial{'' if count == 1 else 's'} that other coordinators run")

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
            runs = (
                "1 run scored on the test images follows"
                if count == 1
                else f"{count} runs scored on the test images follow"
            )
            self._live.print(runs)

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
