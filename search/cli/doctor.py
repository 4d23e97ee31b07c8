"""``doctor``: checks whether a search would run here, and prints how to fix what would fail.

The JSON document, version 1::

    {"schema": 1, "would_run": true, "seconds": 11.2,
     "checks": [{"name": "python", "status": "ok" | "warning" | "fails", "found": TEXT, "remedy": TEXT,
                 "details": {...}}, ...]}

Names and order of the checks are those of ``search.doctor.checks.CHECKS``; details differ by check.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import time
from typing import TYPE_CHECKING, Any

import click

from search.cli.options import READ_OPTIONS, merge_options, setting_options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from search.doctor.checks import CheckResult

SCHEMA = 1
COLOURS = {"ok": "green", "warning": "yellow", "fails": "red"}
INDENT = 19
"""Characters before a check's message: its status and name."""


@click.command("doctor")
@setting_options(
    "space",
    "dataset",
    *READ_OPTIONS,
    "backend",
    "devices",
    "kernels",
    "studies_dir",
    "reports_dir",
    "cache_dir",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def command(as_json: bool, **options: Any) -> None:
    """Check whether a search would run here, and show how to fix problems.

    Checks Python, packages, extras, processor, memory, folders, data, engine, backend and GPUs, and trains two steps of
    the space's baseline in a worker process. Exit code 0 if a search would run, warnings or not; 1 if not. Writes only
    the data cache and temporary folders.
    """
    import json

    from search.doctor.check_context import open_context
    from search.doctor.checks import CHECKS, failed_checks, run_check, would_run
    from search.session.settings import from_mapping

    started_at = time.monotonic()
    results: dict[str, CheckResult] = {}
    with open_context(from_mapping(merge_options(options))) as context:
        for name in CHECKS:
            _show_current_check(name)
            results[name] = run_check(name, context, results)
            _show_current_check("")
            if not as_json:
                click.echo(_row(name, results[name]), color=_coloured())
    seconds, is_runnable = time.monotonic() - started_at, would_run(results)
    if as_json:
        checks = [{"name": name, **result.to_json()} for name, result in results.items()]
        document = {"schema": SCHEMA, "would_run": is_runnable, "seconds": round(seconds, 2), "checks": checks}
        click.echo(json.dumps(document, indent=2))
    else:
        click.echo(_verdict(results, failed_checks(results), seconds), color=_coloured())
    raise SystemExit(0 if is_runnable else 1)


def _show_current_check(name: str) -> None:
    """Shows the current check on a terminal; an empty name removes the line."""
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        click.echo(f"\r\x1b[K{f'checking {name} ...' if name else ''}", err=True, nl=False)


def _coloured() -> bool | None:
    """Returns False if NO_COLOR is set, else None, by which Click decides from the output."""
    return False if os.environ.get("NO_COLOR") else None


def _row(name: str, result: CheckResult) -> str:
    """Returns a check's lines: status, name and message, and below them the fix."""
    lines = [*map(_wrapped, result.message.splitlines()), *(_wrapped(f"-> {x}") for x in result.fix.splitlines())]
    mark = click.style(f"{result.status:<8}", fg=COLOURS[result.status], bold=True)
    return f"{mark} {name:<9} {textwrap.indent(chr(10).join(lines), ' ' * INDENT).lstrip()}"


def _wrapped(line: str) -> str:
    """Returns a line wrapped to the terminal's width; paths and commands stay whole, so that they can be copied."""
    if line.startswith(("-> pip ", "-> python ")):
        return line
    return textwrap.fill(
        line,
        min(100, shutil.get_terminal_size().columns) - INDENT,
        subsequent_indent=" " * (len(line) - len(line.lstrip()) + 3 * line.startswith("-> ")),
        break_on_hyphens=False,
        break_long_words=False,
    )


def _verdict(results: Mapping[str, CheckResult], broken: Sequence[str], seconds: float) -> str:
    text = f"A search would not run here. Fix: {', '.join(broken)}." if broken else "A search would run here."
    warnings = sum(result.status == "warning" for result in results.values())
    counts = f"{len(results)} checks in {seconds:.0f} s, {warnings} warning{'s' if warnings != 1 else ''}."
    return f"\n{click.style(text, fg='red' if broken else 'green', bold=True)}\n{counts}"
