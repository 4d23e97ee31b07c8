import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_data import tree

from search.data import cache
from search.errors import UserError

ARRAYS = {"x": np.arange(12, dtype=np.uint8).reshape(3, 4), "groups": np.array(["a", "b\u00e9"])}
WHOLE = {"set", "set.lock", "set/x.npy", "set/groups.npy", "set/manifest.json"}

DIES_AFTER_THE_FIRST_FILE = """
import os, signal, sys
from pathlib import Path
import numpy as np
from search.data import cache

class Deadly(dict):
    def items(self):
        for item in super().items():
            yield item
            os.kill(os.getpid(), signal.SIGKILL)

cache.ensure_cached(Path(sys.argv[1]), lambda: Deadly(x=np.zeros(3), y=np.zeros(3)))
"""

FILLS_THE_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from search.errors import UserError
from search.data import cache

resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    cache.ensure_cached(Path(sys.argv[1]), lambda: {"small": np.zeros(3), "large": np.zeros(100_000)})
except UserError as error:
    print(error)
"""


def python(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def opened(folder: Path) -> dict[str, np.ndarray]:
    return {name: np.array(cache.open_array(folder, name)) for name in ARRAYS}


def refuse_to_read() -> dict[str, np.ndarray]:
    raise AssertionError("the source was read although the cache is whole")


def test_cached_arrays_are_read_from_their_source_once(tmp_path: Path) -> None:
    cache.ensure_cached(tmp_path / "set", lambda: ARRAYS)
    cache.ensure_cached(tmp_path / "set", refuse_to_read)
    assert all(np.array_equal(array, ARRAYS[name]) for name, array in opened(tmp_path / "set").items())
    assert tree(tmp_path) == WHOLE


def test_an_opened_array_cannot_be_changed(tmp_path: Path) -> None:
    cache.ensure_cached(tmp_path / "set", lambda: ARRAYS)
    with pytest.raises(ValueError, match="read-only"):
        cache.open_array(tmp_path / "set", "x")[0] = 1


def flip_last_byte(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


DAMAGE = {
    "a flipped bit": lambda folder: flip_last_byte(folder / "x.npy"),
    "a truncated file": lambda folder: (folder / "x.npy").write_bytes((folder / "x.npy").read_bytes()[:-3]),
    "an empty file": lambda folder: (folder / "x.npy").write_bytes(b""),
    "a lost file": lambda folder: (folder / "groups.npy").unlink(),
    "a foreign file": lambda folder: np.save(folder / "foreign.npy", np.zeros(3)),
    "a lost manifest": lambda folder: (folder / "manifest.json").unlink(),
    "a damaged manifest": lambda folder: (folder / "manifest.json").write_bytes(b"\xff{"),
    "a manifest of another kind": lambda folder: (folder / "manifest.json").write_text("[1]"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_cache_is_made_again(tmp_path: Path, damage: str) -> None:
    cache.ensure_cached(tmp_path / "set", lambda: ARRAYS)
    DAMAGE[damage](tmp_path / "set")
    cache.ensure_cached(tmp_path / "set", lambda: ARRAYS)
    assert all(np.array_equal(array, ARRAYS[name]) for name, array in opened(tmp_path / "set").items())
    assert tree(tmp_path) == WHOLE


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_process_killed_while_writing_leaves_no_cache(tmp_path: Path) -> None:
    killed = python(DIES_AFTER_THE_FIRST_FILE, tmp_path / "set")
    assert killed.returncode == -9
    assert "set.partial/x.npy" in tree(tmp_path), "the process died before it wrote anything"
    assert "set" not in tree(tmp_path)
    cache.ensure_cached(tmp_path / "set", lambda: ARRAYS)
    assert tree(tmp_path) == WHOLE


@pytest.mark.skipif(sys.platform == "win32", reason="setrlimit")
def test_a_full_disk_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    result = python(FILLS_THE_DISK, tmp_path / "set")
    assert "cannot be written to the cache: File too large" in result.stdout
    assert "--cache-dir" in result.stdout
    assert tree(tmp_path) <= {"set.lock"}


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot be written to the cache: (Not a directory|File exists)") as caught:
        cache.ensure_cached(tmp_path / "file" / "cache" / "set", lambda: ARRAYS)
    assert "--cache-dir" in caught.value.hint
