"""What is fastest on a device, by measurements of a few seconds that are made once and kept in the cache folder.

Two questions: in which form to compute convolutions, and whether to train networks of several widths as one program.
Called by the pool.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from search.files import draft_of
from search.training.vectorized.convolution import CONVOLUTIONS, ConvolutionMethod
from search.training.vectorized.padding import next_power_of_four

MEMBERS, BATCH, SIDE, CHANNELS, KERNEL = 4, 32, 14, 16, 3
"""What is measured: the second stage of a network such as the tutorial's larger CNN."""
WIDTH = 32
"""Filters, halfway between two powers of four; a dense layer has ``UNITS_PER_FILTER`` times as many units."""
UNITS_PER_FILTER, FEATURES = 32, 784
TIMING_ROUNDS = 3


def fastest_convolution(folder: Path) -> ConvolutionMethod:
    """Returns the form of convolution that is fastest on this device.

    Args:
        folder: Where what was measured is kept.
    """
    benchmarks = {
        form.value: partial(_time_convolution, form, MEMBERS, next_power_of_four(WIDTH)) for form in ConvolutionMethod
    }
    timings = _cached_timings(folder / "convolution.json", benchmarks)
    return ConvolutionMethod(min(timings, key=lambda form: timings[form]))


def is_padding_faster(folder: Path, method: ConvolutionMethod | None) -> bool:
    """Says whether some networks whose widths are no power of four train faster as one wider program than by turns.

    What compiling a program for each would take is not counted.

    Args:
        folder: Where what was measured is kept.
        method: How their convolutions are computed; None where they have none.
    """

    def seconds(members: int, width: int) -> float:
        return (
            _time_dense(members, width * UNITS_PER_FILTER)
            if method is None
            else _time_convolution(method, members, width)
        )

    timings = _cached_timings(
        folder / f"widening-{method or 'dense'}.json",
        {
            "together": lambda: seconds(MEMBERS, next_power_of_four(WIDTH)),
            "by turns": lambda: MEMBERS * seconds(1, WIDTH),
        },
    )
    return timings["together"] < timings["by turns"]


def _cached_timings(path: Path, benchmarks: Mapping[str, Callable[[], float]]) -> Mapping[str, float]:
    """Returns the seconds of each question, by what was measured on such a device before or is measured now."""
    device_kind = f"{jax.devices()[0].device_kind} {jax.__version__}"
    try:
        cached: dict[str, dict[str, float]] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        cached = {}
    if set(cached.get(device_kind, ())) != set(benchmarks):
        cached[device_kind] = {name: question() for name, question in benchmarks.items()}
        with draft_of(path) as draft:
            draft.write_text(json.dumps(cached, indent=1) + "\n", encoding="utf-8")
    return cached[device_kind]


def _time_convolution(method: ConvolutionMethod, members: int, filters: int) -> float:
    """Returns the seconds that two convolutions of some members take."""
    convolve = CONVOLUTIONS[method]

    def loss(images: Any, first: Any, second: Any) -> Any:
        hidden = jax.nn.relu(convolve(images, first, "same"))
        return (convolve(hidden, second, "valid") ** 2).mean()

    shapes = ((BATCH, SIDE, SIDE, CHANNELS), (KERNEL, KERNEL, CHANNELS, filters), (KERNEL, KERNEL, filters, filters))
    return _time_gradient(loss, members, shapes)


def _time_dense(members: int, units: int) -> float:
    """Returns the seconds that two dense layers of some members take."""

    def loss(features: Any, first: Any, second: Any) -> Any:
        return ((jax.nn.relu(features @ first) @ second) ** 2).mean()

    return _time_gradient(loss, members, ((BATCH, FEATURES), (FEATURES, units), (units, units)))


def _time_gradient(loss: Callable[..., Any], members: int, shapes: tuple[tuple[int, ...], ...]) -> float:
    """Returns the seconds of a loss of some members, forwards and backwards: the best of a few rounds."""
    random = np.random.default_rng(0)
    arrays = [jnp.asarray(random.standard_normal((members, *shape), np.float32)) for shape in shapes]
    step = jax.jit(jax.vmap(jax.grad(loss, argnums=(1, 2))))
    jax.block_until_ready(step(*arrays))
    taken = []
    for _ in range(TIMING_ROUNDS):
        began = time.perf_counter()
        jax.block_until_ready(step(*arrays))
        taken.append(time.perf_counter() - began)
    return min(taken)
