"""The display of a running tournament: a header for each study, a line for each trial, and on a terminal a live line.

All of it goes to standard error, so that standard output holds the comparison alone.
"""

from __future__ import annotations

import time

from rich.console import Console
from rich.live import Live
from rich.text import Text

from search.cli.display import describe_end
from search.cli.tally import Tally, clock
from search.leaderboard.words import duration
from search.records.record import StudyRecord
from search.session.planning import Plan
from search.session.progress import Progress
from search.study.budget import Budget
from search.tournament.plan import Bout, Tournament
from search.trial import EpochReport, Outcome, Phase, State, Trial

REDRAW_SECONDS = 0.5


def describe(tournament: Tournament) -> str:
    """Returns what the tournament will do, in a few lines."""
    rules, bouts = tournament.rules, tournament.bouts
    plan = bouts[0].plan
    amount = f"{rules.epochs} epochs trained" if rules.epochs is not None else duration(rules.seconds or 0.0)
    engines = list(dict.fromkeys(bout.engine for bout in bouts))
    return "\n".join(
        [
            f"Tournament {rules.name}: {', '.join(engines)}; {bouts[0].repeats} repeats, seed {rules.seed}",
            f"  space {plan.header.space.name}, data {plan.header.protocol.dataset}",
            f"  {plan.packing.describe()}",
            f"  each search: {amount}, full trials of {plan.header.protocol.epochs} epochs, from the baseline alone",
            f"  then its best and the baseline are retrained with {rules.replicates} fresh seeds",
            "  and scored on the test images",
        ]
    )


class BoutDisplay(Progress):
    """Shows one study of a tournament.

    Args:
        bout: The study.
    """

    def __init__(self, bout: Bout) -> None:
        self._bout = bout
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._live = Live(Text(""), console=self._console, auto_refresh=False, transient=True)
        self._drawn, self._epochs = 0.0, 0

    def opened(self, plan: Plan, record: StudyRecord, budget: Budget) -> None:
        """Prints the header and starts the live line."""
        self._tally, self._budget = Tally(plan, record, budget), budget
        done = [known.outcome for known in record.phase(Phase.SEARCH) if known.outcome]
        self._epochs = sum(outcome.epochs_trained for outcome in done)
        bout = self._bout
        recorded = f"; {len(done)} trials are recorded already" if done else ""
        where = f"[{bout.place}/{bout.of}] {bout.engine}, repeat {bout.repeat + 1} of {bout.repeats}"
        self._print(f"{where}{recorded}", "bold")
        if self._console.is_terminal:
            self._live.start()

    def began(self, trial: Trial) -> None:
        """Counts."""
        self._tally.began(trial)

    def reported(self, trial: Trial, report: EpochReport) -> None:
        """Counts."""
        self._tally.reported(trial, report)
        self._epochs += trial.phase is Phase.SEARCH and not report.restored

    def finished(self, trial: Trial, outcome: Outcome) -> None:
        """Prints how it ended."""
        is_best = self._tally.finished(trial, outcome)
        style = "green" if is_best else "red" if outcome.state is State.FAILED else ""
        self._print(f"{clock(self._budget.spent()):>6}  {describe_end(trial, outcome, is_best=is_best)}", style)

    def exhausted(self) -> None:
        """Says so."""
        self._print("Nothing is left to try.")

    def replicating(self, count: int) -> None:
        """Notes how many runs follow."""
        self._tally.replicating(count)

    def tick(self) -> None:
        """Redraws the live line, twice a second at most."""
        if self._live.is_started and time.monotonic() - self._drawn > REDRAW_SECONDS:
            self._drawn = time.monotonic()
            line = Text(self.line(), style="bold", no_wrap=True, overflow="ellipsis")
            self._live.update(line, refresh=True)

    def line(self) -> str:
        """Returns the live line; with two workers it fits into 80 columns."""
        tally, plan = self._tally, self._bout.plan
        if self._budget.is_stopping:
            return "stopping in good order; once more to stop at once"
        parts = [f"[{self._bout.place}/{self._bout.of}]"]
        if tally.replicas is not None:
            parts.append(f"{tally.replicated}/{tally.replicas} test runs")
        elif plan.settings.timeout is not None:
            parts.append(f"{clock(self._budget.spent())} of {clock(plan.settings.timeout)}")
        else:
            parts.append(f"{self._epochs}/{plan.settings.total_epochs} epochs")
        if tally.running:
            running = ", ".join(f"{epoch}/{trial.last_epoch}" for trial, epoch in tally.running.values())
            parts.append(f"epoch {running}")
        if tally.best is not None:
            parts.append(f"best {tally.best:.2f} %")
        return "  ".join(parts)

    def close(self) -> None:
        """Takes the live line away."""
        self._live.stop()

    def _print(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style=style))
