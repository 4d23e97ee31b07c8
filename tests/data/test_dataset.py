import hashlib
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from small_data import save_idx, save_npz, small_arrays, tree

from search.data.dataset import (
    default_cache_dir,
    find_prepared,
    find_test_images,
    open_test,
    open_test_groups,
    open_training,
    prepare,
)
from search.data.mnist import MNIST_SHA256
from search.errors import FatalError, UserError

PREPARES_ON_A_SIGNAL = """
import json, sys, time
from dataclasses import asdict
from pathlib import Path
from search.data.dataset import prepare

print("ready", flush=True)
while not Path(sys.argv[2]).exists():
    time.sleep(0.001)
info = prepare("mnist", Path(sys.argv[1]))
print(json.dumps([asdict(info), Path(info.folder, "x_train.npy").stat().st_ino]))
"""


def test_the_embedded_mnist(cache_dir: Path) -> None:
    info = prepare("mnist", cache_dir)
    assert (info.name, info.sha256) == ("mnist", MNIST_SHA256)
    assert (info.image_shape, info.classes, info.has_groups) == ((28, 28, 1), 10, True)
    training, test = open_training(info), open_test(info)
    assert (len(training.images), len(test.images)) == (info.training_count, info.test_count) == (60000, 10000)
    assert training.labels[:4].tolist() == [5, 0, 4, 1]
    assert test.labels[:4].tolist() == [7, 2, 1, 0]


def test_prepared_arrays_equal_the_source(tmp_path: Path) -> None:
    groups = np.repeat(["anna", "bert"], 30)
    info = prepare(save_npz(tmp_path / "a.npz", groups_train=groups), tmp_path)
    training, test, expected = open_training(info), open_test(info), small_arrays()
    assert np.array_equal(training.images[..., 0], expected["x_train"])
    assert np.array_equal(training.labels, expected["y_train"])
    assert np.array_equal(training.groups, groups)
    assert np.array_equal(test.images[..., 0], expected["x_test"])
    assert np.array_equal(test.labels, expected["y_test"])
    assert test.groups is None
    assert open_test_groups(info) is None


def test_groups_of_test_images_leave_the_hash_as_it_is(tmp_path: Path) -> None:
    groups = np.repeat(["anna", "bert", "carl"], 4)
    grouped = prepare(save_npz(tmp_path / "a.npz", groups_test=groups), tmp_path / "cache")
    assert np.array_equal(open_test_groups(grouped), groups)
    assert grouped.sha256 == prepare(save_npz(tmp_path / "b.npz"), tmp_path / "cache").sha256
    assert find_test_images(grouped.sha256, tmp_path / "cache") is not None


