"""What a ledger needs to be trained from again: its data and its space, as they were."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import trained
from small_data import save_npz, small_arrays

from search.data.convert import convert
from search.errors import UserError
from search.records.record import StudyHeader, StudyRecord, TrialRecord
from search.reproduction.restore import (
    ReproductionOptions,
    recorded_read_options,
    restore_dataset,
    restore_space_source,
    restore_task,
)
from search.training.runtime import Backend, Device, Precision
from search.trial import Outcome, State, Trial
from spaces import registry
from spaces.restrict import restrict

RECORDED = {"backend": "tensorflow", "device": "CPU", "threads": 3, "deterministic": False}
SPACE_FILE = """
from spaces import TRAINING, Int, Space

def build(images, config, classes): ...

SPACE = Space(name="own", parameters={{"units": Int(4, {most}, 16), **TRAINING}}, build=build)
"""


@pytest.fixture(scope="module")
def header(small_mnist: Path, cache_dir: Path) -> StudyHeader:
    return trained.header(small_mnist, cache_dir)


def task(header: StudyHeader, cache_dir: Path, **means: object):
    known = TrialRecord(
        trial=Trial(number=0, config=trained.SPACE.baseline, seed=1, epochs=4),
        outcome=Outcome(state=State.COMPLETE, environment=RECORDED),
    )
    record = StudyRecord(header=header, trials=(known,))
    return restore_task(record, known, ReproductionOptions(cache_dir=str(cache_dir), **means))


def test_a_trial_is_run_again_on_what_it_ran_on(header: StudyHeader, cache_dir: Path) -> None:
    runtime = task(header, cache_dir).runtime
    assert (runtime.backend, runtime.device) == (Backend.TENSORFLOW, Device.CPU)
    assert (runtime.threads, runtime.deterministic) == (3, False)
    assert runtime.precision is Precision.TF32  # the record is older than the choice


def test_the_user_may_say_otherwise(header: StudyHeader, cache_dir: Path) -> None:
    runtime = task(header, cache_dir, backend="jax", threads=1, precision="bfloat16").runtime
    assert (runtime.backend, runtime.threads, runtime.precision) == (Backend.JAX, 1, Precision.BFLOAT16)
    with pytest.raises(UserError, match="tensorflo"):
        task(header, cache_dir, backend="tensorflo")


def test_a_killed_trial_is_run_again_on_what_others_ran_on(header: StudyHeader, cache_dir: Path) -> None:
    trial = Trial(number=0, config=trained.SPACE.baseline, seed=1, epochs=4)
    killed = TrialRecord(trial=trial, outcome=Outcome(state=State.FAILED))
    other = TrialRecord(trial=trial, outcome=Outcome(state=State.COMPLETE, environment=RECORDED))
    record = StudyRecord(header=header, trials=(killed, other))
    assert restore_task(record, killed, ReproductionOptions(cache_dir=str(cache_dir))).runtime.threads == 3


def test_the_data_are_found_where_the_command_found_them_or_where_the_user_says(
    header: StudyHeader, small_mnist: Path, cache_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    means = ReproductionOptions(cache_dir=str(cache_dir))
    assert restore_dataset(header, means).sha256 == header.protocol.data_sha256
    silent = dataclasses.replace(header, command="")
    assert restore_dataset(silent, means).sha256 == header.protocol.data_sha256  # in the cache, by its hash
    with pytest.raises(UserError, match=r"small\.npz") as raised:
        restore_dataset(silent, ReproductionOptions(cache_dir=str(tmp_path / "empty")))
    assert "--dataset" in raised.value.hint
    found = restore_dataset(silent, ReproductionOptions(cache_dir=str(cache_dir), dataset=str(small_mnist)))
    assert found.sha256 == header.protocol.data_sha256
    for command in (f"python -m search run --dataset={small_mnist}", "python -m search run --dataset 'unclosed"):
        assert restore_dataset(
            dataclasses.replace(header, command=command), ReproductionOptions(dataset=str(small_mnist))
        )


def test_other_data_are_refused_with_both_hashes(header: StudyHeader, cache_dir: Path, tmp_path: Path) -> None:
    other = save_npz(tmp_path / "small.npz")
    with pytest.raises(UserError, match=header.protocol.data_sha256) as raised:
        restore_dataset(header, ReproductionOptions(cache_dir=str(cache_dir), dataset=other))
    assert "small.npz" in raised.value.message


def test_a_space_that_is_gone_broken_or_another_is_refused(header: StudyHeader, tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(SPACE_FILE.format(most=64), encoding="utf-8")
    space = registry.load(str(file))
    own = dataclasses.replace(header, space=space, space_source=str(file))
    config = {**space.baseline, "units": 50}
    restore_space_source(own, config, ReproductionOptions())  # an older version recorded no hash of the builder
    hashed = dataclasses.replace(own, builder_sha256=registry.builder_sha256(str(file)))
    restore_space_source(hashed, config, ReproductionOptions())
    file.write_text(SPACE_FILE.format(most=64).replace("...", "return images"), encoding="utf-8")
    with pytest.raises(UserError, match=rf"has changed .* builder .*{hashed.builder_sha256}"):
        restore_space_source(hashed, config, ReproductionOptions())
    file.write_text(SPACE_FILE.format(most=32), encoding="utf-8")
    with pytest.raises(UserError, match=r"has changed .* units=50 lies outside"):
        restore_space_source(own, config, ReproductionOptions())
    file.write_text(SPACE_FILE.format(most=64).replace('"units"', '"width"'), encoding="utf-8")
    with pytest.raises(UserError, match="units is gone"):
        restore_space_source(own, config, ReproductionOptions())
    file.write_text("SPACE = 1", encoding="utf-8")
    with pytest.raises(UserError, match="cannot be had"):
        restore_space_source(own, config, ReproductionOptions())
    file.unlink()
    with pytest.raises(UserError, match="There is no space file"):
        restore_space_source(own, config, ReproductionOptions())
    (tmp_path / "elsewhere.py").write_text(SPACE_FILE.format(most=64), encoding="utf-8")
    found = restore_space_source(own, config, ReproductionOptions(space=str(tmp_path / "elsewhere.py")))
    assert found == str((tmp_path / "elsewhere.py").resolve())


def test_a_configuration_beyond_what_is_searched_by_default_is_one_of_the_space(header: StudyHeader) -> None:
    fix = {"optimizer": "lion", "learning_rate_lion": 1e-3, "rotation": 61.3, "batch_size": 4000}
    space = restrict(registry.load("mlp"), fix=fix, ranges={"width_1": "32:40"})
    own = dataclasses.replace(header, space=space, space_source="mlp")
    assert restore_space_source(own, space.baseline, ReproductionOptions()) == "mlp"
    with pytest.raises(UserError, match="lies outside"):
        restore_space_source(own, {**space.baseline, "rotation": 200.0}, ReproductionOptions())


@pytest.mark.parametrize("options", ["--image-size 8x6 --channels=3 --transpose --test-share 20%", ""])
def test_data_are_read_again_as_the_command_says_or_as_they_were_converted(tmp_path: Path, options: str) -> None:
    arrays = small_arrays()
    np.savez(tmp_path / "a.npz", x_train=arrays["x_train"], y_train=arrays["y_train"])
    bare = dataclasses.replace(
        trained.header(tmp_path / "a.npz", tmp_path),
        command=f"python -m search run --dataset {tmp_path}/a.npz {options}",
    )
    converted = convert(str(tmp_path / "a.npz"), tmp_path / "b.npz", recorded_read_options(bare))
    header = dataclasses.replace(bare, protocol=dataclasses.replace(bare.protocol, data_sha256=converted.sha256))
    for dataset in (None, str(tmp_path / "b.npz")):
        known = ReproductionOptions(cache_dir=str(tmp_path), dataset=dataset)
        assert restore_dataset(header, known).sha256 == converted.sha256
