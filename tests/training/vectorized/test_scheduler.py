"""A member of a population equals the trial trained alone: same masks, same batches, same results."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from vectorized_job import Job, held, run, run_all

from search.data.dataset import prepare
from search.protocol import ClassWeight, EvaluationProtocol, Split
from search.training.runtime import Backend, Device, Precision, Runtime
from search.training.task import Task
from search.trial import Cause, Outcome, Phase, State, Trial, TrialFiles
from spaces import registry

pytest.importorskip("jax", reason="JAX is not installed: pip install '.[jax]'")
pytestmark = pytest.mark.slow
TOLERANCE = 1e-4
"""Relative, of losses after one epoch; sums are taken in another order."""
COARSE = 2.0**-8
"""The same in bfloat16: one unit in the last of its places, where float32 sums that differ are rounded apart."""
ROOM_FOR_TWO = 1_500_000
"""Bytes that hold a program of two small perceptrons, and none of four."""
ROOM_TO_TRAIN_TWO = 5_800_000
"""Bytes that hold the training of two small convolutional networks with small batches, and not their scoring."""
SMALL = {"filters": 4, "dense": 16, "width": 32}
"""Sizes of the layers, by the beginning of their parameter's name."""


def config(space: str, **changes: Any) -> Mapping[str, Any]:
    """The baseline with small layers, and these changes."""
    known = registry.load(space)
    values = {name: domain.baseline for name, domain in known.parameters.items()}
    small = {name: SMALL[kind] for name in values if (kind := name.partition("_")[0]) in SMALL and name[-1].isdigit()}
    dropout = {name: changes["dropout"] for name in values if name.startswith("dropout") and "dropout" in changes}
    return known.active({**values, **small, "batch_size": 50, **dropout, **changes})


