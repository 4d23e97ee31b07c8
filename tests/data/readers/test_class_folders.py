"""Folders of images by class."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from search.data.dataset import open_test, open_training, prepare
from search.data.read_options import ReadOptions
from search.data.split import default_split
from search.errors import UserError
from search.protocol import Split

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (8, 8), np.uint8)


def save(path: Path, pixels: np.ndarray | None = None, mode: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(RNG.integers(0, 256, (8, 8), np.uint8) if pixels is None else pixels)
    (image.convert(mode) if mode else image).save(path)


def make_classes(root: Path, *, count: int = 5, names: tuple[str, ...] = ("owl", "10", "9")) -> Path:
    for name in names:
        for index in range(count):
            save(root / name / f"{index}.png")
    return root


def test_classes_are_folders_and_other_files_are_left_out(tmp_path: Path) -> None:
    root = make_classes(tmp_path / "w\u00f6rter mit leerzeichen")
    (root / "owl" / ".DS_Store").write_bytes(b"x")
    (root / "owl" / "._0.png").write_bytes(b"x")
    (root / "Thumbs.db").write_bytes(b"x")
    (root / "__MACOSX").mkdir()
    (root / "owl" / "readme.txt").write_text("x")
    (root / "owl" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0broken")
    info = prepare(str(root), tmp_path / "cache")
    assert (info.training_count, info.test_count, info.image_shape) == (13, 2, (8, 8, 1))
    assert info.class_names == ("10", "9", "owl")
    assert "PNGs in 3 folders" in info.reading[0]
    assert info.reading[1] == "left out, as not readable: owl/broken.jpg"


def test_numbers_are_classes_in_their_order(tmp_path: Path) -> None:
    info = prepare(str(make_classes(tmp_path / "a", names=("10", "9", "8"))), tmp_path / "cache")
    assert info.class_names == ("8", "9", "10")


def test_parts_are_folders_too(tmp_path: Path) -> None:
    for part, count in (("Train", 4), ("valid", 2), ("TEST", 3)):
        make_classes(tmp_path / "set" / part, count=count)
    info = prepare(str(tmp_path / "set"), tmp_path / "cache")
    assert (info.training_count, info.given_validation, info.test_count) == (18, 6, 9)
    assert default_split(info) is Split.GIVEN


def test_folders_below_a_class_are_one_class_and_are_mentioned(tmp_path: Path) -> None:
    make_classes(tmp_path / "set" / "data")
    make_classes(tmp_path / "set" / "examples", names=("few",))
    info = prepare(str(tmp_path / "set"), tmp_path / "cache")
    assert info.class_names == ("data", "examples")
    assert info.reading[1:] == ("the 3 folders in data are read as one class; give data itself to tell them apart",)


def test_images_of_several_sizes_and_kinds_become_one(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for index, (height, width) in enumerate([(8, 12), (10, 12), (20, 14)] * 2):
        save(root / f"{index % 2}" / f"{index}.png", RNG.integers(0, 256, (height, width, 3), np.uint8))
    save(root / "0" / "grey.png", GREY)
    save(root / "1" / "palette.gif", GREY, "P")
    save(root / "1" / "deep.png", GREY.astype(np.uint16) * 257)
    info = prepare(str(root), tmp_path / "cache")
    assert info.image_shape == (8, 12, 3)  # the medians
    assert "resized from 4 sizes to 8 x 12 color" in info.reading[0]
    resized = prepare(str(root), tmp_path / "cache", ReadOptions(image_size=(4, 6), channels=1))
    assert resized.image_shape == (4, 6, 1)
    assert resized.sha256 != info.sha256


def stored_image(tmp_path: Path, file: str, **options: object) -> np.ndarray:
    """The pixels that become of the only image of class 0 in a data set of eight."""
    for index in range(7):
        save(tmp_path / "set" / "1" / f"{index}.png", GREY)
    info = prepare(str(tmp_path / "set"), tmp_path / "cache", ReadOptions(**options))
    training = open_training(info)
    return training.images[list(training.labels).index(0)][..., 0]


def test_pixels_are_those_of_the_file(tmp_path: Path) -> None:
    save(tmp_path / "set" / "0" / "a.png", np.stack([GREY] * 3, axis=-1))
    assert np.array_equal(stored_image(tmp_path, "a.png"), GREY)


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    save(tmp_path / "set" / "0" / "a.png", GREY.astype(np.uint16) * 257)
    assert np.array_equal(stored_image(tmp_path, "a.png"), GREY)


def test_white_of_deep_images_is_that_of_them_all(tmp_path: Path) -> None:
    deep = RNG.integers(0, 4096, (8, 6, 6))  # 12 bits
    deep[0] //= 64  # a dark one
    for index, pixels in enumerate(deep):
        if index % 2:
            save(tmp_path / "set" / str(index % 2) / f"{index}.tiff", pixels.astype(np.float32))
        else:
            save(tmp_path / "set" / str(index % 2) / f"{index}.png", pixels.astype(np.uint16))
    info = prepare(str(tmp_path / "set"), tmp_path / "cache")
    assert "white is 4095" in info.reading[0]
    training = open_training(info)
    images = training.images[..., 0]
    assert images.dtype == np.float32
    expected = {(pixels / np.float32(4095)).astype(np.float32).tobytes() for pixels in deep.astype(np.float32)}
    assert {image.tobytes() for image in images} <= expected


def test_a_drawing_on_a_transparent_ground_is_on_white(tmp_path: Path) -> None:
    opacity = np.where(GREY > 99, 255, 0).astype(np.uint8)
    save(tmp_path / "set" / "0" / "a.png", np.stack([GREY * 0] * 3 + [opacity], axis=-1))
    assert np.array_equal(stored_image(tmp_path, "a.png"), 255 - opacity)


def test_a_class_that_only_the_test_images_have_is_named(tmp_path: Path) -> None:
    make_classes(tmp_path / "set" / "train")
    make_classes(tmp_path / "set" / "test", names=("owl", "cat"))
    with pytest.raises(UserError, match="Received: cat, which no training image has"):
        prepare(str(tmp_path / "set"), tmp_path / "cache")


def test_a_folder_of_one_class_is_refused(tmp_path: Path) -> None:
    make_classes(tmp_path / "set", names=("owl",))
    with pytest.raises(UserError, match="Received: owl alone"):
        prepare(str(tmp_path / "set"), tmp_path / "cache")


def test_links_are_followed_and_loops_are_refused(tmp_path: Path) -> None:
    root = make_classes(tmp_path / "set")
    (root / "linked").symlink_to(root / "9", target_is_directory=True)
    (root / "9" / "itself").symlink_to("itself")
    assert prepare(str(root), tmp_path / "cache").classes == 4
    (root / "owl" / "loop").symlink_to(root, target_is_directory=True)
    with pytest.raises(UserError, match="link leads back"):
        prepare(str(root), tmp_path / "cache")


def png(height: int, width: int) -> bytes:
    """A PNG whose header claims a size."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(1000))
    chunks = [struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in (header, data)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + b"\0\0\0\0IEND\xaeB`\x82"


@pytest.mark.parametrize("side", [9_000, 50_000])
def test_an_image_of_billions_of_pixels_is_refused(tmp_path: Path, side: int) -> None:
    root = make_classes(tmp_path / "set")
    (root / "owl" / "huge.png").write_bytes(png(side, side))
    with pytest.raises(UserError, match=r"huge\.png is too large"):
        prepare(str(root), tmp_path / "cache")


def test_folders_without_classes_or_readable_images_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "flat" / "a.png")
    with pytest.raises(UserError, match="no classes"):
        prepare(str(tmp_path / "flat"), tmp_path / "cache")
    with pytest.raises(UserError, match="One image is no data set"):
        prepare(str(tmp_path / "flat" / "a.png"), tmp_path / "cache")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no data set that can be read"):
        prepare(str(tmp_path / "empty"), tmp_path / "cache")
    for name in ("a", "b"):
        (tmp_path / "broken" / name).mkdir(parents=True)
        (tmp_path / "broken" / name / "a.png").write_bytes(b"broken")
    with pytest.raises(UserError, match="2 of 2 images cannot be read"):
        prepare(str(tmp_path / "broken"), tmp_path / "cache")


def test_a_changed_image_changes_the_data(tmp_path: Path) -> None:
    root = make_classes(tmp_path / "set")
    before = prepare(str(root), tmp_path / "cache")
    assert prepare(str(root), tmp_path / "cache") == before
    save(root / "owl" / "0.png", np.zeros((8, 8), np.uint8))
    after = prepare(str(root), tmp_path / "cache")
    assert after.sha256 != before.sha256
    assert len(open_test(after).images) == 2
