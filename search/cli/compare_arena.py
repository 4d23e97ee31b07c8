"""``compare --arena``: engines against each other on tables of finished trainings."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from search.errors import UserError

TRIALS, REPEATS = 100, 30
OPTIONS = frozenset({"arena", "engines", "repeats", "trials", "name", "seed", "workers", "studies_dir", "reports_dir"})
"""The options of ``compare`` that mean something here."""
SLOW_ENGINES = frozenset({"keras-tuner:bayesian"})
"""Engines that must be named: it takes half a minute a game where others take half a second."""
PRINT_INTERVAL_SECONDS = 2.0
"""Least time between two lines of progress that are not on a terminal."""


def run(options: Mapping[str, Any], *, form: str, quiet: bool) -> None:
    """Plays what is missing, prints what it shows, and writes the reports.

    Raises:
        UserError: An option does not apply, or cannot be used as given.
    """
    from search.compare.tabular.files import write_reports
    from search.compare.tabular.limits import run_tabular_comparison
    from search.compare.tabular.render import FORMATS
    from search.compare.tabular.run import TabularSpec
    from search.engines.registry import engine_names, parse_engine
    from search.training.runtime import usable_cores

    _check(options)
    names = options["engines"] or ",".join(name for name in engine_names() if name not in SLOW_ENGINES)
    tournament = TabularSpec(
        benchmark=options["arena"],
        engines=tuple(parse_engine(name.strip(), pruner="none") for name in names.split(",") if name.strip()),
        trials=TRIALS if options["trials"] is None else options["trials"],
        repeats=REPEATS if options["repeats"] is None else options["repeats"],
        seed=options["seed"] or 0,
        workers=1 if options["workers"] is None else options["workers"],
    )
    name = options["name"] or f"arena-{tournament.benchmark}"
    folder = Path(options["studies_dir"] or "studies") / name
    result = run_tabular_comparison(
        tournament, folder, processes=usable_cores(), progress=None if quiet else ProgressPrinter()
    )
    paths = write_reports(result, Path(options["reports_dir"] or "reports") / name)
    click.echo(FORMATS[form](result), nl=False)
    if not quiet:
        click.echo(f"Written: {', '.join(map(str, paths))}", err=True)


def _check(options: Mapping[str, Any]) -> None:
    unsupported = sorted(name for name, value in options.items() if value not in (None, (), {}) and name not in OPTIONS)
    if unsupported:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in unsupported)
        supported = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(OPTIONS))
        raise UserError(
            f"Nothing is trained in an arena. Received: {flags}.", hint=f"Options with --arena: {supported}."
        )


class ProgressPrinter:
    """Tells how many games are done: one line that is written over on a terminal, now and then a line elsewhere."""

    def __init__(self) -> None:
        self._started_at, self._last_printed_at = time.monotonic(), float("-inf")

    def __call__(self, done: int, total: int) -> None:
        """Tells it, if the last time was long enough ago or it is the last."""
        now = time.monotonic()
        on_terminal = sys.stderr.isatty()
        if done < total and now - self._last_printed_at < (0.2 if on_terminal else PRINT_INTERVAL_SECONDS):
            return
        self._last_printed_at = now
        end = "\r" if on_terminal and done < total else "\n"
        click.echo(f"{done} of {total} games, {now - self._started_at:.0f} s{end}", nl=False, err=True)
