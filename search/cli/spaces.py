"""``spaces``: lists the search spaces, or shows every parameter of one as a run would search it.

Imports neither Keras nor, before something is printed, Rich.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from search.cli.options import merge_options, setting_options
from search.engines.registry import caveats
from search.errors import UserError
from search.session.search_space import changed_space
from search.session.settings import Settings, from_mapping
from spaces.domains import Domain, widest
from spaces.registry import SPACES, SpaceError, load
from spaces.space import Space

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


@click.group(invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """List the search spaces, or show one of them."""
    if context.invoked_subcommand is None:
        context.invoke(list_spaces)


@command.command("list")
def list_spaces() -> None:
    """List the search spaces."""
    _console().print(_overview(load(name) for name in SPACES))


@command.command()
@click.argument("space", metavar="NAME|PATH")
@setting_options("fix", "range", "tune", "at", "from_", "studies_dir")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def show(space: str, as_json: bool, **options: Any) -> None:
    """Show a space as run would search it: parameters with baselines and meanings, recipes, and sources."""
    import json

    restricted = _load_changed(from_mapping({**merge_options(options), "space": space}))
    if as_json:
        click.echo(json.dumps(restricted.to_json(), indent=2))
    else:
        _print(restricted, _console())


def _load_changed(settings: Settings) -> Space:
    if settings.from_:
        from search.session.plan import load_space  # slow: imports Optuna

        return load_space(settings)[0]
    try:
        return changed_space(load(settings.space), settings)
    except SpaceError as error:
        raise UserError(str(error)) from error


def _console() -> Console:
    from rich.console import Console

    return Console(markup=False, emoji=False, highlight=False)  # "[0, 1)" is no markup


def _table(columns: Mapping[str, int | None]) -> Table:
    """Returns an empty table of columns with their maximum widths; the columns without share the rest of the line."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name, width in columns.items():
        table.add_column(name, max_width=width, overflow="fold")
    return table


def _overview(spaces: Iterable[Space]) -> Table:
    table = _table({"Space": 12, "Description": None, "Parameters": 10, "Size": 10, "Recipes": 24})
    for space in spaces:
        table.add_row(space.name, space.doc, str(len(space.parameters)), _size(space), "\n".join(space.recipes))
    return table


def _size(space: Space) -> str:
    size = space.size()
    return "continuum" if size is None else f"at most {size:,}"


def _print(space: Space, console: Console) -> None:
    """Prints the parameters, the recipes, and the numbered sources of both."""
    sources: dict[str, int] = {}
    console.print(f"{space.name}: {space.doc}")
    console.print(f"{len(space.parameters)} parameters, configurations: {_size(space)}")
    console.print(_parameters(space, sources))
    if space.recipes:
        console.print(_recipes(space, sources))
    for sentence in caveats(space):
        console.print(sentence)
    for source, number in sources.items():
        console.print(f"[{number}] {source}")


def _parameters(space: Space, sources: dict[str, int]) -> Table:
    table = _table({"Parameter": 20, "Domain": 17, "Baseline": 14, "Meaning": None})
    for name, domain in space.parameters.items():
        baseline = f"{domain.baseline} {domain.unit}".rstrip()
        table.add_row(name, domain.describe(), baseline, _meaning(domain, sources))
    return table


def _meaning(domain: Domain, sources: dict[str, int]) -> str:
    wide = widest(domain)
    more = "" if wide == domain else f"--range accepts {wide.describe()}."
    parts = [
        domain.doc,
        more,
        domain.when and f"Active when {domain.when.describe()}.",
        _footnote(domain.source, sources),
    ]
    return " ".join(part for part in parts if part)


def _recipes(space: Space, sources: dict[str, int]) -> Table:
    table = _table({"Recipe": 18, "Beyond the baseline": 22, "Meaning": None})
    for name, recipe in space.recipes.items():
        changes = ", ".join(f"{key}={value}" for key, value in recipe.values.items())
        table.add_row(name, changes, f"{recipe.doc} {_footnote(recipe.source, sources)}")
    return table


def _footnote(source: str, sources: dict[str, int]) -> str:
    """Returns the number of a source, such as ``[2]``, counted in order of appearance."""
    return f"[{sources.setdefault(source, len(sources) + 1)}]" if source else ""
