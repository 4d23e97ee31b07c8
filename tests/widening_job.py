"""A process on JAX that trains a network in a program of its own widths, and in one with room for wider ones.

Prints what the further units hold afterwards, and how far the two have come apart.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from search.training.keras_import import import_keras


def main() -> None:
    """What the process does."""
    keras = import_keras()
    import jax
    import numpy as np

    from search.training.network import make_network
    from search.training.vectorized.padding import ProgramShape, make_program_shape
    from search.training.vectorized.program import DeviceImages, Program
    from search.training.vectorized.program_key import traced_values_of
    from spaces import registry
    from spaces.training import TUTORIAL_TRAINING

    space, changes = json.loads(sys.argv[1])
    known, batch, steps = registry.load(space), 12, 6
    config = {**TUTORIAL_TRAINING, **known.baseline, **changes}
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (60, 28, 28, 1), np.uint8)
    images = DeviceImages(jax.numpy.asarray(pixels), jax.numpy.asarray(random.integers(0, 10, 60), np.int32))
    keras.utils.set_random_seed(0)
    model = make_network(known.build, config, pixels, classes=10, seed=0)
    order = random.integers(0, 60, (steps, 1, batch))

    def trained(room: ProgramShape) -> tuple[Any, Program, Any]:
        """The state after some steps of batches that the room may hold more of."""
        program = Program(model, config, room)
        place = program.layout(model)
        state = jax.tree.map(lambda one: one[np.newaxis], program.initial_state(model, place))
        own = {
            "layers": traced_values_of(model, place),
            "label_smoothing": np.float32(0.1),
            "weight_decay": np.float32(0.01),
        }
        plan = {
            "order": np.pad(order, ((0, 0), (0, 0), (0, room.batch_size - batch))).astype(np.int32),
            "count": np.full((steps, 1), batch, np.int32),
            "rates": np.full((steps, 1), 0.01, np.float32),
        }
        values = jax.tree.map(lambda one: one[np.newaxis], own)
        state, _ = program.train(
            program.with_augmentation(state, np.ones(1, np.float32)), values, plan, images, (0, steps)
        )
        return jax.tree.map(lambda one: np.asarray(one[0]), state), program, place

    state, program, place = trained(make_program_shape(model, batch, pads_to_share=False))
    plain = program.to_arrays(state, place, has_rate=True)
    state, program, place = trained(make_program_shape(model, batch, pads_to_share=True))
    own = program.to_arrays(state, place, has_rate=True)
    again = jax.tree.leaves(program.from_arrays(own, place, has_rate=True))  # 0 wherever the network is not
    every = jax.tree.leaves(state)
    found = {
        "further": sum(map(np.size, every)) - sum(map(np.size, own)),
        "not_zero": sum(int((one != two).sum()) for one, two in zip(every, again, strict=True)),
        "apart": max(float(np.abs(one - two).max()) for one, two in zip(own, plain, strict=True) if np.size(one)),
        "moved": max(float(np.abs(one - two.value).max()) for one, two in zip(plain, model.variables, strict=False)),
    }
    print()
    print(json.dumps(found))
