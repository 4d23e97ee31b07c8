"""Arrays of a notebook: text of pandas as labels, and lists that are no arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_data import small_arrays

from search.data.arrays import save_arrays
from search.data.dataset import prepare
from search.errors import UserError

PIXELS, LABELS = (small_arrays()[name] for name in ("x_train", "y_train"))
WORDS = np.array(["cat", "dog", "owl"])[LABELS]


@pytest.mark.parametrize(
    "labels", [WORDS.astype(object), pd.Series(WORDS), pd.Series(WORDS, dtype=object), list(WORDS)]
)
def test_text_is_labels(tmp_path: Path, labels: object) -> None:
    info = prepare(str(save_arrays((PIXELS, labels), tmp_path)), tmp_path)
    assert info.class_names == ("cat", "dog", "owl")


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (PIXELS, np.array([*WORDS[:-1], None], dtype=object), "object of shape"),
        ([PIXELS[0], PIXELS[1, :2]], LABELS[:2], "differ in shape"),
        (PIXELS, LABELS[:-1], "differ in number"),
    ],
)
def test_others_are_refused(tmp_path: Path, images: object, labels: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        save_arrays((images, labels), tmp_path)
