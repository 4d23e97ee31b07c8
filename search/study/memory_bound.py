"""The memory that training a configuration takes at least, from the counts of its network, without Keras.

The coordinator does not spend trials on configurations that exceed the memory. It is at most what
``search.training.memory`` predicts in the worker from the layers themselves, so nothing is refused that could have been
trained; what passes here may still be refused there. Called by ``search.session.session``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from search.trial import Config
from spaces.training import complete
from spaces.workload import WorkloadFunction, try_count

OPTIMIZER_SLOTS: Mapping[str, int] = {"adam": 2, "adamw": 2, "sgd": 1}
"""Values that an optimizer keeps for each parameter; others count as none."""
WEIGHT_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryBound:
    """Tells which configurations exceed the memory.

    Args:
        workload: Counts the networks of the space.
        image_shape: (height, width, channels).
        classes: Number of classes.
        training_count: Number of training images, which bounds a batch.
        folds: Networks of a search trial, whose weights are kept together.
        value_bytes: Bytes of a value that a layer computes.
        available_bytes: What a training could have at most.
    """

    workload: WorkloadFunction
    image_shape: tuple[int, int, int]
    classes: int
    training_count: int
    folds: int
    value_bytes: int
    available_bytes: int

    def fits(self, config: Config) -> bool:
        """Returns whether a configuration is not known to exceed the memory."""
        return self.least_bytes(config) <= self.available_bytes

    def least_bytes(self, config: Config) -> int:
        """Returns the least bytes of a training; 0 where the space cannot count the network.

        Weights, the optimizer's values for them, and the outputs of the convolutions of a batch, each of which the
        activation, normalization or pooling behind it needs in the backward pass.
        """
        training, counted = complete(config), try_count(self.workload, config, self.image_shape, self.classes)
        if counted is None:
            return 0  # the worker then decides
        batch = min(training["batch_size"], max(1, self.training_count // 2))  # folds and splits leave a half or more
        copies = 1 + (self.folds if self.folds > 1 else 0)
        weights = copies * WEIGHT_BYTES * counted.parameters * (1 + OPTIMIZER_SLOTS.get(training["optimizer"], 0))
        return int(weights + batch * self.value_bytes * counted.convolved_values)
