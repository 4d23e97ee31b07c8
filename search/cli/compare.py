"""``compare``: engines under equal budgets and from equal seeds, on real training or with ``--arena`` on tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from search.cli.options import READ_OPTIONS, merge_options, setting_options

if TYPE_CHECKING:
    from search.compare.plan import ComparisonPlan
    from search.session.parallelism.policy import WorkerLayout

ARENAS = ("hpobench-mlp", "fcnet", "nasbench201", "recorded")  # as in search.compare.tabular, which is slow to import
ENGINES = "optuna:mutation,optuna:tpe,optuna:random,keras-tuner:hyperband,keras-tuner:bayesian"
OPTIONS = (
    "space", "dataset", *READ_OPTIONS, "epochs", "pruner", "fix", "range", "seed",
    "split", "split_seed", "folds", "class_weight", "replicates", "workers", "threads", "ordered", "backend", "devices",
    "deterministic", "precision", "kernels", "layers", "studies_dir", "reports_dir", "cache_dir",
)  # fmt: skip
REPEATS = 3


def complete_benchmark(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Returns the benchmarks for the shell."""
    from search.cli.completion import complete_list_item

    return complete_list_item(ARENAS, incomplete)


def complete_engines(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Returns the list so far with each engine that could follow, for the shell."""
    from search.cli.completion import complete_list_item
    from search.engines.registry import engine_names

    return complete_list_item(engine_names(), incomplete)


@click.command("compare", context_settings={"ignore_unknown_options": True})
@click.option(
    "--engines",
    metavar="A,B,...",
    shell_complete=complete_engines,
    help=f"Engines to compare.  [default: {ENGINES}; with --arena all fast engines]",
)
@click.option(
    "--repeats", type=int, metavar="N", help="Studies of each engine.  [default: 3; with --arena 30, recorded 20]"
)
@click.option(
    "--arena",
    metavar="ARENA",
    shell_complete=complete_benchmark,
    help="Look trials up in tables of finished trainings instead of training: hpobench-mlp, fcnet or nasbench201; or "
    "predict them from recorded trainings: recorded, or the path of a recording.",
)
@click.option(
    "--budget",
    metavar="TIME",
    help="Time of each search, such as 10m, without its verification; with --arena recorded a list.",
)
@click.option(
    "--trials",
    type=int,
    metavar="N",
    help="Full trials' worth of epochs for each search.  [default budget: 20; with --arena 100]",
)
@click.option("--total-epochs", type=int, metavar="N", help="Epochs for each search.")
@click.option(
    "--with-recipes",
    is_flag=True,
    default=None,
    help="Each search tries the space's recipes after the baseline; without, it starts from the baseline alone.",
)
@click.option("--name", help="Name of the comparison; made from data set and space when not given.")
@setting_options(*OPTIONS)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "markdown", "csv", "json"]),
    default="table",
    show_default=True,
    help="Format of the output; the report files hold all of them and a plot.",
)
@click.option("--report-only", is_flag=True, help="Run nothing; report what is recorded under --name.")
@click.option("--quiet", is_flag=True, help="No progress; only the comparison.")
@click.argument("extra", nargs=-1, type=click.UNPROCESSED, metavar="[--PARAMETER VALUE]...")
def command(form: str, report_only: bool, quiet: bool, **options: Any) -> None:
    """Compare engines on real training, under equal budgets and from equal seeds.

    Each engine searches the space, --repeats times, with the same seeds as the others; the best of each study is
    verified on the test images. The same command again continues where it stopped, and more --engines or --repeats can
    be added.
    """
    if options["arena"] is not None:
        from search.cli import compare_arena, compare_recorded

        arena = compare_recorded if compare_recorded.is_recorded(options["arena"]) else compare_arena
        arena.run({**options, "report_only": report_only or None}, form=form, quiet=quiet)
        return
    from search.cli.compare_display import show_report
    from search.cli.run import INTERRUPTED_EXIT_CODE
    from search.compare.report import make_report
    from search.compare.store import StudyStore

    if report_only:
        folder, is_interrupted = recorded_folder(options), False
    else:
        folder, is_interrupted = run_comparison(options, quiet=quiet)
    reports_dir = Path(options["reports_dir"] or "reports") / folder.name
    show_report(make_report(StudyStore(folder).load()), form=form, folder=reports_dir, quiet=quiet)
    if is_interrupted:
        if not quiet:
            click.echo("Interrupted; run the same command again to continue.", err=True)
        raise SystemExit(INTERRUPTED_EXIT_CODE)


def plan_comparison(options: Mapping[str, Any], *, quiet: bool) -> ComparisonPlan:
    """Returns the plan for the options."""
    from search.cli.display import IMPORTING_KERAS_TUNER, describe_probe
    from search.compare.plan import make_comparison_plan
    from search.session.quantities import parse_duration
    from search.session.settings import from_mapping

    shared = merge_options({name: options[name] for name in OPTIONS}, extra=options["extra"], command="compare")
    bounds = {name: options[name] for name in ("trials", "total_epochs") if options[name] is not None}
    if options["budget"] is not None:
        bounds["timeout"] = parse_duration(options["budget"])

    if "keras-tuner" in (options["engines"] or ENGINES) and not quiet:
        click.echo(IMPORTING_KERAS_TUNER, err=True)

    def show_probe(layouts: Sequence[WorkerLayout]) -> None:
        if not quiet:
            click.echo(describe_probe(layouts), err=True)

    return make_comparison_plan(
        from_mapping({**shared, **bounds}),
        engines=[name.strip() for name in (options["engines"] or ENGINES).split(",") if name.strip()],
        repeats=REPEATS if options["repeats"] is None else options["repeats"],
        name=options["name"],
        with_recipes=bool(options["with_recipes"]),
        on_probe_start=show_probe,
    )


def run_comparison(options: Mapping[str, Any], *, quiet: bool) -> tuple[Path, bool]:
    """Runs the comparison of the options; returns the comparison's folder and whether it was interrupted."""
    from search.cli.compare_display import StudyDisplay, describe_comparison
    from search.compare.run import run_studies
    from search.session.callbacks import Callback

    plan = plan_comparison(options, quiet=quiet)
    if not quiet:
        click.echo(describe_comparison(plan), err=True)
    return plan.folder, run_studies(plan, lambda key: Callback() if quiet else StudyDisplay(plan, key))


def recorded_folder(options: Mapping[str, Any]) -> Path:
    """Returns the folder of the recorded comparison to report.

    Raises:
        UserError: Its name is not given.
    """
    from search.errors import UserError

    if options["name"] is None:
        raise UserError("--report-only needs the comparison's name.", hint="Give it with --name NAME.")
    return Path(options["studies_dir"] or "studies") / str(options["name"])
