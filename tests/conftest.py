"""Fixtures: a small piece of the real MNIST, and a cache of its own for each test session; and how Hypothesis tries."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings
from in_process import CommandHere
from postgres import Server, server

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Ray lowers the priority of its workers, which then wait for the other tests until the deadline has passed.
os.environ.setdefault("RAY_worker_niceness", "0")
# A script that starts the tests with & ignores SIGINT, and every process that a test starts would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# How long an example takes on a busy machine is no finding.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
MATRIX_SEED = int(os.environ.get("MATRIX_SEED", "4"))
EMBEDDED = Path(__file__).parents[1] / "search" / "data" / "embedded" / "mnist.npz"


def pytest_report_header() -> str:
    """Names the seed of the random moments."""
    return f"MATRIX_SEED={MATRIX_SEED}"


@pytest.fixture
def moments() -> Random:
    """The random moments of a matrix test, from the environment's MATRIX_SEED."""
    return Random(MATRIX_SEED)


@pytest.fixture(scope="session")
def one_thread() -> None:
    """TensorFlow in this process as in a worker, set before its first operation; for all tests that use it here."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()


@pytest.fixture
def search_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandHere:
    """Runs a command in this process."""
    return CommandHere(monkeypatch, capsys)


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data cache that no other session shares."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def small_mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,200 training and 300 test images of MNIST as an .npz file."""
    path = tmp_path_factory.mktemp("data") / "small.npz"
    with np.load(EMBEDDED) as whole:
        np.savez(
            path,
            x_train=whole["x_train"][:1200],
            y_train=whole["y_train"][:1200],
            x_test=whole["x_test"][:300],
            y_test=whole["y_test"][:300],
        )
    return path


@pytest.fixture(scope="session")
def trained_study(tmp_path_factory: pytest.TempPathFactory, small_mnist: Path, cache_dir: Path) -> Path:
    """The folder with the study of ``trained.py``, trained once for all test processes; copied where it is changed."""
    import trained

    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with FileLock(shared / "trained.lock"):
        if not (shared / "trained").exists():
            made = trained.record_study(tmp_path_factory.mktemp("made"), small_mnist, cache_dir)
            shutil.copytree(made.studies_dir, shared / "trained.part")
            (shared / "trained.part").rename(shared / "trained")
    return shared / "trained"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server of its own; skips where there is none to start."""
    with server() as running:
        yield running
