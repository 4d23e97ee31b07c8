"""Tests ``predict``: table, JSON and CSV for readable images, exit code 2 for unreadable ones."""

from __future__ import annotations

import csv
import dataclasses
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import EMBEDDED
from PIL import Image

from search.cli.predict import _FORMATS, command
from search.errors import UserError
from search.export.predict import ImagePrediction, ImagePredictions, predict_images

SAID = ImagePredictions(
    classified=(
        ImagePrediction(file="a.png", probabilities=(0.1, 0.7, 0.2)),
        ImagePrediction(file="b\n.png", probabilities=(1.0, 0.0, 0.0)),
        ImagePrediction(file="c.png", probabilities=(0.0003, 0.0, 0.9997)),
    ),
    unreadable={"d.png": "no picture"},
)


def test_the_table_holds_file_class_and_probability() -> None:
    lines = [line.split() for line in _FORMATS["table"](SAID, 0.75).splitlines()]
    assert lines[0] == ["Image", "Class", "Probability"]
    assert lines[2:] == [
        ["a.png", "unsure:", "1", "70.0", "%"],
        ["b", ".png", "0", "100.0", "%"],
        ["c.png", "2", ">", "99.9", "%"],
    ]


def test_json_and_csv_hold_every_picture() -> None:
    entries = json.loads(_FORMATS["json"](SAID, 0.6))
    first = {"file": "a.png", "class": 1, "probability": 0.7, "unsure": False, "probabilities": [0.1, 0.7, 0.2]}
    assert entries[0] == first
    assert entries[-1] == {"file": "d.png", "error": "no picture"}
    lines = list(csv.DictReader(_FORMATS["csv"](SAID, 0.75).splitlines(keepends=True)))
    assert [(line["class"], line["unsure"]) for line in lines] == [("1", "yes"), ("0", "no"), ("2", "no")]


def test_classes_with_names_are_named() -> None:
    named = dataclasses.replace(SAID, class_names=("cat", "dog", "owl"))
    assert _FORMATS["table"](named, 0.6).splitlines()[2].split()[1] == "dog"
    assert json.loads(_FORMATS["json"](named, 0.6))[0]["name"] == "dog"
    lines = list(csv.DictReader(_FORMATS["csv"](named, 0.6).splitlines(keepends=True)))
    assert [(line["class"], line["name"]) for line in lines] == [("1", "dog"), ("0", "cat"), ("2", "owl")]


def test_a_missing_model_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such model file"):
        predict_images(tmp_path / "none.keras", [tmp_path])
    (tmp_path / "model.keras").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no picture", encoding="utf-8")
    with pytest.raises(UserError, match=r"holds no image file.*notes\.txt"):
        predict_images(tmp_path / "model.keras", [tmp_path])


MODELS = """
import sys, keras
from keras import layers
def save(name, *inner, shape=(28, 28, 1)):
    keras.Sequential([keras.Input(shape), *inner]).save(f"{sys.argv[1]}/{name}.keras")
class Own(layers.Layer):
    def call(self, images):
        return images
save("foreign", layers.Flatten(), layers.Dense(10, activation="softmax"))
save("logits", layers.Flatten(), layers.Dense(10))
save("flat", layers.Dense(10, activation="softmax"), shape=(784,))
save("own", Own(), layers.Flatten(), layers.Dense(10, activation="softmax"))
scaled = keras.Sequential([keras.Input((28, 28, 1)), layers.Rescaling(1 / 255)])
save("nested", scaled, layers.Flatten(), layers.Dense(10, activation="softmax"))
from search.export.classifier import load_model
for name in ("foreign", "nested"):
    print(name, load_model(f"{sys.argv[1]}/{name}.keras", None).input_spec.white)
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models that were not made here, and files that are none."""
    folder = tmp_path_factory.mktemp("models")
    done = subprocess.run([sys.executable, "-c", MODELS, str(folder)], check=True, capture_output=True, text=True)
    (folder / "white.txt").write_text(done.stdout)
    (folder / "cut.keras").write_bytes((folder / "foreign.keras").read_bytes()[:2000])
    with zipfile.ZipFile(folder / "zip.keras", "w") as archive:
        archive.writestr("something", "else")
    return folder


@pytest.fixture(scope="module")
def digit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("digits") / "digit.png"
    with np.load(EMBEDDED) as whole:
        Image.fromarray(whole["x_test"][0]).save(file)
    return file


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cut", "Keras cannot load the model"),
        ("zip", "Keras cannot load the model"),
        ("own", "Keras cannot load the model"),
        ("flat", "does not classify images"),
        ("logits", "is not probabilities"),
    ],
)
def test_a_file_that_is_no_such_model_is_refused(name: str, said: str, models: Path, digit: Path) -> None:
    with pytest.raises(UserError, match=said) as raised:
        predict_images(models / f"{name}.keras", [digit])
    assert raised.value.exit_code == 2


@pytest.mark.slow
def test_what_can_be_read_is_told_and_what_cannot_is_named(models: Path, digit: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(digit.read_bytes()[:100])
    words = [str(models / "foreign.keras"), str(digit), str(broken), str(tmp_path / "none.png")]
    result = CliRunner().invoke(command, words, catch_exceptions=False, env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert "digit.png" in "".join(result.stdout.split())
    assert f"Cannot be read: {broken}" in result.stderr
    assert "No such file or directory" in result.stderr
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "digit.png").write_bytes(digit.read_bytes())
    for name in ("._digit.png", "photo.heic", "scan.pdf"):
        (folder / name).write_bytes(b"no image")
    whole = CliRunner().invoke(command, [words[0], str(folder), "--json"], catch_exceptions=False)
    assert whole.exit_code == 0
    assert "photo.heic, scan.pdf" in whole.stderr
    (entry,) = json.loads(whole.stdout)
    assert sum(entry["probabilities"]) == pytest.approx(1)


@pytest.mark.slow
def test_a_model_that_rescales_its_input_gets_raw_pixels_also_if_a_nested_one_does(models: Path) -> None:
    assert (models / "white.txt").read_text().splitlines() == ["foreign 1.0", "nested 255.0"]
