"""The cached space of a Keras Tuner file: commands use it without Keras."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from in_process import CommandHere

from spaces import Choice, Int, Space, SpaceError, load
from spaces.hypermodels import HypermodelBuilder
from spaces.hypermodels.counting import ParameterCounter
from spaces.hypermodels.space import _cache_path
from spaces.restrict import restrict

FILE = Path(__file__).parents[2] / "own_hypermodel.py"
SPACE = Space(name="another", parameters={"units": Choice((4, 8), 4), "batch_size": Int(64, 64, 64)})


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file with its space in a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = _cache_path(FILE)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"space": SPACE.to_json(), "input_shape": [8, None, 3], "outputs": 10}))
    return FILE


def test_a_cached_space_is_used_and_has_the_name_of_its_file(cached: Path) -> None:
    space = load(str(cached))
    assert (space.name, space.parameters) == ("own_hypermodel", SPACE.parameters)
    assert isinstance(space.build, HypermodelBuilder)
    assert (space.build.input_shape, space.build.outputs) == ((8, None, 3), 10)
    assert restrict(space, fix={"batch_size": 128}, ranges={}).baseline["batch_size"] == 128


@pytest.mark.parametrize(
    ("options", "text"), [((), "Expected: (8, None, 3)"), (("--executor", "vectorized"), "--executor vectorized")]
)
def test_a_run_that_cannot_use_the_model_is_refused(
    cached: Path,
    small_mnist: Path,
    cache_dir: Path,
    search_here: CommandHere,
    tmp_path: Path,
    options: tuple[str, ...],
    text: str,
) -> None:
    data = ("--dataset", str(small_mnist), "--cache-dir", str(cache_dir))
    done = search_here(tmp_path, "run", "--space", str(cached), *data, "--trials", "1", *options)
    assert done.returncode == 2
    assert text in " ".join(done.stderr.split())


@pytest.mark.slow
def test_a_file_whose_discovery_fails_is_refused_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = tmp_path / "mine.py"
    path.write_text("import no_such_package\ndef build_model(hp):\n    return no_such_package.model(hp)")
    monkeypatch.setenv("KERAS_BACKEND", "numpy")  # imports in half the time
    with pytest.raises(SpaceError, match=r"mine.py cannot be run: ModuleNotFoundError on line 1"):
        load(str(path))


@pytest.mark.slow
def test_parameters_are_counted_in_a_process_that_starts_again_after_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "numpy")  # imports in half the time
    path = tmp_path / "mine.py"
    path.write_text(
        """
import os
import keras

def build_model(hp):
    units = hp.Int("units", 1, 9)
    print("builds", units)
    if units == 8:
        raise ValueError
    if units == 9:
        os._exit(1)
    return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(units), keras.layers.Dense(10)])
"""
    )
    count = ParameterCounter(path, (2, 2, 1), 10)
    counts = [count({"units": units}) for units in (1, 8, 2, 9, 3)]
    assert counts == [25, math.inf, 40, math.inf, 55]
