"""A process that imports a backend and reports what it finds, since an import takes seconds and cannot be undone.

Used by ``search.training.devices`` and by the doctor. Imports no backend itself.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from search.errors import FatalError

if TYPE_CHECKING:
    from search.training.backends import BackendInfo

BACKEND_TIMEOUT_SECONDS = 120.0
"""Limit for importing a backend; 60 s were measured from a cold disk."""
_LOG_NOISE = re.compile(r"[IW]\d{4} |WARNING: All log messages before absl|To enable the following|\s*[~^]+$")


class BackendProbe:
    """A process that imports the backend while others go on. Use it in a ``with`` statement.

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
            [sys.executable, "-m", "search.training.backends", backend],
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
        """Ends the process."""
        self._process.kill()
        self._process.communicate()

    def wait(self) -> BackendInfo:
        """Waits for the import and returns what the backend found.

        Raises:
            FatalError: The backend cannot be imported; the message ends with the last lines of the process's log.
        """
        from search.training.backends import BackendInfo

        try:
            stdout, stderr = self._process.communicate(timeout=BACKEND_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            raise FatalError(f"The import did not end within {BACKEND_TIMEOUT_SECONDS:.0f} s.") from None
        if code := self._process.returncode:
            ended = f"was killed by signal {-code}" if code < 0 else f"left with exit code {code}"
            raise FatalError(f"The process that imports it {ended}.\n{last_lines(stderr)}".rstrip())
        devices = json.loads(stdout.splitlines()[-1])
        return BackendInfo(**{**devices, "gpus": tuple(devices["gpus"])})


def last_lines(text: str, *, count: int = 6) -> str:
    """Returns the last lines of a log, without TensorFlow's messages and the marks below a traceback's lines."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip() and not _LOG_NOISE.match(line)]
    return "\n".join(lines[-count:])
