"""``compare``: a tournament of engines under equal budgets and from equal seeds, and what it shows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from search.cli.options import gather, setting_options

if TYPE_CHECKING:
    from search.comparison.results import Comparison
    from search.tournament.plan import Tournament

ARENAS = ("hpobench-mlp", "fcnet", "nasbench201")
ENGINES = "optuna:tpe,optuna:random,keras-tuner:hyperband,keras-tuner:bayesian"
OPTIONS = (
    "space", "dataset", "epochs", "pruner", "fix", "range", "seed", "split", "split_seed", "replicates", "workers",
    "threads", "ordered", "backend", "devices", "deterministic", "precision", "studies_dir", "reports_dir",
    "cache_dir",
)  # fmt: skip

REPEATS = 3


def complete_arena(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Returns, for the shell, the arenas."""
    from search.cli.completion import begun_with

    return begun_with(ARENAS, incomplete)


def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Returns, for the shell, the list so far with each engine that could follow."""
    from search.cli.completion import begun_with
    from search.engines.registry import engine_names

    return begun_with(engine_names(), incomplete)


@click.command("compare", context_settings={"ignore_unknown_options": True})
@click.option(
    "--engines",
    metavar="A,B,...",
    shell_complete=complete,
    help=f"Who enters.  [default: {ENGINES}; in an arena all that play fast]",
)
@click.option("--repeats", type=int, metavar="N", help="Studies of each engine.  [default: 3; in an arena 30]")
@click.option(
    "--arena",
    metavar="ARENA",
    shell_complete=complete_arena,
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
def command(form: str, report_only: bool, quiet: bool, **given: Any) -> None:  # noqa: ANN401
    """Set engines against each other on real training, under equal budgets and from equal seeds.

    Each engine searches the space from the baseline alone, --repeats times, each time with the same seeds as the
    others; the best of each study is verified on the test images. Running the same command again goes on where the
    tournament stopped, and more --engines or --repeats can be added.
    """
    if given["arena"] is not None:
        from search.cli import compare_arena

        compare_arena.run({**given, "report_only": report_only or None}, form=form, quiet=quiet)
        return
    from search.cli.run import INTERRUPTED
    from search.tournament.store import compare

    if report_only:
        folder, interrupted = recorded_folder(given), False
    else:
        tournament = plan(given)
        folder, interrupted = tournament.folder, play(tournament, quiet=quiet)
    show(compare(folder), form=form, reports_dir=Path(given["reports_dir"] or "reports"), quiet=quiet)
    if interrupted:
        if not quiet:
            click.echo("Interrupted; run the same command again to go on.", err=True)
        raise SystemExit(INTERRUPTED)


def plan(given: Mapping[str, Any]) -> Tournament:
    """Returns the tournament that the options ask for."""
    from search.session.settings import from_mapping, parse_duration
    from search.tournament.plan import make_tournament

    shared = gather({name: given[name] for name in OPTIONS}, extra=given["extra"], command="compare")
    bounds = {name: given[name] for name in ("trials", "total_epochs") if given[name] is not None}
    if given["budget"] is not None:
        bounds["timeout"] = parse_duration(given["budget"])
    settings = from_mapping({**shared, **bounds})
    engines = [name.strip() for name in (given["engines"] or ENGINES).split(",") if name.strip()]
    repeats = REPEATS if given["repeats"] is None else given["repeats"]
    return make_tournament(settings, engines=engines, repeats=repeats, name=given["name"])


def play(tournament: Tournament, *, quiet: bool) -> bool:
    """Runs the tournament; returns whether it was interrupted."""
    from search.cli.compare_display import BoutDisplay, describe
    from search.cli.display import describe_measuring
    from search.session.packing import Watch
    from search.session.progress import Progress
    from search.tournament.plan import pack_all
    from search.tournament.run import run

    if quiet:
        return run(pack_all(tournament, Watch()), lambda _: Progress())
    watch = Watch(measuring=lambda layouts: click.echo(describe_measuring(layouts), err=True))
    tournament = pack_all(tournament, watch)
    click.echo(describe(tournament), err=True)
    return run(tournament, BoutDisplay)


def show(comparison: Comparison, *, form: str, reports_dir: Path, quiet: bool) -> None:
    """Prints the comparison and writes its reports."""
    from search.comparison.files import write_reports
    from search.comparison.formats import FORMATS

    paths = write_reports(comparison, reports_dir / comparison.rules.name)
    click.echo(FORMATS[form](comparison), nl=False)
    if not quiet:
        click.echo(f"Written: {', '.join(map(str, paths))}", err=True)


def recorded_folder(given: Mapping[str, Any]) -> Path:
    """Returns the folder of the tournament that is to be reported.

    Raises:
        UserError: It is not named.
    """
    from search.errors import UserError

    if given["name"] is None:
        raise UserError("--report-only needs the tournament's name.", hint="Give it with --name NAME.")
    return Path(given["studies_dir"] or "studies") / str(given["name"])
