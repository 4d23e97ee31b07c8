"""Trials that fail for real, and states that cannot be kept: the search says why, and goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from search.records.reader import read_study
from search.records.record import StudyRecord
from search.records.storage.locations import StudyLocation
from search.trial import BASELINE, Cause, Phase, State, config_key

pytestmark = pytest.mark.slow

SPACE = """
from spaces import TRAINING, Choice, Space


def build(images, config, classes):
    import keras

    kernel = 99 if config["trouble"] == "shape" else 3
    features = keras.layers.Conv2D(4, kernel)(images)
    scale = 1e38 if config["trouble"] == "overflow" else 1.0
    features = keras.layers.Rescaling(scale)(keras.layers.Rescaling(scale)(features))
    return keras.layers.Dense(classes, activation="softmax")(keras.layers.Flatten()(features))


SPACE = Space(
    name="troubled",
    parameters={"trouble": Choice(("none", "shape", "overflow"), "none"), **TRAINING},
    build=build,
)
"""


def run(folder: Path, *words: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """Runs a search in a folder, in a shell that is prepared first."""
    command = [sys.executable, "-m", "search", "run", "--study", "s", "--seed", "0", "--finalists", "0", *words]
    command += ["--threads", "1"]
    line = ["bash", "-c", f'{before} exec "$@"', "bash", *command]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=400, check=False)


def recorded(folder: Path) -> StudyRecord:
    return read_study(StudyLocation(studies_dir=folder / "studies"), "s")


def test_a_diverging_and_an_impossible_configuration_fail_with_their_causes(
    small_mnist: Path, cache_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "troubled.py").write_text(SPACE)
    fixed = [f"--fix={name}" for name in ("batch_size=200", "optimizer=adam", "learning_rate=0.001", "shift=0")]
    data = ("--dataset", str(small_mnist), "--cache-dir", str(cache_dir))
    done = run(
        tmp_path,
        "--space",
        "troubled.py",
        *data,
        *fixed,
        "--tune",
        "trouble,label_smoothing",
        "--sampler",
        "random",
        "--trials",
        "12",
        "--epochs",
        "1",
        "--workers",
        "1",
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    by_trouble = {known.trial.config["trouble"]: known.outcome for known in recorded(tmp_path).trials}
    assert by_trouble["shape"].cause is Cause.INVALID
    assert "Conv2D" in by_trouble["shape"].traceback or "conv" in by_trouble["shape"].traceback.lower()
    assert by_trouble["overflow"].cause is Cause.NOT_FINITE
    assert len(recorded(tmp_path).trials) == 12, "neither is tried again"


def test_a_disk_too_full_for_states_costs_the_states_alone(small_mnist: Path, cache_dir: Path, tmp_path: Path) -> None:
    """A real limit on the size of files: the ledger stays below it, the state of the tutorial's CNN (7 MB) does not."""
    done = run(
        tmp_path,
        *("--dataset", str(small_mnist), "--cache-dir", str(cache_dir), "--trials", "4", "--epochs", "4"),
        *("--no-recipes", "--sampler", "random", "--workers", "1", "--fix", "filters_1=32", "--fix", "conv_stages=1"),
        *("--tune", "learning_rate,batch_size"),
        before='ulimit -f 4000; trap "" XFSZ;',
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    record = recorded(tmp_path)
    assert len(record.trials_in_phase(Phase.SEARCH)) == 4
    assert record.trials[0].trial.origin == BASELINE
    assert {known.outcome.state for known in record.trials} <= {State.COMPLETE, State.PRUNED}
    unsaved = [known for known in record.trials if "checkpoint cannot be written" in known.outcome.message]
    assert unsaved
    left = list((tmp_path / "studies/s/checkpoints").glob("*"))
    assert all(path.suffix == ".npz" and path.stat().st_size < 4000 * 1024 for path in left), "no half a state"


WIDE = """
from spaces import TRAINING, Int, Recipe, Space

def build(images, config, classes):
    import keras
    features = keras.layers.Flatten()(images)
    for _ in range(2):
        features = keras.layers.Dense(config["width"] * 8, activation="relu")(features)
    return keras.layers.Dense(classes, activation="softmax")(features)

SPACE = Space(
    name="wide",
    parameters={"width": Int(1, 2048, 1), **TRAINING},
    recipes={"wide": Recipe(values={"width": 2048}, doc="Wide", source="this test")},
    build=build,
)
"""
"""A space whose recipe has 281 million parameters, 1.1 GB of weights, and as much again twice for Adam's moments."""


def test_a_configuration_too_large_for_a_trial_s_memory_fails_alone(
    small_mnist: Path, cache_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "wide.py").write_text(WIDE)
    done = run(
        tmp_path,
        *("--dataset", str(small_mnist), "--cache-dir", str(cache_dir), "--space", "wide.py", "--pruner", "none"),
        *("--epochs", "1", "--finalists", "1", "--replicates", "1", "--workers", "1"),
        *("--trials", "2", "--trial-memory", "1600MiB"),
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    record = recorded(tmp_path)
    baseline, wide = record.trials_in_phase(Phase.SEARCH)
    assert (baseline.trial.origin, baseline.outcome.state) == (BASELINE, State.COMPLETE)
    assert wide.trial.origin == "recipe: wide"
    assert (wide.outcome.state, wide.outcome.cause) == (State.FAILED, Cause.OUT_OF_MEMORY)
    assert "1.56 GiB" in wide.outcome.message
    assert [known.outcome.state for known in record.trials_in_phase(Phase.VERIFICATION)] == [State.COMPLETE]


LARGE = """
from spaces import TRAINING, Choice, Space


def build(images, config, classes):
    import keras

    features = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(images)
    features = keras.layers.GlobalAveragePooling2D()(features)
    for _ in range(2):
        features = keras.layers.Dense(config["units"], activation="relu")(features)
    return keras.layers.Dense(classes, activation="softmax")(features)


SPACE = Space(name="large", parameters={"units": Choice((8, 12, 16, 24, 2**20), 8), **TRAINING}, build=build)
"""
"""A space for large images; one of its values needs more memory than any machine has."""


def test_a_search_on_large_images_survives_a_configuration_that_cannot_fit(cache_dir: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    labels = np.arange(120, dtype=np.uint8) % 2
    images = random.integers(0, 128, size=(120, 160, 160, 3), dtype=np.uint8)
    images[labels == 1, 40:120, 40:120] += 100
    np.savez(tmp_path / "large.npz", x_train=images[:90], y_train=labels[:90], x_test=images[90:], y_test=labels[90:])
    (tmp_path / "large.py").write_text(LARGE)
    fixed = [
        f"--fix={name}"
        for name in (
            *("batch_size=32", "optimizer=adam", "learning_rate=0.001", "schedule=constant", "label_smoothing=0"),
            *("shift=0", "rotation=0", "zoom=0", "shear=0"),
        )
    ]
    done = run(
        tmp_path,
        *("--space", "large.py", "--dataset", "large.npz", "--cache-dir", str(cache_dir), "--sampler", "grid"),
        *(*fixed, "--trials", "5", "--epochs", "2", "--workers", "1"),
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    trials = recorded(tmp_path).trials
    assert len({config_key(known.trial.config) for known in trials}) == len(trials) == 5, "none is tried again"
    too_large = [known.outcome for known in trials if known.trial.config["units"] == 2**20]
    assert {(outcome.state, outcome.cause) for outcome in too_large} == {(State.FAILED, Cause.OUT_OF_MEMORY)}
    assert all(outcome.history == () for outcome in too_large)
    assert all("GiB" in outcome.message for outcome in too_large), too_large[0].message
    assert {known.outcome.state for known in trials if known.outcome not in too_large} <= {State.COMPLETE, State.PRUNED}
