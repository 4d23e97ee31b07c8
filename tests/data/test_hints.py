"""A hint that is followed literally works: each of the data readers' hints, before and after."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from small_data import save_idx, small_arrays

from search.data.convert import convert
from search.data.dataset import prepare
from search.data.read_options import ReadOptions
from search.data.readers import stored
from search.errors import UserError

RNG = np.random.default_rng(0)
PIXELS = small_arrays()["x_train"]
LABELS = small_arrays()["y_train"]
SQUARE = RNG.integers(0, 256, (60, 16))

Given = tuple[Path, ReadOptions]
Make = Callable[[Path], Given]


def arrays(options: ReadOptions | None = None, *, without: tuple[str, ...] = (), **changes: np.ndarray) -> Make:
    """An ``.npz`` file of the small arrays with changes."""

    def make(folder: Path) -> Given:
        kept = {name: array for name, array in small_arrays(**changes).items() if name not in without}
        np.savez(folder / "a.npz", **kept)
        return folder / "a.npz", options or ReadOptions()

    return make


def alone(options: ReadOptions | None = None, **changes: np.ndarray) -> Make:
    """The same without test images."""
    return arrays(options, without=("x_test", "y_test"), **changes)


def table(*columns: np.ndarray, header: str = "", name: str = "a.csv", options: ReadOptions | None = None) -> Make:
    """A table of pixels."""

    def make(folder: Path) -> Given:
        rows = np.column_stack([column.astype(object) for column in columns])
        lines = [*([header] if header else []), *(",".join(map(str, row)) for row in rows)]
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("\n".join(lines))
        return folder / name, options or ReadOptions()

    return make


def in_folder(*makes: Make, at: str = "") -> Make:
    """Several files, given as their folder."""

    def make(folder: Path) -> Given:
        for each in makes:
            each(folder)
        return folder / at, ReadOptions()

    return make


def images(*names: str, content: bytes | None = None, at: str = "set") -> Make:
    """A folder of image files by their paths; with other content, the last is no image."""

    def make(folder: Path) -> Given:
        for index, name in enumerate(names):
            file = folder / "set" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(SQUARE[index].reshape(4, 4).astype(np.uint8)).save(file)
            if content is not None and index >= len(names) // 2:
                file.write_bytes(content)
        return folder / at, ReadOptions()

    return make


def linked(folder: Path) -> Given:
    given = images(*IN_CLASSES)(folder)
    (folder / "set" / "a" / "link").symlink_to(folder / "set")
    return given


def unlinked(folder: Path) -> Given:
    given = linked(folder)
    (folder / "set" / "a" / "link").unlink()
    return given


def pickled(folder: Path) -> Given:
    (folder / "a.npz").write_bytes(pickle.dumps(small_arrays()))
    return folder / "a.npz", ReadOptions()


def npy(*, is_whole: bool) -> Make:
    def make(folder: Path) -> Given:
        np.save(folder / "x_train.npy", PIXELS)
        np.save(folder / "y_train.npy", LABELS)
        if not is_whole:
            (folder / "x_train.npy").write_bytes((folder / "x_train.npy").read_bytes()[:-1])
        return folder, ReadOptions()

    return make


def two_sets(at: str) -> Make:
    def make(folder: Path) -> Given:
        for name in ("a", "b"):
            save_idx(folder / name, small_arrays())
            for file in (folder / name).iterdir():
                file.rename(folder / f"{name}-{file.name}")
        return folder / at, ReadOptions()

    return make


def encoded(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def parquet(label: str, *, is_full: bool = True) -> Make:
    def make(folder: Path) -> Given:
        values = [{"bytes": encoded(image), "path": None} for image in PIXELS]
        pq.write_table(
            pa.table({"image": pa.array([*values[1:], values[0] if is_full else None]), label: pa.array(LABELS)}),
            folder / "a.parquet",
        )
        return folder / "a.parquet", ReadOptions()

    return make


def with_value(array: np.ndarray, value: float) -> np.ndarray:
    changed = array.copy()
    changed.reshape(len(changed), -1)[0, 0] = value
    return changed


def floats(white: float = 255.0) -> dict[str, np.ndarray]:
    return {name: (small_arrays()[name] / white).astype(np.float32) for name in ("x_train", "x_test")}


IN_CLASSES = [f"{name}/{index}.png" for name in "ab" for index in range(4)]
FLAT_COLOR = RNG.integers(0, 256, (60, 48), np.uint8)
MULTI_LABEL = np.tri(3, dtype=int)[LABELS]
OBJECTS = np.array([*LABELS, None], dtype=object)[:-1]
NAMES = ",".join(f"p{index}" for index in range(16))
GROUPS = np.arange(60) // 3

HINTS: dict[str, tuple[Make, Make]] = {
    "save the missing arrays": (arrays(without=("y_train",)), arrays()),
    "labels as integers": (arrays(y_train=OBJECTS), arrays(y_train=OBJECTS.astype(int))),
    "labels of shape (count,)": (arrays(y_train=LABELS.reshape(60, 1, 1)), arrays(y_train=LABELS)),
    "leave images without a label out": (
        arrays(y_train=with_value(LABELS.astype(int), -1)),
        arrays(x_train=PIXELS[1:], y_train=LABELS[1:]),
    ),
    "leave labels that are NaN out": (
        arrays(y_train=with_value(LABELS.astype(float), np.nan)),
        arrays(x_train=PIXELS[1:], y_train=LABELS[1:].astype(float)),
    ),
    "one column of several labels": (alone(y_train=MULTI_LABEL), alone(y_train=MULTI_LABEL[:, 1])),
    "a column for images without a 1": (
        alone(y_train=np.eye(3, dtype=int)[LABELS][:, :2]),
        alone(y_train=np.eye(3, dtype=int)[LABELS]),
    ),
    "name the classes of both alike": (
        arrays(y_train=np.array(["a", "b", "c"])[LABELS]),
        arrays(**{name: np.array(["a", "b", "c"])[small_arrays()[name]] for name in ("y_train", "y_test")}),
    ),
    "one label for each image": (arrays(y_train=LABELS[:59]), arrays(x_train=PIXELS[:59], y_train=LABELS[:59])),
    "one group for each image": (arrays(groups_train=GROUPS[:59]), arrays(groups_train=GROUPS)),
    "groups as integers": (arrays(groups_train=GROUPS / 2), arrays(groups_train=np.array(GROUPS, dtype="int64"))),
    "pixels as uint8": (
        arrays(x_train=PIXELS.astype(str)),
        arrays(x_train=PIXELS.astype(str).astype("uint8")),
    ),
    "leave images with NaN out": (
        arrays(**floats() | {"x_train": with_value(floats()["x_train"], np.nan)}),
        arrays(**floats() | {"x_train": floats()["x_train"][1:]}, y_train=LABELS[1:]),
    ),
    "pixels as floats in [0, 1]": (
        arrays(x_train=PIXELS.astype(int) * 1000, x_test=PIXELS[:12].astype(int) * 1000),
        arrays(**floats()),
    ),
    "divide by white": (arrays(**floats(100.0)), arrays(**floats())),
    "prepare both alike": (arrays(x_test=floats()["x_test"]), arrays(**floats())),
    "say the size of flat images": (
        alone(x_train=PIXELS.reshape(60, 20)),
        alone(ReadOptions(image_size=(4, 5)), x_train=PIXELS.reshape(60, 20)),
    ),
    "flat colors as neighbors": (alone(x_train=FLAT_COLOR), alone(x_train=FLAT_COLOR.reshape(-1, 4, 4, 3))),
    "flat colors, reds first": (alone(x_train=FLAT_COLOR), alone(x_train=FLAT_COLOR.reshape(-1, 3, 4, 4))),
    "axes in order": (
        alone(x_train=np.zeros((4, 60, 4, 3), np.uint8) + FLAT_COLOR[:, None, :3]),
        alone(x_train=np.moveaxis(np.zeros((4, 60, 4, 3), np.uint8) + FLAT_COLOR[:, None, :3], 1, 0)),
    ),
    "one size by --image-size": (
        arrays(x_test=np.zeros((12, 5, 5), np.uint8)),
        arrays(ReadOptions(image_size=(4, 4)), x_test=np.zeros((12, 5, 5), np.uint8)),
    ),
    "one size of validation images": (
        arrays(x_val=np.zeros((3, 5, 5), np.uint8), y_val=LABELS[:3]),
        arrays(ReadOptions(image_size=(4, 4)), x_val=np.zeros((3, 5, 5), np.uint8), y_val=LABELS[:3]),
    ),
    "color for all by --channels": (
        arrays(x_test=np.zeros((12, 4, 5, 3), np.uint8)),
        arrays(ReadOptions(channels=3), x_test=np.zeros((12, 4, 5, 3), np.uint8)),
    ),
    "leave --test-share out": (arrays(ReadOptions(test_share=0.2)), arrays()),
    "another --test-share": (alone(ReadOptions(test_share=0.001)), alone(ReadOptions(test_share=0.2))),
    "save pickled arrays": (pickled, arrays()),
    "save with numpy.save": (npy(is_whole=False), npy(is_whole=True)),
    "name one file of several sets": (two_sets(""), two_sets("a-train-images-idx3-ubyte")),
    "a folder for each class": (images("0.png", "1.png"), images(*IN_CLASSES)),
    "the folder of an image": (images(*IN_CLASSES, at="set/a/0.png"), images(*IN_CLASSES)),
    "the training images' folder": (
        images(*(f"test/{name}" for name in IN_CLASSES), *(f"val/{name}" for name in IN_CLASSES), content=b"x"),
        images(*(f"test/{name}" for name in IN_CLASSES), *(f"train/{name}" for name in IN_CLASSES)),
    ),
    "copy damaged images again": (images(*IN_CLASSES, content=b"broken"), images(*IN_CLASSES)),
    "remove the link": (linked, unlinked),
    "columns of a Parquet file": (parquet("kind"), parquet("label")),
    "rows without an image": (parquet("label", is_full=False), parquet("label")),
    "a header names the label": (
        table(LABELS, SQUARE[:, 1:], LABELS),
        table(LABELS, SQUARE, header=f"label,{NAMES}"),
    ),
    "the size of a table's images": (
        table(LABELS, SQUARE[:, :15]),
        table(LABELS, SQUARE[:, :15], options=ReadOptions(image_size=(3, 5))),
    ),
    "only label and pixels": (table(LABELS, LABELS.astype("U") + "x", SQUARE), table(LABELS, SQUARE)),
    "tables in a folder of their own": (
        in_folder(table(LABELS, SQUARE, name="a_train.csv"), table(LABELS, SQUARE, name="b_train.csv")),
        in_folder(table(LABELS, SQUARE, name="own/a_train.csv"), at="own"),
    ),
    "name the table itself": (
        in_folder(table(LABELS, SQUARE), table(LABELS, SQUARE, name="b.csv")),
        table(LABELS, SQUARE),
    ),
}


@pytest.mark.parametrize("hint", HINTS)
def test_a_hint_that_is_followed_works(tmp_path: Path, hint: str) -> None:
    before, after = HINTS[hint]
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    path, options = before(tmp_path / "before")
    with pytest.raises(UserError) as caught:
        prepare(str(path), tmp_path / "cache", options)
    assert caught.value.hint
    path, options = after(tmp_path / "after")
    assert prepare(str(path), tmp_path / "cache", options).training_count


def test_uniform_images_are_taken_without_compression(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "SMALL_BYTES", 2**16)  # the real limit of 256 MiB takes seconds to reach
    changes = {"x_train": np.zeros((60, 128, 128), np.uint8), "x_test": np.zeros((12, 128, 128), np.uint8)}
    np.savez_compressed(tmp_path / "small.npz", **small_arrays(**changes))
    with pytest.raises(UserError, match="would expand"):
        prepare(str(tmp_path / "small.npz"), tmp_path / "cache")
    np.savez(tmp_path / "large.npz", **small_arrays(**changes))
    assert prepare(str(tmp_path / "large.npz"), tmp_path / "cache").training_count == 60


def test_the_name_that_is_proposed_for_a_converted_file_is_taken(tmp_path: Path) -> None:
    path, options = arrays()(tmp_path)
    with pytest.raises(UserError) as caught:
        convert(str(path), tmp_path / "out", options)
    proposed = Path(caught.value.hint.removeprefix("Name it ").removesuffix("."))
    assert convert(str(path), proposed, options).sha256
