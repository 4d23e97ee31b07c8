"""The README and the guides agree with the code: commands parse, links resolve, the example space is the file."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from search.cli import COMMANDS, group

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDES = {
    path: path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
}
COMMAND_LINES = sorted(
    {
        line.partition(" #")[0].strip()
        for text in GUIDES.values()
        for line in text.splitlines()
        if line.startswith("python -m search") and not line.endswith("\\")
    }
)


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


def test_the_readme_has_at_most_150_lines() -> None:
    assert len(README.splitlines()) <= 150


def test_the_example_is_the_file_it_names() -> None:
    file = (ROOT / "docs" / "example_space.py").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```python\n(from spaces.*?)```", GUIDES[ROOT / "docs" / "spaces.md"], flags=re.DOTALL)
    assert file.endswith(shown)


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_links_lead_to_files_and_headings(guide: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", GUIDES[guide]):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        file = (guide.parent / path).resolve() if path else guide
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
            slugs = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, target


def test_ci_runs_the_command_that_the_readme_gives() -> None:
    found = re.findall(r"^python3 -m venv .*pytest -n 2 --dist worksteal$", README, flags=re.MULTILINE)
    assert len(found) == 1
    assert "requirements.lock" in found[0]
    assert (ROOT / "requirements.lock").exists()


def test_both_commands_stand_on_the_first_screen() -> None:
    lines = README.splitlines()
    assert max(number for number, line in enumerate(lines) if line.startswith("python3 -m venv")) < 45
