import json

from search.compare.spec import ComparisonSpec, RunKey, schedule, study_name, study_seed
from search.records.record import describe_differences
from tests.compare.studies import make_spec


def differences(recorded: ComparisonSpec, requested: ComparisonSpec) -> list[str]:
    return describe_differences(recorded.fixed_terms(), requested.fixed_terms())


def test_a_spec_comes_back_from_json() -> None:
    spec = make_spec("optuna:tpe", seconds=600.0, epochs=None)
    assert ComparisonSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_more_engines_and_repeats_are_no_difference() -> None:
    other = make_spec("optuna:random", repeats=9, commands=("again",), created="later")
    assert differences(make_spec("optuna:tpe"), other) == []


def test_differences_are_named_with_both_values() -> None:
    assert differences(make_spec(seed=0), make_spec(seed=1, epochs=None, seconds=60.0)) == [
        "budget.epochs (recorded 80, received nothing)",
        "budget.seconds (recorded nothing, received 60.0)",
        "seed (recorded 0, received 1)",
    ]


def test_a_reworded_space_is_the_same_comparison() -> None:
    reworded = make_spec()
    reworded.terms["space"]["doc"] = "in other words"
    assert differences(make_spec(), reworded) == []


def test_a_comparison_recorded_before_precision_was_a_choice_has_the_default() -> None:
    same, other = make_spec(), make_spec()
    same.terms["precision"], other.terms["precision"] = "tf32", "bfloat16"
    assert differences(make_spec(), same) == []
    assert differences(make_spec(), other) == ["precision (recorded tf32, received bfloat16)"]


def test_studies_are_named_by_engine_and_repeat() -> None:
    assert study_name(RunKey(engine="keras-tuner:hyperband", repeat=2)) == "keras-tuner-hyperband-2"


def test_runs_are_scheduled_repeat_by_repeat() -> None:
    keys = [(key.repeat, key.table, key.engine) for key in schedule(("b", "a"), 2, ("x", "y"))]
    assert keys == [(repeat, table, engine) for repeat in (0, 1) for table in "xy" for engine in "ba"]


def test_recorded_comparisons_keep_their_seeds() -> None:
    """Seeds as version 0.1.0 derived them; another derivation would make a recorded comparison run other studies."""
    assert [study_seed(1, repeat) for repeat in range(3)] == [2005377912, 1117225019, 768136099]
    assert [study_seed(1, repeat, "naval_propulsion") for repeat in range(2)] == [372009877, 3515230619]


def test_seeds_are_unique_by_table_and_repeat() -> None:
    seeds = {study_seed(2, repeat, table) for table in ("car", "kc1", "segment") for repeat in range(50)}
    assert len(seeds) == 3 * 50
    assert study_seed(0, 0, "car") != study_seed(2, 0, "car")
