import pytest

from search.reproduction.comparison import EnvironmentChange, are_deterministic, environment_changes
from search.training.runtime import Backend, machine_info, package_versions

HERE = {
    "backend": Backend.TENSORFLOW.value,
    "threads": 1,
    "deterministic": True,
    "device": "CPU",
    "kernels": "eigen",
    "pid": 1,
    **machine_info(),
    "versions": package_versions("keras", "tensorflow", "numpy"),
}


def test_what_cannot_move_a_bit_is_no_change() -> None:
    assert environment_changes({**HERE, "pid": 2, "host": "elsewhere", "cores": 96, "memory_gib": 1.0}, HERE) == ()


def test_what_differs_is_named_with_both_values() -> None:
    recorded = {**HERE, "threads": 2, "versions": {**HERE["versions"], "keras": "3.0.0"}}
    assert environment_changes(recorded, HERE) == (
        EnvironmentChange(name="threads", recorded=2, here=1),
        EnvironmentChange(name="versions.keras", recorded="3.0.0", here=HERE["versions"]["keras"]),
    )


def test_what_an_older_record_does_not_say_may_differ() -> None:
    older = {name: value for name, value in HERE.items() if name != "processor_kind"}
    assert [change.name for change in environment_changes(older, HERE)] == ["processor_kind"]
    assert HERE["processor_kind"]


def test_what_was_recorded_before_there_was_a_choice_of_precision_had_the_default() -> None:
    assert environment_changes(HERE, {**HERE, "precision": "tf32"}) == ()
    assert environment_changes(HERE, {**HERE, "precision": "bfloat16"}) == (
        EnvironmentChange(name="precision", recorded="tf32", here="bfloat16"),
    )


@pytest.mark.parametrize(
    ("recorded", "kind", "expected"),
    [
        (True, "GenuineIntel avx2 avx512_vnni", "onednn"),
        (True, "AuthenticAMD avx avx2 fma", None),
        (False, "AuthenticAMD avx avx2 fma", "eigen"),
    ],
)
def test_the_kernels_of_an_older_record_count_only_where_they_are_reliable(
    recorded: bool, kind: str, expected: str | None
) -> None:
    older = {name: value for name, value in HERE.items() if name != "kernels"} | {"onednn": recorded}
    changes = environment_changes({**older, "processor_kind": kind}, {**HERE, "processor_kind": kind})
    named = () if expected == "eigen" else (EnvironmentChange(name="kernels", recorded=expected, here="eigen"),)
    assert changes == named


def test_both_runs_must_be_deterministic() -> None:
    assert are_deterministic(HERE, HERE)
    assert not are_deterministic({**HERE, "deterministic": False}, HERE)
    assert not are_deterministic({}, HERE)
