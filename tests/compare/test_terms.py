import json

from search.compare.terms import ComparisonSpec, study_name
from tests.compare.tournaments import rules


def test_rules_come_back_from_json() -> None:
    made = rules("optuna:tpe", seconds=600.0, epochs=None)
    assert ComparisonSpec.from_json(json.loads(json.dumps(made.to_json()))) == made


def test_more_engines_and_repeats_are_no_difference() -> None:
    assert (
        rules("optuna:tpe").differences(rules("optuna:random", repeats=9, commands=("again",), created="later")) == []
    )


def test_differences_are_named_with_both_values() -> None:
    assert rules(seed=0).differences(rules(seed=1, epochs=None, seconds=60.0)) == [
        "budget.epochs (recorded 80, received nothing)",
        "budget.seconds (recorded nothing, received 60.0)",
        "seed (recorded 0, received 1)",
    ]


def test_a_reworded_space_is_the_same_tournament() -> None:
    old, new = rules(), rules()
    new.terms["space"]["doc"] = "in other words"
    assert old.differences(new) == []


def test_a_tournament_of_before_there_was_a_choice_of_precision_had_the_default() -> None:
    old, same, other = rules(), rules(), rules()
    same.terms["precision"], other.terms["precision"] = "tf32", "bfloat16"
    assert old.differences(same) == []
    assert old.differences(other) == ["precision (recorded tf32, received bfloat16)"]


def test_studies_are_named_by_engine_and_repeat() -> None:
    assert study_name("keras-tuner:hyperband", 2) == "keras-tuner-hyperband-2"
