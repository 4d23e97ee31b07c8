"""``compare --arena``: compares engines on tables of finished trainings."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import click

from search.errors import UserError

TRIALS, REPEATS = 100, 30
OPTIONS = frozenset({"arena", "engines", "repeats", "trials", "name", "seed", "workers", "studies_dir", "reports_dir"})
"""The options of ``compare`` that apply here."""
SLOW_ENGINES = frozenset({"keras-tuner:bayesian"})
"""Engines that run only if named: they take half a minute a run, others half a second."""
PRINT_INTERVAL_SECONDS = 2.0
"""Least time between two lines of progress outside a terminal."""


def run(options: Mapping[str, Any], *, form: str, quiet: bool) -> None:
    """Simulates the missing runs, prints the result, and writes the report files.

    Raises:
        UserError: An option does not apply or is invalid.
    """
    from search.cli.compare_display import show_report
    from search.compare.tabular.report import make_report
    from search.compare.tabular.run import run_simulations
    from search.compare.tabular.simulate import TabularSpec
    from search.engines.registry import engine_names, parse_engine
    from search.session.plan import command_line
    from search.training.runtime import usable_cores

    check_options(options, OPTIONS)
    engines = options["engines"] or ",".join(name for name in engine_names() if name not in SLOW_ENGINES)
    spec = TabularSpec(
        benchmark=options["arena"],
        engines=tuple(parse_engine(name.strip(), pruner="none") for name in engines.split(",") if name.strip()),
        trials=TRIALS if options["trials"] is None else options["trials"],
        repeats=REPEATS if options["repeats"] is None else options["repeats"],
        seed=options["seed"] or 0,
        workers=1 if options["workers"] is None else options["workers"],
    )
    name = options["name"] or f"arena-{spec.benchmark}"
    result = run_simulations(
        spec,
        Path(options["studies_dir"] or "studies") / name,
        processes=usable_cores(),
        command=command_line(spec.seed),
        **({} if quiet else {"progress": ProgressPrinter()}),
    )
    show_report(make_report(result), form=form, folder=Path(options["reports_dir"] or "reports") / name, quiet=quiet)


def check_options(options: Mapping[str, Any], supported: Collection[str]) -> None:
    """Checks that only supported options are given.

    Raises:
        UserError: Another one is given.
    """
    unsupported = sorted(
        name for name, value in options.items() if value not in (None, (), {}) and name not in supported
    )
    if unsupported:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in unsupported)
        known = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(supported))
        raise UserError(f"--arena trains nothing. Received: {flags}.", hint=f"Options with --arena: {known}.")


class ProgressPrinter:
    """Prints how many runs are done: on a terminal in one line that is overwritten, else a line now and then."""

    def __init__(self) -> None:
        self._started_at, self._last_printed_at = time.monotonic(), float("-inf")

    def __call__(self, done: int, total: int) -> None:
        """Prints if the last time was long enough ago, or at the end."""
        now = time.monotonic()
        on_terminal = sys.stderr.isatty()
        if done < total and now - self._last_printed_at < (0.2 if on_terminal else PRINT_INTERVAL_SECONDS):
            return
        self._last_printed_at = now
        end = "\r" if on_terminal and done < total else "\n"
        click.echo(f"{done} of {total} runs, {now - self._started_at:.0f} s{end}", nl=False, err=True)
