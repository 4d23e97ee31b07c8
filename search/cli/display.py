"""The displays of a running session: one live line on a terminal, plain lines elsewhere, JSON lines for scripts.

All write to standard error but the JSON lines, so that standard output holds the leaderboard alone.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from typing import Any

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from search.budget import Budget
from search.leaderboard.board import Board
from search.leaderboard.formats import FORMATS
from search.planning import Plan
from search.progress import Progress
from search.record import StudyRecord
from search.study import settled
from search.trial import BASELINE, EpochReport, Outcome, Phase, State, Trial


class Tally:
    """What a display needs to know of a session so far.

    Args:
        plan: What is done.
        record: What earlier sessions found.
        budget: The time account.
    """

    def __init__(self, plan: Plan, record: StudyRecord, budget: Budget) -> None:
        self.plan, self.budget = plan, budget
        self.running: dict[tuple[Phase, int], tuple[Trial, int]] = {}
        self.ended = len(settled(record))
        self.verified, self.to_verify = 0, 0
        self.begun = 0
        self.best: float | None = None
        self.baseline: float | None = None
        self._seconds: list[float] = []
        for known in record.phase(Phase.SEARCH):
            if known.outcome is not None:
                self._judge(known.trial, known.outcome)

    def began(self, trial: Trial) -> None:
        """Counts a trial as running."""
        self.begun += 1
        self.running[trial.key] = (trial, 0)

    def reported(self, trial: Trial, report: EpochReport) -> None:
        """Notes the epoch."""
        self.running[trial.key] = (trial, report.epoch)

    def finished(self, trial: Trial, outcome: Outcome) -> bool:
        """Counts a trial as ended; returns whether it is the best so far."""
        self.running.pop(trial.key, None)
        self._seconds.append(sum(outcome.seconds.values()))
        if trial.phase is not Phase.SEARCH:
            self.verified += outcome.state is State.COMPLETE
            return False
        self.ended += outcome.state is not State.INTERRUPTED
        return self._judge(trial, outcome)

    def _judge(self, trial: Trial, outcome: Outcome) -> bool:
        if outcome.state is not State.COMPLETE or outcome.error_percent is None:
            return False
        if trial.origin == BASELINE:
            self.baseline = outcome.error_percent
        is_best = self.best is None or outcome.error_percent < self.best
        self.best = outcome.error_percent if is_best else self.best
        return is_best

    def eta_seconds(self) -> float | None:
        """Estimates the seconds that are left: the rest of the time budget, or trials left at the mean price so far."""
        settings = self.plan.settings
        if self.to_verify:
            left = self.to_verify - self.verified
        elif settings.timeout is not None:
            return max(0.0, settings.timeout - self.budget.spent())
        else:
            left = (settings.trials or 0) - self.ended
        return left * sum(self._seconds) / len(self._seconds) / self.plan.workers if self._seconds else None

    def line(self) -> str:
        """Returns the live line."""
        head = f"verifying {self.verified}/{self.to_verify}" if self.to_verify else f"{self.ended} trials done"
        epochs = ", ".join(f"{epoch}/{trial.epochs}" for trial, epoch in self.running.values())
        parts = [head, f"{len(self.running)} running" + (f" (epoch {epochs})" if epochs else "")]
        if self.best is not None:
            gain = f" ({self.best - self.baseline:+.2f} to baseline)" if self.baseline is not None else ""
            parts.append(f"best {self.best:.2f} %{gain}")
        parts.append(clock(self.budget.spent()))
        eta = self.eta_seconds()
        return "  ".join([*parts, f"about {clock(eta)} left"] if eta is not None else parts)


def clock(seconds: float) -> str:
    """Returns seconds as ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def describe_plan(plan: Plan, record: StudyRecord) -> str:
    """Returns what the session will do, in a few lines."""
    header, settings, protocol = plan.header, plan.settings, plan.header.protocol
    until = [f"{settings.trials} trials"] if settings.trials is not None else []
    if settings.timeout is not None:
        until.append(f"{clock(settings.timeout)} in all, verification included")
    done = len(settled(record))
    lines = [
        f"Study {header.name}: {header.engine} {header.sampler}, pruner {header.pruner}, seed {header.seed}",
        f"  space {header.space.name} ({len(header.space.parameters)} parameters), data {protocol.dataset}, "
        f"{protocol.epochs} epochs a trial",
        f"  {plan.workers} workers, {settings.threads} thread each; until {' or '.join(until)}",
    ]
    if settings.finalists and protocol.name == "holdout":
        lines.append(
            f"  then the best {settings.finalists} and the baseline, retrained on all training images with "
            f"{settings.replicates} fresh seeds, are scored on the test images"
        )
    if protocol.name == "tutorial":
        lines.append("  Note: under the tutorial protocol the test images steer the search; its errors are optimistic.")
    if done:
        lines.append(f"  {done} trials are recorded already; {clock(record.spent_seconds)} spent")
    return "\n".join(lines)


def describe_idleness(tally: Tally) -> str:
    """Returns what to say when the session had nothing to do; nothing when it had."""
    if tally.begun:
        return ""
    return f"Nothing left to do: {tally.ended} trials are recorded. Raise --trials or --timeout to go on."


