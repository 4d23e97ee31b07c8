"""Recorded studies as a store returns them: small factories of values, with a default for everything."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from random import Random

from makers import header

from search.compare.spec import ComparisonSpec, RunKey, study_name
from search.records.record import StudyHeader, StudyRecord, TrialRecord
from search.trial import BASELINE, PROPOSED, EpochReport, Outcome, Phase, State, Trial

SPACE = header().space
BETTER = {**SPACE.baseline, "learning_rate": 0.01}
ENVIRONMENT = {
    "device": "CPU",
    "host": "a-private-name",
    "pid": 12,
    "processor": "A Processor | 2.0 GHz",
    "versions": {"keras": "3.15.1"},
}


def make_spec(*engines: str, **changes) -> ComparisonSpec:
    fields = {
        "name": "compare-mnist-tiny",
        "seed": 7,
        "engines": engines or ("optuna:tpe", "optuna:random"),
        "repeats": 3,
        "epochs": 80,
        "replicates": 2,
        "terms": {"workers": 2, "threads": 1, "space": SPACE.to_json()},
        "commands": ("python -m search compare --space tiny --seed 7",),
        "created": "2026-11-20T10:00:00+00:00",
    }
    return ComparisonSpec(**{**fields, **changes})


def outcome(
    error: float | None,
    *,
    at: float | None = None,
    state: State = State.COMPLETE,
    epochs: int = 4,
    restored: int = 0,
    environment: Mapping[str, object] = ENVIRONMENT,
) -> Outcome:
    history = tuple(
        EpochReport(
            epoch=epoch,
            training_loss=0.1,
            metrics={} if error is None else {"error_percent": error},
            seconds=1.0,
            restored=epoch <= restored,
        )
        for epoch in range(1, epochs + 1)
    )
    return Outcome(
        state=state,
        metrics={} if error is None else {"error_percent": error},
        history=history,
        elapsed_seconds=at,
        environment=environment,
    )


def study(
    engine: str = "optuna:tpe",
    repeat: int = 0,
    *,
    searched: Sequence[Outcome | None] = (),
    verified: Mapping[int, Sequence[Outcome | float]] | None = None,
    study_header: StudyHeader | None = None,
) -> dict[RunKey, StudyRecord]:
    """A study: its search trials in order, the first the baseline; and by trial, its runs on the test images."""
    key = RunKey(engine=engine, repeat=repeat)
    study_header = study_header or header(study_name(key), seed=100 + repeat, versions={"keras": "3.15.1"})
    trials = [
        Trial(number=number, config=BETTER if number else SPACE.baseline, seed=number, epochs=4,
              origin=PROPOSED if number else BASELINE)
        for number in range(len(searched))
    ]  # fmt: skip
    records = [TrialRecord(trial=trial, outcome=ended) for trial, ended in zip(trials, searched, strict=True)]
    for number, runs in (verified or {}).items():
        for replicate, run in enumerate(runs):
            trial = dataclasses.replace(
                trials[number], number=len(records), phase=Phase.VERIFICATION, source_trial=number, replicate=replicate,
                seed=1000 * repeat + replicate,
            )  # fmt: skip
            records.append(TrialRecord(trial=trial, outcome=outcome(run) if isinstance(run, float) else run))
    return {key: StudyRecord(header=study_header, trials=tuple(records))}


def simple(engine: str, repeat: int, test: float, *, baseline: float = 1.0) -> dict[RunKey, StudyRecord]:
    """A finished study: the baseline, and one better configuration, each verified with two seeds."""
    ends = [outcome(baseline + 0.2, at=10.0), outcome(test + 0.1, at=25.0)]
    verified = {0: (baseline - 0.01, baseline + 0.01), 1: (test - 0.02, test + 0.02)}
    return study(engine, repeat, searched=ends, verified=verified)


def finished(errors: Mapping[str, Sequence[float]]) -> dict[RunKey, StudyRecord]:
    """Finished studies with these mean test errors of their best trials, by engine and repeat."""
    studies: dict[RunKey, StudyRecord] = {}
    for engine, tests in errors.items():
        for repeat, test in enumerate(tests):
            studies |= simple(engine, repeat, test)
    return studies


def lifelike(engines: Sequence[str], repeats: int = 3) -> dict[RunKey, StudyRecord]:
    """Studies with curves like those of real searches, from a seeded generator."""
    studies: dict[RunKey, StudyRecord] = {}
    for place, engine in enumerate(engines):
        for repeat in range(repeats):
            random = Random(f"{engine}-{repeat}")
            ends, clock, best = [outcome(1.2, at=40.0, epochs=10)], 40.0, 1.2
            for _ in range(24):
                is_whole = random.random() < 0.5
                clock += random.uniform(15, 45) * (1.0 if is_whole else 0.3)
                error = max(0.45 + 0.06 * place, random.gauss(1.0 - 0.02 * len(ends), 0.25))
                best = min(best, error) if is_whole else best
                state = State.COMPLETE if is_whole else State.PRUNED
                ends.append(outcome(error, at=clock, state=state, epochs=10 if is_whole else 3))
            best_trial = min(
                range(len(ends)), key=lambda at: ends[at].error_percent if ends[at].state is State.COMPLETE else 99
            )
            verified = {0: (1.0, 1.04), best_trial: (best - 0.06, best + random.uniform(-0.1, 0.05))}
            studies |= study(engine, repeat, searched=ends, verified=verified)
    return studies
