"""Options of all commands."""

from pathlib import Path

import click
import pytest

from search.cli import group
from search.cli.options import FilePath

PATH_OPTIONS = ("--config", "--out", "--studies-dir", "--reports-dir", "--cache-dir", "--tensorboard", "--space")


def options_of(command: click.Command, context: click.Context) -> list[click.Parameter]:
    if not isinstance(command, click.Group):
        return list(command.params)
    names = command.list_commands(context)
    return [
        each for name in names if (inner := command.get_command(context, name)) for each in options_of(inner, context)
    ]


def test_the_home_folder_is_understood_in_every_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    options = options_of(group, click.Context(group))
    assert {name for name in PATH_OPTIONS if any(name in option.opts for option in options)} == set(PATH_OPTIONS)
    for option in options:
        if isinstance(option.type, click.Path) or set(option.opts) & set(PATH_OPTIONS):
            assert isinstance(option.type, FilePath), option.opts
    assert FilePath().convert("~/a", None, None) == tmp_path / "a"
