"""``compare``: a tournament of engines under equal budgets and from equal seeds, and what it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from search.cli.options import merge_options, setting_options

if TYPE_CHECKING:
    from search.compare.plan import ComparisonPlan
    from search.compare.results import Comparison
    from search.session.parallelism.policy import WorkerLayout

TABULAR_BENCHMARKS = ("hpobench-mlp", "fcnet", "nasbench201")
ENGINES = "optuna:tpe,optuna:random,keras-tuner:hyperband,keras-tuner:bayesian"
OPTIONS = (
    "space", "dataset", "epochs", "pruner", "fix", "range", "seed", "split", "split_seed", "replicates", "workers",
    "threads", "ordered", "backend", "devices", "deterministic", "precision", "studies_dir", "reports_dir",
    "cache_dir",
)  # fmt: skip

REPEATS = 3


def complete_benchmark(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Returns, for the shell, the arenas."""
    from search.cli.completion import complete_list_item

    return complete_list_item(TABULAR_BENCHMARKS, incomplete)


def complete_engines(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Returns, for the shell, the list so far with each engine that could follow."""
    from search.cli.completion import complete_list_item
    from search.engines.registry import engine_names

    return complete_list_item(engine_names(), incomplete)


@click.command("compare", context_settings={"ignore_unknown_options": True})
@click.option(
    "--engines",
    metavar="A,B,...",
    shell_complete=complete_engines,
    help=f"Who enters.  [default: {ENGINES}; in an arena all that play fast]",
)
@click.option("--repeats", type=int, metavar="N", help="Studies of each engine.  [default: 3; in an arena 30]")
@click.option(
    "--arena",
    metavar="ARENA",
    shell_complete=complete_benchmark,
    help="Train nothing: look trials up in tables of finished trainings. hpobench-mlp, fcnet or nasbench201.",
)
@click.option("--budget", metavar="TIME", help="Time of each search, such as 10m; verification comes on top.")
@click.option(
    "--trials",
    type=int,
    metavar="N",
    help="Epochs of so many full trials for each search.  [default budget: 20; in an arena 100]",
)
@click.option("--total-epochs", type=int, metavar="N", help="Epochs for each search, however it divides them.")
@click.option("--name", help="Name of the tournament; made from data set and space when not given.")
@setting_options(*OPTIONS)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "markdown", "csv", "json"]),
    default="table",
    show_default=True,
    help="How to print it; the reports hold them all, and a plot.",
)
@click.option("--report-only", is_flag=True, help="Run nothing; report what the tournament called --name has recorded.")
@click.option("--quiet", is_flag=True, help="No progress; only the comparison.")
@click.argument("extra", nargs=-1, type=click.UNPROCESSED, metavar="[--PARAMETER VALUE]...")
def command(form: str, report_only: bool, quiet: bool, **options: Any) -> None:
    """Set engines against each other on real training, under equal budgets and from equal seeds.

    Each engine searches the space from the baseline alone, --repeats times, each time with the same seeds as the
    others; the best of each study is verified on the test images. Running the same command again goes on where the
    tournament stopped, and more --engines or --repeats can be added.
    """
    if options["arena"] is not None:
        from search.cli import compare_arena

        compare_arena.run({**options, "report_only": report_only or None}, form=form, quiet=quiet)
        return
    from search.cli.run import INTERRUPTED_EXIT_CODE
    from search.compare.store import load_comparison

    if report_only:
        folder, interrupted = recorded_folder(options), False
    else:
        tournament = plan_comparison(options, quiet=quiet)
        folder, interrupted = tournament.folder, run_comparison(tournament, quiet=quiet)
    report_comparison(
        load_comparison(folder), form=form, reports_dir=Path(options["reports_dir"] or "reports"), quiet=quiet
    )
    if interrupted:
        if not quiet:
            click.echo("Interrupted; run the same command again to go on.", err=True)
        raise SystemExit(INTERRUPTED_EXIT_CODE)


def plan_comparison(options: Mapping[str, Any], *, quiet: bool) -> ComparisonPlan:
    """Returns the tournament that the options ask for."""
    from search.cli.display import describe_probe
    from search.compare.plan import make_comparison_plan
    from search.session.settings import from_mapping, parse_duration

    shared = merge_options({name: options[name] for name in OPTIONS}, extra=options["extra"], command="compare")
    bounds = {name: options[name] for name in ("trials", "total_epochs") if options[name] is not None}
    if options["budget"] is not None:
        bounds["timeout"] = parse_duration(options["budget"])
    settings = from_mapping({**shared, **bounds})
    engines = [name.strip() for name in (options["engines"] or ENGINES).split(",") if name.strip()]
    repeats = REPEATS if options["repeats"] is None else options["repeats"]

    def show_probe(layouts: Sequence[WorkerLayout]) -> None:
        if not quiet:
            click.echo(describe_probe(layouts), err=True)

    return make_comparison_plan(
        settings, engines=engines, repeats=repeats, name=options["name"], on_probe_start=show_probe
    )


def run_comparison(tournament: ComparisonPlan, *, quiet: bool) -> bool:
    """Runs the tournament; returns whether it was interrupted."""
    from search.cli.compare_display import StudyRunDisplay, describe_comparison
    from search.compare.run import run_studies
    from search.session.callbacks import Callback

    if quiet:
        return run_studies(tournament, lambda _: Callback())
    click.echo(describe_comparison(tournament), err=True)
    return run_studies(tournament, StudyRunDisplay)


def report_comparison(comparison: Comparison, *, form: str, reports_dir: Path, quiet: bool) -> None:
    """Prints the comparison and writes its reports."""
    from search.compare.files import write_reports
    from search.compare.formats import FORMATS

    paths = write_reports(comparison, reports_dir / comparison.spec.name)
    click.echo(FORMATS[form](comparison), nl=False)
    if not quiet:
        click.echo(f"Written: {', '.join(map(str, paths))}", err=True)


def recorded_folder(options: Mapping[str, Any]) -> Path:
    """Returns the folder of the tournament that is to be reported.

    Raises:
        UserError: It is not named.
    """
    from search.errors import UserError

    if options["name"] is None:
        raise UserError("--report-only needs the tournament's name.", hint="Give it with --name NAME.")
    return Path(options["studies_dir"] or "studies") / str(options["name"])
