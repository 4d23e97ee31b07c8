"""IDX files."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from small_data import IDX_NAMES, save_idx, small_arrays, to_idx

from search.data.dataset import prepare
from search.data.read_options import ReadOptions
from search.data.readers.idx import read_idx
from search.data.readers.registry import find_reader
from search.errors import UserError

IMAGES = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6))


@given(array=IMAGES, gzipped=st.booleans())
def test_an_idx_file_is_read_as_written(
    tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, gzipped: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "round-trip"
    path.write_bytes(gzip.compress(to_idx(array)) if gzipped else to_idx(array))
    assert np.array_equal(read_idx(path), array)


@given(data=st.data(), array=IMAGES, gzipped=st.booleans())
def test_a_truncated_idx_file_is_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, array: np.ndarray, gzipped: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "truncated"
    content = gzip.compress(to_idx(array)) if gzipped else to_idx(array)
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(UserError, match="not a whole IDX file"):
        read_idx(path)


@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize("separator", ["-", "."])
def test_idx_files_are_found_by_every_usual_name(tmp_path: Path, gzipped: bool, separator: str) -> None:
    arrays = small_arrays()
    save_idx(tmp_path, arrays, gzipped=gzipped, separator=separator)
    raw = find_reader(tmp_path).read(ReadOptions())
    read = {
        f"{role}_{name}": getattr(part, field)
        for name, part in raw.parts.items()
        for role, field in (("x", "images"), ("y", "labels"))
    }
    assert all(np.array_equal(read[name], arrays[name]) for name in arrays)


def test_labels_that_are_missing_are_named(tmp_path: Path) -> None:
    save_idx(tmp_path, small_arrays())
    (tmp_path / IDX_NAMES["y_test"]).unlink()
    with pytest.raises(UserError, match=r"lacks y_test\. Received: t10k-images"):
        find_reader(tmp_path).read(ReadOptions())


def save_emnist(folder: Path, title: str, arrays: dict[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        role, part = name.split("_")
        ending = "images-idx3-ubyte.gz" if role == "x" else "labels-idx1-ubyte.gz"
        (folder / f"{title}-{part}-{ending}").write_bytes(gzip.compress(to_idx(array)))


def test_one_of_several_sets_in_a_folder_is_named_by_any_of_its_files(tmp_path: Path) -> None:
    """EMNIST's layout; its images are transposed and its letters begin at 1."""
    letters = small_arrays(y_train=small_arrays()["y_train"] + 1, y_test=small_arrays()["y_test"] + 1)
    save_emnist(tmp_path, "emnist-letters", letters)
    save_emnist(tmp_path, "emnist-digits", small_arrays())
    (tmp_path / "emnist-letters-mapping.txt").write_text("1 65 97\n2 66 98\n")
    with pytest.raises(UserError, match="Several arrays may be the images"):
        prepare(str(tmp_path), tmp_path / "cache")
    path = str(tmp_path / "emnist-letters-train-images-idx3-ubyte.gz")
    info = prepare(path, tmp_path / "cache", ReadOptions(transpose=True))
    assert info.class_names == ("1", "2", "3")
    assert info.image_shape == (5, 4, 1)


def test_idx_files_with_trailing_bytes_or_without_images_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "images"
    for content in (to_idx(np.zeros((2, 3, 3), np.uint8)) + b"\0", to_idx(np.zeros((0, 3, 3), np.uint8)), b""):
        path.write_bytes(content)
        with pytest.raises(UserError, match="not a whole IDX file"):
            read_idx(path)
