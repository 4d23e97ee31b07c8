"""From data of any form to the canonical one."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from small_data import save_npz, small_arrays

from search.data.canonical import make_canonical
from search.data.dataset import open_test, open_training, prepare
from search.data.raw import raw_from_arrays
from search.data.read_options import ReadOptions
from search.data.split import default_split, make_split_indices
from search.errors import UserError
from search.protocol import Split

ARRAYS = small_arrays()
PIXELS, LABELS = ARRAYS["x_train"], ARRAYS["y_train"]
FLOATS = np.linspace(0, 1, 60 * 4 * 5).reshape(60, 4, 5)


def canonical(options: ReadOptions | None = None, **changes: np.ndarray) -> dict[str, np.ndarray]:
    return make_canonical(raw_from_arrays(small_arrays(**changes), "images"), options or ReadOptions())


def both(convert) -> dict[str, np.ndarray]:
    return {name: convert(ARRAYS[name]) for name in ("x_train", "x_test")}


def with_value(array: np.ndarray, value: float) -> np.ndarray:
    """A copy whose seventh entry starts with another value."""
    changed = array.copy()
    changed[7, ...].flat[0] = value
    return changed


def equal(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> bool:
    return all(np.array_equal(first[name], second[name]) and first[name].dtype == second[name].dtype for name in ARRAYS)


def test_the_canonical_form() -> None:
    arrays = canonical(groups_train=np.arange(60) // 5, groups_test=np.arange(12))
    assert {
        name: (array.shape, array.dtype.name) for name, array in arrays.items() if name not in ("reading", "white")
    } == {
        "x_train": ((60, 4, 5, 1), "uint8"),
        "y_train": ((60,), "int64"),
        "x_test": ((12, 4, 5, 1), "uint8"),
        "y_test": ((12,), "int64"),
        "groups_train": ((60,), "int64"),
        "groups_test": ((12,), "int64"),
    }
    assert np.array_equal(arrays["x_train"][..., 0], PIXELS)
    assert equal(canonical(**{name: array for name, array in arrays.items() if name in ARRAYS}), arrays)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
def test_floats_become_float32(dtype: str) -> None:
    arrays = canonical(x_train=FLOATS.astype(dtype), x_test=FLOATS[:12].astype(dtype))
    assert arrays["x_train"].dtype == np.dtype("float32")
    np.testing.assert_allclose(arrays["x_train"][..., 0], FLOATS, atol=1e-3)


AS_BYTES = {
    "wide integers": lambda pixels: pixels.astype("int64"),
    "big-endian integers": lambda pixels: pixels.astype(">u2"),
    "whole floats": lambda pixels: pixels.astype("float32"),
    "a channel": lambda pixels: pixels[..., None],
    "channels first": lambda pixels: pixels[:, None],
    "the count last": lambda pixels: np.moveaxis(pixels, 0, -1),
    "the count last, with a channel": lambda pixels: np.moveaxis(pixels[..., None], 0, -1),
}


@pytest.mark.parametrize("convert", AS_BYTES.values(), ids=AS_BYTES)
def test_the_same_images_in_another_form_are_the_same_data(convert) -> None:
    assert equal(canonical(**both(convert)), canonical())


def test_flat_images_are_square_or_have_the_size_that_is_said() -> None:
    flat = both(lambda pixels: pixels.reshape(len(pixels), -1))
    assert equal(canonical(ReadOptions(image_size=(4, 5)), **flat), canonical())
    with pytest.raises(UserError, match="no square") as caught:
        canonical(**flat)
    assert "--image-size 4x5" in caught.value.hint
    square = canonical(**both(lambda pixels: pixels[:, :4, :4].reshape(len(pixels), -1)))
    assert np.array_equal(square["x_train"][..., 0], PIXELS[:, :4, :4])
    with pytest.raises(UserError, match="one of two orders"):
        canonical(**both(lambda pixels: np.repeat(pixels[:, :4, :4].reshape(len(pixels), -1), 3, axis=1)))


def test_opacity_shows_white() -> None:
    clear = both(lambda pixels: np.stack([pixels, pixels, pixels, np.where(pixels > 99, 255, 0)], axis=-1))
    shown = canonical(**{name: array.astype(np.uint8) for name, array in clear.items()})
    assert np.array_equal(shown["x_train"][..., 0], np.where(PIXELS > 99, PIXELS, 255))


WHITES = {
    "bits": (lambda pixels: pixels > 99, 1, np.uint8),
    "one": (lambda pixels: (pixels > 99).astype(np.uint8), 1, np.uint8),
    "sixteen": (lambda pixels: pixels // 16 + (pixels > 250), 16, np.float32),
    "fifteen": (lambda pixels: pixels // 16, 15, np.uint8),
    "sixteen in floats": (lambda pixels: (pixels // 16 + (pixels > 250)).astype(float), 16, np.float32),
    "twelve bits": (lambda pixels: pixels.astype(np.uint16) * 16, 4095, np.float32),
    "sixteen bits": (lambda pixels: pixels.astype(np.uint16) * 257, 65535, np.float32),
    "fractions up to 255": (lambda pixels: pixels * 0.999, 255, np.float32),
}


@pytest.mark.parametrize("case", WHITES)
def test_white_is_what_the_training_images_say(case: str) -> None:
    convert, white, dtype = WHITES[case]
    given = both(convert)
    arrays = canonical(**given)
    assert arrays["x_train"].dtype == dtype
    shown = arrays["x_train"][..., 0] / (255.0 if dtype == np.uint8 else 1.0)
    np.testing.assert_allclose(shown, given["x_train"].astype(float) / white, atol=1e-6)
    assert f"white is {white}" in arrays["reading"][0]
    assert arrays["white"].tolist() == [white]


def test_levels_as_integers_and_divided_by_white_are_the_same_data() -> None:
    levels = both(lambda pixels: pixels // 16 + (pixels > 250))
    assert equal(canonical(**levels), canonical(**{name: array / 16 for name, array in levels.items()}))


def test_standardized_floats_are_taken_as_they_are_and_rounding_above_one_is_cut() -> None:
    standardized = canonical(x_train=FLOATS * 4 - 2, x_test=FLOATS[:12] * 4 - 2)
    np.testing.assert_allclose(standardized["x_train"][..., 0], FLOATS * 4 - 2, atol=1e-6)
    assert "taken as they are" in standardized["reading"][0]
    assert canonical(x_train=FLOATS * 1.0000002, x_test=FLOATS[:12])["x_train"].max() == 1


LABEL_FORMS = {
    "a column": (lambda labels: labels[:, None].astype("int16"), ()),
    "a row": (lambda labels: labels[None], ()),
    "big-endian": (lambda labels: labels.astype(">i4"), ()),
    "whole floats": (lambda labels: labels.astype(float), ()),
    "one-hot": (lambda labels: np.eye(3)[labels], ()),
    "from 1": (lambda labels: labels + 1, ("1", "2", "3")),
    "with gaps": (lambda labels: labels.astype(int) * 20, ("0", "20", "40")),
    "strings": (lambda labels: np.array(["cat", "dog", "owl"])[labels], ("cat", "dog", "owl")),
    "bytes": (lambda labels: np.array([b"cat", b"dog", b"owl"])[labels], ("cat", "dog", "owl")),
    "numbers as strings": (lambda labels: np.array(["8", "9", "10"])[labels], ("8", "9", "10")),
}


@pytest.mark.parametrize("case", LABEL_FORMS)
def test_labels_of_any_form_become_numbers_from_0_and_keep_their_names(case: str) -> None:
    convert, names = LABEL_FORMS[case]
    arrays = canonical(y_train=convert(LABELS), y_test=convert(ARRAYS["y_test"]))
    assert equal(arrays, canonical())
    assert tuple(arrays.get("class_names", ())) == names


def test_booleans_and_signs_are_two_classes() -> None:
    flags = {name: ARRAYS[name] > 0 for name in ("y_train", "y_test")}
    assert tuple(canonical(**flags)["class_names"]) == ("False", "True")
    signs = {name: np.where(flag, 1, -1) for name, flag in flags.items()}
    assert tuple(canonical(**signs)["class_names"]) == ("-1", "1")


REFUSED = {
    "five channels": ({"x_train": np.zeros((60, 4, 5, 5), np.uint8)}, r"Received: shape=\(60, 4, 5, 5\)"),
    "no images": ({"x_train": PIXELS[:0], "y_train": LABELS[:0]}, "y_train must hold at least one label"),
    "images without pixels": ({"x_test": np.zeros((12, 0, 5), np.uint8)}, "x_test must hold at least one image"),
    "text": ({"x_train": PIXELS.astype(str)}, "Received: dtype=<U3"),
    "negative integers": ({"x_train": PIXELS.astype(int) - 9}, "integers from 0 to 65535"),
    "floats beyond one": ({"x_train": FLOATS * 3}, r"floats in \[0, 1\] or in \[0, 255\]"),
    "an infinite pixel": ({"x_train": with_value(FLOATS, np.inf)}, "NaN or infinity, first in image 7"),
    "a NaN": ({"x_train": with_value(FLOATS, np.nan)}, "NaN or infinity, first in image 7"),
    "another size": ({"x_test": np.zeros((12, 5, 5), np.uint8)}, r"\(4, 5, 1\) uint8 and \(5, 5, 1\) uint8"),
    "another type": ({"x_test": FLOATS[:12]}, "x_test holds other pixels than x_train, where white is 255"),
    "another white": ({"x_train": PIXELS // 16}, "x_test holds other pixels than x_train, where white is 15"),
    "too few labels": ({"y_train": LABELS[:59]}, "x_train and y_train .* Received: 60 and 59"),
    "too few test labels": ({"y_test": LABELS[:11]}, "x_test and y_test .* Received: 12 and 11"),
    "quantities": ({"y_train": LABELS + 0.5}, "Expected: whole numbers. Received: 0.5 for image 0"),
    "several labels": ({"y_train": np.tri(3, dtype=int)[LABELS]}, "multi-label"),
    "a row without a label": ({"y_train": np.tri(3, k=-1, dtype=int)[LABELS][:, :2]}, "multi-label|rows without a 1"),
    "probabilities": ({"y_train": np.full((60, 3), 1 / 3)}, "no list of classes"),
    "images without a label": ({"y_train": with_value(LABELS.astype(int), -1)}, "Received: -1 to 2"),
    "one class": ({"y_train": LABELS * 0}, "2 to 1000 classes. Received: 1"),
    "an unknown test class": ({"y_test": LABELS[:12] + 1}, "classes of y_train. Received: 3"),
    "too few groups": ({"groups_train": np.arange(59)}, "x_train and groups_train .* Received: 60 and 59"),
    "too many test groups": ({"groups_test": np.arange(13)}, "x_test and groups_test .* Received: 12 and 13"),
    "float groups": ({"groups_train": np.arange(60.0)}, r"groups_train must hold integers .* dtype=float64"),
    "a table of groups": ({"groups_train": np.zeros((60, 2), int)}, r"Received: dtype=int64, shape=\(60, 2\)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_unusable_arrays_are_refused(case: str) -> None:
    changes, message = REFUSED[case]
    with pytest.raises(UserError, match=message):
        canonical(**changes)


def test_a_thousand_classes_are_accepted() -> None:
    arrays = canonical(x_train=np.zeros((1000, 4, 5), np.uint8), y_train=np.arange(1000))
    assert arrays["y_train"].max() == 999


def test_options_turn_resize_and_color() -> None:
    turned = canonical(ReadOptions(transpose=True))
    assert np.array_equal(turned["x_train"][..., 0], PIXELS.swapaxes(1, 2))
    arrays = canonical(ReadOptions(image_size=(6, 7), channels=3))
    assert arrays["x_train"].shape == (60, 6, 7, 3)
    assert "resized from 4 x 5 to 6 x 7 color" in arrays["reading"][0]
    color = {name: array for name, array in canonical(ReadOptions(channels=3)).items() if name in ARRAYS}
    assert np.array_equal(canonical(ReadOptions(channels=1), **color)["x_train"][..., 0], PIXELS)


def without(*names: str) -> dict[str, np.ndarray]:
    return {name: array for name, array in small_arrays().items() if name not in names}


def test_test_images_are_held_out_by_class_where_there_are_none(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **without("x_test", "y_test"))
    info = prepare(str(tmp_path / "a.npz"), tmp_path / "cache")
    assert (info.training_count, info.test_count) == (51, 9)
    assert np.bincount(open_test(info).labels).tolist() == [3, 3, 3]
    assert "15 % held out for testing, seed 0" in info.reading[0]
    half = prepare(str(tmp_path / "a.npz"), tmp_path / "cache", ReadOptions(test_share=0.5))
    assert (half.training_count, half.test_count) == (30, 30)
    assert half.sha256 != info.sha256
    with pytest.raises(UserError, match="have test images"):
        prepare(save_npz(tmp_path / "b.npz"), tmp_path / "cache", ReadOptions(test_share=0.5))


def test_a_class_of_one_image_stays_in_training_and_groups_stay_together() -> None:
    labels = with_value(LABELS.astype(int), 9)
    raw = raw_from_arrays({"x_train": PIXELS, "y_train": labels, "groups_train": np.arange(60) // 6}, "images")
    arrays = make_canonical(raw, ReadOptions(test_share=0.2))
    assert 3 in arrays["y_train"]
    assert len(arrays["y_test"]) == 12
    assert not set(arrays["groups_train"]) & set(arrays["groups_test"])
    alone = make_canonical(
        raw_from_arrays({"x_train": PIXELS, "y_train": labels}, "images"), ReadOptions(test_share=0.9)
    )
    assert set(alone["y_train"]) == {0, 1, 2, 3}


def test_given_validation_images_are_used_as_such(tmp_path: Path) -> None:
    """MedMNIST's names."""
    pixels, labels = PIXELS, LABELS[:, None]
    arrays = {
        "train_images": pixels[:40], "train_labels": labels[:40], "val_images": pixels[40:], "val_labels": labels[40:],
        "test_images": ARRAYS["x_test"], "test_labels": ARRAYS["y_test"][:, None],
    }  # fmt: skip
    np.savez(tmp_path / "medmnist.npz", **arrays)
    info = prepare(str(tmp_path / "medmnist.npz"), tmp_path / "cache")
    assert (info.training_count, info.given_validation, default_split(info)) == (60, 20, Split.GIVEN)
    indices = make_split_indices(open_training(info), split=Split.GIVEN, seed=0)
    assert indices.validation.tolist() == list(range(40, 60))
    plain = prepare(save_npz(tmp_path / "plain.npz"), tmp_path / "cache")
    assert plain.sha256 != info.sha256
    with pytest.raises(UserError, match="no validation images of their own"):
        make_split_indices(open_training(plain), split=Split.GIVEN, seed=0)
