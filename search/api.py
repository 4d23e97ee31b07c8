"""The Python API: runs with the options of the command line.

Example::

    import search

    study = search.run(space="cnn", trials=20)
    study.leaderboard()
"""

from __future__ import annotations

import time
from typing import Any

from search.session.callbacks import Callback
from search.session.plan import make_plan
from search.session.run import Study, run_baseline, run_plan
from search.session.settings import from_mapping

__all__ = ["Study", "baseline", "run"]


def run(*, progress: Callback | None = None, **options: Any) -> Study:
    """Searches, verifies, writes the reports, and returns the study.

    Args:
        progress: Receives the events of the run; None for no output.
        **options: The options of ``python -m search run``, with underscores, such as ``batch_size`` in ``fix``.

    Raises:
        UserError: An option cannot be used.
        FatalError: The study cannot continue; its record is kept.
    """
    started_at = time.monotonic()
    return run_plan(make_plan(from_mapping(options)), progress or Callback(), started_at=started_at)


def baseline(*, repeats: int = 5, progress: Callback | None = None, **options: Any) -> Study:
    """Trains a space's baseline under the tutorial protocol, with a fresh seed each time, and returns the study.

    Args:
        repeats: Repeats in all, those recorded already included.
        progress: Receives the events of the run; None for no output.
        **options: The options of ``python -m search baseline``, with underscores.

    Raises:
        UserError: An option cannot be used.
        FatalError: The study cannot continue; its record is kept.
    """
    return run_baseline(from_mapping(options), progress or Callback(), repeats=repeats)
