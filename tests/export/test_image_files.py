"""Tests loading of images: real digits enlarged, shifted, inverted and on poor paper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import EMBEDDED
from PIL import Image, ImageOps

from search.export.image_files import IMAGE_READ_ERRORS, InputSpec, ResizeMode, load_image

DIGIT = InputSpec(height=28, width=28, channels=1, resize_mode=ResizeMode.DIGIT)
WHOLE = InputSpec(height=28, width=28, channels=1, resize_mode=ResizeMode.WHOLE)
COLOUR = InputSpec(height=32, width=32, channels=3, resize_mode=ResizeMode.WHOLE)
FAR = 9.0
"""Mean difference of pixels, in grey levels, that resampling twice may make; an image's own mean is about 33."""


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    with np.load(EMBEDDED) as whole:
        return whole["x_test"][:40]


def larger(picture: Image.Image, side: int = 200) -> Image.Image:
    return picture.resize((side, side), Image.Resampling.BICUBIC)


def on_paper(picture: Image.Image) -> Image.Image:
    """Ink on paper that is darker on one side, photographed with noise."""
    ink = np.asarray(larger(picture), dtype=float)
    light = np.linspace(190, 240, 200)[None, :] + np.random.default_rng(0).normal(0, 6, (200, 200))
    return Image.fromarray((light - 0.6 * ink).clip(0, 255).astype(np.uint8))


def clear(picture: Image.Image) -> Image.Image:
    """Black ink without a ground."""
    ink = larger(picture)
    return Image.merge("LA", [Image.new("L", ink.size, 0), ink])


def white_on_clear(picture: Image.Image) -> Image.Image:
    ink = larger(picture)
    return Image.merge("LA", [Image.new("L", ink.size, 255), ink])


def sixteen_bits(picture: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(larger(picture)).astype(np.uint16) * 257)


def turned_by_the_camera(picture: Image.Image) -> Image.Image:
    turned = larger(picture).rotate(90)
    turned.getexif()[0x0112] = 6  # to be shown turned back by 90 degrees
    return turned


def drawn_small(picture: Image.Image, side: int) -> Image.Image:
    """Ink of this height or width in the corner of a white image of the model's size."""
    ink = picture.crop(picture.getbbox())
    scale = side / max(ink.size)
    ink = ink.resize([max(1, round(length * scale)) for length in ink.size], Image.Resampling.BICUBIC)
    image = Image.new("L", (28, 28), 255)
    image.paste(ImageOps.invert(ink))
    return image


DRAWN: dict[str, Callable[[Image.Image], Image.Image]] = {
    "larger": larger,
    "dark on light": lambda picture: ImageOps.invert(larger(picture)),
    "in a corner of a long picture": lambda picture: ImageOps.expand(larger(picture, 100), border=(10, 150, 200, 40)),
    "in colour": lambda picture: ImageOps.colorize(larger(picture), "white", "darkblue"),
    "with a palette": lambda picture: ImageOps.invert(larger(picture)).convert("P"),
    "on uneven paper": on_paper,
    "black without ground": clear,
    "white without ground": white_on_clear,
    "of 16 bits": sixteen_bits,
    "turned by the camera": turned_by_the_camera,
    "small in a corner": lambda picture: drawn_small(picture, 20),
    "small, filling the image": lambda picture: drawn_small(picture, 28),
}


@pytest.mark.parametrize("how", DRAWN)
def test_a_digit_comes_back_as_mnist_has_it(how: str, digits: np.ndarray, tmp_path: Path) -> None:
    file = tmp_path / "digit.png"
    far = []
    for digit in digits:
        picture = DRAWN[how](Image.fromarray(digit))
        picture.save(file, exif=picture.getexif())
        far.append(np.abs(load_image(file, DIGIT)[..., 0].astype(float) - digit).mean())
    assert np.mean(far) < FAR


