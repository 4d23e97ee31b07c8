import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from search.cli.spaces import command
from search.errors import UserError
from spaces import SPACES, Space, load

EXAMPLE = Path(__file__).parents[2] / "docs" / "example_space.py"


def spaces(*arguments: str, columns: int = 80) -> str:
    result = CliRunner().invoke(command, arguments, catch_exceptions=False, env={"COLUMNS": str(columns)})
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: str) -> str:
    with pytest.raises(UserError) as caught:
        CliRunner().invoke(command, arguments, catch_exceptions=False)
    return str(caught.value)


def test_the_list_names_every_space_with_its_baseline_and_recipes() -> None:
    text = spaces(columns=160)
    for name in SPACES:
        assert name in text
        assert all(recipe in text for recipe in load(name).recipes)
    for figure in ("623,290", "592,074", "59,933", "continuum"):
        assert figure in text


@pytest.mark.parametrize("columns", [60, 80, 160])
@pytest.mark.parametrize("name", SPACES)
def test_a_space_is_shown_whole_within_the_terminal(name: str, columns: int) -> None:
    text = spaces("show", name, columns=columns)
    assert max(len(line) for line in text.splitlines()) <= columns
    assert "…" not in text
    joined = " ".join(text.split())
    for parameter in load(name).parameters if columns > 60 else ():
        assert parameter in joined
    assert joined.count("Active when") > 3


def test_a_wide_terminal_shows_domain_baseline_condition_meaning_and_source_on_one_line() -> None:
    lines = spaces("show", "cnn", columns=160).splitlines()
    line = next(line for line in lines if line.strip().startswith("filters_2"))
    assert line.split()[:5] == ["filters_2", "15..128", "log", "64", "filters"]
    assert "Filters of stage 2. --range accepts 1..4096 log. Active when conv_stages is 2 or 3. [2]" in line
    assert any(line.startswith("[2] baseline: Brownlee") for line in lines)


def test_json_gives_the_space_itself() -> None:
    assert Space.from_json(json.loads(spaces("show", "cnn-large", "--json"))) == load("cnn-large")


def test_fix_and_range_narrow_what_is_shown() -> None:
    narrowed = ("--fix", "filters-2=64", "--fix", "batch_norm=true", "--range", "filters_1=16:48")
    shown = Space.from_json(json.loads(spaces("show", "cnn-large", "--json", *narrowed)))
    assert shown.baseline["filters_2"] == 64
    assert shown.baseline["batch_norm"] is True
    assert shown.parameters["filters_1"].describe() == "16..48 log"
    assert list(shown.recipes) == ["wide stages", "schedule"]  # "schedule + shift" is now the same as the first


def test_a_finite_space_says_how_many_configurations_it_has_at_most() -> None:
    fixed = ("--fix", "optimizer=adam", "--fix", "learning_rate=1e-3")
    assert "configurations: at most" in spaces("show", str(EXAMPLE), *fixed, columns=120)


def test_a_file_of_your_own_is_shown(tmp_path: Path) -> None:
    assert "Active when head is hidden." in spaces("show", str(EXAMPLE), columns=120)
    assert "There is no space file" in refused("show", str(tmp_path / "missing.py"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cnm",), "Did you mean 'cnn'?"),
        (("cnn", "--fix", "poling=max"), "Did you mean 'pooling'?"),
        (("cnn", "--fix", "lr=0.1"), "Did you mean 'learning_rate'?"),
        (("cnn", "--fix", "pooling"), "name=value"),
        (("cnn", "--fix", "pooling=min"), "pooling takes max | average"),
        (("cnn", "--range", "filters_1=0:48"), "filters_1 takes 1..4096"),
        (("cnn", "--range", "epochs=5:20"), "epochs is an option"),
        (("cnn", "--at", "winner"), "--from"),
        (("cnn", "--at", "recipe: none"), "no such recipe"),
        (("cnn", "--at", "recipe:none"), "no such recipe"),
    ],
)
def test_a_mistake_is_named_with_its_remedy(arguments: tuple[str, ...], message: str) -> None:
    assert message in refused("show", *arguments)


def test_a_mistake_ends_with_exit_code_2_and_no_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "search", "spaces", "show", "cnm"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr


def test_listing_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from search.cli.spaces import command\n"
        "command(['show', 'cnn'], standalone_mode=False)\n"
        "command([], standalone_mode=False)\n"
        "heavy = {'keras', 'tensorflow', 'optuna', 'numpy', 'pandas', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(str(sorted(heavy)) if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
