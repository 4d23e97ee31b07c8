"""Command-line options made from the settings' own declaration, so that names, defaults and help stand once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from search.errors import UserError, unknown_name
from search.session.settings import Settings, from_file, from_mapping, parse_pair

if TYPE_CHECKING:
    from search.records.storage.locations import StudyLocation

Command = Callable[..., Any]


def setting_options(*names: str) -> Callable[[Command], Command]:
    """Returns a decorator that adds the options of the named settings, all of them where none is named."""
    fields = [field for field in dataclasses.fields(Settings) if not names or field.name in names]

    def decorate(command: Command) -> Command:
        for field in reversed(fields):
            command = _option(field)(command)
        return command

    return decorate


def _option(field: dataclasses.Field[Any]) -> Callable[[Command], Command]:
    name, kind = field.name.replace("_", "-"), field.metadata.get("kind", str(field.type).replace(" | None", ""))
    default = (
        "" if field.default in (None, (), dataclasses.MISSING) or kind == "bool" else f" [default: {field.default}]"
    )
    text = field.metadata["doc"] + default
    if kind == "bool":
        return click.option(f"--{name}/--no-{name}", field.name, default=None, help=text)
    if kind in ("pairs", "goals"):
        metavar = "NAME=VALUE" if kind == "pairs" else "GOAL"
        return click.option(f"--{name}", field.name, multiple=True, metavar=metavar, help=text)
    return click.option(
        f"--{name}",
        field.name,
        type=int if kind == "int" else str,
        default=None,
        metavar={"duration": "TIME", "size": "SIZE", "int": "N"}.get(kind, field.name.upper()),
        help=text,
        envvar=field.metadata.get("envvar"),
        show_envvar="envvar" in field.metadata,
        shell_complete=make_completer(field.name),
    )


def make_completer(option: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Returns what a shell calls to complete the value of an option."""

    def complete(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
        from search.cli.completion import complete_list_item, option_values

        return complete_list_item(option_values(option, context.params), incomplete)

    return complete


def study_location(options: Mapping[str, Any]) -> StudyLocation:
    """Returns where studies are kept, from the options ``--studies-dir`` and ``--storage``."""
    from search.records.storage.locations import StudyLocation

    settings = from_mapping(merge_options(options))
    return StudyLocation(studies_dir=Path(settings.studies_dir), storage=settings.storage)


def merge_options(
    flags: Mapping[str, Any], *, config: Path | None = None, extra: Sequence[str] = (), command: str = "run"
) -> dict[str, Any]:
    """Returns the options by name, for ``from_mapping``: those of a file, overruled by those given as flags.

    Args:
        flags: Flags as click read them; None and empty mean not given.
        config: A TOML file.
        extra: What click did not know: ``--batch-size 64`` fixes the parameter of that name.
        command: The command that was called, for what it does not take.
    """
    options = {name.replace("-", "_"): value for name, value in (from_file(config) if config else {}).items()}
    from_mapping(options)  # a file is judged by itself, before flags cover what is wrong in it
    for name, value in flags.items():
        if value is None or value == ():
            continue
        if name in ("fix", "range"):
            options[name] = {**options.get(name, {}), **dict(parse_pair(text, name) for text in value)}
        else:
            options[name] = value
    fixed = dict(_parameters(extra))
    if fixed:
        _check_parameters(fixed, options.get("space", "cnn"), command)
        options["fix"] = {**options.get("fix", {}), **fixed}
    return options


def _parameters(extra: Sequence[str]) -> Iterable[tuple[str, str]]:
    """Yields the pairs in ``--name value --name=value``."""
    arguments = iter(extra)
    for word in arguments:
        if not word.startswith("--"):
            raise UserError(f"Unexpected argument. Received: {word!r}.", hint="Options begin with --.")
        name, sign, value = word[2:].partition("=")
        value = value if sign else next(arguments, "")
        yield name.replace("-", "_"), value


def _check_parameters(fixed: Mapping[str, str], space: str, command: str) -> None:
    """Refuses an option that is neither a setting nor a parameter, naming the nearest one that is.

    Raises:
        UserError: There is such an option, or one without a value.
    """
    from spaces import registry

    try:
        parameters = registry.load(space).parameters
    except registry.SpaceError as error:
        raise UserError(str(error)) from None
    settings = [field.name for field in dataclasses.fields(Settings)]
    for name, value in fixed.items():
        if name not in parameters:
            if name in settings:
                raise UserError(f"{command} takes no --{name.replace('_', '-')}; run does.")
            valid_names = [*parameters, *settings]
            raise unknown_name("option or parameter", f"--{name}".replace("_", "-"), _dashed(valid_names))
        if not value:
            raise UserError(f"Option --{name.replace('_', '-')} needs a value.")


def _dashed(names: Iterable[str]) -> list[str]:
    return [f"--{name}".replace("_", "-") for name in names]