@pytest.mark.parametrize("form", ["jpeg", "bmp", "gif", "tiff", "webp"])
def test_other_formats_are_read(form: str, digits: np.ndarray, tmp_path: Path) -> None:
    file = tmp_path / f"digit.{form}"
    larger(Image.fromarray(digits[0])).save(file)
    assert np.abs(load_image(file, DIGIT)[..., 0].astype(float) - digits[0]).mean() < FAR


@pytest.mark.parametrize("wanted", [DIGIT, WHOLE])
def test_an_image_as_mnist_has_it_is_taken_as_it_is(wanted: InputSpec, digits: np.ndarray, tmp_path: Path) -> None:
    for digit in digits:
        for name, picture in (("same", digit), ("inverted", 255 - digit)):
            Image.fromarray(picture).save(tmp_path / f"{name}.png")
            np.testing.assert_array_equal(load_image(tmp_path / f"{name}.png", wanted)[..., 0], digit)


def test_a_digits_centre_of_mass_is_in_the_middle_and_its_box_has_20_pixels(tmp_path: Path) -> None:
    picture = np.full((300, 200), 255, np.uint8)
    picture[40:240, 20:60] = 0
    Image.fromarray(picture).save(tmp_path / "one.png")
    ready = load_image(tmp_path / "one.png", DIGIT)[..., 0].astype(float)
    assert np.flatnonzero(ready.any(axis=1)).tolist() == list(range(4, 24))
    rows, columns = np.indices(ready.shape)
    assert abs((ready * rows).sum() / ready.sum() - 14) <= 0.5
    assert abs((ready * columns).sum() / ready.sum() - 14) <= 0.5


def test_a_whole_picture_keeps_its_aspect_on_its_own_ground(tmp_path: Path) -> None:
    picture = np.full((40, 80), 230, np.uint8)
    picture[10:30, 20:60] = 0
    Image.fromarray(picture).save(tmp_path / "wide.png")
    ready = load_image(tmp_path / "wide.png", WHOLE)[..., 0]
    assert set(ready[:7].ravel()) == {25}
    light = load_image(
        tmp_path / "wide.png", InputSpec(height=28, width=28, channels=1, resize_mode=ResizeMode.WHOLE, is_dark=False)
    )
    np.testing.assert_allclose(light[..., 0], 255.0 - ready, atol=1)  # rounded the other way


def test_a_model_of_colours_gets_colours(tmp_path: Path) -> None:
    Image.new("RGB", (100, 60), (200, 30, 90)).save(tmp_path / "red.png")
    ready = load_image(tmp_path / "red.png", COLOUR)
    assert ready.shape == (32, 32, 3)
    assert ready[5, 5].tolist() == [200, 30, 90]


def test_white_of_deep_files_is_that_of_the_training_images(tmp_path: Path) -> None:
    grey = np.linspace(0, 2000, 28 * 28).reshape(28, 28).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "deep.png")
    taken = load_image(tmp_path / "deep.png", replace(WHOLE, white=4095.0))
    assert np.array_equal(taken[..., 0], (grey * (255 / 4095)).astype(np.uint8))


@pytest.mark.parametrize("case", ["text", "empty", "cut short", "blank", "missing", "folder"])
def test_what_cannot_be_read_says_so(case: str, digits: np.ndarray, tmp_path: Path) -> None:
    file = tmp_path / "digit.png"
    larger(Image.fromarray(digits[0])).save(file)
    made = {
        "text": lambda: file.write_text("no picture"),
        "empty": lambda: file.write_bytes(b""),
        "cut short": lambda: file.write_bytes(file.read_bytes()[:200]),
        "blank": lambda: Image.new("L", (50, 50), 200).save(file),
        "missing": file.unlink,
        "folder": lambda: (file.unlink(), file.mkdir()),
    }
    made[case]()
    with pytest.raises(IMAGE_READ_ERRORS) as raised:
        load_image(file, DIGIT)
    assert str(raised.value)
