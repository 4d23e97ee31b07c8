"""Options: durations, pairs, files, types."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.cli.options import GROUPS
from search.cli.progress_state import format_clock
from search.data.read_options import ReadOptions
from search.errors import UserError
from search.session.quantities import parse_count, parse_duration, parse_size
from search.session.settings import Settings, from_file, from_mapping, parse_pair


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("20m", 1200), ("1h30m", 5400), ("1h", 3600), ("1.5h", 5400), ("2m30s", 150)],
)
def test_durations_are_parsed(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "soon", "-5m", "5x", "1m1h", "nan", "inf"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="20m"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "mebibytes"),
    [("4GiB", 4096), ("2.5GiB", 2560), ("3000MiB", 3000), ("4G", 4096), ("4 gib", 4096), ("1.073741824GB", 1024)],
)
def test_sizes_are_parsed(text: str, mebibytes: float) -> None:
    assert parse_size(text) == pytest.approx(mebibytes)


@pytest.mark.parametrize("text", ["", "4", "GiB", "-4GiB", "4TB", "4GiBs", "4,5GiB", "nan"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="4GiB"):
        parse_size(text)


@pytest.mark.parametrize(("text", "count"), [("60000", 60_000), ("60k", 60_000), ("1.5M", 1_500_000), ("2 k", 2_000)])
def test_counts_are_parsed(text: str, count: int) -> None:
    assert parse_count(text) == from_mapping({"max_parameters": text}).max_parameters == count


@pytest.mark.parametrize("text", ["", "k", "-1k", "1G", "1,000"])
def test_other_counts_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="60k"):
        parse_count(text)


def test_how_data_are_read_is_parsed_and_checked() -> None:
    options = from_mapping({"image-size": "48x64", "test-share": "15%", "transpose": True, "channels": 1}).read_options
    assert options == ReadOptions(image_size=(48, 64), test_share=0.15, transpose=True, channels=1)
    assert from_mapping({"test_share": 0.2, "image_size": "7"}).read_options.image_size == (7, 7)
    for name, value in {"image_size": "0x9", "test_share": "nan", "channels": 2}.items():
        with pytest.raises(UserError, match=f"Received: .*{value}"):
            from_mapping({name: value})


@given(st.integers(0, 10**6))
def test_a_shown_clock_names_the_same_seconds(seconds: int) -> None:
    *hours, minutes, rest = (int(part) for part in format_clock(seconds).split(":"))
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
        ({"trial_timeout": 0}, "trial-timeout"),
        ({"trial_timeout": True}, "trial_timeout"),
        ({"trial_timeout": "later"}, "later"),
        ({"trial_memory": "1023MiB"}, "1GiB"),
        ({"trial_memory": 4}, "4GiB"),
        ({"trial_memory": "much"}, "much"),
        ({"stop_when": "error=0.6"}, "error=0.6"),
        ({"stop_when": ["error<0.6", "plateau:0"]}, "plateau:0"),
        ({"stop_when": ""}, "error<"),
        ({"stop_when": 3}, "stop_when"),
    ],
)
def test_wrong_options_are_refused_by_name(options: dict, named: str) -> None:
    with pytest.raises(UserError) as refusal:
        from_mapping(options)
    assert named in str(refusal.value)


def test_limits_of_a_trial_and_goals_are_parsed() -> None:
    settings = from_mapping({"trial-timeout": "5m", "trial_memory": "4GiB", "stop_when": "error<0.6, plateau:20"})
    assert (settings.trial_timeout, settings.trial_memory) == (300.0, 4096.0)
    assert settings.stop_when == ("error<0.6", "plateau:20")
    assert from_mapping({"stop_when": ["error<1", "plateau:3,error<2"]}).stop_when == (
        "error<1",
        "plateau:3",
        "error<2",
    )
    assert from_mapping({"trial_timeout": 60}).trial_timeout == 60


def test_zero_is_a_seed() -> None:
    assert from_mapping({"seed": 0}).seed == 0


def test_a_file_gives_options(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    limits = 'trial-timeout = "90s"\ntrial_memory = "2GiB"\nstop_when = ["error<0.6"]\n'
    path.write_text(f'space = "mlp"\ntimeout = "20m"\n{limits}[fix]\nbatch_size = 64\n')
    assert from_mapping(from_file(path)) == Settings(
        space="mlp",
        timeout=1200.0,
        trial_timeout=90.0,
        trial_memory=2048.0,
        stop_when=("error<0.6",),
        fix={"batch_size": 64},
    )


def test_every_option_of_a_run_has_a_group_in_its_help() -> None:
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(field.name for field in dataclasses.fields(Settings))


@pytest.mark.parametrize("name", ["early_stopping", "early-stopping"])
def test_what_other_tools_have_is_refused_with_the_reason(name: str) -> None:
    with pytest.raises(UserError, match=r"--pruner asha.*Received: early.stopping"):
        from_mapping({name: 5})
