"""The README says what is: its commands parse, its example is the file it names, its two set-up commands are there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from search.cli import COMMANDS, group

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMAND_LINES = [line.partition("  #")[0] for line in README.splitlines() if line.startswith("python -m search")]


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_a_command_of_the_readme_is_understood(line: str) -> None:
    name, *words = shlex.split(line)[3:]
    context = group.make_context("search", [name, *words])
    command = group.get_command(context, name)
    assert command is not None
    if hasattr(command, "commands"):
        name, *words = words
        command = command.commands[name]
    parsed = command.make_context(name, words)
    if name == "run":
        from search.cli.options import merge_options
        from search.session.settings import from_mapping

        given = {key: value for key, value in parsed.params.items() if key not in ("config", "extra")}
        for flag in ("dry_run", "quiet", "as_json"):
            given.pop(flag)
        from_mapping(merge_options(given, extra=parsed.params["extra"]))


def test_every_command_stands_in_the_readme() -> None:
    assert all(f"python -m search {name}" in README for name in COMMANDS)


def test_the_example_is_the_file_it_names() -> None:
    file = (ROOT / "docs" / "example_space.py").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```python\n(from spaces.*?)```", README, flags=re.DOTALL)
    assert file.endswith(shown)


def test_ci_runs_the_command_that_the_readme_gives() -> None:
    found = re.findall(r"^python3 -m venv .*pytest -n 2 --dist worksteal$", README, flags=re.MULTILINE)
    assert len(found) == 1
    assert "requirements.lock" in found[0]
    assert (ROOT / "requirements.lock").exists()


def test_both_commands_stand_on_the_first_screen() -> None:
    lines = README.splitlines()
    assert max(number for number, line in enumerate(lines) if line.startswith("python3 -m venv")) < 45
