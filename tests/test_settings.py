"""Options: durations, pairs, files, types."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.cli.display import clock
from search.errors import UserError
from search.settings import Settings, from_file, from_mapping, parse_duration, parse_pair


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("20m", 1200), ("1h30m", 5400), ("1h", 3600), ("1.5h", 5400), ("2m30s", 150)],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "soon", "-5m", "5x", "1m1h", "nan", "inf"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="20m"):
        parse_duration(text)


@given(st.integers(0, 10**6))
def test_a_shown_clock_names_the_same_seconds(seconds: int) -> None:
    *hours, minutes, rest = (int(part) for part in clock(seconds).split(":"))
    assert (hours[0] if hours else 0) * 3600 + minutes * 60 + rest == seconds


def test_a_pair_takes_dashes_in_names() -> None:
    assert parse_pair("batch-size=64", "fix") == ("batch_size", "64")
    for text in ("batch_size", "=3", "batch_size="):
        with pytest.raises(UserError, match="name=value"):
            parse_pair(text, "fix")


def test_names_take_dashes_and_values_their_types() -> None:
    settings = from_mapping({"cache-dir": Path("/somewhere"), "timeout": "20m", "fix": {"batch-size": 64}})
    assert settings == Settings(cache_dir="/somewhere", timeout=1200.0, fix={"batch_size": 64})


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"trails": 3}, "trials"),
        ({"trials": "3"}, "trials"),
        ({"trials": True}, "trials"),
        ({"trials": 2.5}, "trials"),
        ({"recipes": 1}, "recipes"),
        ({"fix": "batch_size=3"}, "fix"),
        ({"space": 3}, "space"),
        ({"timeout": "later"}, "later"),
        ({"study": "a b"}, "a b"),
        ({"study": ""}, "name"),
        ({"replicates": 0}, "replicates"),
    ],
)
def test_wrong_options_are_refused_by_name(options: dict, named: str) -> None:
    with pytest.raises(UserError) as refusal:
        from_mapping(options)
    assert named in str(refusal.value)


def test_zero_is_a_seed() -> None:
    assert from_mapping({"seed": 0}).seed == 0


def test_a_file_gives_options(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text('space = "mlp"\ntimeout = "20m"\n[fix]\nbatch_size = 64\n')
    assert from_mapping(from_file(path)) == Settings(space="mlp", timeout=1200.0, fix={"batch_size": 64})
