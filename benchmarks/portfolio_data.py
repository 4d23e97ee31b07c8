"""Makes small data sets: two for recordings of ``benchmarks/record.py``, one for comparisons of engines.

    python benchmarks/portfolio_data.py --out data

``digits.npz`` holds scikit-learn's 1,797 digits of 8 x 8 pixels. ``deformed.npz`` holds the first 12,000 training
images of MNIST, each rotated by up to 30 degrees and shifted by up to 3 pixels once. ``mnist-6000.npz`` holds the first
6,000 training images, and as test images the last 10,000 training images. MNIST's test images are not used.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy import ndimage
from sklearn.datasets import load_digits

from search.data.dataset import open_training, prepare

TEST_DIGITS, TEST_DEFORMED, TEST_FEW = 297, 1_000, 10_000
DEFORMED, FEW = 12_000, 6_000


def save(path: Path, images: np.ndarray, labels: np.ndarray, *, test: int) -> None:
    """Writes a data set whose last images are the test images.

    Args:
        path: The file.
        images: (images, height, width), uint8.
        labels: (images,).
        test: Number of test images.
    """
    parts = {"x_train": images[:-test], "y_train": labels[:-test], "x_test": images[-test:], "y_test": labels[-test:]}
    np.savez_compressed(path, **parts)


def main() -> None:
    """Writes the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path())
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    order = np.concatenate([order[TEST_DIGITS:], order[:TEST_DIGITS]])
    pixels = (digits.images / 16 * 255).round().astype(np.uint8)
    save(folder / "digits.npz", pixels[order], digits.target[order].astype(np.uint8), test=TEST_DIGITS)

    training = open_training(prepare("mnist"))
    images = np.asarray(training.images).reshape(-1, 28, 28)
    labels = np.asarray(training.labels).astype(np.uint8)
    few = np.r_[:FEW, len(images) - TEST_FEW : len(images)]
    save(folder / "mnist-6000.npz", images[few], labels[few], test=TEST_FEW)

    generator = np.random.default_rng(1)
    deformed = []
    for image in images[:DEFORMED].astype(float):
        turned = ndimage.rotate(image, generator.uniform(-30, 30), reshape=False, order=1)
        moved = ndimage.shift(turned, generator.uniform(-3, 3, 2), order=1)
        deformed.append(moved.clip(0, 255).astype(np.uint8))
    save(folder / "deformed.npz", np.array(deformed), labels[:DEFORMED], test=TEST_DEFORMED)


if __name__ == "__main__":
    main()
