import json
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from click.testing import CliRunner
from makers import MNIST
from rich.console import Console
from small_data import save_npz, small_arrays, tree

from search.cli import data_view
from search.cli.data import command
from search.data.dataset import LabeledImages, prepare
from search.data.read_options import ReadOptions
from search.errors import UserError

COLOURS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [9, 8, 7]]], np.uint8)


def shown(cache_dir: Path, *arguments: object) -> str:
    result = CliRunner().invoke(
        command, ["show", "--cache-dir", str(cache_dir), *map(str, arguments)], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return result.output


def drawn(images: np.ndarray, **console: object) -> str:
    output = StringIO()
    data_view.print_images(
        MNIST, LabeledImages(images, np.arange(len(images)), None), Console(file=output, width=80, **console)
    )
    return output.getvalue()


def test_what_is_shown_of_mnist(cache_dir: Path) -> None:
    text = shown(cache_dir)
    assert max(map(len, text.splitlines())) <= 80
    assert "whole groups" in text
    assert "training images 50,000 to 59,999" in shown(cache_dir, "--split", "block")
    assert re.search(r"9\s+4,939\s+1,010\s+1,009\s", text)
    assert re.search(r"All\s+49,988\s+10,012\s+10,000\s", text)
    assert text.index("class 5") < text.index("class 0") < text.index("class 4") < text.index("class 1")
    assert "@@@" in text


@pytest.mark.parametrize("split", ["block", "stratified"])
def test_json_says_the_same(cache_dir: Path, split: str) -> None:
    document = json.loads(shown(cache_dir, "--json", "--split", split, "--split-seed", 3))
    assert (document["split"], document["split_seed"], document["info"]["name"]) == (split, 3, "mnist")
    assert [role["count"] for role in document["roles"]] == [50000, 10000, 10000]
    assert [sum(role["per_class"]) for role in document["roles"]] == [50000, 10000, 10000]
    assert ("drawn with seed 3" in document["roles"][1]["images"]) == (split == "stratified")


def test_groups_are_the_default_where_there_are_any(tmp_path: Path) -> None:
    path = save_npz(tmp_path / "a.npz", groups_train=np.arange(60) // 5)
    assert "whole groups, drawn with seed 4" in shown(tmp_path, "--dataset", path, "--split-seed", 4)


def test_folds_tell_the_classes_that_some_of_them_cannot_validate(tmp_path: Path) -> None:
    labels = np.repeat(["cat", "dog", "owl"], [57, 2, 1])
    tests = np.repeat(["cat", "dog", "owl"], 4)
    path = save_npz(tmp_path / "a.npz", y_train=labels, y_test=tests)
    document = json.loads(shown(tmp_path, path, "--folds", 4, "--json"))
    assert document["folds"] == 4
    assert document["rare_classes"] == ["dog", "owl"]
    assert document["never_validated"] == 1
    assert [role["per_class"] for role in document["roles"][:2]] == [[57, 2, 1], [57, 2, 0]]
    text = " ".join(shown(tmp_path, path, "--folds", 4).split())
    assert "one validation image is 1.7 points" in text
    assert "fewer than 4 training images: dog, owl" in text


def test_the_picture_holds_the_first_four_images(cache_dir: Path, tmp_path: Path) -> None:
    shown(cache_dir, "--out", tmp_path / "grid.png")
    grey = matplotlib.image.imread(tmp_path / "grid.png")[..., 0]
    height, width = grey.shape
    quarters = [
        grey[top : top + height // 2, left : left + width // 2] for top in (0, height // 2) for left in (0, width // 2)
    ]
    ink = [((quarter < 0.1).mean(), (quarter > 0.9).mean()) for quarter in quarters]
    assert all(black > 0.5 and white > 0.05 for black, white in ink), ink
    assert len({quarter.tobytes() for quarter in quarters}) == 4


def test_a_picture_that_cannot_be_written_is_told(cache_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be written: No such file.* Received: out="):
        shown(cache_dir, "--out", tmp_path / "missing" / "grid.png")


def test_two_pixels_share_a_character_in_a_terminal_with_colours() -> None:
    text = drawn(np.stack([COLOURS]), force_terminal=True, color_system="truecolor", no_color=False)
    pairs = re.findall(r"\x1b\[38;2;(\d+);(\d+);(\d+);48;2;(\d+);(\d+);(\d+)m\u2580", text)
    assert [tuple(map(int, pair)) for pair in pairs] == [(255, 0, 0, 0, 0, 255), (0, 255, 0, 9, 8, 7)]


@pytest.mark.parametrize(
    "console",
    [
        {"force_terminal": False},
        {"force_terminal": True, "color_system": "truecolor", "no_color": True},
    ],
)
def test_shades_are_drawn_where_there_are_no_colours(console: dict[str, object]) -> None:
    bright, dark = np.full((1, 2, 3, 1), 255, np.uint8), np.zeros((1, 2, 3, 1), np.uint8)
    text = re.sub(r"\x1b\[[0-9;]*m", "", drawn(np.concatenate([bright, dark, bright // 2]), **console))
    assert [part for part in re.split(r"\s+", text.splitlines()[1]) if part] == ["@@@", "==="]


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (200, 7), (77, 77), (1000, 1000)])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_images_of_any_size_fit_80_columns(shape: tuple[int, int], dtype: str) -> None:
    text = drawn(np.ones((6, *shape, 3), dtype), force_terminal=False)
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("class") == 4


def test_help_loads_nothing_and_showing_loads_no_keras(cache_dir: Path) -> None:
    script = (
        "import sys; from search.cli.data import command; before = set(sys.modules)\n"
        f"command(['show', '--json', '--cache-dir', {str(cache_dir)!r}], standalone_mode=False)\n"
        "print(sorted({'numpy', 'rich', 'matplotlib'} & before), {'keras', 'tensorflow'} & sys.modules.keys())"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[] set()"


def converted(*arguments: object) -> str:
    result = CliRunner().invoke(command, ["convert", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_what_is_shown_of_a_users_own_data(tmp_path: Path) -> None:
    arrays = small_arrays()
    names = np.array(["cat", "dog", "owl"])
    arrays |= {name: names[arrays[name]] for name in ("y_train", "y_test")}
    arrays["x_test"][:5] = arrays["x_train"][:5]
    np.savez(tmp_path / "a.npz", **arrays)
    text = " ".join(shown(tmp_path, tmp_path / "a.npz", "--image-size", "8x6").split())
    assert "resized from 4 x 5 to 8 x 6 grey; white is 255; 3 classes: cat, dog, owl" in text
    assert "5 test images equal a training image" in text
    assert "has 66.7 % test error" in text
    assert "class owl" in text
    assert re.search(r"dog 17 3 4", text)


def test_the_converted_file_is_the_same_data(tmp_path: Path) -> None:
    labels = np.array(["cat", "dog", "owl"])[small_arrays()["y_train"]]
    x_train, x_val = np.split(small_arrays()["x_train"] // 16, 2)
    np.savez(tmp_path / "a.npz", x_train=x_train, y_train=labels[:30], x_val=x_val, y_val=labels[30:])
    given = ("--test-share", "20%", "--transpose", "--channels", "3")
    options = ReadOptions(test_share=0.2, transpose=True, channels=3)
    info = prepare(str(tmp_path / "a.npz"), tmp_path / "cache", options)
    assert info.sha256 in converted(tmp_path / "a.npz", tmp_path / "out.npz", *given)
    again = prepare(str(tmp_path / "out.npz"), tmp_path / "cache")
    assert (again.sha256, again.class_names, again.given_validation) == (info.sha256, ("cat", "dog", "owl"), 30)


@pytest.mark.parametrize(
    "arguments",
    [
        ("a.npz", "out.txt"),
        ("a.npz", "out.npz", "--image-size", "0"),
        ("a.npz", "out.npz", "--image-size", "wide"),
        ("a.npz", "out.npz", "--test-share", "2"),
        ("a.npz", "out.npz", "--test-share", "0.2"),
        ("a.npz", "out.npz", "--channels", "4"),
        ("b.npz", "out.npz"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    save_npz(tmp_path / "a.npz")
    with pytest.raises(UserError) as caught:
        converted(*arguments)
    assert caught.value.exit_code == 2
    assert tree(tmp_path) == {"a.npz"}
