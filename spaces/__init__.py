"""Search spaces in pure Python: what a user needs to declare their own, without importing Keras.

A space of your own is a ``.py`` file that defines ``SPACE``; ``docs/example_space.py`` is one in twenty lines.
"""

from spaces.domains import Choice, Condition, Domain, Float, Int, Value, When
from spaces.errors import SpaceError
from spaces.registry import SPACES, load
from spaces.space import Builder, Recipe, Space
from spaces.training import TRAINING

__all__ = [
    "SPACES",
    "TRAINING",
    "Builder",
    "Choice",
    "Condition",
    "Domain",
    "Float",
    "Int",
    "Recipe",
    "Space",
    "SpaceError",
    "Value",
    "When",
    "load",
]