def describe_end(trial: Trial, outcome: Outcome, *, is_best: bool) -> str:
    """Returns a line about a trial that ended."""
    what = f"trial {trial.number}" if trial.phase is Phase.SEARCH else f"{trial.phase.value} {trial.number}"
    kind = "validation" if trial.phase is Phase.SEARCH else "test"
    parts = [f"{what}  {trial.origin}  {outcome.state.value}"]
    if outcome.error_percent is not None:
        parts.append(f"{kind} error {outcome.error_percent:.2f} %{' (best)' if is_best else ''}")
    if outcome.state is State.FAILED:
        parts.append(outcome.message)
    parts.append(f"{len(outcome.history)} epochs in {sum(outcome.seconds.values()):.0f} s")
    return "  ".join(parts)


class LinesDisplay(Progress):
    """Plain lines: the plan, a line for each trial that ends."""

    def opened(self, plan: Plan, record: StudyRecord, budget: Budget) -> None:
        """Prints the plan."""
        self._tally = Tally(plan, record, budget)
        click.echo(describe_plan(plan, record), err=True)

    def began(self, trial: Trial) -> None:
        """Counts."""
        self._tally.began(trial)

    def reported(self, trial: Trial, report: EpochReport) -> None:
        """Counts."""
        self._tally.reported(trial, report)

    def finished(self, trial: Trial, outcome: Outcome) -> None:
        """Prints how it ended and where the study stands."""
        is_best = self._tally.finished(trial, outcome)
        click.echo(f"{clock(self._tally.budget.spent())}  {describe_end(trial, outcome, is_best=is_best)}", err=True)

    def verifying(self, count: int) -> None:
        """Prints how many runs follow."""
        self._tally.to_verify = count
        if count:
            click.echo(f"Verifying: {count} runs on the test images", err=True)

    def closed(self) -> None:
        """Says so when there was nothing to do."""
        if idleness := describe_idleness(self._tally):
            click.echo(idleness, err=True)


class LiveDisplay(Progress):
    """One line that is redrawn, and a plain line above it for each trial that ends."""

    def opened(self, plan: Plan, record: StudyRecord, budget: Budget) -> None:
        """Prints the plan and starts the line."""
        self._tally = Tally(plan, record, budget)
        self._console = Console(stderr=True, highlight=False)
        self._console.print(Text(describe_plan(plan, record)))
        self._drawn = 0.0
        self._live = Live(Text(""), console=self._console, auto_refresh=False, transient=True)
        self._live.start()

    def began(self, trial: Trial) -> None:
        """Counts."""
        self._tally.began(trial)

    def reported(self, trial: Trial, report: EpochReport) -> None:
        """Counts."""
        self._tally.reported(trial, report)

    def finished(self, trial: Trial, outcome: Outcome) -> None:
        """Prints how it ended."""
        is_best = self._tally.finished(trial, outcome)
        style = "green" if is_best else "red" if outcome.state is State.FAILED else ""
        self._console.print(Text(describe_end(trial, outcome, is_best=is_best), style=style))

    def verifying(self, count: int) -> None:
        """Shows the new phase."""
        self._tally.to_verify = count

    def tick(self) -> None:
        """Redraws the line, twice a second at most."""
        if time.monotonic() - self._drawn > 0.5:
            self._drawn = time.monotonic()
            line = Text(self._tally.line(), style="bold", no_wrap=True, overflow="ellipsis")
            self._live.update(line, refresh=True)

    def closed(self) -> None:
        """Takes the line away."""
        self._live.stop()
        if idleness := describe_idleness(self._tally):
            self._console.print(Text(idleness))


class JsonDisplay(Progress):
    """A JSON object a line on standard output for each thing that happens."""

    def opened(self, plan: Plan, record: StudyRecord, budget: Budget) -> None:
        """Writes the study's header."""
        self._budget = budget
        self._write("opened", study=plan.header.to_json(), recorded=len(record.trials), workers=plan.workers)

    def began(self, trial: Trial) -> None:
        """Writes the trial."""
        self._write("began", trial=dataclasses.asdict(trial))

    def reported(self, trial: Trial, report: EpochReport) -> None:
        """Writes the epoch."""
        self._write("reported", phase=trial.phase.value, number=trial.number, report=dataclasses.asdict(report))

    def finished(self, trial: Trial, outcome: Outcome) -> None:
        """Writes the outcome."""
        self._write("finished", phase=trial.phase.value, number=trial.number, outcome=outcome.to_json())

    def verifying(self, count: int) -> None:
        """Writes how many runs follow."""
        self._write("verifying", runs=count)

    def _write(self, event: str, **fields: Any) -> None:  # noqa: ANN401 - JSON values
        click.echo(json.dumps({"event": event, "seconds": round(self._budget.spent(), 3), **fields}))


def board_line(board: Board) -> str:
    """Returns the leaderboard as the last of the JSON lines."""
    return json.dumps({"event": "leaderboard", "leaderboard": json.loads(FORMATS["json"](board))})


def choose(*, quiet: bool, as_json: bool) -> Progress:
    """Returns the display that fits the options and the terminal."""
    if as_json:
        return JsonDisplay()
    if quiet:
        return Progress()
    return LiveDisplay() if sys.stderr.isatty() else LinesDisplay()
