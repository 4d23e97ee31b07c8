"""The trials that a search begins with: the baseline, the recipes, interrupted trials. Called by ``search_source``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from search.engines.base import short_epochs
from search.records.record import TrialRecord
from search.trial import BASELINE, PROPOSED, RECIPE_PREFIX, Proposal
from spaces.space import Space

ProposalKey = tuple[str, int | None, int | None, int | None]
"""See ``Proposal.key``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRequest:
    """A trial that is to be made.

    Args:
        proposal: What to run; None to ask the engine.
        origin: The trial's.
        seed: That of an interrupted trial that runs again; None for a new one.
        epochs_trained: Epochs that it had trained. Its checkpoint holds them, but for those of the last seconds.
        is_first: Whether it is the baseline or the first recipe, which are trained in any case.
    """

    proposal: Proposal | None = None
    origin: str = PROPOSED
    seed: int | None = None
    epochs_trained: int = 0
    is_first: bool = False

    @property
    def is_new_recipe(self) -> bool:
        """Whether it is a recipe of which no trial was begun."""
        return self.origin.startswith(RECIPE_PREFIX) and self.seed is None

    def is_for(self, proposal: Proposal) -> bool:
        """Returns whether this request asks for a proposal, or for one whose epochs are still to be set."""
        if self.proposal is None:
            return False
        return (
            self.proposal.key == (dataclasses.replace(proposal, short_epochs=None) if self.is_first else proposal).key
        )


def first_requests(space: Space, epochs: int, recipes: Iterable[str], *, screens: bool) -> list[TrialRequest]:
    """Returns the requests of a new study: the baseline and the recipes.

    Args:
        space: The space.
        epochs: Epochs of a full trial.
        recipes: Names of the recipes that are tried, in order.
        screens: Whether the engine screens. It takes the first recipe in full and the others as short trials.
    """
    requests = [TrialRequest(proposal=Proposal(config=space.baseline), origin=BASELINE, is_first=True)]
    short = short_epochs(epochs)
    for index, name in enumerate(recipes):
        is_short = screens and index > 0 and short < epochs
        proposal = Proposal(config=space.recipe(name), short_epochs=short if is_short else None)
        requests.append(TrialRequest(proposal=proposal, origin=f"{RECIPE_PREFIX}{name}", is_first=index == 0))
    return requests


def initial_requests(recorded: Sequence[TrialRecord], first: Sequence[TrialRequest]) -> list[TrialRequest]:
    """Returns the requests before the engine is asked, if not yet run: the first ones and interrupted trials.

    Where the baseline or the first recipe was begun with fewer epochs, a full trial follows if the time is enough.
    """
    interrupted = {
        record.trial.proposal.key: TrialRequest(
            proposal=record.trial.proposal,
            origin=record.trial.origin,
            seed=record.trial.seed,
            epochs_trained=len(record.history),
        )
        for record in recorded
        if record.outcome is not None and not record.is_finished
    }
    taken = {record.trial.proposal.key for record in recorded if record.outcome is None or record.is_finished}
    requests: list[TrialRequest] = []
    for request in first:
        begun = [record.trial.proposal.key for record in recorded if request.is_for(record.trial.proposal)]
        again = (interrupted[key] for key in begun if key in interrupted)
        requests += [dataclasses.replace(waiting, is_first=request.is_first) for waiting in again]
        requests.append(dataclasses.replace(request, is_first=request.is_first and not begun))
    unique: dict[ProposalKey, TrialRequest] = {}
    for request in [*requests, *interrupted.values()]:
        assert request.proposal is not None
        if request.proposal.key not in taken:
            unique.setdefault(request.proposal.key, request)
    return list(unique.values())
