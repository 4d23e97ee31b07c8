"""The file of recorded trainings: written, read, compressed, damaged."""

from __future__ import annotations

import dataclasses
import gzip
import math
from pathlib import Path

import numpy as np
import pytest
from makers import TINY

from search.compare.recorded.recordings import (
    append_training,
    find_recordings,
    read_recording,
    recording_name,
    write_header,
)
from search.errors import UserError
from search.trial import State
from spaces import registry
from tests.compare.recorded.made_up import EPOCHS, SHORT, recording, training


def test_what_is_written_is_read_again_also_compressed(path: Path, tmp_path: Path) -> None:
    read = read_recording(path)
    assert (read.space, read.images, read.epochs) == (TINY, recording().images, EPOCHS)
    first = read.trainings[0]
    assert (first.config, first.epochs, first.seed, first.state) == (TINY.baseline, SHORT, 1, State.SCREENED)
    assert first.is_complete
    assert len(read.trainings) == 2 * (40 + 10)
    compressed = tmp_path / "made-up.jsonl.gz"
    compressed.write_bytes(gzip.compress(path.read_bytes()))
    assert read_recording(compressed).header_json() == read.header_json()
    assert recording_name(compressed) == recording_name(path) == "made-up"


def test_a_training_that_failed_keeps_its_epochs_without_numbers(tmp_path: Path) -> None:
    failed = dataclasses.replace(
        training(TINY.baseline, 2, 1), state=State.FAILED, curve=np.array([[90.0, math.nan, math.inf, 0.5]])
    )
    file = tmp_path / "a.jsonl"
    write_header(file, recording())
    append_training(file, failed)
    read = read_recording(file).trainings[0]
    assert not read.is_complete
    assert np.isnan(read.curve[0, 1:3]).all()


def test_a_line_that_was_not_finished_is_ignored(path: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.jsonl"
    cut.write_bytes(path.read_bytes()[:-20])
    assert len(read_recording(cut).trainings) == len(read_recording(path).trainings) - 1


def test_a_shipped_space_has_its_recipes_of_today(tmp_path: Path) -> None:
    space = registry.load("mlp")
    old = dataclasses.replace(recording(), space=dataclasses.replace(space, build=None, recipes={}))
    write_header(tmp_path / "mlp.jsonl", old)
    assert dict(read_recording(tmp_path / "mlp.jsonl").space.recipes) == dict(space.recipes)


def test_an_epoch_on_more_images_takes_longer_by_its_work() -> None:
    assert recording().epoch_scale == (3 * 5000 + 1000) / (3 * 1000 + 1000)


def test_other_files_and_empty_folders_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text('{"schema": "games/1"}\n')
    with pytest.raises(UserError, match="cannot be read"):
        read_recording(other)
    (tmp_path / "empty").mkdir()
    for missing in (tmp_path / "empty", tmp_path / "none.jsonl"):
        with pytest.raises(UserError, match="no recorded trainings"):
            find_recordings(missing)
    assert find_recordings(tmp_path) == (other,)
