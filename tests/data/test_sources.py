import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_data import save_idx, save_npz, small_arrays, to_idx

import search
from search.data.cache import arrays_sha256
from search.data.canonical import make_canonical
from search.data.mnist import EMBEDDED_MNIST, MNIST_SHA256
from search.data.read_options import ReadOptions
from search.data.sources import find_source
from search.errors import FatalError, UserError

AS_IT_IS = ReadOptions()
PUBLISHED_MD5 = {
    "x_train": "6bbc9ace898e44ae57da46a324031adb",
    "y_train": "a25bea736e30d166cdddb491f175f624",
    "x_test": "2646ac647ad5339dbf082846283269ea",
    "y_test": "27ae3e4e09519cfbb04c329615203637",
}


def test_the_embedded_mnist_is_byte_for_byte_the_published_one() -> None:
    with np.load(EMBEDDED_MNIST) as archive:
        md5 = {name: hashlib.md5(to_idx(archive[name]), usedforsecurity=False).hexdigest() for name in archive}
    assert md5 == PUBLISHED_MD5


def test_the_embedded_mnist_has_the_hash_in_the_code() -> None:
    arrays = make_canonical(find_source("mnist").read(AS_IT_IS), AS_IT_IS)
    assert arrays_sha256({name: arrays[name] for name in PUBLISHED_MD5}) == MNIST_SHA256


def test_no_writer_of_mnists_test_images_wrote_training_images() -> None:
    parts = find_source("mnist").read(AS_IT_IS).parts
    training, test = (np.unique(parts[name].groups) for name in ("train", "test"))
    assert (len(training), len(test), len(np.intersect1d(training, test))) == (539, 297, 0)


def test_the_authors_and_licence_of_mnist_are_named() -> None:
    text = EMBEDDED_MNIST.with_name("ATTRIBUTION.md").read_text(encoding="utf-8")
    assert all(
        word in text
        for word in (
            "Yann LeCun",
            "Corinna Cortes",
            "Burges",
            "Creative Commons",
            "QMNIST",
            "BSD",
            *PUBLISHED_MD5.values(),
        )
    )


def swap(path: Path) -> None:
    save_npz(path)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("file", "damage"), [("mnist.npz", Path.unlink), ("mnist.npz", swap), ("mnist_writers.npz", flip)]
)
def test_a_damaged_installation_is_an_error(tmp_path: Path, file: str, damage) -> None:
    for package in ("search", "spaces"):
        shutil.copytree(Path(search.__file__).parents[1] / package, tmp_path / package)
    damage(tmp_path / "search" / "data" / "embedded" / file)
    result = subprocess.run(
        [sys.executable, "-m", "search", "data", "show", "--cache-dir", "cache"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == FatalError.exit_code
    assert "Reinstall this package" in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.glob("cache/datasets/*.npy"))


def test_a_file_has_its_name_and_a_fingerprint_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "flowers.npz"
    first = find_source(save_npz(path))
    assert first.name == "flowers.npz"
    assert find_source(str(path)).fingerprint == first.fingerprint
    assert find_source(save_npz(path, y_test=np.zeros(12, int))).fingerprint != first.fingerprint


def test_a_folder_has_its_name_and_a_fingerprint_of_all_its_files(tmp_path: Path) -> None:
    first = find_source(save_idx(tmp_path / "digits", small_arrays()))
    assert first.name == "digits"
    assert np.array_equal(first.read(AS_IT_IS).parts["test"].labels, small_arrays()["y_test"])
    changed = find_source(save_idx(tmp_path / "digits", small_arrays(y_test=np.zeros(12, np.uint8))))
    assert changed.fingerprint != first.fingerprint


@pytest.mark.parametrize("dataset", ["mnits", "no/such.npz", "a" * 5000, os.devnull])
def test_a_missing_data_set_is_refused(dataset: str) -> None:
    with pytest.raises(UserError, match=r"Received: dataset='"):
        find_source(dataset)


def test_a_misspelled_name_gets_the_nearest_one() -> None:
    for name in ("fashion-mnist", "Fashion_MNIST"):
        with pytest.raises(UserError) as caught:
            find_source(name)
        assert "Did you mean 'fashion_mnist'?" in caught.value.hint


def test_the_home_folder_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    save_npz(tmp_path / "\u6570\u5b57 1.npz")
    assert find_source("~/\u6570\u5b57 1.npz").name == "\u6570\u5b57 1.npz"


THROUGH_KERAS = """
import json, shutil, sys
from pathlib import Path
from search.errors import UserError
from search.data.read_options import ReadOptions
from search.data.sources import find_source

try:
    find_source("fashion_mnist").read(ReadOptions())
except UserError as error:
    refused = str(error)
for path in Path(sys.argv[1]).iterdir():
    shutil.copy(path, sys.argv[2])
parts = find_source("fashion_mnist").read(ReadOptions()).parts
print(json.dumps([refused, parts["train"].images.tolist(), parts["test"].labels.tolist()]))
"""


def test_keras_downloads_a_data_set_or_the_error_names_an_alternative(tmp_path: Path) -> None:
    """Offline first (a proxy that nobody runs), then with the files where Keras would have put them."""
    images = {name: np.random.default_rng(0).integers(0, 256, (2, 28, 28), np.uint8) for name in ("x_train", "x_test")}
    labels = {name: np.array([3, 8], np.uint8) for name in ("y_train", "y_test")}
    save_idx(tmp_path / "files", {**images, **labels}, gzipped=True)
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    result = subprocess.run(
        [sys.executable, "-c", THROUGH_KERAS, tmp_path / "files", tmp_path / "datasets" / "fashion-mnist"],
        env={**os.environ, **nowhere, "KERAS_HOME": str(tmp_path), "no_proxy": "", "NO_PROXY": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    refused, x_train, y_test = json.loads(result.stdout)
    assert "could not load" in refused
    assert "--dataset" in refused
    assert "Downloading data" in result.stderr
    assert x_train == images["x_train"].tolist()
    assert y_test == [3, 8]
