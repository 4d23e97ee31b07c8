"""Images that are written to a temporary file in place of memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from search.data.spill import BLOCK_BYTES, blocks_of, check_space, map_blocks
from search.errors import UserError

PREPARES_IN_LITTLE_MEMORY = """
import re, resource, sys
from pathlib import Path
import h5py
from PIL import Image
from search.data.dataset import prepare

Image.init()
used = 1024 * int(re.search(r"VmData:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
resource.setrlimit(resource.RLIMIT_DATA, (used + 64 * 2**20,) * 2)
for path in sys.argv[2:]:
    info = prepare(path, Path(sys.argv[1]))
    print(info.sha256, info.training_count + info.test_count, *info.image_shape)
"""


def prepared_in_little_memory(cache: Path, *paths: Path) -> list[list[str]]:
    """Returns hash, number and shape of the images of each data set, prepared with 64 MiB of memory."""
    command = [sys.executable, "-c", PREPARES_IN_LITTLE_MEMORY, *map(str, (cache, *paths))]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return [line.split() for line in result.stdout.splitlines()]


def test_blocks_are_joined_whatever_their_layout() -> None:
    images = np.arange(2 * BLOCK_BYTES // 4, dtype=np.float32).reshape(-1, 2, 4)[:, ::-1]
    assert len(list(blocks_of(images))) > 1
    assert np.array_equal(map_blocks(blocks_of(images)), images)
    chosen = np.array([0, 5, len(images) - 1])
    assert np.array_equal(map_blocks(blocks_of(images, chosen)), images[chosen])
    assert len(map_blocks(iter(()))) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of data")
def test_images_of_more_bytes_than_memory_are_prepared(tmp_path: Path) -> None:
    for name, color in (("a", (200, 10, 30)), ("b", (0, 0, 90))):
        (tmp_path / "set" / name).mkdir(parents=True)
        file = tmp_path / "set" / name / "0.png"
        Image.new("RGB", (600, 600), color).save(file)
        for index in range(1, 45):
            os.link(file, file.with_name(f"{index}.png"))
    ((_, *shape),) = prepared_in_little_memory(tmp_path / "cache", tmp_path / "set")
    assert shape == ["90", "600", "600", "3"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of data")
def test_arrays_of_more_bytes_than_memory_are_prepared_from_every_form(tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((50, 640, 640), np.float32)
    labels = np.arange(50) % 2
    (tmp_path / "npy").mkdir()
    np.save(tmp_path / "npy" / "images.npy", np.asfortranarray(images))
    np.save(tmp_path / "npy" / "labels.npy", labels)
    np.savez(tmp_path / "a.npz", images=np.asfortranarray(images), labels=labels)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"], file["labels"] = images, labels
    read = prepared_in_little_memory(tmp_path / "cache", *(tmp_path / form for form in ("npy", "a.npz", "a.h5")))
    assert len(read) == 3
    assert len(set(map(tuple, read))) == 1, read


def test_images_that_do_not_fit_on_the_disk_are_refused() -> None:
    with pytest.raises(UserError, match="do not fit on the disk"):
        check_space("They", 10**18)
