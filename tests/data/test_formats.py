"""The file formats of data sets: NPZ archives and IDX files."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from small_data import IDX_NAMES, save_idx, save_npz, small_arrays, to_idx

from search.data.formats import find_idx_files, read_idx, read_idx_files, read_npz
from search.errors import UserError

IMAGES = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6))


def test_an_archive_is_read_without_arrays_of_other_names(tmp_path: Path) -> None:
    groups, stranger = np.repeat(["a", "b"], 30), np.array([object()])
    arrays = small_arrays(groups_train=groups)
    np.savez(tmp_path / "a.npz", **arrays, notes=stranger)
    read = read_npz(tmp_path / "a.npz")
    assert read.keys() == arrays.keys()
    assert all(np.array_equal(read[name], arrays[name]) for name in arrays)


def test_a_missing_array_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    arrays = small_arrays()
    del arrays["y_test"]
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(UserError, match=r"lacks y_test\. Received: x_train, y_train, x_test in"):
        read_npz(tmp_path / "a.npz")


@pytest.mark.parametrize("name", ["x_train", "y_train", "groups_train"])
def test_python_objects_are_never_unpickled(tmp_path: Path, name: str) -> None:
    objects = np.empty(60, dtype=object)
    save_npz(tmp_path / "a.npz", **{name: objects})
    with pytest.raises(UserError, match=f"{name} cannot be read: Object arrays") as caught:
        read_npz(tmp_path / "a.npz")
    assert "run code" in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04"])
def test_a_file_of_another_format_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"Expected: a whole \.npz file"):
        read_npz(tmp_path / "a.npz")


def test_a_single_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(UserError, match=r"Expected: a whole \.npz file"):
        read_npz(tmp_path / "a.npy")


@pytest.fixture(scope="module", params=[np.savez, np.savez_compressed])
def archive(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("archive") / "a.npz"
    request.param(path, **small_arrays())
    return path.read_bytes()


@settings(max_examples=200)
@given(data=st.data())
def test_a_flipped_bit_is_refused_or_does_not_matter(
    archive: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    damaged, path = bytearray(archive), tmp_path_factory.getbasetemp() / "flipped.npz"
    damaged[data.draw(st.integers(0, len(archive) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(damaged)
    try:
        read = read_npz(path)
    except UserError:
        return
    assert all(np.array_equal(read[name], array) for name, array in small_arrays().items())


@given(data=st.data())
def test_a_truncated_archive_is_refused(
    archive: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "truncated.npz"
    path.write_bytes(archive[: data.draw(st.integers(0, len(archive) - 1))])
    with pytest.raises(UserError, match=r"Expected: a whole \.npz file"):
        read_npz(path)


@given(array=IMAGES, gzipped=st.booleans())
def test_an_idx_file_is_read_as_written(
    tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, gzipped: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "round-trip"
    path.write_bytes(gzip.compress(to_idx(array)) if gzipped else to_idx(array))
    assert np.array_equal(read_idx(path, dimensions=3), array)


@given(data=st.data(), array=IMAGES, gzipped=st.booleans())
def test_a_truncated_idx_file_is_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, array: np.ndarray, gzipped: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "truncated"
    content = gzip.compress(to_idx(array)) if gzipped else to_idx(array)
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(UserError, match="not a whole IDX file"):
        read_idx(path, dimensions=3)


@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize("separator", ["-", "."])
def test_idx_files_are_found_by_every_usual_name(tmp_path: Path, gzipped: bool, separator: str) -> None:
    arrays = small_arrays()
    save_idx(tmp_path, arrays, gzipped=gzipped, separator=separator)
    read = read_idx_files(find_idx_files(tmp_path))
    assert read.keys() == arrays.keys()
    assert all(np.array_equal(read[name], arrays[name]) for name in arrays)


def test_missing_idx_files_are_named(tmp_path: Path) -> None:
    save_idx(tmp_path, small_arrays())
    (tmp_path / IDX_NAMES["y_test"]).unlink()
    with pytest.raises(UserError, match=IDX_NAMES["y_test"]) as caught:
        find_idx_files(tmp_path)
    assert IDX_NAMES["x_test"] not in caught.value.message


def test_an_idx_file_of_labels_is_refused_for_images(tmp_path: Path) -> None:
    (tmp_path / "labels").write_bytes(to_idx(np.zeros(9, np.uint8)))
    with pytest.raises(UserError, match=r"Expected: magic number 2051\. Received: 2049\."):
        read_idx(tmp_path / "labels", dimensions=3)


def test_idx_files_with_trailing_bytes_or_without_images_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "images"
    for content in (to_idx(np.zeros((2, 3, 3), np.uint8)) + b"\0", to_idx(np.zeros((0, 3, 3), np.uint8)), b""):
        path.write_bytes(content)
        with pytest.raises(UserError, match="not a whole IDX file"):
            read_idx(path, dimensions=3)
