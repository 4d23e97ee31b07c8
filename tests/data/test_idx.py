import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from small_data import IDX_NAMES, save_idx, small_arrays, to_idx

from search.data.formats import find_idx_files, read_idx, read_idx_files
from search.errors import UserError

IMAGES = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6))


@given(array=IMAGES, gzipped=st.booleans())
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, gzipped: bool) -> None:
    path = tmp_path_factory.getbasetemp() / "round-trip"
    path.write_bytes(gzip.compress(to_idx(array)) if gzipped else to_idx(array))
    assert np.array_equal(read_idx(path, dimensions=3), array)


@given(data=st.data(), array=IMAGES, gzipped=st.booleans())
def test_a_truncated_file_is_refused_wherever_it_ends(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, array: np.ndarray, gzipped: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "truncated"
    content = gzip.compress(to_idx(array)) if gzipped else to_idx(array)
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(UserError, match="not a whole IDX file"):
        read_idx(path, dimensions=3)


@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize("separator", ["-", "."])
def test_every_usual_name_is_found(tmp_path: Path, gzipped: bool, separator: str) -> None:
    arrays = small_arrays()
    save_idx(tmp_path, arrays, gzipped=gzipped, separator=separator)
    read = read_idx_files(find_idx_files(tmp_path))
    assert read.keys() == arrays.keys()
    assert all(np.array_equal(read[name], arrays[name]) for name in arrays)


def test_missing_files_are_named_and_present_ones_are_not(tmp_path: Path) -> None:
    save_idx(tmp_path, small_arrays())
    (tmp_path / IDX_NAMES["y_test"]).unlink()
    with pytest.raises(UserError, match=IDX_NAMES["y_test"]) as caught:
        find_idx_files(tmp_path)
    assert IDX_NAMES["x_test"] not in caught.value.message


def test_a_label_file_in_the_place_of_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels").write_bytes(to_idx(np.zeros(9, np.uint8)))
    with pytest.raises(UserError, match=r"Expected: magic number 2051\. Received: 2049\."):
        read_idx(tmp_path / "labels", dimensions=3)


def test_trailing_bytes_and_empty_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "images"
    for content in (to_idx(np.zeros((2, 3, 3), np.uint8)) + b"\0", to_idx(np.zeros((0, 3, 3), np.uint8)), b""):
        path.write_bytes(content)
        with pytest.raises(UserError, match="not a whole IDX file"):
            read_idx(path, dimensions=3)
