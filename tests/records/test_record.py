"""Which studies are the same."""

from __future__ import annotations

import pytest
from makers import header

from search.errors import UserError
from search.records.record import require_same_study
from spaces import Space, load


def test_an_older_study_goes_on_although_it_varied_what_does_nothing() -> None:
    document = load("cnn").to_json()
    document["parameters"]["clean_epochs"]["when"] = None
    older = header(space=Space.from_json(document))
    assert require_same_study(older, header(space=load("cnn"))) is older


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"max_parameters": 60_000}, "--max-parameters"),
        ({"objective": "loss"}, "--objective .recorded error, received log-loss"),
    ],
)
def test_other_limits_and_objectives_make_another_study(changes: dict[str, object], option: str) -> None:
    with pytest.raises(UserError, match=option):
        require_same_study(header(), header(**changes))
    assert require_same_study(header(), header(objective="calibrated_loss")) == header()
