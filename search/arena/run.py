"""The arena from end to end: plays what is missing, and says what it shows."""

from __future__ import annotations

from pathlib import Path

from search.arena.results import Result, compute
from search.arena.tournament import Progress, Tournament, hold
from search.session.planning import command_line


def run_arena(tournament: Tournament, folder: Path, *, processes: int = 1, progress: Progress | None = None) -> Result:
    """Plays a tournament, or what is missing of it, and returns what it shows.

    Args:
        tournament: What is to be played.
        folder: Where the games are kept; the same folder goes on where it was stopped.
        processes: Games at a time, one core each.
        progress: Hears ``(done, total)``, in games.

    Raises:
        UserError: No such arena, the extra is missing, no engine can play, or the folder holds other games.
        FatalError: A process died; finished games are kept.
    """
    played = hold(tournament, folder, processes=processes, progress=progress)
    return compute(played, command=command_line(tournament.seed))
