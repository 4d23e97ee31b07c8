"""Arrays under the names and in the files in which data sets are published."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from small_data import save_npz, small_arrays

from search.data.dataset import prepare
from search.data.readers.naming import parse_name
from search.errors import UserError

ARRAYS = small_arrays()


@pytest.mark.parametrize(
    ("name", "part", "role"),
    [
        ("x_train", "train", "x"),
        ("X_train", "train", "x"),
        ("xtrain", "train", "x"),
        ("trainX", "train", "x"),
        ("test_labels", "test", "y"),
        ("val_images", "val", "x"),
        ("train/data", "train", "x"),
        ("data/train/target", "train", "y"),
        ("emnist-letters-test-labels-idx1-ubyte.gz", "test", "y"),
        ("t10k-images.idx3-ubyte", "test", "x"),
        ("kmnist-test-imgs/arr_0", "test", "x"),
        ("train_32x32/y", "train", "y"),
        ("gnd", None, "y"),
        ("notes", None, None),
    ],
)
def test_names_say_part_and_role(name: str, part: str | None, role: str | None) -> None:
    assert parse_name(name)[:2] == (part, role)


def renamed(names: dict[str, str]) -> Callable[[Path], str]:
    def save(folder: Path) -> str:
        np.savez(folder / "a.npz", **{names[name]: array for name, array in ARRAYS.items()}, notes=np.arange(3))
        return str(folder / "a.npz")

    return save


def four_archives(folder: Path) -> str:
    """KMNIST's files."""
    for name, array in ARRAYS.items():
        role, part = name.split("_")
        np.savez(folder / f"kmnist-{part}-{'imgs' if role == 'x' else 'labels'}.npz", array)
    return str(folder)


def numbered(folder: Path) -> str:
    np.savez(folder / "a.npz", *(ARRAYS[name] for name in ("x_train", "x_test", "y_train", "y_test")))
    return str(folder / "a.npz")


def pairs(folder: Path) -> str:
    for name, array in ARRAYS.items():
        np.save(folder / f"{name}.npy", array)
    return str(folder)


def one_of_pairs(folder: Path) -> str:
    return str(Path(pairs(folder)) / "x_train.npy")


def hdf5(folder: Path) -> str:
    """USPS's layout."""
    with h5py.File(folder / "usps.h5", "w") as file:
        for name, array in ARRAYS.items():
            role, part = name.split("_")
            file[f"{part}/{'data' if role == 'x' else 'target'}"] = array
    return str(folder / "usps.h5")


def hdf5_folder(folder: Path) -> str:
    return str(Path(hdf5(folder)).parent)


def matlab(folder: Path) -> str:
    """SVHN's layout, in grey: the images are counted last."""
    for part in ("train", "test"):
        images = np.moveaxis(ARRAYS[f"x_{part}"], 0, -1)[:, :, None]
        scipy.io.savemat(
            folder / f"{part}_32x32.mat", {"X": images, "y": ARRAYS[f"y_{part}"][:, None]}, do_compression=True
        )
    return str(folder)


def matlab_7_3(folder: Path) -> str:
    """What MATLAB writes with -v7.3: HDF5 behind a header, with dimensions reversed."""
    with h5py.File(folder / "a.mat", "w", userblock_size=512) as file:
        for name, array in ARRAYS.items():
            file[name] = array.T if array.ndim > 1 else array[:, None]
    with (folder / "a.mat").open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM")
    return str(folder / "a.mat")


FORMS = {
    "usual names": renamed({"x_train": "X_train", "y_train": "y_tr", "x_test": "test_images", "y_test": "test_labels"}),
    "four archives": four_archives,
    "numbered arrays": numbered,
    "npy pairs": pairs,
    "one of the npy files": one_of_pairs,
    "HDF5": hdf5,
    "a folder with an HDF5 file": hdf5_folder,
    "MATLAB": matlab,
    "MATLAB 7.3": matlab_7_3,
}


@pytest.mark.parametrize("save", FORMS.values(), ids=FORMS)
def test_the_same_data_in_any_form_have_the_same_hash(tmp_path: Path, save: Callable[[Path], str]) -> None:
    (tmp_path / "given").mkdir()
    expected = prepare(save_npz(tmp_path / "plain.npz"), tmp_path / "cache")
    assert prepare(save(tmp_path / "given"), tmp_path / "cache").sha256 == expected.sha256


def test_strings_in_hdf5_are_classes(tmp_path: Path) -> None:
    names = np.array(["cat", "dog", "owl"])[ARRAYS["y_train"]].astype(object)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"], file["labels"] = ARRAYS["x_train"], names
    assert prepare(str(tmp_path / "a.h5"), tmp_path / "cache").class_names == ("cat", "dog", "owl")


def cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def claiming(folder: Path) -> Path:
    """An HDF5 file whose images exist only as a fill value."""
    with h5py.File(folder / "claims.h5", "w") as file:
        file.create_dataset("images", (10**6, 1000, 1000), np.uint8, chunks=(1, 100, 100))
        file["labels"] = np.arange(10**6) % 3
    return folder / "claims.h5"


def pickled(folder: Path) -> Path:
    (folder / "a.npz").write_bytes(b"\x80\x04\x95" + bytes(40))
    return folder / "a.npz"


BAD = {
    "a truncated HDF5 file": (lambda folder: cut(Path(hdf5(folder))), "not a whole HDF5 file"),
    "an HDF5 file that claims terabytes": (claiming, "would expand from|does not fit"),
    "a truncated MATLAB file": (
        lambda folder: cut(Path(matlab(folder)) / "train_32x32.mat"),
        "not a whole MATLAB file",
    ),
    "a truncated .npy file": (lambda folder: cut(Path(one_of_pairs(folder))), r"not a whole \.npy file"),
    "a pickle by another name": (pickled, "never loaded"),
}


def test_a_pickle_beside_the_files_of_a_data_set_is_left_out(tmp_path: Path) -> None:
    dataset = one_of_pairs(tmp_path)
    pickled(Path(dataset).parent)
    assert prepare(dataset, tmp_path / "cache").training_count == 60


@pytest.mark.parametrize("case", BAD)
def test_damaged_and_malicious_files_are_refused(tmp_path: Path, case: str) -> None:
    make, message = BAD[case]
    with pytest.raises(UserError, match=message) as caught:
        prepare(str(make(tmp_path)), tmp_path / "cache")
    assert caught.value.hint


@pytest.mark.parametrize("kind", ["zeros", "noise"])
def test_a_matlab_variable_that_expands_beyond_its_shape_is_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compressed mebibyte as the data of ten numbers; the limit is lowered from 256."""

    def tag(kind: int, length: int) -> bytes:
        return struct.pack("<II", kind, length)

    for module in ("matlab", "stored"):
        monkeypatch.setattr(f"search.data.readers.{module}.SMALL_BYTES", 2**16)
    data = bytes(2**20) if kind == "zeros" else np.random.default_rng(0).bytes(2**20)
    shape = tag(5, 8) + struct.pack("<ii", 1, 10)
    matrix = tag(6, 8) + tag(6, 0) + shape + tag(1, 1) + b"X" + bytes(7) + tag(9, len(data)) + data
    compressed = zlib.compress(tag(14, len(matrix)) + matrix)
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"y_train": np.zeros(3)})
    with path.open("ab") as file:
        file.write(tag(15, len(compressed)) + compressed)
    with pytest.raises(UserError, match=r"a\.mat .*expand" if kind == "zeros" else "shape"):
        prepare(str(path), tmp_path / "cache")
