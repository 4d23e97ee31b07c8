"""Plans: default names of studies, and what a plan takes from a study that is there already."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from makers import MNIST, TINY
from small_data import save_npz

from search.protocol import Split
from search.records.opening import open_ledger
from search.records.reader import read_recorded_header
from search.records.record import require_same_study
from search.session.plan import default_study_name, make_plan
from search.session.search_space import changed_space
from search.session.settings import from_mapping
from spaces import registry
from spaces.restrict import without_parameters


def name(dataset: str, **options: object) -> str:
    settings = from_mapping({"sampler": "tpe", **options})
    return default_study_name(settings, dataclasses.replace(MNIST, name=dataset), TINY)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "leaves-tiny-tpe"),
        ({"image_size": "64"}, "leaves-64x64-tiny-tpe"),
        (
            {"image_size": "48x64", "test_share": 0.2, "transpose": True, "channels": 1},
            "leaves-48x64-test20-transposed-grey-tiny-tpe",
        ),
    ],
)
def test_how_data_are_read_is_part_of_the_name(options: dict[str, object], expected: str) -> None:
    assert name("leaves.npz", **options) == expected


def test_data_whose_names_cannot_be_spelled_are_told_apart() -> None:
    first, second = (
        default_study_name(
            from_mapping({"sampler": "tpe"}), dataclasses.replace(MNIST, name=given, sha256=sha256 * 64), TINY
        )
        for given, sha256 in (("\u6570\u5b57.npz", "a"), ("\u6570\u636e.npz", "b"))
    )
    assert (first, second) == ("aaaaaa-tiny-tpe", "bbbbbb-tiny-tpe")
    assert name("my leaves.npz") == "my-leaves-tiny-tpe"


def test_what_was_changed_is_part_of_the_name() -> None:
    for options, expected in (
        ({"fix": {"learning_rate": "1e-2"}, "epochs": 5}, "leaves-tiny-learning_rate-0.01-5-epochs-tpe"),
        ({"range": {"width": "4:16"}, "tune": "width"}, "leaves-tiny-width-4-16-tune-width-tpe"),
    ):
        settings = from_mapping({"sampler": "tpe", **options})
        data = dataclasses.replace(MNIST, name="leaves.npz")
        assert default_study_name(settings, data, changed_space(TINY, settings)) == expected
    assert name("leaves.npz", max_parameters="60k") == "leaves-tiny-60000-parameters-tpe"
    assert name("leaves.npz", objective="log-loss") == "leaves-tiny-objective-log-loss-tpe"
    long = [name("leaves.npz", **{"from": f"{'a' * 60}{end}"}) for end in "bc"]
    assert long[0] != long[1]
    assert all(len(text) < 60 for text in long)


def test_a_study_goes_on_with_its_split_and_seed_whatever_the_defaults_are(tmp_path: Path, cache_dir: Path) -> None:
    data = save_npz(tmp_path / "grouped.npz", groups_train=np.arange(60) // 5)
    settings = from_mapping({"dataset": data, "studies_dir": tmp_path / "studies", "cache_dir": cache_dir})
    plan = make_plan(settings)
    assert plan.header.protocol.split is Split.GROUP
    block = dataclasses.replace(plan.header.protocol, split=Split.BLOCK)
    open_ledger(plan.location, dataclasses.replace(plan.header, protocol=block)).close()
    again = make_plan(settings).header
    assert (again.protocol, again.seed) == (block, plan.header.seed)
    assert make_plan(dataclasses.replace(settings, split="group")).header.protocol.split is Split.GROUP


@pytest.mark.parametrize("fix", [{}, {"batch_size": "64"}])
def test_a_study_goes_on_without_the_parameters_of_later_versions(
    fix: dict[str, str], tmp_path: Path, cache_dir: Path
) -> None:
    data, later = save_npz(tmp_path / "few.npz"), ("elastic", "convolutions", "padding", "global_average")
    settings = from_mapping({"dataset": data, "studies_dir": tmp_path / "s", "cache_dir": cache_dir, "fix": fix})
    plan = make_plan(settings)
    older = changed_space(without_parameters(registry.load("cnn"), later), settings)
    assert older.parameters.keys() == plan.header.space.parameters.keys() - set(later)
    open_ledger(plan.location, dataclasses.replace(plan.header, space=older)).close()
    again = make_plan(settings).header
    assert again.space == older
    assert "double stages" not in again.space.recipes
    require_same_study(read_recorded_header(plan.location, plan.header.name), again)
