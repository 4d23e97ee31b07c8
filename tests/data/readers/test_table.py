"""Tables of pixels as text."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from search.data.dataset import open_test, open_training, prepare
from search.data.read_options import ReadOptions
from search.errors import UserError

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (30, 16))
PIXELS[:, [0, -1]] = 0  # a margin, as of digits
LABELS = np.arange(30) % 3
WORDS = np.array(["cat", "dog", "owl"])[LABELS]


def lines(*columns: np.ndarray, header: list[str] | None = None, separator: str = ",") -> str:
    rows = [separator.join(map(str, row)) for row in np.column_stack([column.astype(object) for column in columns])]
    return "\n".join([*([separator.join(header)] if header else []), *rows]) + "\n"


NAMES = [f"pixel{index}" for index in range(16)]
TABLES = {
    "Kaggle's": lines(LABELS, PIXELS, header=["label", *NAMES]),
    "label first, no header": lines(LABELS, PIXELS),
    "label last, no header": lines(PIXELS, LABELS),
    "numbered columns": lines(LABELS, PIXELS, header=["label", *map(str, range(16))]),
    "only numbers as header": lines(LABELS, PIXELS, header=list(map(str, range(17)))),
    "label in the middle": lines(PIXELS[:, :8], LABELS, PIXELS[:, 8:], header=[*NAMES[:8], "class", *NAMES[8:]]),
    "with an index": lines(np.arange(30), LABELS, PIXELS, header=["id", "label", *NAMES]),
    "tabs": lines(LABELS, PIXELS, separator="\t"),
    "semicolons": lines(LABELS, PIXELS, separator=";"),
    "spaces": lines(PIXELS, LABELS, separator=" "),
    "Semeion's": lines(PIXELS / 1.0, np.eye(3, dtype=int)[LABELS], separator=" "),
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_labels_are_found_beside_square_images(tmp_path: Path, table: str) -> None:
    (tmp_path / "train.csv").write_text(table, encoding="utf-8")
    info = prepare(str(tmp_path / "train.csv"), tmp_path / "cache")
    assert (info.image_shape, info.classes, info.training_count + info.test_count) == ((4, 4, 1), 3, 30)
    found = np.concatenate([open_training(info).images, open_test(info).images]).reshape(30, 16)
    labels = np.concatenate([open_training(info).labels, open_test(info).labels])
    of_image = {tuple(image): label for image, label in zip(PIXELS, LABELS, strict=True)}
    assert [of_image[tuple(image)] for image in found.tolist()] == labels.tolist()


@pytest.mark.parametrize("columns", [(WORDS, PIXELS), (PIXELS, WORDS)])
def test_words_are_classes(tmp_path: Path, columns: tuple[np.ndarray, ...]) -> None:
    (tmp_path / "a.tsv").write_text(lines(*columns, separator="\t"))
    assert prepare(str(tmp_path / "a.tsv"), tmp_path / "cache").class_names == ("cat", "dog", "owl")


def test_a_table_for_testing_is_used_if_it_has_labels_and_else_left_out(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(lines(LABELS, PIXELS, header=["label", *NAMES]))
    (tmp_path / "test.csv").write_text(lines(PIXELS, header=NAMES))
    (tmp_path / "sample_submission.csv").write_text("ImageId,Label\n1,0\n")
    info = prepare(str(tmp_path), tmp_path / "cache")
    assert "15 % held out" in info.reading[0]
    assert info.reading[1] == "left out, as it has no labels: test.csv"
    (tmp_path / "test.csv").write_text(lines(LABELS[:6], PIXELS[:6], header=["label", *NAMES]))
    assert prepare(str(tmp_path), tmp_path / "cache").test_count == 6


def test_the_size_of_images_that_are_not_square_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(lines(LABELS, PIXELS[:, :15]))
    with pytest.raises(UserError, match="no labels beside square images"):
        prepare(str(path), tmp_path / "cache")
    info = prepare(str(path), tmp_path / "cache", ReadOptions(image_size=(3, 5)))
    assert info.image_shape == (3, 5, 1)


def wide(path: Path) -> None:
    path.write_bytes(b"0," * 10_000_000 + b"0\n")


def wide_later(path: Path) -> None:
    path.write_bytes(lines(LABELS, PIXELS).encode() + b"0," * 10_000_000 + b"0\n")


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "ten million columns": (wide, "lines of more than"),
    "ten million columns in a later line": (wide_later, "lines of more than"),
    "many columns": (lambda path: path.write_bytes((b"0," * 300_000 + b"0\n") * 2), "Received: 300,001 in the first"),
    "a line that is longer": (lambda path: path.write_text(lines(LABELS, PIXELS) + "1,2" * 30 + "\n"), "no table"),
    "an empty field": (lambda path: path.write_text(lines(LABELS, PIXELS) + "1" + "," * 16 + "\n"), "line 31"),
    "an empty field below a header": (
        lambda path: path.write_text(lines(LABELS, PIXELS, header=["label", *NAMES]) + "1" + "," * 16 + "\n"),
        "empty fields .* Received: line 32",
    ),
    "words among pixels": (lambda path: path.write_text(lines(LABELS, WORDS, PIXELS)), "words among its pixels"),
    "two columns that may be labels": (lambda path: path.write_text(lines(LABELS, PIXELS[:, 1:], LABELS)), "both"),
    "bytes": (lambda path: path.write_bytes(bytes(100)), "no text"),
    "other bytes": (lambda path: path.write_bytes(b"\xff\xfe,\xff\n" * 9), "no text"),
    "nothing": (lambda path: path.write_bytes(b""), "no table of images"),
}


@pytest.mark.parametrize("case", BAD)
def test_other_tables_are_refused(tmp_path: Path, case: str) -> None:
    write, message = BAD[case]
    write(tmp_path / "a.csv")
    with pytest.raises(UserError, match=message):
        prepare(str(tmp_path / "a.csv"), tmp_path / "cache")
