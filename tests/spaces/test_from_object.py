"""A space of a notebook's objects: its file stands alone, and what no file can hold is refused."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spaces import Int, Space, SpaceError, load
from spaces.from_object import shipped_name, space_file
from spaces.hypermodels.source import find_hypermodel

CELLS = [
    "import math as m\nfrom json import dumps\nimport numpy as np\nDATA = np.zeros(3)",
    "UNITS = [8]",
    """
def width(hp):  # defined before what it reads
    return hp.Choice("width", UNITS)
""",
    "UNITS = [8, 16]",
    "%config Application.verbose_crash = False\nFACTOR = {'a': (1.5, None)}",
    """
class Base:
    def build(self, hp): raise NotImplementedError

class Mine(Base):
    def __init__(self, depth):
        self.depth, self.kind, self.kept = depth, Base, self.build

    def build(self, hp: np.ndarray):
        return [width(hp), FACTOR["a"][0], m.pi, dumps(self.depth), self.depth and Mine.__name__]

def build_model(hp):
    return Mine(2).build(hp)

mine = Mine(3)
""",
]


class Parameters:
    """Stands for keras_tuner.HyperParameters: takes the last value."""

    def Choice(self, name: str, values: list[Any]) -> Any:  # noqa: N802 - Keras Tuner's name
        return values[-1]


@pytest.fixture
def notebook() -> Iterator[Callable[..., dict[str, Any]]]:
    """Runs cells as a notebook does, and returns its names."""
    interactiveshell = pytest.importorskip("IPython.core.interactiveshell", reason="ipykernel is not installed")
    shell = interactiveshell.InteractiveShell()

    def run(*cells: str) -> dict[str, Any]:
        for cell in cells:
            shell.run_cell(cell).raise_error()
        return shell.user_ns

    yield run
    shell.history_manager.end_session()
    interactiveshell.InteractiveShell.clear_instance()


@pytest.mark.parametrize(("name", "depth"), [("build_model", 2), ("mine", 3)])
def test_a_builder_of_a_notebook(notebook: Any, tmp_path: Path, name: str, depth: int) -> None:
    file = tmp_path / "mine.py"
    given_name, text = space_file(notebook(*CELLS)[name])
    assert given_name == {"mine": "Mine"}.get(name, name)
    file.write_text(text)
    hypermodel = find_hypermodel(file)
    assert hypermodel is not None
    build = hypermodel.bind(hypermodel.run(), (8, 8, 1), 3)
    assert build(Parameters()) == [16, 1.5, np.pi, str(depth), "Mine"]
    assert "DATA" not in text
    assert space_file(notebook(*CELLS)[name])[1] == text  # all cells once more


def test_a_space_of_objects_is_equal_to_that_of_its_file(tmp_path: Path) -> None:
    own = load(str(Path(__file__).parents[1] / "own_space.py"))
    for number, space in enumerate((own, load("cnn").restrict({"batch_size": Int(16, 64, 32)}))):
        file = tmp_path / f"{number}.py"
        file.write_text(space_file(space)[1])
        read = load(str(file))
        assert (read, read.declared) == (space, space.declared)
        assert read.build is not None


def test_a_shipped_space_is_its_name() -> None:
    assert shipped_name(load("cnn-large")) == "cnn-large"
    assert shipped_name(load("cnn").restrict({"batch_size": Int(16, 64, 32)})) is None


def closure() -> Any:
    units = 3

    def build_model(hp: Any) -> Any:
        return hp.Fixed("units", units)

    return build_model


def with_array(hp: Any) -> Any:
    return ARRAY[0]


def with_module_of_tests(hp: Any) -> Any:
    return itertools.count(makers.SPACE)


def build(images: Any, config: Any, classes: int) -> Any:
    return images


makers = __import__("makers")
ARRAY = np.zeros(3)
PARAMETERS = {"units": Int(1, 2, 1)}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (3, "of type int"),
        (lambda hp: hp, "lambda"),
        (closure(), r"inside closure and uses its variables units"),
        (with_array, "with_array refers to ARRAY, a ndarray"),
        (with_module_of_tests, "refers to makers, the module"),
        (build, r"Space\(name="),
        (Space(name="s", parameters=PARAMETERS, build=Parameters()), "build of s is of type Parameters"),
        (eval("type('Typed', (), {'build': print})"), "source of the class Typed"),
    ],
)
def test_what_a_file_cannot_hold_is_refused_by_name(given: object, words: str) -> None:
    with pytest.raises(SpaceError, match=words):
        space_file(given)
