"""The space of a Keras Tuner file: from the cache, or from a process that discovers it.

The coordinator imports no Keras. Discovery takes about ten seconds, once for each content of a file.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from spaces.domains import Domain, Int
from spaces.errors import SpaceError
from spaces.hypermodels.builder import HypermodelBuilder
from spaces.hypermodels.environment import keras_environment
from spaces.space import Space
from spaces.training import TRAINING

CACHE_VERSION = 2
"""Raised when discovery finds other spaces."""
DISCOVERY_SECONDS = 600.0
"""Limit of a discovery; a network of 50 layers takes one or two minutes."""


def load_space(path: Path) -> Space:
    """Returns the space of a file with ``build_model(hp)`` or a ``HyperModel``, and its model builder.

    Args:
        path: The file, absolute.

    Raises:
        SpaceError: The file or its model cannot be used; the text names the line.
    """
    cache = _cache_path(path)
    document = _read(cache)
    if "space" not in document:
        sys.stderr.write(f"Discovering the parameters of {path.name}; once for each version of the file.\n")
        document = _discover(path)
        if "error" in document:
            raise SpaceError(document["error"])
        sys.stderr.write("".join(f"{notice}\n" for notice in document["notices"]))
        with contextlib.suppress(OSError):  # it is then discovered again
            cache.parent.mkdir(parents=True, exist_ok=True)
            draft = cache.with_suffix(f".{os.getpid()}")
            draft.write_text(json.dumps(document), encoding="utf-8")
            draft.replace(cache)
    shape = document.get("input_shape")
    builder = HypermodelBuilder(
        path=path, input_shape=None if shape is None else tuple(shape), outputs=document.get("outputs")
    )
    space = Space.from_json({**document["space"], "name": path.stem}, build=builder)
    return replace(space, parameters=_widened(space.parameters))


def _widened(parameters: Mapping[str, Domain]) -> dict[str, Domain]:
    """Returns the parameters with what options accept beyond the values that are searched, which JSON leaves out."""
    if "schedule" in parameters:  # the model is not compiled, so that it has the training parameters
        own = {name: domain for name, domain in parameters.items() if domain != TRAINING.get(name)}
        return {**own, **{name: domain for name, domain in TRAINING.items() if name not in own}}
    size, usual = parameters.get("batch_size"), TRAINING["batch_size"]
    if isinstance(size, Int) and isinstance(usual, Int) and size.low == size.high:  # the file's, or Keras's default
        return {**parameters, "batch_size": replace(size, limits=usual.limits)}
    return dict(parameters)


def _cache_path(path: Path) -> Path:
    """Returns the cached space of a file's content under the installed versions."""
    import importlib.metadata

    import platformdirs

    conditions = [CACHE_VERSION, *(importlib.metadata.version(package) for package in ("keras", "keras-tuner"))]
    digest = hashlib.sha256(json.dumps(conditions).encode() + path.read_bytes()).hexdigest()[:32]
    return platformdirs.user_cache_path("keras-image-search", appauthor=False) / "spaces" / f"{digest}.json"


def _read(cache: Path) -> dict[str, Any]:
    try:
        document = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _discover(path: Path) -> dict[str, Any]:
    """Returns what the discovering process wrote.

    Raises:
        SpaceError: It ended without a result.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "space.json"
        command = [sys.executable, "-m", "spaces.hypermodels.discovery", str(path), str(result)]
        try:
            done = subprocess.run(
                command,
                env=keras_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                timeout=DISCOVERY_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise SpaceError(
                f"The parameters of {path} were not found within {DISCOVERY_SECONDS:.0f} s. "
                "Leave out of its top level and its builder what is not needed to build a model."
            ) from None
        document = _read(result)
    if document:
        return document
    last = next(iter(reversed(done.stderr.strip().splitlines())), f"exit code {done.returncode}")
    raise SpaceError(f"The process that discovers the parameters of {path} ended without a result: {last}")
