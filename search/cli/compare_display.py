"""The display of a running comparison: a header for each study, a line for each trial, and on a terminal a live line.

All of it goes to standard error; standard output holds the result alone.
"""

from __future__ import annotations

from pathlib import Path

import click

from search.cli.display import LiveLine, describe_trial_end
from search.cli.progress_state import ProgressState, format_clock
from search.compare.plan import ComparisonPlan
from search.compare.render import FORMATS, Report, write_reports
from search.compare.spec import RunKey
from search.leaderboard.formatting import duration
from search.records.record import StudyRecord
from search.session.callbacks import Callback
from search.session.plan import Plan
from search.study.time_budget import TimeBudget
from search.trial import EpochReport, Outcome, Phase, State, Trial


def describe_comparison(comparison: ComparisonPlan) -> str:
    """Returns a few lines that describe the comparison."""
    spec, studies = comparison.spec, comparison.studies
    plan = next(iter(studies.values()))
    amount = f"{spec.epochs} epochs trained" if spec.epochs is not None else duration(spec.seconds or 0.0)
    start = "with the recipes of the space" if plan.recipes else "from the baseline alone"
    engines = ", ".join(dict.fromkeys(key.engine for key in studies))
    return "\n".join(
        [
            f"Comparison {spec.name}: {engines}; {_repeats(comparison)} repeats, seed {spec.seed}",
            f"  space {plan.header.space.name}, data {plan.header.protocol.dataset}",
            f"  {plan.parallelism.describe()}",
            f"  each search: {amount}, full trials of {plan.header.protocol.epochs} epochs, {start}",
            f"  then its best and the baseline are retrained with {spec.replicates} fresh seeds",
            "  and scored on the test images",
        ]
    )


def _repeats(comparison: ComparisonPlan) -> int:
    return 1 + max(key.repeat for key in comparison.studies)


class StudyDisplay(Callback):
    """Shows one study of a comparison.

    Args:
        comparison: The comparison.
        key: The study.
    """

    def __init__(self, comparison: ComparisonPlan, key: RunKey) -> None:
        self._settings = comparison.studies[key].settings
        self._position = f"[{list(comparison.studies).index(key) + 1}/{len(comparison.studies)}]"
        self._title = f"{self._position} {key.engine}, repeat {key.repeat + 1} of {_repeats(comparison)}"
        self._live = LiveLine()
        self._epochs = 0

    def on_session_start(self, plan: Plan, record: StudyRecord, budget: TimeBudget) -> None:
        """Prints the header and starts the live line."""
        self._progress_state, self._budget = ProgressState(plan, record, budget), budget
        recorded = [trial.outcome for trial in record.trials_in_phase(Phase.SEARCH) if trial.outcome]
        self._epochs = sum(outcome.epochs_trained for outcome in recorded)
        self._live.print(f"{self._title}; {len(recorded)} trials are recorded" if recorded else self._title, "bold")
        self._live.start()

    def on_trial_start(self, trial: Trial) -> None:
        """Counts it."""
        self._progress_state.record_start(trial)

    def on_epoch_end(self, trial: Trial, report: EpochReport) -> None:
        """Counts it."""
        self._progress_state.record_epoch(trial, report)
        self._epochs += trial.phase is Phase.SEARCH and not report.restored

    def on_trial_end(self, trial: Trial, outcome: Outcome) -> None:
        """Prints how it ended."""
        is_best = self._progress_state.record_end(trial, outcome)
        style = "green" if is_best else "red" if outcome.state is State.FAILED else ""
        self._live.print(
            f"{format_clock(self._budget.elapsed_seconds()):>6}  {describe_trial_end(trial, outcome, is_best=is_best)}",
            style,
        )

    def on_space_exhausted(self) -> None:
        """Prints it."""
        self._live.print("The space is exhausted.")

    def on_replication_start(self, count: int) -> None:
        """Notes how many runs follow."""
        self._progress_state.start_replication(count)

    def on_tick(self) -> None:
        """Redraws the live line."""
        self._live.redraw(self.line)

    def line(self) -> str:
        """Returns the live line; with two workers it fits into 80 columns."""
        state, settings = self._progress_state, self._settings
        if self._budget.is_interrupted:
            return "stopping gracefully; press Ctrl-C again to stop at once"
        parts = [self._position]
        if state.verification_runs is not None:
            parts.append(f"{state.verification_runs_ended}/{state.verification_runs} test runs")
        elif settings.timeout is not None:
            parts.append(f"{format_clock(self._budget.elapsed_seconds())} of {format_clock(settings.timeout)}")
        else:
            parts.append(f"{self._epochs}/{settings.total_epochs} epochs")
        if state.running:
            running = ", ".join(f"{epoch}/{trial.last_epoch}" for trial, epoch in state.running.values())
            parts.append(f"epoch {running}")
        if state.best_error_percent is not None:
            parts.append(f"best {state.best_error_percent:.2f} %")
        return "  ".join(parts)

    def close(self) -> None:
        """Removes the live line."""
        self._live.stop()


def show_report(report: Report, *, form: str, folder: Path, quiet: bool) -> None:
    """Writes the report files to the folder and prints the report."""
    paths = write_reports(report, folder)
    click.echo(FORMATS[form](report), nl=False)
    if not quiet:
        click.echo(f"Written: {', '.join(map(str, paths))}", err=True)
