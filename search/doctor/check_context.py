"""What the checks examine: the settings of a search, and results that later checks need."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from search.errors import UserError, unknown_name
from search.session.settings import Settings
from search.training.backend_probe import BackendProbe
from spaces import registry
from spaces.space import Space

if TYPE_CHECKING:
    from search.data.dataset import DatasetInfo
    from search.training.backends import BackendInfo
    from search.trial import Outcome

BACKENDS = ("tensorflow", "jax", "torch")


@dataclass(slots=True, kw_only=True)
class CheckContext:
    """What the checks examine.

    Args:
        settings: Settings of the search that would run.
        space: The space, with its model builder.
        probe: The process that imports the backend.
        devices: What the backend found; set by the check "backend".
        dataset: The prepared data; set by the check "data".
        outcome: Outcome of the two training steps; set by the check "training".
    """

    settings: Settings
    space: Space
    probe: BackendProbe
    devices: BackendInfo | None = None
    dataset: DatasetInfo | None = None
    outcome: Outcome | None = None


@contextlib.contextmanager
def open_context(settings: Settings) -> Iterator[CheckContext]:
    """Checks the names in the settings and yields what the checks examine.

    Raises:
        UserError: There is no such space, data set or backend.
    """
    if settings.keras_backend not in BACKENDS:
        raise unknown_name("backend", settings.keras_backend, BACKENDS)
    try:
        space = registry.load(settings.space)
    except registry.SpaceError as error:
        raise UserError(str(error)) from None
    with contextlib.suppress(ImportError):  # the checks report a missing package
        from search.data.sources import find_source

        find_source(settings.dataset)
    with BackendProbe(settings.keras_backend) as probe:
        yield CheckContext(settings=settings, space=space, probe=probe)
