"""NPZ archives."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_data import save_npz, small_arrays

from search.data.raw import RawDataset
from search.data.readers.arrays import read_arrays
from search.data.readers.npz import list_npz
from search.errors import UserError


def read_npz(path: Path) -> dict[str, np.ndarray]:
    raw: RawDataset = read_arrays([path], list_npz, form=".npz")
    arrays = {}
    for name, part in raw.parts.items():
        arrays |= {f"x_{name}": part.images, f"y_{name}": part.labels}
        if part.groups is not None:
            arrays[f"groups_{name}"] = part.groups
    return arrays


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


@pytest.fixture(scope="module", params=[np.savez, np.savez_compressed])
def archive(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("archive") / "a.npz"
    request.param(path, **small_arrays())
    return path.read_bytes()


def test_a_directory_entry_that_swallows_the_next_ones_is_refused(archive: bytes, tmp_path: Path) -> None:
    damaged, entry = bytearray(archive), archive.index(b"PK\x01\x02", archive.index(b"PK\x01\x02") + 1)
    damaged[entry + 33] ^= 1  # 256 bytes of comment
    (tmp_path / "a.npz").write_bytes(damaged)
    with pytest.raises(UserError, match=r"Expected: a whole \.npz file"):
        read_npz(tmp_path / "a.npz")


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


def save_bomb(path: Path, shape: tuple[int, ...], mebibytes: int) -> None:
    """An archive whose x_train claims a shape and holds fewer zeros, or exactly those."""
    import io
    import zipfile

    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x_train.npy", "w") as member:
        member.write(header.getvalue())
        for _ in range(mebibytes):
            member.write(bytes(2**20))
    np.savez(path.with_suffix(".labels.npz"), y_train=np.arange(300) % 3)
    with zipfile.ZipFile(path, "a") as archive, zipfile.ZipFile(path.with_suffix(".labels.npz")) as labels:
        archive.writestr("y_train.npy", labels.read("y_train.npy"))


@pytest.mark.parametrize(("count", "mebibytes"), [(300, 300), (10**6, 1)], ids=["zeros", "lies"])
def test_a_zip_bomb_is_refused_before_it_expands(tmp_path: Path, count: int, mebibytes: int) -> None:
    save_bomb(tmp_path / "bomb.npz", (count, 1024, 1024), mebibytes)
    with pytest.raises(UserError, match=r"would expand from|bytes of the"):
        read_npz(tmp_path / "bomb.npz")
