"""Progress of a run in a notebook: a bar, the trial that ended last, and the best error."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from search.records.record import StudyHeader, StudyRecord
from search.session.callbacks import Callback
from search.session.parallelism.policy import WorkerLayout
from search.session.plan import Plan
from search.study.time_budget import TimeBudget
from search.trial import Outcome, Phase, Trial


def is_notebook() -> bool:
    """Returns whether this process is the kernel of a notebook."""
    return "ipykernel" in sys.modules


class NotebookProgress(Callback):
    """A bar over the time of a run, or over its trials where it has no time limit."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._budget: TimeBudget | None = None
        self._header: StudyHeader | None = None
        self._best: float | None = None

    def on_probe_start(self, layouts: Sequence[WorkerLayout]) -> None:
        """Says what is measured."""
        self.on_message("Measuring how fast this machine trains, once for this space and data.")

    def on_session_start(self, plan: Plan, record: StudyRecord, budget: TimeBudget) -> None:
        """Draws the bar."""
        from tqdm.auto import tqdm

        settings, self._header = plan.settings, plan.header
        self._budget = budget if settings.timeout is not None else None
        total, unit = (round(settings.timeout), "s") if settings.timeout is not None else (settings.trials, "trial")
        done = len(record.trials_in_phase(Phase.SEARCH)) if self._budget is None else 0
        self._bar = tqdm(total=total, initial=done, unit=unit, desc=plan.header.name)

    def on_message(self, text: str) -> None:
        """Prints a message."""
        print(text)  # noqa: T201 - a cell's output

    def on_trial_end(self, trial: Trial, outcome: Outcome) -> None:
        """Shows the trial and the best error of the full search trials."""
        is_search = trial.phase is Phase.SEARCH
        is_allowed = self._header is None or self._header.may_choose(outcome.parameter_count)
        if is_search and is_allowed and not trial.is_short and outcome.error_percent is not None:
            self._best = min(outcome.error_percent, self._best if self._best is not None else outcome.error_percent)
        best = "" if self._best is None else f"best validation error {self._best:.2f} %, "
        if self._bar is not None:
            self._bar.set_postfix_str(f"{best}last: {trial.origin if is_search else trial.phase.value}")
            if self._budget is None and is_search and outcome.is_final:
                self._bar.update()

    def on_tick(self) -> None:
        """Moves the bar with the time."""
        if self._bar is not None and self._budget is not None:
            elapsed = min(round(self._budget.elapsed_seconds()), self._bar.total)
            if elapsed > self._bar.n:
                self._bar.update(elapsed - self._bar.n)

    def close(self) -> None:
        """Leaves the bar as it is."""
        if self._bar is not None:
            self._bar.close()
