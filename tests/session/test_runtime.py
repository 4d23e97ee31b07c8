"""What the workers of a run compute on."""

from __future__ import annotations

import importlib.util

import pytest

from search.errors import UserError
from search.session.runtime import make_runtime
from search.session.settings import Settings
from search.training.runtime import Backend


def test_keras_own_variable_chooses_the_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert Settings().keras_backend == "jax"
    assert make_runtime(Settings(backend="tensorflow", devices="cpu")).backend is Backend.TENSORFLOW
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    assert Settings(executor="vectorized").keras_backend == "jax"
    monkeypatch.setenv("KERAS_BACKEND", "theano")
    with pytest.raises(UserError, match="Unknown KERAS_BACKEND"):
        make_runtime(Settings())


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is installed here")
def test_a_backend_that_is_not_installed_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    with pytest.raises(UserError, match=r"KERAS_BACKEND=torch needs .*\n.*\[torch\]"):
        make_runtime(Settings())
