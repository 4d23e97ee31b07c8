"""Tests of the warm start: what earlier studies bring into a space, and its way from the command line to the plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from makers import TINY, complete, header, trial

from search.errors import UserError
from search.records.record import StudyRecord, TrialRecord
from search.records.storage.file_ledger import FileLedger
from search.records.storage.locations import StudyLocation
from search.session.plan import load_space
from search.session.settings import from_mapping
from search.session.warm_start import CONFIGS_PER_STUDY, with_earlier_studies
from search.trial import PROPOSED, Outcome, State
from spaces import Choice, Float, Space


def study(name: str, *rates: float, **changes: object) -> StudyRecord:
    """A study with a baseline and a complete trial for each learning rate, the first the best."""
    trials = [TrialRecord(trial=trial(0), outcome=complete(5.0))]
    for number, rate in enumerate(rates, start=1):
        config = {**TINY.baseline, "learning_rate": rate}
        trials.append(
            TrialRecord(trial=trial(number, config=config, origin=PROPOSED), outcome=complete(1.0 + 0.1 * number))
        )
    return StudyRecord(header=header(name, **changes), trials=tuple(trials))


def rates(space: Space) -> list[object]:
    return [space.recipe(name)["learning_rate"] for name in space.recipes]


def test_the_best_of_each_study_come_before_the_recipes_of_the_space() -> None:
    space = with_earlier_studies(TINY, [study("a", 0.02, 0.03), study("b", 0.04)])
    assert rates(space) == [0.02, 0.04, 0.03, 0.01]
    assert list(space.recipes)[:2] == ["a #1", "b #1"]
    assert "study a" in space.recipes["a #1"].source


def test_equal_configurations_the_baseline_and_known_recipes_appear_once() -> None:
    space = with_earlier_studies(TINY, [study("a", 0.01, 0.001, 0.02), study("b", 0.02)])
    assert rates(space) == [0.01, 0.02]


def test_a_study_contributes_a_few_of_its_best() -> None:
    many = [0.02 + 0.001 * index for index in range(10)]
    assert rates(with_earlier_studies(TINY, [study("a", *many)])) == [*many[:CONFIGS_PER_STUDY], 0.01]


def test_with_a_limit_of_parameters_the_best_within_it_are_taken_where_there_are_any() -> None:
    earlier = study("a", 0.02, 0.03, 0.04)
    sized = [
        replace(entry, outcome=replace(entry.outcome, parameter_count=count))
        for entry, count in zip(earlier.trials[1:], (900, 700, 800), strict=True)
    ]
    earlier = replace(earlier, trials=(earlier.trials[0], *sized))
    assert rates(with_earlier_studies(TINY, [earlier], max_parameters=800)) == [0.03, 0.04, 0.01]
    assert rates(with_earlier_studies(TINY, [earlier], max_parameters=10)) == [0.02, 0.03, 0.04, 0.01]


def test_short_and_failed_trials_and_the_baseline_are_no_prior() -> None:
    short = TrialRecord(
        trial=trial(1, config={**TINY.baseline, "learning_rate": 0.05}, origin=PROPOSED, epochs=1, is_short=True),
        outcome=replace(complete(0.1, epochs=1), state=State.SCREENED),
    )
    failed = TrialRecord(trial=trial(2, origin=PROPOSED), outcome=Outcome(state=State.FAILED))
    earlier = study("a", 0.02)
    earlier = replace(earlier, trials=(*earlier.trials, replace(short, trial=replace(short.trial, number=2)), failed))
    assert rates(with_earlier_studies(TINY, [earlier])) == [0.02, 0.01]


def test_parameters_of_another_space_are_left_out_and_missing_ones_stay_at_the_baseline() -> None:
    other = Space(
        name="other",
        parameters={
            "learning_rate": Float(1e-4, 1e-1, 1e-3, log=True),
            "dropout": Float(0.0, 0.5, 0.25, step=0.05),
            "loss": Choice(("a", "b"), "a"),
        },
    )
    space = with_earlier_studies(other, [study("a", 0.02)])
    assert space.recipe("a #1") == {"learning_rate": 0.02, "dropout": 0.25, "loss": "a"}


def test_values_outside_the_space_are_left_out() -> None:
    narrow = replace(TINY, parameters={**TINY.parameters, "learning_rate": Float(1e-4, 0.015, 1e-3, log=True)})
    assert list(with_earlier_studies(narrow, [study("a", 0.02)]).recipes) == ["faster"]


def test_the_option_takes_names_and_folders_and_refuses_what_is_no_study(tmp_path: Path) -> None:
    location = StudyLocation(studies_dir=tmp_path)
    with FileLedger.open(location, header("earlier")) as ledger:
        for number, rate in enumerate((0.001, 0.002)):
            begun = trial(number, config={**TINY.baseline, "learning_rate": rate}, origin=PROPOSED)
            ledger.begin(begun)
            ledger.finish(begun, complete(1.0 + number))
    for reference in ("earlier", str(tmp_path / "earlier")):
        settings = from_mapping({"space": "mlp", "from": reference, "studies_dir": tmp_path})
        space, _ = load_space(settings)
        assert next(iter(space.recipes)) == "earlier #1"
    with pytest.raises(UserError, match="nothing-here"):
        load_space(from_mapping({"space": "mlp", "from": "nothing-here", "studies_dir": tmp_path}))
