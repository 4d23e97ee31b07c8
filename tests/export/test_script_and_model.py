"""Tests real exports: the script runs without this project, the model loads without it, and both match the row."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trained
from conftest import EMBEDDED

import search
from search.errors import UserError
from search.export import model_metadata
from search.export.model import ExportedModel, export_model, find_custom_layers
from search.export.predict import predict_images
from search.export.script import render_script
from search.export.target import ExportTarget, make_target
from search.records.reader import read_study
from search.records.storage.locations import StudyLocation
from search.reproduction.restore import ReproductionOptions

pytestmark = pytest.mark.slow

BARE = """
import runpy, sys
sys.modules["search"] = sys.modules["spaces"] = None  # to import either would fail
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a script where nothing of this project can be imported."""
ONE_THREAD = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
LOAD = """
import sys
sys.modules["search"] = sys.modules["spaces"] = None
import json, keras, numpy
model = keras.saving.load_model(sys.argv[1])
said = model.predict(numpy.load(sys.argv[2])["x_test"][..., None], verbose=0)
print(json.dumps([said.argmax(axis=1).tolist(), float(abs(said.sum(axis=1) - 1).max()), model.count_params()]))
"""


def run(code: str, *words: str, folder: Path) -> str:
    command = [sys.executable, "-I", "-c", code, *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=ONE_THREAD, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def place(trained_study: Path, tmp_path_factory: pytest.TempPathFactory) -> StudyLocation:
    return trained.copy_study(trained_study, tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="module")
def winner(
    place: StudyLocation, cache_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ExportTarget, ExportedModel]:
    """The best row, and its model, which scored no test image."""
    options = ReproductionOptions(cache_dir=str(cache_dir))
    order = make_target(read_study(place, trained.NAME), "2", reproduction_options=options)
    file = tmp_path_factory.mktemp("models") / "new" / "winner.keras"
    return order, export_model(order, file, is_scored=False)


@pytest.mark.parametrize("row", ["baseline", "2"])
def test_a_script_makes_the_recorded_test_run_bit_for_bit(
    row: str, place: StudyLocation, small_mnist: Path, cache_dir: Path, tmp_path: Path
) -> None:
    order = make_target(
        read_study(place, trained.NAME), row, reproduction_options=ReproductionOptions(cache_dir=str(cache_dir))
    )
    file = tmp_path / "winner.py"
    file.write_text(render_script(order, file.name), encoding="utf-8")
    printed = run(BARE, str(file), str(small_mnist), folder=tmp_path)
    assert printed.splitlines()[-1] == f"Test error: {order.row.completed_replicates[0].error_percent:.2f} %"
    losses = [float(loss) for loss in re.findall(r": loss ([0-9.]+)", printed)]
    recorded = [report.training_loss for report in order.trial_record.outcome.history]
    assert losses == pytest.approx(recorded, abs=6e-5, rel=2e-3)  # as printed


@pytest.mark.parametrize("augmentation", [{}, {"shift": 1, "rotation": 10.0, "elastic": 0.6}])
def test_a_script_trained_on_all_of_mnist_makes_the_rows_test_run(
    augmentation: dict[str, float], tmp_path: Path, cache_dir: Path
) -> None:
    study = search.run(
        space="mlp",
        trials=1,
        epochs=1,
        replicates=1,
        seed=0,
        workers=1,
        threads=1,
        layers="keras",  # a script has no others
        fix={"width_1": 64, **augmentation},
        studies_dir=tmp_path / "studies",
        reports_dir=tmp_path / "reports",
        cache_dir=cache_dir,
    )
    order = make_target(study.record, "winner", reproduction_options=ReproductionOptions(cache_dir=str(cache_dir)))
    file = tmp_path / "winner.py"
    file.write_text(render_script(order, file.name), encoding="utf-8")
    printed = run(BARE, str(file), str(EMBEDDED), folder=tmp_path).splitlines()[-1]
    error = float(re.fullmatch(r"Test error: ([0-9.]+) %", printed)[1])
    assert error == pytest.approx(order.row.completed_replicates[0].error_percent, abs=0.005)


def test_a_model_is_the_recorded_test_run_and_scores_no_test_image(
    winner: tuple[ExportTarget, ExportedModel], small_mnist: Path, tmp_path: Path
) -> None:
    order, exported = winner
    # That the worker leaves the test images closed is shown in tests/training/test_trainer.py.
    assert (exported.outcome.scored_images, exported.outcome.error_percent) == (None, None)
    assert "bit for bit" in exported.error_sentence
    assert f"{order.row.completed_replicates[0].error_percent:.2f} %" in exported.error_sentence
    assert exported.custom_layers == find_custom_layers(exported.path) == ()
    classes, off, parameters = json.loads(run(LOAD, str(exported.path), str(small_mnist), folder=tmp_path))
    with np.load(small_mnist) as data:
        wrong = np.flatnonzero(np.array(classes) != data["y_test"])
    assert tuple(wrong.tolist()) == order.trial_record.outcome.misclassified
    assert off < 1e-5
    assert parameters == order.row.parameters
    known = model_metadata.read(exported.path)
    assert (known.study, known.seed, known.is_dark) == (trained.NAME, order.seed, True)
    assert known.config == order.row.config
    assert [path.name for path in exported.path.parent.iterdir()] == ["winner.keras"]


def test_a_model_of_another_seed_or_scored_says_what_is_known_of_its_error(
    place: StudyLocation, cache_dir: Path, tmp_path: Path
) -> None:
    order = make_target(
        read_study(place, trained.NAME), "2", seed=0, reproduction_options=ReproductionOptions(cache_dir=str(cache_dir))
    )
    unknown = export_model(order, tmp_path / "unknown.keras", is_scored=False)
    assert "its own is not known: this seed was not tested" in unknown.error_sentence
    scored = export_model(order, tmp_path / "scored.keras", is_scored=True)
    assert f"{scored.outcome.error_percent:.2f} %" in scored.error_sentence
    assert "opened again" in scored.error_sentence


def test_a_model_reads_digits_from_pictures_of_any_size(
    winner: tuple[ExportTarget, ExportedModel], tmp_path: Path
) -> None:
    from PIL import Image, ImageOps

    model = winner[1].path
    with np.load(EMBEDDED) as whole:
        pixels, labels = whole["x_test"][:200], whole["y_test"][:200]
    for name, make in (("as_it_is", lambda one: one), ("drawn", lambda one: ImageOps.invert(one.resize((150, 150))))):
        (tmp_path / name).mkdir()
        for number, digit in enumerate(pixels):
            make(Image.fromarray(digit)).save(tmp_path / name / f"{number:03}.png")
    right = {
        name: np.mean(
            [one.label for one in predict_images(model, [tmp_path / name], resize_mode="digit").classified] == labels
        )
        for name in ("as_it_is", "drawn")
    }
    # The same model on the same digits; 200 of them, so that 0.06 is more than three standard errors of a difference.
    assert right["as_it_is"] > 0.7
    assert right["drawn"] > right["as_it_is"] - 0.06


@pytest.mark.parametrize("out", ["winner.h5", "file/winner.keras"])
def test_a_place_that_cannot_take_a_model_is_refused(
    out: str, place: StudyLocation, cache_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    order = make_target(
        read_study(place, trained.NAME), "2", reproduction_options=ReproductionOptions(cache_dir=str(cache_dir))
    )
    with pytest.raises(UserError, match=out):
        export_model(order, tmp_path / out, is_scored=False)
