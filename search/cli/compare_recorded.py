"""``compare --arena recorded`` or ``--arena PATH``: compares engines on recorded trainings, on a virtual clock."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.cli.compare_arena import ProgressPrinter, check_options

ARENA = "recorded"
"""Stands for the recordings in ``FOLDER``."""
FOLDER = Path("reports/published/recordings")
BUDGETS, REPEATS, WORKERS = "5m,15m,60m,240m", 20, 2
ENGINES = (
    "optuna:mutation,optuna:tpe,optuna:random,optuna:cmaes,optuna:nsga2,keras-tuner:hyperband,"
    "rival:recipes,rival:mutation,rival:generations,rival:cfo"
)
OPTIONS = frozenset(
    {
        "arena", "engines", "repeats", "budget", "pruner", "name", "seed", "workers", "studies_dir", "reports_dir",
    }
)  # fmt: skip
"""The options of ``compare`` that apply here."""


def is_recorded(arena: str) -> bool:
    """Returns whether ``--arena`` names recorded trainings, not a tabular benchmark."""
    return arena == ARENA or Path(arena).exists() or Path(arena).name.endswith((".jsonl", ".jsonl.gz"))


def run(options: Mapping[str, Any], *, form: str, quiet: bool) -> None:
    """Simulates the missing searches, prints the result, and writes the report files.

    Raises:
        UserError: An option does not apply or is invalid, or a recording cannot be used.
    """
    from search.cli.compare_display import show_report
    from search.compare.recorded.contenders import parse_contender
    from search.compare.recorded.recordings import find_recordings
    from search.compare.recorded.report import make_report
    from search.compare.recorded.run import run_searches
    from search.compare.recorded.simulate import RecordedSpec
    from search.session.plan import command_line
    from search.session.quantities import parse_duration
    from search.training.runtime import usable_cores

    check_options(options, OPTIONS)
    names = [name.strip() for name in (options["engines"] or ENGINES).split(",") if name.strip()]
    budgets = [text.strip() for text in (options["budget"] or BUDGETS).split(",") if text.strip()]
    engines = tuple(parse_contender(name, pruner=options["pruner"]) for name in names)
    path = FOLDER if options["arena"] == ARENA else Path(options["arena"])
    spec = RecordedSpec(
        recordings=find_recordings(path),
        engines=engines,
        budgets=tuple(map(parse_duration, budgets)),
        repeats=REPEATS if options["repeats"] is None else options["repeats"],
        seed=options["seed"] or 0,
        workers=WORKERS if options["workers"] is None else options["workers"],
        pruner=options["pruner"],
    )
    name = options["name"] or "arena-recorded"
    result = run_searches(
        spec,
        Path(options["studies_dir"] or "studies") / name,
        processes=usable_cores(),
        command=command_line(spec.seed),
        **({} if quiet else {"progress": ProgressPrinter()}),
    )
    show_report(make_report(result), form=form, folder=Path(options["reports_dir"] or "reports") / name, quiet=quiet)
