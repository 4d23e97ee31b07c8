"""Which parameters a value of another one activates, as far as trainings tell. Called by the sampler.

An objective asks for its parameters one by one, so the conditions of a space are not known beforehand. A parameter is
governed by another if its presence is the same in all trainings with an equal value of the other, and differs between
values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .history import Training

Presence = Mapping[Any, tuple[frozenset[str], frozenset[str]]]
"""By the value of a parameter: names of the governed parameters that are present with it, and that are absent."""


class Activity:
    """What some trainings tell.

    Args:
        trainings: The trainings, in order.
    """

    def __init__(self, trainings: Sequence[Training]) -> None:
        self._trainings = trainings
        self._presence: dict[str, Presence] = {}

    def resolved(
        self, params: Mapping[str, Any], changed: Sequence[str], defaults: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Returns parameters with those that changes activate, and without those that they deactivate.

        Args:
            params: Parameters, the changed ones included.
            changed: Names of the changed ones.
            defaults: Values of parameters that become active.
        """
        resolved = dict(params)
        for name in changed:
            present, absent = self._governed_by(name).get(params[name], (frozenset(), frozenset()))
            resolved |= {added: defaults[added] for added in present if added not in resolved and added in defaults}
            resolved = {kept: value for kept, value in resolved.items() if kept not in absent}
        return resolved

    def _governed_by(self, name: str) -> Presence:
        if name not in self._presence:
            self._presence[name] = self._find_governed(name)
        return self._presence[name]

    def _find_governed(self, name: str) -> Presence:
        always: dict[Any, set[str]] = {}
        ever: dict[Any, set[str]] = {}
        for training in self._trainings:
            if name in training.params:
                value, names = training.params[name], training.params.keys()
                always[value] = always[value] & names if value in always else set(names)
                ever.setdefault(value, set()).update(names)
        varying = {other for value in ever for other in ever[value] - always[value]}
        known = set().union(*ever.values()) - varying
        constant = set.intersection(*always.values()) if always else set()
        governed = known - constant
        return {value: (frozenset(governed & always[value]), frozenset(governed - ever[value])) for value in ever}
