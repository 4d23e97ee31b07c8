"""One recording for all tests of this folder, so that its model is fitted once a process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compare.recorded.made_up import write


@pytest.fixture(scope="session")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("recordings") / "made-up.jsonl")
