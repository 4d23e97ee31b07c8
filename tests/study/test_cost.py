"""Tests the predicted seconds of trials: on this project's recorded studies, and on made-up observations."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from makers import MNIST, header, trial

from search.records.arithmetic import Layers, study_arithmetic
from search.records.lookup import read_study_json
from search.records.record import StudyRecord, TrialRecord
from search.study.cost import SECONDS_PER_UNIT, CostModel, Observation
from search.trial import COPIED_FROM_KEY, EpochReport, Outcome, Phase, State
from spaces import Workload, load

PUBLISHED = Path(__file__).parents[2] / "reports" / "published"
DISTURBED = {"mnist-cnn-topology"}
"""Studies beside which other programs trained from their baseline's end on."""
STUDIES = sorted(path for path in PUBLISHED.rglob("study.json.gz") if path.parent.name not in DISTURBED)
MAX_MEDIAN_ERROR = 0.25
CNN = load("cnn")


def model(space: str | None = "cnn") -> CostModel:
    """The shipped prior for MNIST; None for a space that does not count its work."""
    return CostModel.for_data(load(space).workload if space else None, header().protocol, MNIST)


def prior_of(record: StudyRecord) -> CostModel:
    """The shipped prior; where GELU was not compiled yet, on feature maps it took what it takes elsewhere."""
    prior = model(record.header.space_source)
    if study_arithmetic(record).layers is Layers.COMPILED:
        return prior
    seconds = {**SECONDS_PER_UNIT, "gelu_map_values": SECONDS_PER_UNIT["smooth_values"]}
    return dataclasses.replace(prior, seconds_per_unit=np.array(list(seconds.values())))


def recorded(record: StudyRecord) -> list[Observation]:
    prior = model(record.header.space_source)
    return [seen for ended in record.trials if (seen := prior.observe(ended)) is not None]


def ended(*seconds: float, build: float = 0.5, state: State = State.COMPLETE, **changes: Any) -> TrialRecord:
    """A record of the baseline cnn whose epochs took these seconds."""
    history = tuple(EpochReport(epoch=i + 1, training_loss=1.0, seconds=value) for i, value in enumerate(seconds))
    parts = {"build": build, "fit": sum(seconds) - build, "evaluate": 0.0}
    fields = {"config": CNN.baseline, "epochs": len(seconds), **changes}
    return TrialRecord(trial=trial(**fields), outcome=Outcome(state=state, history=history, seconds=parts))


def relative_errors(prior: CostModel, observed: list[Observation], *, known: int | None = None) -> list[float]:
    """The errors of predictions from all earlier observations, or from the first few alone."""
    return [
        prior.fit(observed[: known or count]).work_seconds(seen.config, seen.work) / seen.seconds - 1.0
        for count, seen in enumerate(observed)
        if count >= (known or 1)
    ]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.parent.name)
@pytest.mark.parametrize("known", [None, 1], ids=["all that ran before", "the baseline alone"])
def test_the_seconds_of_this_projects_trials_are_predicted(path: Path, known: int | None) -> None:
    record = read_study_json(path)
    observed = recorded(record)
    errors = np.abs(relative_errors(prior_of(record), observed, known=known))
    print(f"{path.parent.name}: median error {np.median(errors):.1%} of {len(errors)} predictions")
    assert len(errors) >= 3
    assert np.median(errors) < MAX_MEDIAN_ERROR


def test_the_seconds_of_verification_are_predicted_from_the_search() -> None:
    errors = []
    for path in STUDIES:
        record = read_study_json(path)
        prior = prior_of(record)
        observed = [seen for one in record.trials_in_phase(Phase.SEARCH) if (seen := prior.observe(one)) is not None]
        fitted = prior.fit(observed)
        for one in record.trials_in_phase(Phase.VERIFICATION):
            assert one.outcome is not None
            predicted = fitted.trial_seconds(one.trial.config, phase=Phase.VERIFICATION, epochs=one.trial.epochs)
            errors.append(predicted / sum(one.outcome.seconds.values()) - 1.0)
    assert len(errors) >= 18
    assert np.median(np.abs(errors)) < MAX_MEDIAN_ERROR


@settings(max_examples=40, deadline=None)
@given(
    seconds=st.lists(st.floats(1e-3, 1e6), max_size=12),
    seed=st.integers(0, 1000),
    name=st.sampled_from(("cnn", "cnn-large", "mlp", None)),
)
def test_predictions_are_positive_and_grow_with_the_work(seconds: list[float], seed: int, name: str | None) -> None:
    space, chance, prior = load(name or "cnn"), random.Random(seed), model(name)
    records = [ended(value, config=space.sample(chance), build=value / 4) for value in seconds]
    fitted = prior.fit(seen for record in records if (seen := prior.observe(record)))
    config = space.sample(chance)
    few, many = (fitted.trial_seconds(config, epochs=epochs) for epochs in (1, 5))
    assert 0.0 < few < many < float("inf")
    assert many < fitted.trial_seconds(config, epochs=5, phase=Phase.REPRODUCTION)
    if name in ("cnn", "cnn-large"):
        wider = {**config, "filters_1": config["filters_1"] + 1}
        assert fitted.trial_seconds(config) < fitted.trial_seconds(wider)


def test_without_observations_the_prior_stands() -> None:
    prior = model()
    assert prior.fit([]) is prior
    assert 5.0 < prior.trial_seconds(CNN.baseline) < 500.0


