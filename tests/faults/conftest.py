"""A study that ended well, made once, and copies of it to be damaged."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from worn import call, words


@pytest.fixture(scope="session")
def finished(small_mnist: Path, cache_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study that ended well."""
    folder = tmp_path_factory.mktemp("finished")
    done = call(words(small_mnist, cache_dir, trials=2), folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return tmp_path