def test_images_are_read_only_maps(small_mnist: Path, cache_dir: Path) -> None:
    images = open_training(prepare(str(small_mnist), cache_dir)).images
    assert isinstance(images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def test_the_description_can_be_sent_to_another_process(small_mnist: Path, cache_dir: Path) -> None:
    info = prepare(str(small_mnist), cache_dir)
    assert pickle.loads(pickle.dumps(info)) == info
    json.dumps(asdict(info))


def test_the_same_data_have_the_same_hash_in_any_file(tmp_path: Path) -> None:
    arrays = small_arrays()
    columns = {"y_train": arrays["y_train"][:, None].astype("int32"), "x_test": arrays["x_test"][..., None]}
    given = (
        save_npz(tmp_path / "a.npz"),
        save_npz(tmp_path / "b.npz", **columns),
        save_idx(tmp_path / "idx", arrays, gzipped=True),
    )
    assert len({prepare(dataset, tmp_path / "cache").sha256 for dataset in given}) == 1


@pytest.mark.parametrize("name", ["x_train", "y_train", "x_test", "y_test", "groups_train"])
def test_other_data_have_another_hash(tmp_path: Path, name: str) -> None:
    given = small_arrays(groups_train=np.arange(60))
    before = prepare(save_npz(tmp_path / "a.npz", **given), tmp_path)
    given[name] = np.roll(given[name], 1, axis=0)
    after = prepare(save_npz(tmp_path / "a.npz", **given), tmp_path)
    assert after.sha256 != before.sha256
    assert open_training(before).images.shape == open_training(after).images.shape


def test_a_name_that_cannot_be_a_folder_is_changed(tmp_path: Path) -> None:
    info = prepare(save_npz(tmp_path / "a b:\u00e9\u00e9.npz"), tmp_path / "cache")
    assert Path(info.folder).name.isascii()
    assert " " not in Path(info.folder).name


def test_training_does_not_touch_the_test_images(tmp_path: Path) -> None:
    info = prepare(save_npz(tmp_path / "a.npz"), tmp_path)
    (Path(info.folder) / "x_test.npy").unlink()
    assert len(open_training(info).images) == 60
    with pytest.raises(FatalError, match=r"lost its data set a\.npz"):
        open_test(info)


def test_recorded_data_are_found_in_the_cache_by_their_hash(tmp_path: Path) -> None:
    names = np.array(["cat", "dog", "owl"])
    changes = {name: names[small_arrays()[name]] for name in ("y_train", "y_test")}
    info = prepare(save_npz(tmp_path / "same [1].npz", **changes), tmp_path / "cache")
    other = prepare(save_npz(tmp_path / "same [1].npz", y_test=np.array([2] * 12)), tmp_path / "cache")
    found = find_test_images(info.sha256, tmp_path / "cache")
    assert np.array_equal(found.images, open_test(info).images)
    assert np.array_equal(found.labels, open_test(info).labels)
    assert found.class_names == ("cat", "dog", "owl")
    assert set(find_test_images(other.sha256, tmp_path / "cache").labels) == {2}
    assert find_test_images(info.sha256, tmp_path / "no cache") is None
    assert find_prepared(info.sha256, tmp_path / "cache").given_validation == 0
    assert find_prepared(info.sha256, tmp_path / "cache", has_groups=True) is None


def test_damaged_data_are_not_found(tmp_path: Path) -> None:
    info = prepare(save_npz(tmp_path / "a.npz"), tmp_path / "cache")
    file = Path(info.folder) / "x_test.npy"
    content = file.read_bytes()
    for damaged in (b"", content[:-7], content[:-1] + bytes([content[-1] ^ 1])):
        file.write_bytes(damaged)
        assert find_test_images(info.sha256, tmp_path / "cache") is None


def test_the_embedded_mnist_is_found_without_a_cache(tmp_path: Path, cache_dir: Path) -> None:
    found, prepared = find_test_images(MNIST_SHA256, tmp_path), open_test(prepare("mnist", cache_dir))
    assert np.array_equal(found.images, prepared.images)
    assert np.array_equal(found.labels, prepared.labels)
    assert found.labels.dtype == prepared.labels.dtype
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"something else"])
def test_a_worker_refuses_a_damaged_cache(tmp_path: Path, content: bytes) -> None:
    info = prepare(save_npz(tmp_path / "a.npz"), tmp_path)
    path = Path(info.folder) / "x_train.npy"
    for damaged in (content, path.read_bytes()[:-1]):
        path.write_bytes(damaged)
        with pytest.raises(FatalError, match="lost its data set") as caught:
            open_training(info)
        assert caught.value.hint
        assert caught.value.__cause__ is not None
        prepare(str(tmp_path / "a.npz"), tmp_path)
    assert len(open_training(info).images) == 60


def touched(path: Path) -> None:
    path.touch()


def flipped(path: Path) -> None:
    with path.open("rb+") as file:
        file.seek(-1, os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([byte ^ 1]))


