"""What the checks examine: the settings of a search, and what one check finds that another needs."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from search.doctor.check_result import last_lines
from search.errors import FatalError, UserError, unknown_name
from search.session.settings import Settings
from spaces import registry
from spaces.space import Space

if TYPE_CHECKING:
    from search.data.dataset import DatasetInfo
    from search.training.device_query import BackendInfo
    from search.trial import Outcome

BACKENDS = ("tensorflow", "jax", "torch")
BACKEND_TIMEOUT_SECONDS = 120.0
"""What the import of a backend may take; from a cold disk it was seen to take 60."""


class BackendProbe:
    """A process that imports the backend while other checks are made. Use it in a ``with`` statement.

    Args:
        backend: Keras's backend.
    """

    def __init__(self, backend: str) -> None:
        environment = {
            **os.environ,
            "KERAS_BACKEND": backend,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "search.training.device_query", backend],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        )

    def __enter__(self) -> BackendProbe:
        """Returns the probe."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the process, if it still runs."""
        self._process.kill()
        self._process.communicate()

    def wait(self) -> BackendInfo:
        """Waits for what it found.

        Raises:
            FatalError: The backend cannot be imported; the message ends with the process's last words.
        """
        from search.training.device_query import BackendInfo

        try:
            stdout, stderr = self._process.communicate(timeout=BACKEND_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            raise FatalError(f"The import did not end within {BACKEND_TIMEOUT_SECONDS:.0f} s.") from None
        if code := self._process.returncode:
            ended = f"was killed by signal {-code}" if code < 0 else f"left with exit code {code}"
            raise FatalError(f"The process that imports it {ended}.\n{last_lines(stderr)}".rstrip())
        devices = json.loads(stdout.splitlines()[-1])
        return BackendInfo(**{**devices, "gpus": tuple(devices["gpus"])})


@dataclass(slots=True, kw_only=True)
class CheckContext:
    """What the checks examine.

    Args:
        settings: Of the search that would run.
        space: Its space, with the builder.
        probe: Imports the backend.
        devices: What the backend found; the check "backend" fills it in.
        dataset: The prepared data; the check "data" does.
        outcome: Of the two steps of training; the check "training" does.
    """

    settings: Settings
    space: Space
    probe: BackendProbe
    devices: BackendInfo | None = None
    dataset: DatasetInfo | None = None
    outcome: Outcome | None = None


@contextlib.contextmanager
def open_context(settings: Settings) -> Iterator[CheckContext]:
    """Checks what was asked for, and returns what is to be examined.

    Raises:
        UserError: There is no such space, data set or backend.
    """
    if settings.keras_backend not in BACKENDS:
        raise unknown_name("backend", settings.keras_backend, BACKENDS)
    try:
        space = registry.load(settings.space)
    except registry.SpaceError as error:
        raise UserError(str(error)) from None
    with contextlib.suppress(ImportError):  # a missing package is for the checks to tell
        from search.data.sources import find_source

        find_source(settings.dataset)
    with BackendProbe(settings.keras_backend) as probe:
        yield CheckContext(settings=settings, space=space, probe=probe)
