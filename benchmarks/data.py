"""Measures how long data sets of a user take to be prepared and to be opened again, and how much memory that takes.

    python benchmarks/data.py [--folder FOLDER]

Makes, once, what people have: 60,000 PNGs of 28 x 28 in ten class folders, a table like Kaggle's train.csv (42,000
lines of 785 columns), 2,000 JPEGs of 224 x 224 in color, and 1.4 GB of floats in an .npz, an HDF5 and a .npy file. Each
is prepared in a process of its own with an empty cache, then opened again in another. Seconds of the processor stand
beside those of the clock, which also count the other programs of a busy machine; ``find`` that lists the size and time
of each file is the least that opening takes.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import table

from search.data.mnist import EMBEDDED_MNIST

FLOAT_IMAGES = 2300
MEASURED = """
import json, sys, threading, time
from pathlib import Path
from search.data.dataset import prepare

def anonymous_mib():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("RssAnon"))) / 1024

peak, is_done = anonymous_mib(), threading.Event()
def watch():
    global peak
    while not is_done.wait(0.01):
        peak = max(peak, anonymous_mib())

watcher = threading.Thread(target=watch)
watcher.start()
start, used = time.perf_counter(), time.process_time()
try:
    info = prepare(sys.argv[1], Path(sys.argv[2]))
finally:
    is_done.set()
seconds, used = time.perf_counter() - start, time.process_time() - used
watcher.join()
print(json.dumps({"seconds": seconds, "processor": used, "mib": peak}))
"""


def make_pngs(folder: Path) -> Path:
    """Writes the training images of MNIST as 60,000 PNGs in ten folders."""
    from PIL import Image

    images, labels = _mnist()
    for label in range(10):
        (folder / str(label)).mkdir(parents=True)
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        Image.fromarray(image).save(folder / str(label) / f"{index}.png")
    return folder


def make_table(folder: Path) -> Path:
    """Writes 42,000 images of MNIST in the form of Kaggle's ``train.csv``."""
    images, labels = _mnist()
    folder.mkdir()
    header = ",".join(["label", *(f"pixel{index}" for index in range(784))])
    rows = np.column_stack([labels, images.reshape(len(images), -1)])[:42_000]
    np.savetxt(folder / "train.csv", rows, fmt="%d", delimiter=",", header=header, comments="")
    return folder / "train.csv"


def make_jpegs(folder: Path) -> Path:
    """Writes 2,000 JPEGs of 224 x 224 in color in two folders: 300 MB of pixels."""
    from PIL import Image

    draw = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (folder / label).mkdir(parents=True)
        for index in range(1000):
            coarse = Image.fromarray(draw.integers(0, 256, (14, 14, 3), np.uint8))
            coarse.resize((224, 224)).save(folder / label / f"{index}.jpg")
    return folder


def make_float_npz(folder: Path) -> Path:
    """Writes 2,300 images of 224 x 224 in color as floats: 1.4 GB."""
    folder.mkdir()
    np.savez(folder / "a.npz", images=_floats(), labels=np.arange(FLOAT_IMAGES) % 2)
    return folder / "a.npz"


def make_float_hdf5(folder: Path) -> Path:
    """Writes the same as HDF5, in chunks that h5py chooses."""
    import h5py

    folder.mkdir()
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset("images", data=_floats(), chunks=True)
        file["labels"] = np.arange(FLOAT_IMAGES) % 2
    return folder / "a.h5"


def make_float_npy(folder: Path) -> Path:
    """Writes the same as .npy files."""
    folder.mkdir()
    np.save(folder / "images.npy", _floats())
    np.save(folder / "labels.npy", np.arange(FLOAT_IMAGES) % 2)
    return folder


DATASETS: dict[str, Callable[[Path], Path]] = {
    "60,000 PNGs of 28 x 28": make_pngs,
    "a table of 42,000 x 785": make_table,
    "2,000 JPEGs of 224 x 224": make_jpegs,
    "1.4 GB of floats in .npz": make_float_npz,
    "1.4 GB of floats in HDF5": make_float_hdf5,
    "1.4 GB of floats in .npy": make_float_npy,
}


def _floats() -> np.ndarray:
    return np.random.default_rng(0).random((FLOAT_IMAGES, 224, 224, 3), np.float32)


def _mnist() -> tuple[np.ndarray, np.ndarray]:
    with np.load(EMBEDDED_MNIST) as arrays:
        return arrays["x_train"], arrays["y_train"]


def measure(path: Path, cache: Path) -> dict[str, float]:
    """Returns seconds, those of the processor, and the peak of memory without mapped files in MiB."""
    command = [sys.executable, "-c", MEASURED, str(path), str(cache)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Makes the files that are missing, and measures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "keras-image-search-data")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for name, make in DATASETS.items():
        root = folder / make.__name__
        path = root / "train.csv" if make is make_table else root
        if not root.exists():
            make(root)
        with tempfile.TemporaryDirectory() as cache:
            first, again = (measure(path, Path(cache)) for _ in range(2))
        rows.append(
            [
                name,
                f"{first['seconds']:.1f} s",
                f"{first['processor']:.1f} s",
                f"{first['mib']:.0f} MiB",
                f"{again['seconds']:.2f} s",
                f"{again['processor']:.2f} s",
                f"{list_files(root):.2f} s",
            ]
        )
    table(["data", "prepared", "processor", "peak memory", "opened again", "processor", "find"], rows)


def list_files(root: Path) -> float:
    """Returns the seconds of the processor in which ``find`` lists the sizes and times of all files."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["find", str(root), "-printf", "%P %s %T@\n"], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
