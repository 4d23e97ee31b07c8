"""Command-line options made from the settings, so that names, defaults and help texts are declared once."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from search.errors import UserError
from search.session.settings import Settings, flag, from_file, from_mapping, parse_pair, unknown_option

if TYPE_CHECKING:
    from search.records.storage.locations import StudyLocation

Command = Callable[..., Any]
READ_OPTIONS = ("image_size", "test_share", "transpose", "channels")
"""Settings that say how a data set is read, by their names."""


class FilePath(click.Path):
    """A path of which ``~`` is the user's home, which a shell leaves as it is in ``--out=~/a.html``."""

    def __init__(self, *, file_okay: bool = True, dir_okay: bool = True, path_type: type[Any] = Path) -> None:
        super().__init__(file_okay=file_okay, dir_okay=dir_okay, path_type=path_type)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Returns the path."""
        return super().convert(os.path.expanduser(value), param, ctx)  # noqa: PTH111 - leaves the home of an unknown user


GROUPS: Mapping[str, Sequence[str]] = {
    "Search": (
        "space", "fix", "range", "tune", "at", "recipes", "from_", "max_parameters", "engine", "sampler", "pruner",
        "ordered", "seed", "study",
    ),
    "Budget": (
        "trials", "timeout", "total_epochs", "epochs", "trial_timeout", "trial_memory", "max_seconds", "stop_when",
    ),
    "Data": ("dataset", *READ_OPTIONS),
    "Judging": (
        "protocol", "split", "split_seed", "folds", "class_weight", "objective", "finalists", "replicates",
        "equivalence",
    ),
    "Machine": (
        "workers", "threads", "executor", "address", "backend", "devices", "deterministic", "precision", "kernels",
        "layers",
    ),
    "Places": (
        "storage", "studies_dir", "reports_dir", "tensorboard", "mlflow", "cache_dir", "checkpoint_dir", "keep_weights",
    ),
}  # fmt: skip
"""Headings of a long help text, and the options below each; all others stand below "Other"."""


class GroupedCommand(click.Command):
    """Shows its options in the groups of ``GROUPS``."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the options, a section a group."""
        sections: dict[str, list[tuple[str, str]]] = {title: [] for title in [*GROUPS, "Other"]}
        for parameter in self.get_params(ctx):
            title = next((title for title, names in GROUPS.items() if parameter.name in names), "Other")
            if (record := parameter.get_help_record(ctx)) is not None:
                sections[title].append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def setting_options(*names: str) -> Callable[[Command], Command]:
    """Returns a decorator that adds the options of the named settings, or of all settings if none is named."""
    fields = [field for field in dataclasses.fields(Settings) if not names or field.name in names]

    def decorate(command: Command) -> Command:
        for field in reversed(fields):
            command = _option(field)(command)
        return command

    return decorate


_METAVARS = {"duration": "TIME", "size": "SIZE", "int": "N", "number": "POINTS", "share": "SHARE", "count": "N"}
"""Kinds of options to what stands for their values in help texts."""


_TYPES: Mapping[str, Any] = {"int": int, "path": FilePath(path_type=str)}
"""Kinds of options to their types; others are texts."""


def _option(field: dataclasses.Field[Any]) -> Callable[[Command], Command]:
    option, kind = flag(field.name), field.metadata.get("kind", str(field.type).replace(" | None", ""))
    has_default = kind != "bool" and field.default not in (None, (), dataclasses.MISSING)
    text = field.metadata["doc"] + (f"  [default: {field.default}]" if has_default else "")
    if kind == "bool":
        return click.option(f"{option}/--no-{option[2:]}", field.name, default=None, help=text)
    if (
        metavar := {"pairs": "NAME=VALUE", "goals": "GOAL", "studies": "STUDY", "names": "NAMES"}.get(kind)
    ) is not None:
        return click.option(option, field.name, multiple=True, metavar=metavar, help=text)
    return click.option(
        option,
        field.name,
        type=_TYPES.get(kind, str),
        default=None,
        metavar=_METAVARS.get(kind, field.name.upper()),
        help=text,
        envvar=field.metadata.get("envvar"),
        show_envvar="envvar" in field.metadata,
        shell_complete=make_completer(field.name),
    )


def make_completer(option: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Returns the function that completes the value of an option in a shell."""

    def complete(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
        from search.cli.completion import complete_list_item, option_values

        return complete_list_item(option_values(option, context.params), incomplete)

    return complete


def study_location(options: Mapping[str, Any]) -> StudyLocation:
    """Returns where studies are kept, from the options ``--studies-dir`` and ``--storage``."""
    from search.records.storage.locations import StudyLocation

    settings = from_mapping(merge_options(options))
    return StudyLocation(studies_dir=Path(settings.studies_dir), storage=settings.storage)


def equivalence_points(options: Mapping[str, Any]) -> float:
    """Returns half the width of the region of practical equivalence, in percentage points, from ``--equivalence``."""
    return from_mapping(merge_options(options)).equivalence


def merge_options(
    flags: Mapping[str, Any], *, config: Path | None = None, extra: Sequence[str] = (), command: str = "run"
) -> dict[str, Any]:
    """Returns the options by name, for ``from_mapping``: those of a file, overridden by flags.

    Args:
        flags: Flags as Click parsed them; None and empty mean not given.
        config: A TOML file.
        extra: Arguments unknown to Click: ``--batch-size 64`` fixes the parameter of that name.
        command: Name of the command, for messages.

    Raises:
        UserError: The file or an option is invalid.
    """
    options = {name.replace("-", "_"): value for name, value in (from_file(config) if config else {}).items()}
    from_mapping(options)  # validates the file by itself, before flags override what is wrong in it
    for name, value in flags.items():
        if name in ("fix", "range") and value:
            options[name] = {**options.get(name, {}), **_once(parse_pair(text, name) for text in value)}
        elif value is not None and value != ():
            options[name] = value
    if fixed := _once(_parse_extra(extra)):
        _check_parameters(fixed, options.get("space", "cnn"), command)
        _once([*fixed.items(), *(parse_pair(text, "fix") for text in flags.get("fix") or ())])
        options["fix"] = {**options.get("fix", {}), **fixed}
    return options


def _once(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Returns pairs of a parameter and its value by parameter.

    Raises:
        UserError: A parameter has two values.
    """
    values: dict[str, str] = {}
    for name, value in pairs:
        if values.setdefault(name, value) != value:
            raise UserError(f"The parameter {name} has two values. Received: {values[name]} and {value}.")
    return values


def _parse_extra(extra: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yields names and values from ``--name value --name=value``."""
    arguments = iter(extra)
    for argument in arguments:
        if not argument.startswith("--"):
            raise UserError(f"Unexpected argument. Received: {argument!r}.", hint="Options begin with --.")
        name, equals, value = argument[2:].partition("=")
        yield name.replace("-", "_"), value if equals else next(arguments, "")


def _check_parameters(fixed: Mapping[str, str], space: str, command: str) -> None:
    """Raises UserError for an option that is neither a setting nor a parameter of the space, or has no value."""
    from spaces import registry

    try:
        parameters = registry.load(space).declared
    except registry.SpaceError as error:
        raise UserError(str(error)) from None
    settings = [field.name for field in dataclasses.fields(Settings)]
    for name, value in fixed.items():
        if name in settings and name not in parameters:
            raise UserError(f"{command} has no option {flag(name)}; run has it.")
        if name not in parameters:
            raise unknown_option(flag(name), map(flag, [*parameters, *settings]), kind="option or parameter")
        if not value:
            raise UserError(f"Option {flag(name)} needs a value.")