def test_a_measured_throughput_sets_the_scale() -> None:
    prior = model()
    slow, fast = (
        prior.fit([prior.observe_throughput(CNN.baseline, speed)]).trial_seconds(CNN.baseline)
        for speed in (1_000.0, 10_000.0)
    )
    assert 0.9 < slow / (4 * 50_000 / 1_000) < 1.25  # four epochs of 50,000 images; scoring on top
    assert 7.0 < slow / fast < 11.0


def test_a_slower_machine_makes_every_configuration_slower() -> None:
    prior, config = model(), CNN.recipe("two stages + sgd")
    one, three = (
        prior.fit([seen for seen in [prior.observe(ended(*[pace] * 4, build=pace / 4))] if seen]).trial_seconds(config)
        for pace in (10.0, 30.0)
    )
    assert 2.5 < three / one < 3.5


@pytest.mark.parametrize("name", ["cnn", None])
def test_a_configuration_that_has_run_often_takes_what_it_took(name: str | None) -> None:
    prior, odd = model(name), CNN.recipe("two stages + sgd")
    others = [ended(*[5.0] * 4) for _ in range(10)]
    records = [*others, *[ended(*[100.0] * 4, config=odd) for _ in range(10)]]
    fitted = prior.fit(seen for record in records if (seen := prior.observe(record)))
    assert fitted.trial_seconds(odd, epochs=4) == pytest.approx(400.0, rel=0.15)
    assert fitted.trial_seconds(CNN.baseline, epochs=4) == pytest.approx(20.0, rel=0.15)


def test_a_space_that_counts_nothing_takes_what_its_trials_took() -> None:
    prior, chance = model(None), random.Random(1)
    paces = (10.0, 12.0, 20.0, 21.0, 60.0)
    records = [ended(*[pace] * 4, config=CNN.sample(chance)) for pace in paces]
    fitted = prior.fit(seen for record in records if (seen := prior.observe(record)))
    assert 4 * min(paces) < fitted.trial_seconds(CNN.baseline, epochs=4) < 4 * max(paces)


@pytest.mark.parametrize("uncountable", [ZeroDivisionError, None, Workload(pixels=math.nan), Workload(pixels="784")])
def test_a_configuration_that_cannot_be_counted_is_predicted_as_an_unknown_network(uncountable: object) -> None:
    def workload(config: Mapping[str, Any], image_shape: tuple[int, int, int], classes: int) -> Any:
        if config["batch_size"] == CNN.baseline["batch_size"]:
            return CNN.workload(config, image_shape, classes)
        if uncountable is ZeroDivisionError:
            raise ZeroDivisionError
        return uncountable

    prior = dataclasses.replace(model(), workload=workload)
    odd = {**CNN.baseline, "batch_size": 2 * CNN.baseline["batch_size"]}
    assert prior.trial_seconds(odd) == model(None).trial_seconds(odd)
    assert prior.trial_seconds(CNN.baseline) == model().trial_seconds(CNN.baseline)
    seen = prior.observe(ended(*[5.0] * 4, config=odd))
    assert seen is not None
    assert math.isfinite(prior.fit([seen]).trial_seconds(odd))


def test_an_unfinished_trial_counts_by_its_own_epochs() -> None:
    prior = model()
    whole = prior.observe(ended(5.5, *[5.0] * 7))
    cut = ended(5.5, *[5.0] * 3, epochs=8, state=State.INTERRUPTED)
    part = prior.observe(cut)
    assert whole is not None
    assert part is not None
    assert part.seconds == 20.0
    assert whole.seconds == 40.0
    assert cut.outcome is not None
    history = tuple(dataclasses.replace(report, restored=report.epoch < 4) for report in cut.outcome.history)
    resumed = prior.observe(dataclasses.replace(cut, outcome=dataclasses.replace(cut.outcome, history=history)))
    assert resumed is not None
    assert resumed.seconds == 5.0
    assert resumed.work.sum() < part.work.sum() / 3


def test_runs_without_epochs_and_runs_of_other_studies_are_not_observed() -> None:
    prior = model()
    assert prior.observe(TrialRecord(trial=trial(), outcome=None)) is None
    assert prior.observe(TrialRecord(trial=trial(), outcome=Outcome(state=State.FAILED))) is None
    copied = ended(5.0, 5.0)
    assert copied.outcome is not None
    elsewhere = dataclasses.replace(copied.outcome, environment={COPIED_FROM_KEY: "another"})
    assert prior.observe(dataclasses.replace(copied, outcome=elsewhere)) is None


def test_a_trial_of_folds_takes_what_its_networks_take() -> None:
    protocol = dataclasses.replace(header().protocol, folds=6)
    folded = CostModel.for_data(load("cnn").workload, protocol, MNIST)
    one, six = (
        prior.trial_seconds(CNN.baseline) - prior.trial_seconds(CNN.baseline, epochs=0) for prior in (model(), folded)
    )
    assert six / one == pytest.approx(6, rel=0.02)


def test_verification_trains_on_more_images_and_scores_once() -> None:
    prior = model()
    search, verification, repeat = (
        prior.trial_seconds(CNN.baseline, phase=phase)
        for phase in (Phase.SEARCH, Phase.VERIFICATION, Phase.REPRODUCTION)
    )
    assert search < verification < repeat
    assert verification / search < 6 / 5
