"""The arena from end to end: plays what is missing, and says what it shows."""

from __future__ import annotations

from pathlib import Path

from search.compare.tabular.results import TabularComparison, compute
from search.compare.tabular.run import ProgressCallback, TabularSpec, run_simulations
from search.session.plan import command_line


def run_tabular_comparison(
    spec: TabularSpec, folder: Path, *, processes: int = 1, progress: ProgressCallback | None = None
) -> TabularComparison:
    """Plays a tournament, or what is missing of it, and returns what it shows.

    Args:
        spec: What is to be played.
        folder: Where the games are kept; the same folder goes on where it was stopped.
        processes: Games at a time, one core each.
        progress: Hears ``(done, total)``, in games.

    Raises:
        UserError: No such arena, the extra is missing, no engine can play, or the folder holds other games.
        FatalError: A process died; finished games are kept.
    """
    completed = run_simulations(spec, folder, processes=processes, progress=progress)
    return compute(completed, command=command_line(spec.seed))
