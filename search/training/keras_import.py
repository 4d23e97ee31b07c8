"""Imports Keras without what it imports for features that no training here uses: it takes half the time.

Keras 3.15 imports scikit-learn for its wrappers, pandas for data frames and Matplotlib for its galleries; TensorFlow
2.21 imports JAX for the converters of TensorFlow Lite. Each does without the ones that it does not find. Delete this
when they import them as they need them.

Only for processes of our own, before their first ``import keras``: in a notebook's it would take from others what they
may use. What a model builder imports afterwards is found as ever; only Keras itself will go on without them, its
wrappers of scikit-learn, for instance.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from types import ModuleType

UNUSED_MODULES = frozenset({"jax", "matplotlib", "pandas", "sklearn"})


def import_keras() -> ModuleType:
    """Returns Keras; the environment's ``KERAS_BACKEND`` says on what."""
    with _hide_modules(UNUSED_MODULES - {os.environ.get("KERAS_BACKEND")}):
        import keras

    assert isinstance(keras, ModuleType)
    return keras


@contextmanager
def _hide_modules(names: Collection[str]) -> Iterator[None]:
    """Has Python find none of these modules meanwhile, except where it has imported them already."""
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # Python's own sign for it
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)
