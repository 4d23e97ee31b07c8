"""Which model builder of a file is meant, and which of its statements run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spaces import SpaceError, load
from spaces.hypermodels.source import find_hypermodel, is_hypermodel_file

SCRIPT = """
import no_such_package
import math

images = no_such_package.load()
SIZES = [16]
SIZES.append(32)
model = images.shape


def width(hp):
    return hp.Choice("width", SIZES)


def build_model(hp):
    model = [width(hp), math.pi]
    return model


tuner = no_such_package.Hyperband(build_model)
tuner.search(images, batch_size=64)
model = tuner.best()


def build_model(hp):
    raise NotImplementedError
"""
CLASS = """
class HyperModel: ...

class Base(HyperModel):
    def __init__(self, input_shape, num_classes, depth=2):
        self.build = lambda hp: (input_shape, num_classes, depth, hp)

class Mine(Base): ...
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.py"
    path.write_text(text)
    return path


class Parameters:
    """Stands for keras_tuner.HyperParameters: takes the last value."""

    def Choice(self, name: str, values: list[Any]) -> Any:  # noqa: N802 - Keras Tuner's name
        return values[-1]


def test_of_a_script_only_what_the_builder_needs_is_run(tmp_path: Path) -> None:
    hypermodel = find_hypermodel(written(tmp_path, SCRIPT))
    assert hypermodel is not None
    build = hypermodel.bind(hypermodel.run(), (28, 28, 1), 10)
    assert build(Parameters())[0] == 32
    assert hypermodel.batch_size == 64
    names: dict[str, Any] = {}
    exec(hypermodel.text, names)  # as a script has it
    assert eval(hypermodel.call(names["build_model"], (28, 28, 1), 10, "Parameters()"), names | globals())[0] == 32


def test_a_tuner_may_receive_a_lambda(tmp_path: Path) -> None:
    text = (
        "SIZES = [8]\ndef make(hp, sizes): return hp.Choice('n', sizes)\nt = kt.Hyperband(lambda hp: make(hp, SIZES))"
    )
    hypermodel = find_hypermodel(written(tmp_path, text))
    assert hypermodel is not None
    found = hypermodel.run()
    assert hypermodel.bind(found, (8, 8, 1), 3)(Parameters()) == 8
    names: dict[str, Any] = {}
    exec(hypermodel.text, names)
    assert eval(hypermodel.call(found, (8, 8, 1), 3, "Parameters()"), names | globals()) == 8


def test_arguments_without_a_default_are_the_shape_and_the_classes_of_the_data(tmp_path: Path) -> None:
    hypermodel = find_hypermodel(written(tmp_path, CLASS))
    assert hypermodel is not None
    assert hypermodel.name == "Mine"
    found = hypermodel.run()
    assert hypermodel.takes_data(found)
    assert hypermodel.bind(found, (8, 8, 3), 5)("hp") == ((8, 8, 3), 5, 2, "hp")
    assert hypermodel.call(found, (8, 8, 3), 5, "hp") == "Mine(input_shape=(8, 8, 3), num_classes=5).build(hp)"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("def build_model(hp): ...\ndef helper(hp): ...", "build_model"),
        ("def part(hp): ...\ndef whole(hp): return part(hp)", "whole"),
        ("import keras_tuner as kt\nmine = kt.applications.HyperResNet(input_shape=(8, 8, 3), classes=3)", "mine"),
        ("part = kt.applications.HyperImageAugment()\nmine = kt.applications.HyperResNet(augment=part)", "mine"),
        ("def a(hp): ...\ndef b(hp): ...\nt = kt.RandomSearch(hypermodel=b)\nt = kt.RandomSearch(a)", "b"),
        ("def a(hp): ...\nclass T(kt.Tuner): ...\nt = T(oracle, a)\nt = T(oracle=o, hypermodel=a)", "a"),
        (CLASS + "m = Mine((8, 8, 1), 3)", "m"),
    ],
)
def test_the_builder_that_a_file_means(tmp_path: Path, text: str, name: str) -> None:
    hypermodel = find_hypermodel(written(tmp_path, text))
    assert hypermodel is not None
    assert hypermodel.name == name


@pytest.mark.parametrize(
    "text", ["def build_model(): ...", "SPACE = 3\ndef build_model(hp): ...", "x = = 1", "from m import *"]
)
def test_other_files_hold_none(tmp_path: Path, text: str) -> None:
    assert not is_hypermodel_file(written(tmp_path, text))


def test_several_builders_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"several model builders.* Received: one, two"):
        load(str(written(tmp_path, "def one(hp): ...\ndef two(hp): ...")))


def test_an_error_of_the_file_names_its_line(tmp_path: Path) -> None:
    hypermodel = find_hypermodel(written(tmp_path, "\nLIMIT = 1 / 0\ndef build_model(hp): return LIMIT"))
    assert hypermodel is not None
    with pytest.raises(SpaceError, match=rf"{tmp_path}.*ZeroDivisionError on line 2"):
        hypermodel.run()


def test_an_argument_of_unknown_meaning_is_refused(tmp_path: Path) -> None:
    hypermodel = find_hypermodel(written(tmp_path, "def build_model(hp, vocabulary): ..."))
    assert hypermodel is not None
    with pytest.raises(SpaceError, match="Received: vocabulary"):
        hypermodel.bind(hypermodel.run(), (8, 8, 1), 3)
