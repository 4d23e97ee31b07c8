"""The display of a running tournament: a header for each study, a line for each trial, and on a terminal a live line.

All of it goes to standard error, so that standard output holds the comparison alone.
"""

from __future__ import annotations

import time

from rich.console import Console
from rich.live import Live
from rich.text import Text

from search.cli.display import describe_trial_end
from search.cli.progress_state import ProgressState, format_clock
from search.compare.plan import ComparisonPlan, StudyRun
from search.leaderboard.formatting import duration
from search.records.record import StudyRecord
from search.session.callbacks import Callback
from search.session.plan import Plan
from search.study.time_budget import TimeBudget
from search.trial import EpochReport, Outcome, Phase, State, Trial

REDRAW_SECONDS = 0.5


def describe_comparison(tournament: ComparisonPlan) -> str:
    """Returns what the tournament will do, in a few lines."""
    spec, study_runs = tournament.spec, tournament.study_runs
    plan = study_runs[0].plan
    amount = f"{spec.epochs} epochs trained" if spec.epochs is not None else duration(spec.seconds or 0.0)
    engines = list(dict.fromkeys(study_run.engine for study_run in study_runs))
    return "\n".join(
        [
            f"Tournament {spec.name}: {', '.join(engines)}; {study_runs[0].repeats} repeats, seed {spec.seed}",
            f"  space {plan.header.space.name}, data {plan.header.protocol.dataset}",
            f"  {plan.parallelism.describe()}",
            f"  each search: {amount}, full trials of {plan.header.protocol.epochs} epochs, from the baseline alone",
            f"  then its best and the baseline are retrained with {spec.replicates} fresh seeds",
            "  and scored on the test images",
        ]
    )


class StudyRunDisplay(Callback):
    """Shows one study of a tournament.

    Args:
        study_run: The study.
    """

    def __init__(self, study_run: StudyRun) -> None:
        self._study_run = study_run
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._live = Live(Text(""), console=self._console, auto_refresh=False, transient=True)
        self._last_redraw_at, self._epochs = 0.0, 0

    def on_session_start(self, plan: Plan, record: StudyRecord, budget: TimeBudget) -> None:
        """Prints the header and starts the live line."""
        self._progress_state, self._budget = ProgressState(plan, record, budget), budget
        done = [known.outcome for known in record.trials_in_phase(Phase.SEARCH) if known.outcome]
        self._epochs = sum(outcome.epochs_trained for outcome in done)
        bout = self._study_run
        recorded = f"; {len(done)} trials are recorded already" if done else ""
        where = f"[{bout.position}/{bout.total}] {bout.engine}, repeat {bout.repeat + 1} of {bout.repeats}"
        self._print(f"{where}{recorded}", "bold")
        if self._console.is_terminal:
            self._live.start()

    def on_trial_start(self, trial: Trial) -> None:
        """Counts."""
        self._progress_state.began(trial)

    def on_epoch_end(self, trial: Trial, report: EpochReport) -> None:
        """Counts."""
        self._progress_state.reported(trial, report)
        self._epochs += trial.phase is Phase.SEARCH and not report.restored

    def on_trial_end(self, trial: Trial, outcome: Outcome) -> None:
        """Prints how it ended."""
        is_best = self._progress_state.finished(trial, outcome)
        style = "green" if is_best else "red" if outcome.state is State.FAILED else ""
        self._print(
            f"{format_clock(self._budget.elapsed_seconds()):>6}  {describe_trial_end(trial, outcome, is_best=is_best)}",
            style,
        )

    def on_space_exhausted(self) -> None:
        """Says so."""
        self._print("Nothing is left to try.")

    def on_replication_start(self, count: int) -> None:
        """Notes how many runs follow."""
        self._progress_state.replicating(count)

    def on_tick(self) -> None:
        """Redraws the live line, twice a second at most."""
        if self._live.is_started and time.monotonic() - self._last_redraw_at > REDRAW_SECONDS:
            self._last_redraw_at = time.monotonic()
            line = Text(self.line(), style="bold", no_wrap=True, overflow="ellipsis")
            self._live.update(line, refresh=True)

    def line(self) -> str:
        """Returns the live line; with two workers it fits into 80 columns."""
        tally, plan = self._progress_state, self._study_run.plan
        if self._budget.is_interrupted:
            return "stopping in good order; once more to stop at once"
        parts = [f"[{self._study_run.position}/{self._study_run.total}]"]
        if tally.verification_runs is not None:
            parts.append(f"{tally.verification_runs_ended}/{tally.verification_runs} test runs")
        elif plan.settings.timeout is not None:
            parts.append(f"{format_clock(self._budget.elapsed_seconds())} of {format_clock(plan.settings.timeout)}")
        else:
            parts.append(f"{self._epochs}/{plan.settings.total_epochs} epochs")
        if tally.running:
            running = ", ".join(f"{epoch}/{trial.last_epoch}" for trial, epoch in tally.running.values())
            parts.append(f"epoch {running}")
        if tally.best_error_percent is not None:
            parts.append(f"best {tally.best_error_percent:.2f} %")
        return "  ".join(parts)

    def close(self) -> None:
        """Takes the live line away."""
        self._live.stop()

    def _print(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style=style))
