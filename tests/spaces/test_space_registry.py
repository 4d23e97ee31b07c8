import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

import spaces
from spaces import SPACES, Condition, Space, SpaceError, load
from spaces.local_modules import local_modules
from spaces.registry import builder_file, builder_sha256

USER_FILE = """
from __future__ import annotations
from dataclasses import dataclass
from spaces import Int, Space

@dataclass
class Width:
    low: int

def build(images, config, classes):
    raise NotImplementedError

SPACE = Space(name="mine", parameters={"width": Int(Width(low=1).low, 9, 3)}, build=build)
"""


VERSION_0_1_0_FILE = """
from spaces import TRAINING, Choice, Domain, Float, Int, Recipe, Space, Value, When
from spaces.domains import When as Same

SCHEDULE: dict[str, Value] = {"schedule": "cosine", "head": "hidden", "units": 64}
parameters: dict[str, Domain] = {
    "head": Choice(("plain", "hidden"), "plain", doc="Whether a hidden layer precedes the softmax."),
    "units": Int(16, 256, 32, log=True, when=When(parameter="head", values=("hidden",)), doc="Its units."),
    "rate": Float(0.0, 0.5, 0.1, step=0.1, when=Same.between("units", 16, 256), unit="fraction", source="a guess"),
    **TRAINING,
}

def build(images, config, classes):
    raise NotImplementedError

SPACE = Space(
    name="mine",
    doc="A file for version 0.1.0",
    parameters=parameters,
    recipes={"schedule": Recipe(values=SCHEDULE, doc="Cosine.", source="a guess")},
    build=build,
)
"""


def written(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "mine.py"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", SPACES)
def test_a_registered_space_bears_its_name(name: str) -> None:
    assert load(name).name == name
    assert load(name) is load(name)


def test_a_file_is_loaded_by_absolute_and_by_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, USER_FILE)
    monkeypatch.chdir(tmp_path)
    assert load(str(path)) == load("mine.py") == load("./mine.py")
    assert load("mine.py").baseline == {"width": 3}


def test_a_space_file_of_version_0_1_0_still_works(tmp_path: Path) -> None:
    space = load(str(written(tmp_path, VERSION_0_1_0_FILE)))
    assert spaces.When is spaces.Condition
    assert space.parameters["units"].when == Condition(parameter="head", values=("hidden",))
    assert "units" not in space.baseline
    assert space.recipe("schedule")["rate"] == 0.1
    assert Space.from_json(space.to_json()) == space


def test_an_edited_file_is_loaded_anew_and_leaves_no_cache(tmp_path: Path) -> None:
    for high in range(3, 9):
        assert load(str(written(tmp_path, USER_FILE.replace("9", str(high))))).parameters["width"].high == high
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "Received: no SPACE"),
        ("def build_model(): pass", "Received: build_model without the argument hp"),
        ("SPACE = {'width': 3}", "Received: SPACE of type dict"),
        ("SPACE = None", "Received: SPACE of type NoneType"),
        (USER_FILE.replace(", build=build", ""), "Received: build=None"),
        (USER_FILE.replace("build=build", "build='build'"), "Received: build='build'"),
        ("x = 1\ny = = 2", "SyntaxError on line 2: invalid syntax"),
        ("x = 1\n\nimport no_such_module_at_all", "ModuleNotFoundError on line 3: No module named"),
        ("def f():\n    return 1 / 0\nf()", "ZeroDivisionError on line 2: division by zero"),
        (USER_FILE.replace("9, 3", "9, 33"), "ValueError on line 13: The baseline must lie in 1..9"),
        ("raise SystemExit(3)", "SystemExit on line 1: 3"),
        ("SPACE = '\0'", "cannot be run"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(SpaceError) as caught:
        load(str(path))
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_that_fails_leaves_no_module_behind(tmp_path: Path) -> None:
    with pytest.raises(SpaceError):
        load(str(written(tmp_path, "import no_such_module_at_all")))
    assert not [name for name in sys.modules if str(tmp_path) in name]


def test_a_file_that_is_not_text_or_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpaceError, match="cannot be run"):
        load(str(path))
    for missing in (tmp_path / "missing.py", tmp_path):
        with pytest.raises(SpaceError):
            load(str(missing))
    with pytest.raises(SpaceError, match="There is no space file"):
        load(str(tmp_path / "missing.py"))


def test_the_builder_of_a_file_has_the_hash_of_the_file_that_defines_it_and_a_shipped_one_none(tmp_path: Path) -> None:
    path = written(tmp_path, USER_FILE)
    first = builder_sha256(str(path))
    assert first == hashlib.sha256(path.read_bytes()).hexdigest()
    assert builder_file(str(path)) == path
    other = written(tmp_path / "elsewhere", USER_FILE)
    assert builder_sha256(str(other)) == first
    written(tmp_path, USER_FILE + "# edited")
    assert builder_sha256(str(path)) != first
    assert builder_sha256("cnn") == builder_sha256(str(written(tmp_path, "from spaces.cnn import SPACE"))) == ""


def test_modules_beside_a_builder_that_it_imports_belong_to_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "my_layers_of_this_test"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "blocks.py").write_text("from . import sizes\nimport json, numpy, spaces.cnn\n")
    (package / "sizes.py").write_text("WIDTH = 1\n")
    (package / "unused.py").write_text("WIDTH = 1\n")
    in_function = "from my_layers_of_this_test.blocks import sizes\n    raise NotImplementedError"
    path = written(tmp_path, USER_FILE.replace("raise NotImplementedError", in_function))
    alone = hashlib.sha256(path.read_bytes()).hexdigest()
    first = builder_sha256(str(path))
    assert first not in ("", alone)
    assert set(local_modules(path, [tmp_path])) == {
        "my_layers_of_this_test",
        "my_layers_of_this_test.blocks",
        "my_layers_of_this_test.sizes",
    }
    (package / "unused.py").write_text("WIDTH = 2\n")
    assert builder_sha256(str(path)) == first
    (package / "sizes.py").write_text("WIDTH = 2\n")
    assert builder_sha256(str(path)) != first
    assert local_modules(path, [tmp_path / "elsewhere"]) == {}


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(
        SpaceError, match=r"Received: 'cnn_large'. Did you mean 'cnn-large'\? Known: mlp, cnn, cnn-larg"
    ):
        load("cnn_large")


def test_no_space_imports_keras_before_it_builds() -> None:
    example = Path(__file__).parents[2] / "docs" / "example_space.py"
    code = (
        "import sys\n"
        "from spaces import SPACES, load\n"
        "import spaces.restrict\n"
        f"for source in [*SPACES, {str(example)!r}]: load(source)\n"
        "heavy = {'keras', 'tensorflow', 'jax', 'torch', 'numpy', 'optuna', 'rich', 'search'}\n"
        "sys.exit(str(sorted(heavy & set(sys.modules))) if heavy & set(sys.modules) else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
