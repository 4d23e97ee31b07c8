import numpy as np
import pytest
from small_data import small_arrays

from search.data.validate import validate_arrays
from search.errors import UserError

FLOATS = np.linspace(0, 1, 60 * 4 * 5).reshape(60, 4, 5)


def with_value(array: np.ndarray, value: float) -> np.ndarray:
    """A copy whose seventh entry starts with another value."""
    changed = array.copy()
    changed[7, ...].flat[0] = value
    return changed


def test_the_canonical_form() -> None:
    arrays = validate_arrays(small_arrays(groups_train=np.arange(60) // 5, groups_test=np.arange(12)))
    assert {name: (array.shape, array.dtype.name) for name, array in arrays.items()} == {
        "x_train": ((60, 4, 5, 1), "uint8"),
        "y_train": ((60,), "int64"),
        "x_test": ((12, 4, 5, 1), "uint8"),
        "y_test": ((12,), "int64"),
        "groups_train": ((60,), "int64"),
        "groups_test": ((12,), "int64"),
    }
    assert np.array_equal(arrays["x_train"][..., 0], small_arrays()["x_train"])


def test_the_canonical_form_stays_as_it_is() -> None:
    once = validate_arrays(small_arrays())
    assert all(np.array_equal(array, once[name]) for name, array in validate_arrays(once).items())


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
def test_floats_become_float32(dtype: str) -> None:
    arrays = validate_arrays(small_arrays(x_train=FLOATS.astype(dtype), x_test=FLOATS[:12].astype(dtype)))
    assert arrays["x_train"].dtype == np.dtype("float32")
    np.testing.assert_allclose(arrays["x_train"][..., 0], FLOATS, atol=1e-3)


def test_colours_and_a_column_of_labels_are_accepted() -> None:
    colours = {name: np.repeat(small_arrays()[name][..., None], 3, axis=3) for name in ("x_train", "x_test")}
    arrays = validate_arrays(small_arrays(**colours, y_train=small_arrays()["y_train"][:, None].astype("int16")))
    assert arrays["x_train"].shape == (60, 4, 5, 3)
    assert np.array_equal(arrays["y_train"], small_arrays()["y_train"])


def test_big_endian_labels_keep_their_values() -> None:
    labels = small_arrays()["y_train"]
    assert np.array_equal(validate_arrays(small_arrays(y_train=labels.astype(">i4")))["y_train"], labels)


PIXELS, LABELS = small_arrays()["x_train"], small_arrays()["y_train"]
REFUSED = {
    "flat images": ({"x_train": PIXELS.reshape(60, 20)}, r"x_train must have shape .* Received: shape=\(60, 20\)"),
    "four channels": ({"x_train": np.zeros((60, 4, 5, 4), np.uint8)}, r"Received: shape=\(60, 4, 5, 4\)"),
    "channels first": ({"x_train": np.zeros((60, 3, 4, 5), np.uint8)}, r"Received: shape=\(60, 3, 4, 5\)"),
    "no images": ({"x_train": PIXELS[:0]}, r"at least one image. Received: shape=\(0, 4, 5\)"),
    "images without pixels": ({"x_test": np.zeros((12, 0, 5), np.uint8)}, "x_test must hold at least one image"),
    "wide integers": ({"x_train": PIXELS.astype("int64")}, r"uint8 values.* Received: dtype=int64"),
    "booleans": ({"x_train": PIXELS > 9}, "Received: dtype=bool"),
    "text": ({"x_train": PIXELS.astype(str)}, "Received: dtype=<U3"),
    "unscaled floats": ({"x_train": PIXELS.astype("float32")}, r"floats in \[0, 1\]. Received: 0 to 255"),
    "negative floats": ({"x_train": FLOATS - 0.5}, r"Received: -0\.5 to 0\.5"),
    "an infinite pixel": ({"x_train": with_value(FLOATS, np.inf)}, "Received: 0 to inf"),
    "a NaN": ({"x_train": with_value(FLOATS, np.nan)}, "Received: NaN, first in image 7"),
    "another size": ({"x_test": np.zeros((12, 5, 5), np.uint8)}, r"\(4, 5, 1\) uint8 and \(5, 5, 1\) uint8"),
    "another type": ({"x_test": FLOATS[:12]}, r"\(4, 5, 1\) uint8 and \(4, 5, 1\) float32"),
    "too few labels": ({"y_train": LABELS[:59]}, "x_train and y_train .* Received: 60 and 59"),
    "too few test labels": ({"y_test": LABELS[:11]}, "x_test and y_test .* Received: 12 and 11"),
    "no labels": ({"y_train": LABELS[:0]}, "y_train must hold at least one label"),
    "float labels": ({"y_train": LABELS.astype(float)}, r"integer labels .* Received: dtype=float64, shape=\(60,\)"),
    "one-hot labels": ({"y_train": np.eye(3, dtype=int)[LABELS]}, r"Received: dtype=int64, shape=\(60, 3\)"),
    "a negative label": ({"y_train": with_value(LABELS.astype(int), -1)}, "Received: -1 to 2"),
    "a huge label": ({"y_train": with_value(LABELS.astype("uint64"), 2**64 - 1)}, f"Received: 0 to {2**64 - 1}"),
    "a class too many": ({"y_train": with_value(LABELS.astype(int), 1000)}, "0 to 999 at most. Received: 0 to 1000"),
    "a class left out": ({"y_train": LABELS * 2}, "every class from 0 to 4. Received: none of class 1"),
    "one class": ({"y_train": LABELS * 0}, "2 to 1000 classes. Received: 1"),
    "an unknown test class": ({"y_test": LABELS[:12] + 1}, "classes of y_train, 0 to 2. Received: 3"),
    "too few groups": ({"groups_train": np.arange(59)}, "x_train and groups_train .* Received: 60 and 59"),
    "too many test groups": ({"groups_test": np.arange(13)}, "x_test and groups_test .* Received: 12 and 13"),
    "float groups": ({"groups_train": np.arange(60.0)}, r"groups_train must hold integers .* dtype=float64"),
    "a table of groups": ({"groups_train": np.zeros((60, 2), int)}, r"Received: dtype=int64, shape=\(60, 2\)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_unusable_arrays_are_refused(case: str) -> None:
    changes, message = REFUSED[case]
    with pytest.raises(UserError, match=message):
        validate_arrays(small_arrays(**changes))


def test_a_thousand_classes_are_accepted() -> None:
    labels = np.arange(1000)
    arrays = validate_arrays(small_arrays(x_train=np.zeros((1000, 4, 5), np.uint8), y_train=labels))
    assert arrays["y_train"].max() == 999
