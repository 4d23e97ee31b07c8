"""Studies as a ledger would give them back: small factories of values, with one default for everything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from search.data.mnist import MNIST_SHA256
from search.leaderboard.board import Row
from search.leaderboard.compute import compute
from search.protocol import EvaluationProtocol, ProtocolName, Split
from search.records.record import EnsembleRecord, StudyHeader, StudyRecord, TrialRecord
from search.trial import BASELINE, MUTATION_KEY, PROPOSED, Cause, Config, EpochReport, Outcome, Phase, State, Trial
from spaces import Choice, Float, Int, Space

SPACE = Space(
    name="cnn",
    parameters={
        "filters_1": Int(8, 64, 32, step=8),
        "filters_2": Int(0, 128, 0, step=8),
        "kernel": Choice((3, 5, 7), 5),
        "schedule": Choice(("constant", "cosine", "onecycle"), "constant"),
        "peak_lr": Float(5e-4, 2e-2, 1e-3, log=True),
        "batch_size": Int(32, 1024, 200, log=True),
        "dropout": Float(0.0, 0.6, 0.2, step=0.05),
        "rotation": Int(0, 25, 0),
        "shift": Int(0, 4, 0),
    },
)
BETTER: Config = {
    **SPACE.baseline,
    "filters_1": 64,
    "filters_2": 96,
    "schedule": "onecycle",
    "peak_lr": 0.0031622776601683794,
    "rotation": 10,
    "shift": 2,
}
ENVIRONMENT = {
    "device": "CPU",
    "backend": "tensorflow",
    "threads": 1,
    "host": "a-private-name",
    "processor": "A Processor | 2.0 GHz",
    "versions": {"python": "3.11.9", "keras": "3.15.1", "tensorflow": "2.21.0"},
}


def protocol(
    name: ProtocolName = ProtocolName.HOLDOUT, version: str = "1.0", dataset: str = "mnist", data: str = MNIST_SHA256
):
    return EvaluationProtocol(
        name=name, version=version, dataset=dataset, data_sha256=data.ljust(64, "0"), split=Split.BLOCK
    )


def header(name: str = "cnn-tpe", *, judged: EvaluationProtocol | None = None, space: Space = SPACE, seed: int = 7):
    return StudyHeader(
        name=name,
        space=space,
        space_source=space.name,
        protocol=judged or protocol(),
        engine="optuna",
        sampler="tpe",
        pruner="asha",
        seed=seed,
        created="2026-11-20T10:00:00+00:00",
        versions={"keras": "3.15.1"},
        command=f"python -m search run {space.name} --study {name} --trials 30",
    )


def study(
    *groups: Iterable[TrialRecord | EnsembleRecord], of: StudyHeader | None = None, spent_seconds: float = 600.0
) -> StudyRecord:
    runs = [run for group in groups for run in group]
    return StudyRecord(
        header=of or header(),
        trials=tuple(run for run in runs if isinstance(run, TrialRecord)),
        ensembles=tuple(run for run in runs if isinstance(run, EnsembleRecord)),
        spent_seconds=spent_seconds,
    )


def outcome(
    error: float | None, state: State = State.COMPLETE, cause: Cause | None = None, epochs: int = 10
) -> Outcome:
    reports = (
        EpochReport(
            epoch=epoch,
            training_loss=1 / epoch,
            metrics={} if error is None else {"loss": 0.1, "error_percent": error},
            seconds=4.5,
        )
        for epoch in range(1, epochs + 1)
    )
    return Outcome(
        state=state,
        metrics={} if error is None else {"error_percent": error},
        history=tuple(reports),
        seconds={"build": 1.0, "fit": 4.0 * epochs, "evaluate": 0.5 * epochs},
        parameter_count=226_110,
        cause=cause,
        environment=ENVIRONMENT,
    )


def searched(
    number: int,
    ended: Outcome | None,
    *,
    origin: str = PROPOSED,
    config: Config = BETTER,
    short_epochs: int | None = None,
    mutation_of: int | None = None,
) -> tuple[TrialRecord, ...]:
    trial = Trial(
        number=number,
        config=config,
        seed=1000 + number,
        epochs=short_epochs or 10,
        is_short=short_epochs is not None,
        engine_metadata={} if mutation_of is None else {MUTATION_KEY: mutation_of},
        origin=origin,
    )
    return (TrialRecord(trial=trial, outcome=ended),)


def verified(
    of: int,
    errors: Sequence[float | Outcome | None],
    *,
    first_seed: int = 100,
    config: Config = BETTER,
    short_epochs: int | None = None,
):
    runs = (
        _repeat(Phase.VERIFICATION, 100 * of + place, place, error, seed=first_seed + place, of=of, config=config)
        for place, error in enumerate(errors)
    )
    if short_epochs is None:
        return tuple(runs)
    return tuple(replace(run, trial=replace(run.trial, epochs=short_epochs, is_short=True)) for run in runs)


def short(error: float) -> Outcome:
    """A short trial of two epochs that was trained to its end."""
    return outcome(error, State.SCREENED, epochs=2)


def screened() -> StudyRecord:
    """A study with short trials: baseline and first recipe in full, mutations of it, the best of them in full."""
    faster = {**BETTER, "peak_lr": 0.005, "dropout": 0.25}
    return study(
        searched(0, outcome(1.41), origin=BASELINE, config=SPACE.baseline),
        searched(1, outcome(0.57), origin="recipe: two stages"),
        searched(2, short(1.1), origin="recipe: mild augmentation", config={**BETTER, "shift": 1}, short_epochs=2),
        searched(3, short(0.9), short_epochs=2, mutation_of=1),
        searched(4, short(0.4), config=faster, short_epochs=2, mutation_of=1),
        searched(5, short(1.3), config={**BETTER, "kernel": 7}, short_epochs=2, mutation_of=1),
        searched(6, outcome(0.52), config=faster, mutation_of=4),
        searched(7, outcome(None, State.FAILED, Cause.NOT_FINITE, epochs=1), short_epochs=2, mutation_of=6),
        verified(0, (1.03, 1.00, 1.07), config=SPACE.baseline),
        verified(1, (0.56, 0.52, 0.55)),
        verified(6, (0.50, 0.47, 0.49), config=faster),
        of=replace(header("cnn-mutation"), sampler="mutation", pruner="none"),
    )


def short_only() -> StudyRecord:
    """A study whose time was too short for full trials."""
    return study(
        searched(0, outcome(2.2, State.SCREENED, epochs=4), origin=BASELINE, config=SPACE.baseline, short_epochs=4),
        searched(1, outcome(0.9, State.SCREENED, epochs=4), origin="recipe: two stages", short_epochs=4),
        verified(0, (1.9, 2.0), config=SPACE.baseline, short_epochs=4),
        verified(1, (0.8, 0.7), short_epochs=4),
        of=replace(header("cnn-hurried", seed=9), sampler="mutation", pruner="none"),
    )


def reproduced(errors: Sequence[float | Outcome | None]) -> tuple[TrialRecord, ...]:
    return tuple(
        _repeat(Phase.REPRODUCTION, place, place, error, seed=50 + place, of=None, config=SPACE.baseline)
        for place, error in enumerate(errors)
    )


def _repeat(phase, number, replicate, error, *, seed, of, config) -> TrialRecord:
    trial = Trial(
        number=number,
        config=config,
        seed=seed,
        epochs=10,
        origin=BASELINE if phase is Phase.REPRODUCTION else PROPOSED,
        phase=phase,
        source_trial=of,
        replicate=replicate,
    )
    ended = error if isinstance(error, Outcome | None) else outcome(error)
    return TrialRecord(trial=trial, outcome=ended)


def tpe() -> StudyRecord:
    """A study as they usually end: a baseline, recipes, found, pruned, failed; six verified, two of them tied."""
    return study(
        searched(0, outcome(1.41), origin=BASELINE, config=SPACE.baseline),
        searched(1, outcome(0.57), origin="recipe: two stages"),
        searched(2, outcome(0.68), origin="recipe: mild augmentation", config={**SPACE.baseline, "shift": 2}),
        searched(3, outcome(3.1, State.PRUNED, epochs=3), config={**BETTER, "kernel": 7}),
        searched(4, outcome(0.61), config={**BETTER, "batch_size": 64, "dropout": 0.35}),
        searched(5, outcome(None, State.FAILED, Cause.OUT_OF_MEMORY, epochs=0), config={**BETTER, "batch_size": 1024}),
        searched(6, outcome(0.55), config={**BETTER, "filters_1": 48}),
        searched(7, outcome(None, State.FAILED, Cause.NOT_FINITE, epochs=1)),
        searched(8, outcome(0.72)),
        searched(9, outcome(4.0, State.PRUNED, epochs=1)),
        searched(10, outcome(1.9, State.INTERRUPTED, Cause.KILLED, epochs=5)),
        searched(11, None),
        searched(12, outcome(0.58)),
        searched(13, outcome(0.66)),
        verified(6, (0.52, 0.50, 0.55)),
        verified(1, (0.56, 0.51, 0.54)),
        verified(4, (0.63, outcome(None, State.FAILED, Cause.CRASHED), 0.66)),
        verified(2, (0.81, 0.80, 0.79)),
        verified(12, (outcome(None, State.FAILED, Cause.CRASHED),)),
        verified(0, (1.03, 1.00, 1.07), config=SPACE.baseline),
        joined("mean", wrong=range(44), members=(600, 601, 602, 100, 101, 102)),
    )


def joined(origin: str, *, wrong: Sequence[int], members: Sequence[int]) -> tuple[EnsembleRecord, ...]:
    """An ensemble of verification runs, by their numbers, on 10,000 test images."""
    ensemble = EnsembleRecord(
        origin=origin,
        weights={member: 1 / len(members) for member in members},
        error_percent=len(wrong) / 100,
        parameter_count=226_110 * len(members),
        scored_images=10_000,
        misclassified=tuple(wrong),
        predicted_classes=tuple(0 for _ in wrong),
    )
    return (ensemble,)


def other() -> StudyRecord:
    """A second study under the same protocol, with seeds of its own and one test run each."""
    return study(
        searched(0, outcome(1.39), origin=BASELINE, config=SPACE.baseline),
        searched(1, outcome(0.98), config={**SPACE.baseline, "dropout": 0.3}),
        verified(1, (0.99,), first_seed=900),
        of=header("cnn-hyperband-with-a-long-name", seed=8),
    )


def reproduction() -> StudyRecord:
    return study(reproduced((1.00, 1.01, 1.07)), of=header("tutorial-cnn", judged=protocol(ProtocolName.TUTORIAL)))


def with_images(error: float, seed: int, environment: Mapping[str, Any] | None = None) -> Outcome:
    """A test run on 1,000 images, of which each seed misclassifies others."""
    wrong = tuple(range(seed % 7, seed % 7 + round(error * 10)))
    return replace(
        outcome(error), scored_images=1000, misclassified=wrong, environment={**ENVIRONMENT, **(environment or {})}
    )


def of_several(
    name: str, first_seed: int, *, found: float = 0.5, environment: Mapping[str, Any] | None = None
) -> StudyRecord:
    """One of several studies that verified the same two configurations, with results by image and an ensemble.

    Args:
        name: Its name.
        first_seed: Of its two test runs of each.
        found: Validation error of the better configuration, in percent.
        environment: What differs in the environment of its test runs.
    """
    runs = {
        trial: [with_images(error, seed, environment) for seed in (first_seed, first_seed + 1)]
        for trial, error in ((0, 1.2), (1, 0.6))
    }
    return study(
        searched(0, outcome(1.4), origin=BASELINE, config=SPACE.baseline),
        searched(1, outcome(found)),
        verified(0, runs[0], first_seed=first_seed, config=SPACE.baseline),
        verified(1, runs[1], first_seed=first_seed),
        (replace(joined("mean", wrong=range(5), members=(100, 101))[0], error_percent=0.5, scored_images=1000),),
        of=header(name),
    )


def baseline(*errors: float):
    """A search trial of the baseline and its test runs with these errors."""
    return searched(0, outcome(1.4), origin=BASELINE, config=SPACE.baseline), verified(0, errors, config=SPACE.baseline)


def rows(*studies: StudyRecord) -> dict[str, Row]:
    """The rows of a board over studies, by name."""
    return {row.name: row for section in compute(studies).sections for row in section.rows}
