"""Search spaces in pure Python: what a user needs to declare their own."""

from spaces.domains import Choice, Domain, Float, Int, Value, When
from spaces.space import Recipe, Space

__all__ = ["Choice", "Domain", "Float", "Int", "Recipe", "Space", "Value", "When"]