def rich(space: str, batch_size: int) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Two configurations of one program that differ in all per-member values."""
    shared = {"batch_norm": True, "rotation": 10.0, "batch_size": batch_size}
    first = {
        "dropout": 0.3,
        "shift": 2,
        "zoom": 0.1,
        "shear": 0.1,
        "clean_epochs": 1,
        "label_smoothing": 0.05,
        "elastic": 0.6,
    }
    second = {"dropout": 0.1, "learning_rate": 0.004, "optimizer": "adam", "elastic": 0.2}
    return (
        config(space, **shared, **first, schedule="one_cycle", optimizer="adamw", weight_decay=0.01),
        config(space, **shared, **second),
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, small_mnist: Path) -> Path:
    """240 training images, of which 200 are trained on, and 100 test images."""
    path = tmp_path_factory.mktemp("data") / "tiny.npz"
    with np.load(small_mnist) as whole:
        np.savez(path, **{name: whole[name][: 240 if "train" in name else 100] for name in whole.files})
    return path


def task_of(space: str, data: Path, cache_dir: Path, epochs: int = 2, precision: Precision = Precision.TF32) -> Task:
    dataset = prepare(str(data), cache_dir)
    protocol = EvaluationProtocol(
        dataset=dataset.name, data_sha256=dataset.sha256, split=Split.STRATIFIED, epochs=epochs
    )
    runtime = Runtime(backend=Backend.JAX, device=Device.CPU, precision=precision)
    return Task(protocol=protocol, dataset=dataset, space_source=space, runtime=runtime)


def assert_same(one: Outcome, other: Outcome, *, epochs: int | None = None) -> None:
    """The same after each epoch, or after so many."""
    assert one.state is other.state is State.COMPLETE, one.traceback or other.traceback
    for report, expected in zip(one.history, other.history[:epochs], strict=True):
        assert report.training_loss == pytest.approx(expected.training_loss, rel=TOLERANCE)
        assert report.loss == pytest.approx(expected.loss, rel=TOLERANCE)
        assert report.error_percent == expected.error_percent
    assert (one.parameter_count, one.scored_images) == (other.parameter_count, other.scored_images)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("states")


@pytest.fixture(scope="module")
def outcomes(data: Path, cache_dir: Path, folder: Path) -> tuple[dict[int, Outcome], dict[int, Outcome]]:
    """Perceptrons, which compile soon: together, in one process, and alone."""
    sgd = [config("mlp", optimizer="sgd", schedule="exponential", learning_rate_sgd=rate) for rate in (0.01, 0.1, 1e30)]
    trials = [
        Trial(number=number, config=one, seed=number, epochs=2) for number, one in enumerate([*sgd, *rich("mlp", 60)])
    ]
    late = dataclasses.replace(trials[1], number=10, target_epoch=1)
    half = dataclasses.replace(trials[3], number=11, target_epoch=1)
    rest = dataclasses.replace(trials[3], number=12)
    tested = dataclasses.replace(trials[1], number=13, epochs=1, phase=Phase.VERIFICATION)
    short = dataclasses.replace(trials[3], number=15, epochs=1, is_short=True)  # half an epoch of it is augmented
    files = {
        11: TrialFiles(checkpoint=str(folder / "state.npz")),
        12: TrialFiles(resume_from=str(folder / "state-1.npz")),
        13: TrialFiles(model=str(folder / "model.keras"), predictions=str(folder / "said.npz")),
    }
    broken = Trial(number=14, config=config("mlp", activation="no such thing"), seed=0, epochs=1)
    together = [[*trials, half, broken], [late], [], [], [rest, tested, short]]
    alone = [trials[1], *trials[3:], rest, short]
    return run(Job(task=task_of("mlp", data, cache_dir), together=together, alone=alone, files=files))


@pytest.mark.parametrize("number", [1, 3, 4])
def test_a_member_equals_the_trial_alone(outcomes: tuple, number: int) -> None:
    together, alone = outcomes
    assert_same(together[number], alone[number])
    assert together[number].environment["population"] == 3
    assert not together[number].environment["deterministic"]


def test_a_short_member_equals_the_short_trial_alone(outcomes: tuple) -> None:
    one, other = (part[15] for part in outcomes)
    assert one.state is other.state is State.SCREENED, one.traceback or other.traceback
    assert one.history[0].training_loss == pytest.approx(other.history[0].training_loss, rel=TOLERANCE)
    assert one.calibrated_loss == pytest.approx(other.calibrated_loss, rel=TOLERANCE)


def test_a_member_may_join_at_a_later_epoch(outcomes: tuple) -> None:
    together, alone = outcomes
    assert together[10].environment["population"] == 3
    assert_same(dataclasses.replace(together[10], state=State.COMPLETE), alone[1], epochs=1)


def test_a_checkpoint_resumes_in_another_population_and_alone(outcomes: tuple) -> None:
    together, alone = outcomes
    assert (together[11].state, together[11].epochs_trained) == (State.PAUSED, 1)
    for resumed in (together[12], alone[12]):
        assert resumed.epochs_trained == 1
        assert_same(resumed, alone[3])


def test_a_member_whose_loss_is_not_finite_fails_alone(outcomes: tuple) -> None:
    together, _ = outcomes
    assert (together[2].state, together[2].cause) == (State.FAILED, Cause.NOT_FINITE)
    assert together[0].state is State.COMPLETE


def test_a_network_that_cannot_be_built_fails_alone(outcomes: tuple) -> None:
    together, _ = outcomes
    assert (together[14].state, together[14].cause) == (State.FAILED, Cause.INVALID)
    assert "no such thing" in together[14].message


def test_a_verified_member_saves_its_model_and_predictions(outcomes: tuple, folder: Path) -> None:
    together, _ = outcomes
    assert len(together[13].misclassified) == round(together[13].error_percent)
    assert zipfile.is_zipfile(folder / "model.keras")
    assert (folder / "said.npz").is_file()


def test_members_share_their_seconds(outcomes: tuple) -> None:
    together, _ = outcomes
    assert together[0].seconds["fit"] == pytest.approx(together[1].seconds["fit"], rel=0.05)
    assert all(together[3].seconds[part] > 0 for part in ("build", "fit", "evaluate"))


def test_a_population_that_exceeds_memory_is_halved(data: Path, cache_dir: Path) -> None:
    trials = [Trial(number=number, config=config("mlp"), seed=number, epochs=1) for number in range(4)]
    job = Job(task=task_of("mlp", data, cache_dir), together=[trials], most=4, memory=ROOM_FOR_TWO)
    (tight, _), (none, _) = run_all([job, dataclasses.replace(job, memory=1000)])
    assert [(one.state, one.environment["population"]) for one in tight.values()] == [(State.COMPLETE, 2)] * 4
    assert {one.cause for one in none.values()} == {Cause.OUT_OF_MEMORY}


def test_an_epoch_that_ran_out_of_memory_is_repeated(data: Path, cache_dir: Path) -> None:
    small = config("cnn", filters_1=16, dense_1=8, batch_size=4)
    trials = [Trial(number=number, config=small, seed=number, epochs=1) for number in range(2)]
    job = Job(task=task_of("cnn", data, cache_dir, epochs=1), together=[trials], alone=trials, memory=ROOM_TO_TRAIN_TWO)
    together, alone = run(job)
    for number in (0, 1):
        assert together[number].environment["population"] == 1
        assert_same(together[number], alone[number])


def test_members_with_nested_layers_or_functions_equal_the_trials_alone(data: Path, cache_dir: Path) -> None:
    """With class weights too."""
    space = str(Path(__file__).parents[2] / "unlike_space.py")
    known, task = registry.load(space), task_of(space, data, cache_dir)
    task = dataclasses.replace(task, protocol=dataclasses.replace(task.protocol, class_weight=ClassWeight.BALANCED))
    jobs = []
    for kind in ("nested", "function"):
        config = known.active({**known.baseline, "kind": kind, "batch_size": 60})
        trials = [Trial(number=number, config=config, seed=number, epochs=2) for number in range(2)]
        jobs.append(Job(task=task, together=[trials], alone=trials))
    for together, alone in run_all(jobs):
        for number in (0, 1):
            assert together[number].environment["population"] == 2
            assert_same(together[number], alone[number])


def test_a_network_without_a_softmax_fails(data: Path, cache_dir: Path, tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "unlike_space.py").read_text(encoding="utf-8")
    (tmp_path / "logits.py").write_text(text.replace("keras.ops.softmax", ""), encoding="utf-8")
    space = str(tmp_path / "logits.py")
    trials = [Trial(number=0, config=registry.load(space).baseline, seed=0, epochs=1)]
    together, alone = run(Job(task=task_of(space, data, cache_dir), together=[trials], alone=trials))
    for outcome in (together[0], alone[0]):
        assert outcome.state is State.FAILED
        assert "not probabilities" in outcome.message


def test_capacity_is_what_the_memory_holds(data: Path, cache_dir: Path) -> None:
    trials = [Trial(number=number, config=config("mlp"), seed=number, epochs=1) for number in range(4)]
    job = Job(task=task_of("mlp", data, cache_dir), together=[trials], most=64)
    few, many, all_, none = held(job, [4 * ROOM_FOR_TWO, 16 * ROOM_FOR_TWO, None, 1000])
    assert 2 <= few < 8  # a program of 8 is less than its room, but its states are kept twice more
    assert (many, all_, none) == (4 * few, 64, 1)


def test_convolutional_members_equal_the_trials_alone(data: Path, cache_dir: Path) -> None:
    configs = rich("cnn-large", 50)
    trials = [Trial(number=number, config=one, seed=number, epochs=1) for number, one in enumerate(configs)]
    together, alone = run(Job(task=task_of("cnn-large", data, cache_dir), together=[trials], alone=trials[:1]))
    assert together[0].environment["population"] == 2
    assert_same(together[0], alone[0])


@pytest.mark.parametrize(("space", "batch_size"), [("mlp", 60), ("cnn-large", 50)])
def test_members_in_bfloat16_equal_the_trials_alone_up_to_rounding(
    data: Path, cache_dir: Path, tmp_path: Path, space: str, batch_size: int
) -> None:
    """Alone, the first also goes on from the state that it left as a member."""
    state, saved = str(tmp_path / "state.npz"), tmp_path / "model.keras"
    first, second = (
        Trial(number=number, config=one, seed=number, epochs=2, rungs=(1,))
        for number, one in enumerate(rich(space, batch_size))
    )
    rest = dataclasses.replace(first, number=2)
    files = {
        0: TrialFiles(checkpoint=state, model=str(saved)),
        2: TrialFiles(resume_from=str(tmp_path / "state-1.npz")),
    }
    task = task_of(space, data, cache_dir, precision=Precision.BFLOAT16)
    together, alone = run(Job(task=task, together=[[first, second]], alone=[first, rest], files=files))
    assert together[0].environment["precision"] == alone[0].environment["precision"] == "bfloat16"
    assert [len(alone[number].history) for number in (0, 2)] == [2, 2]
    for one in (alone[0], alone[2]):
        for report, expected in zip(together[0].history, one.history, strict=True):
            assert report.training_loss == pytest.approx(expected.training_loss, rel=COARSE)
            assert report.loss == pytest.approx(expected.loss, rel=COARSE)
    assert "mixed_bfloat16" in zipfile.ZipFile(saved).read("config.json").decode()


def test_errors_of_members_and_of_single_trials_have_one_distribution(data: Path, cache_dir: Path) -> None:
    """Kolmogorov and Smirnov's two-sample test over 20 seeds each, false alarm in one of a thousand."""
    trials = [
        Trial(number=seed, config=config("mlp", learning_rate=0.01, dropout=0.3), seed=seed, epochs=1)
        for seed in range(40)
    ]
    job = Job(task=task_of("mlp", data, cache_dir), together=[trials[:20]], alone=trials[20:], most=20)
    errors = [[one.error_percent for one in part.values()] for part in run(job)]
    assert stats.ks_2samp(*errors).pvalue > 0.001
