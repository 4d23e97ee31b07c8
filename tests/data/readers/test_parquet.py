"""Parquet files in Hugging Face's layout."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from small_data import save_npz, small_arrays

from search.data.dataset import prepare
from search.data.read_options import ReadOptions
from search.data.readers import stored
from search.data.readers.parquet import read_parquet
from search.errors import UserError

ARRAYS = small_arrays()


def encoded(pixels: np.ndarray) -> dict[str, object]:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return {"bytes": file.getvalue(), "path": None}


def save_parquet(path: Path, part: str, names: list[str] | None = None) -> Path:
    table = pa.table(
        {
            "image": pa.array([encoded(pixels) for pixels in ARRAYS[f"x_{part}"]]),
            "label": pa.array(ARRAYS[f"y_{part}"].astype(np.int64)),
        }
    )
    if names:
        features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


@pytest.mark.parametrize("folder", ["set", "set/data"])
def test_files_of_a_folder_are_parts_and_classes_have_names(tmp_path: Path, folder: str) -> None:
    for part in ("train", "test"):
        save_parquet(tmp_path / folder / f"{part}-00000-of-00001.parquet", part, ["cat", "dog", "owl"])
    info = prepare(str(tmp_path / "set"), tmp_path / "cache")
    assert info.class_names == ("cat", "dog", "owl")
    assert info.sha256 == prepare(save_npz(tmp_path / "a.npz"), tmp_path / "cache").sha256


def test_one_file_is_enough(tmp_path: Path) -> None:
    info = prepare(str(save_parquet(tmp_path / "a.parquet", "train")), tmp_path / "cache")
    assert (info.training_count, info.test_count, info.class_names) == (51, 9, ())


def test_other_columns_are_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"], "label": [1]}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match="Received: text, label"):
        prepare(str(tmp_path / "a.parquet"), tmp_path / "cache")


def test_an_image_that_stands_once_in_the_file_and_in_every_row_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "SMALL_BYTES", 2**20)  # the real limit of 256 MiB takes seconds to reach
    image = encoded(ARRAYS["x_train"][0])["bytes"] + bytes(10_000)
    images = pa.DictionaryArray.from_arrays(pa.array(np.zeros(600, np.int32)), pa.array([image], pa.binary()))
    pq.write_table(
        pa.table({"image": images, "label": pa.array(np.arange(600) % 3)}),
        tmp_path / "a.parquet",
        dictionary_pagesize_limit=2**22,
        compression="zstd",
        store_schema=False,
    )
    with pytest.raises(UserError, match="would expand"):
        prepare(str(tmp_path / "a.parquet"), tmp_path / "cache")


@settings(max_examples=25)
@given(data=st.data())
def test_a_file_whose_lengths_lie_is_refused_or_read_as_written(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp()
    whole = folder / "whole.parquet"
    if not whole.exists():
        save_parquet(whole, "train")
    content = bytearray(whole.read_bytes())
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    position = data.draw(st.one_of(st.integers(0, 60), st.integers(footer, len(content) - 1)))
    content[position] ^= data.draw(st.integers(1, 255))
    path = folder / "lies.parquet"
    path.write_bytes(content)
    try:
        raw = read_parquet([path], ReadOptions())
    except UserError:
        return
    assert raw.parts["train"].images.shape[1:] == (4, 5, 1)
