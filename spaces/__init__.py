"""Search spaces in pure Python, and all that a space file needs to declare one.

A space file is a ``.py`` file that defines ``SPACE``; ``docs/example_space.py`` is an example.
"""

from spaces.domains import AnyNonzero, Choice, Condition, Domain, Float, Int, Value, When
from spaces.errors import SpaceError
from spaces.registry import SPACES, load
from spaces.space import Builder, Recipe, Space
from spaces.training import TRAINING
from spaces.workload import LayerCounter, Workload

__all__ = [
    "SPACES",
    "TRAINING",
    "AnyNonzero",
    "Builder",
    "Choice",
    "Condition",
    "Domain",
    "Float",
    "Int",
    "LayerCounter",
    "Recipe",
    "Space",
    "SpaceError",
    "Value",
    "When",
    "Workload",
    "load",
]
