"""What is fastest on a device, by measurements of a few seconds that are made once and kept in the cache folder.

Two questions: in which form to compute convolutions, and whether to train networks of several widths as one program.
Called by the pool.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from search.training.population.convolution import CONVOLVE, Form
from search.training.population.widening import rounded_up

MEMBERS, BATCH, SIDE, CHANNELS, KERNEL = 4, 32, 14, 16, 3
"""What is measured: the second stage of a network such as the tutorial's larger CNN."""
WIDTH = 32
"""Filters, halfway between two powers of four; a dense layer has ``UNITS_A_FILTER`` times as many units."""
UNITS_A_FILTER, FEATURES = 32, 784
ROUNDS = 3


def fastest(folder: Path) -> Form:
    """Returns the form of convolution that is fastest on this device.

    Args:
        folder: Where what was measured is kept.
    """
    questions = {form.value: partial(_convolving, form, MEMBERS, rounded_up(WIDTH)) for form in Form}
    measured = _kept(folder / "convolution.json", questions)
    return Form(min(measured, key=lambda form: measured[form]))


def widening_pays(folder: Path, form: Form | None) -> bool:
    """Says whether some networks whose widths are no power of four train faster as one wider program than by turns.

    What compiling a program for each would take is not counted.

    Args:
        folder: Where what was measured is kept.
        form: How their convolutions are computed; None where they have none.
    """

    def seconds(members: int, width: int) -> float:
        return _multiplying(members, width * UNITS_A_FILTER) if form is None else _convolving(form, members, width)

    measured = _kept(
        folder / f"widening-{form or 'dense'}.json",
        {"together": lambda: seconds(MEMBERS, rounded_up(WIDTH)), "by turns": lambda: MEMBERS * seconds(1, WIDTH)},
    )
    return measured["together"] < measured["by turns"]


def _kept(path: Path, questions: Mapping[str, Callable[[], float]]) -> Mapping[str, float]:
    """Returns the seconds of each question, by what was measured on such a device before or is measured now."""
    kind = f"{jax.devices()[0].device_kind} {jax.__version__}"
    try:
        known: dict[str, dict[str, float]] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    if set(known.get(kind, ())) != set(questions):
        known[kind] = {name: question() for name, question in questions.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}")
        unfinished.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
        unfinished.replace(path)
    return known[kind]


def _convolving(form: Form, members: int, filters: int) -> float:
    """Returns the seconds that two convolutions of some members take."""
    convolve = CONVOLVE[form]

    def loss(images: Any, first: Any, second: Any) -> Any:  # noqa: ANN401 - arrays
        hidden = jax.nn.relu(convolve(images, first, "same"))
        return (convolve(hidden, second, "valid") ** 2).mean()

    shapes = ((BATCH, SIDE, SIDE, CHANNELS), (KERNEL, KERNEL, CHANNELS, filters), (KERNEL, KERNEL, filters, filters))
    return _seconds(loss, members, shapes)


def _multiplying(members: int, units: int) -> float:
    """Returns the seconds that two dense layers of some members take."""

    def loss(features: Any, first: Any, second: Any) -> Any:  # noqa: ANN401 - arrays
        return ((jax.nn.relu(features @ first) @ second) ** 2).mean()

    return _seconds(loss, members, ((BATCH, FEATURES), (FEATURES, units), (units, units)))


def _seconds(loss: Callable[..., Any], members: int, shapes: tuple[tuple[int, ...], ...]) -> float:
    """Returns the seconds of a loss of some members, forwards and backwards: the best of a few rounds."""
    random = np.random.default_rng(0)
    arrays = [jnp.asarray(random.standard_normal((members, *shape), np.float32)) for shape in shapes]
    step = jax.jit(jax.vmap(jax.grad(loss, argnums=(1, 2))))
    jax.block_until_ready(step(*arrays))
    taken = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        jax.block_until_ready(step(*arrays))
        taken.append(time.perf_counter() - began)
    return min(taken)
