"""The Python API as a notebook uses it, and the baseline command, on a small piece of MNIST."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import search
from search.errors import UserError
from search.trial import Phase
from spaces import Int, load


def options(folder: Path, dataset: Path, cache_dir: Path) -> dict:
    return {
        "dataset": dataset,
        "cache_dir": cache_dir,
        "studies_dir": folder / "studies",
        "reports_dir": folder / "reports",
        "epochs": 1,
        "fix": {"filters_1": 8, "dense_1": 32},
    }


def test_a_notebook_gets_a_data_frame(tmp_path: Path, small_mnist: Path, cache_dir: Path) -> None:
    study = search.run(space="cnn", trials=2, replicates=2, workers=1, **options(tmp_path, small_mnist, cache_dir))
    frame = study.leaderboard()
    assert len(frame) == 2
    assert set(frame["trial"]) == {0, 1}
    assert frame["test_error_percent"].notna().any()
    names = ["leaderboard.md", "leaderboard.csv", "leaderboard.json", "leaderboard.svg", "report.html", "study.json.gz"]
    assert [path.name for path in study.reports] == names
    assert all(path.exists() for path in study.reports)
    assert not study.interrupted
    assert study.record.header.command == ""
    assert study.best_config["filters_1"] == 8
    assert study.best_error == study.winner.test_error.mean
    assert study.report is not None
    assert study.report.read_text().startswith("<!")
    assert f"Study {study.name}: Chosen by validation" in repr(study)
    assert max(len(repr(study)), len(repr(study.winner))) < 1000
    shown = study._repr_html_()
    assert shown.count("<tr") == 3
    assert "Chosen by validation" in shown


def test_arrays_and_parameters_by_keyword(tmp_path: Path, cache_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (90, 8, 8), dtype=np.uint8)
    labels = np.arange(90) % 3
    folders = {name: tmp_path / name for name in ("studies_dir", "reports_dir")}
    small = {"epochs": 1, "trials": 1, "finalists": 0, "workers": 1, "cache_dir": cache_dir, "progress": True}
    data = ((images[:60], labels[:60]), (images[60:], labels[60:]))
    varied = {"width_1": (64, 800), "activation": ["relu", "gelu"]}
    beyond = {"optimizer": "lion", "learning_rate_lion": 1e-3}  # no searched value makes the latter active
    study = search.run("mlp", data=data, batch_size=32, **varied, **beyond, **small, **folders)
    header = study.record.header
    assert header.protocol.dataset.startswith("arrays-")
    assert (header.space.parameters["width_1"].low, header.space.parameters["width_1"].high) == (64, 800)
    assert study.best_config.items() >= {"batch_size": 32, **beyond}.items()
    assert study.best_error is None
    assert "1/1" in capsys.readouterr().err
    model = study.model()
    assert model.predict(images[:2, ..., None], verbose=0).shape == (2, 3)


def test_the_signature_lists_the_options() -> None:
    parameters = inspect.signature(search.run).parameters
    assert parameters["epochs"].default == 10
    assert {"timeout", "sampler", "data", "space"} <= parameters.keys()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_sizes": 64}, "Did you mean 'batch_size'"),
        ({"data": [np.zeros((3, 8, 8))]}, "x_train, y_train"),
        ({"data": (np.zeros((3, 8, 8)), np.zeros(2))}, "3 and 2"),
        ({"data": np.zeros((5, 8, 8))}, "float64 of shape (5, 8, 8)."),
        ({"engine": "hyperband"}, "Choose keras-tuner:hyperband"),
        ({"timeout": "20 minutes"}, "timeout: "),
        ({"space": "cn"}, "Did you mean 'cnn'"),
        ({"space": 3}, "of type int"),
    ],
)
def test_refusals_are_in_the_words_of_python(options: dict, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as refusal:
        search.run(cache_dir=tmp_path, studies_dir=tmp_path / "studies", **options)
    assert words in str(refusal.value)
    assert "--" not in str(refusal.value)
    assert list(tmp_path.iterdir()) == []


def test_a_space_object_has_a_file_for_each_version_of_it(tmp_path: Path) -> None:
    own = load(str(Path(__file__).with_name("own_space.py")))
    edited = own.restrict({"units": Int(8, 16, 8)})
    for space in (own, own, edited):
        with pytest.raises(UserError, match="no_such"):
            search.run(space, data=tmp_path / "no_such.npz", studies_dir=tmp_path / "studies")
    written = {load(str(path)).parameters["units"].high for path in (tmp_path / "studies").glob("own-*.py")}
    assert written == {128, 16}
    assert len(list((tmp_path / "studies").iterdir())) == 2


def test_numbers_of_numpy_are_options_and_data_are_given_once(tmp_path: Path) -> None:
    from search.session.settings import from_mapping

    read = from_mapping({"seed": np.int64(3), "max_seconds": np.float64(2.5)})
    assert (read.seed, read.max_seconds) == (3, 2.5)
    pixels, labels = np.zeros((4, 2, 2), np.uint8), np.arange(4) % 2
    with pytest.raises(UserError, match="given twice"):
        search.run("mlp", data=(pixels, labels), dataset="mnist", studies_dir=tmp_path)


def test_wrong_options_raise_errors_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Unknown option"):
        search.run(spaces="cnn")
    with pytest.raises(AttributeError):
        _ = search.nothing
    assert list(tmp_path.iterdir()) == []


def test_the_baseline_command_repeats_and_compares(tmp_path: Path, small_mnist: Path, cache_dir: Path) -> None:
    command = [sys.executable, "-m", "search", "baseline", "--space", "cnn", "--repeats", "3", "--epochs", "1"]
    command += ["--dataset", str(small_mnist), "--cache-dir", str(cache_dir), "--seed", "0", "--threads", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.count("repeat ") == 3
    assert "mean" in done.stdout
    assert "There is no published figure" in done.stdout
    (report,) = (tmp_path / "reports" / "baselines").glob("*/leaderboard.md")
    assert "tutorial protocol" in report.read_text()
    from search.records.reader import read_study
    from search.records.storage.locations import StudyLocation

    (name,) = StudyLocation(studies_dir=tmp_path / "studies").study_names()
    record = read_study(StudyLocation(studies_dir=tmp_path / "studies"), name)
    assert len(record.trials_in_phase(Phase.REPRODUCTION)) == record.test_evaluations == 3
    assert record.trials_in_phase(Phase.SEARCH) == ()