def flipped_under_its_old_time(path: Path) -> None:
    before = path.stat()
    flipped(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def mapped_and_changed(path: Path) -> None:
    array = np.load(path, mmap_mode="r+")
    array[0] += 1
    array.flush()


def wait_for_a_tick(path: Path) -> None:
    """Returns once a file that changes gets another time than this one has; kernels count in ticks of 1 to 10 ms."""
    probe = path.with_suffix(".probe")
    while not probe.exists() or probe.stat().st_ctime_ns <= path.stat().st_ctime_ns:
        probe.touch()
    probe.unlink()


HARMLESS = {
    "nothing": lambda path: None,
    "touched": touched,
    "made private": lambda path: path.chmod(0o600),
    "removed": lambda path: path.unlink(),
    "replaced by another": lambda path: (path.rename(path.with_suffix(".old")), np.save(path, np.zeros(3))),
}
HARMFUL = {
    "a flipped bit": flipped,
    "a flipped bit under the old time": flipped_under_its_old_time,
    "a change through a map": mapped_and_changed,
    "cut short": lambda path: os.truncate(path, 200),
    "emptied": lambda path: path.write_bytes(b""),
    "grown": lambda path: path.write_bytes(path.read_bytes() + b"more"),
}


@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS)
def test_a_change_that_spares_the_mapped_file_is_no_damage(tmp_path: Path, change: Callable[[Path], object]) -> None:
    info = prepare(save_npz(tmp_path / "a.npz"), tmp_path)
    training = open_training(info)
    training.verify()
    change(Path(info.folder) / "x_train.npy")
    training.verify()
    assert np.array_equal(training.images[..., 0], small_arrays()["x_train"])


@pytest.mark.parametrize("name", ["x_train", "y_train", "groups_train"])
@pytest.mark.parametrize("is_verified", [True, False], ids=["while in use", "before it was opened"])
@pytest.mark.parametrize("change", HARMFUL.values(), ids=HARMFUL)
def test_damage_to_a_mapped_file_is_detected_and_the_cache_is_repaired(
    tmp_path: Path, change: Callable[[Path], object], is_verified: bool, name: str
) -> None:
    given = save_npz(tmp_path / "a.npz", groups_train=np.arange(60))
    info = prepare(given, tmp_path)
    training = open_training(info)
    path = Path(info.folder) / f"{name}.npy"
    if is_verified:
        training.verify()
    wait_for_a_tick(path)
    change(path)
    for _ in range(2):
        with pytest.raises(FatalError, match=rf"damaged while in use.*{name}\.npy") as caught:
            training.verify()
    assert caught.value.hint
    assert prepare(given, tmp_path) == info
    again = open_training(info)
    again.verify()
    assert np.array_equal(again.images[..., 0], small_arrays()["x_train"])


def test_only_a_file_that_was_touched_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = prepare(save_npz(tmp_path / "a.npz"), tmp_path)
    training, read, digest = open_training(info), list[str](), hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda file, name: (read.append(name), digest(file, name))[1])
    for expected in (2, 2):
        training.verify()
        assert len(read) == expected
    wait_for_a_tick(Path(info.folder) / "x_train.npy")
    (Path(info.folder) / "x_train.npy").touch()
    for expected in (3, 3):
        training.verify()
        assert len(read) == expected


def test_a_worker_refuses_another_data_set(small_mnist: Path, cache_dir: Path) -> None:
    info = prepare(str(small_mnist), cache_dir)
    for other in (replace(info, training_count=1201), replace(info, image_shape=(28, 28, 3))):
        with pytest.raises(FatalError, match="holds another data set"):
            open_training(other)


def test_a_refused_data_set_leaves_no_cache(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Received: dtype=<U1"):
        prepare(save_npz(tmp_path / "a.npz", x_train=np.full((60, 4, 5), "a")), tmp_path / "cache")
    assert not [name for name in tree(tmp_path / "cache") if name.endswith(".npy")]


def test_processes_that_start_at_once_share_one_cache(tmp_path: Path) -> None:
    go, cache = tmp_path / "go", tmp_path / "cache"
    command = [sys.executable, "-c", PREPARES_ON_A_SIGNAL, str(cache), str(go)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    go.touch()
    results = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert len(set(results)) == 1, "the cache was written more than once"
    assert json.loads(results[0])[0]["sha256"] == MNIST_SHA256
    assert not list(cache.glob("datasets/*.partial"))


def test_the_default_cache_belongs_to_the_user() -> None:
    assert default_cache_dir().is_absolute()
    assert "keras-image-search" in default_cache_dir().parts
