"""The environment of processes that build Keras Tuner models beside the workers: an installed backend, and no GPU."""

from __future__ import annotations

import importlib.util
import os
import sys

BACKENDS = ("tensorflow", "jax", "torch")
"""Keras's backends, in the order in which an installed one is taken."""


def keras_environment() -> dict[str, str]:
    """Returns this process's environment with the variables that Keras and its backends read at their import."""
    installed = next((name for name in BACKENDS if importlib.util.find_spec(name)), BACKENDS[0])
    return {
        **os.environ,
        "KERAS_BACKEND": os.environ.get("KERAS_BACKEND", installed),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
