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
NOT_BY_DEFAULT = frozenset({"keras-tuner:bayesian"})
"""Engines that must be named: it takes half a minute a game where others take half a second."""
TELL_SECONDS = 2.0
"""Least time between two lines of progress that are not on a terminal."""


def run(given: Mapping[str, Any], *, form: str, quiet: bool) -> None:
    """Plays what is missing, prints what it shows, and writes the reports.

    Raises:
        UserError: An option does not apply, or cannot be used as given.
    """
    from search.arena.files import write_reports
    from search.arena.render import FORMATS
    from search.arena.run import run_arena
    from search.arena.tournament import Tournament
    from search.engines.registry import choose_engine, engine_names
    from search.training.runtime import cores

    _check(given)
    names = given["engines"] or ",".join(name for name in engine_names() if name not in NOT_BY_DEFAULT)
    tournament = Tournament(
        arena=given["arena"],
        engines=tuple(choose_engine(name.strip(), pruner="none") for name in names.split(",") if name.strip()),
        trials=TRIALS if given["trials"] is None else given["trials"],
        repeats=REPEATS if given["repeats"] is None else given["repeats"],
        seed=given["seed"] or 0,
        workers=1 if given["workers"] is None else given["workers"],
    )
    name = given["name"] or f"arena-{tournament.arena}"
    folder = Path(given["studies_dir"] or "studies") / name
    result = run_arena(tournament, folder, processes=cores(), progress=None if quiet else Counter())
    paths = write_reports(result, Path(given["reports_dir"] or "reports") / name)
    click.echo(FORMATS[form](result), nl=False)
    if not quiet:
        click.echo(f"Written: {', '.join(map(str, paths))}", err=True)


def _check(given: Mapping[str, Any]) -> None:
    refused = sorted(name for name, value in given.items() if value not in (None, (), {}) and name not in OPTIONS)
    if refused:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in refused)
        known = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(OPTIONS))
        raise UserError(f"Nothing is trained in an arena. Received: {flags}.", hint=f"Options with --arena: {known}.")


class Counter:
    """Tells how many games are done: one line that is written over on a terminal, now and then a line elsewhere."""

    def __init__(self) -> None:
        self._began, self._told = time.monotonic(), float("-inf")

    def __call__(self, done: int, total: int) -> None:
        """Tells it, if the last time was long enough ago or it is the last."""
        now = time.monotonic()
        on_terminal = sys.stderr.isatty()
        if done < total and now - self._told < (0.2 if on_terminal else TELL_SECONDS):
            return
        self._told = now
        end = "\r" if on_terminal and done < total else "\n"
        click.echo(f"{done} of {total} games, {now - self._began:.0f} s{end}", nl=False, err=True)
