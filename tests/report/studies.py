"""Studies for the report's tests: with misclassified images, of two engines, with markup in names."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Iterable, Sequence

from search.leaderboard.board import Board
from search.leaderboard.compute import compute
from search.protocol import ProtocolName
from search.records.record import StudyHeader, StudyRecord, TrialRecord
from search.trial import BASELINE, Cause, EpochReport, Outcome, State
from spaces import Choice, Condition, Float, Int, Space
from tests.leaderboard.records import header, outcome, protocol, searched, study, verified

WIDE = Space(
    name="wide",
    parameters={
        "width": Int(8, 512, 32, log=True),
        "stages": Int(1, 3, 1),
        "depth": Int(8, 128, 64, log=True, when=Condition(parameter="stages", values=(2, 3))),
        "rate": Float(1e-4, 1e-1, 1e-3, log=True),
        "dropout": Float(0.0, 0.5, 0.0, step=0.1),
        "schedule": Choice(("constant", "cosine", "one_cycle", "exponential"), "constant"),
        "norm": Choice((False, True), False),
    },
)
MNIST_SHA256 = "1f48dbc21bb07b821497145f19090855b448d62d1fcf5d59faecebde51d9c292"


def missed(wrong: Sequence[int], predicted: Sequence[int], images: int = 10_000) -> Outcome:
    """A test run that got some images wrong."""
    ended = outcome(100 * len(wrong) / images)
    return dataclasses.replace(
        ended, scored_images=images, misclassified=tuple(wrong), predicted_classes=tuple(predicted)
    )


def curve(error: float, state: State = State.COMPLETE, epochs: int = 10, at_seconds: float = 0.0) -> Outcome:
    """A search trial whose error falls to a figure, at a time of the study's clock."""
    history = tuple(
        EpochReport(
            epoch=epoch,
            training_loss=1 / epoch,
            metrics={"loss": 2 / epoch, "error_percent": error * epochs / epoch},
            seconds=3.0,
        )
        for epoch in range(1, epochs + 1)
    )
    ended = dataclasses.replace(outcome(error, state, epochs=epochs), history=history, elapsed_seconds=at_seconds)
    return dataclasses.replace(ended, parameter_count=round(1000 * (1 + at_seconds)))


def many(trials: int = 60, *, of: StudyHeader | None = None, seed: int = 0) -> StudyRecord:
    """A study whose error follows one parameter, ``rate``, with a third of its trials stopped early."""
    generator = random.Random(seed)
    groups = [searched(0, curve(1.4, at_seconds=30.0), origin=BASELINE, config=WIDE.baseline)]
    for number in range(1, trials):
        config = WIDE.sample(generator)
        error = 0.5 + 200 * abs(config["rate"] - 0.01) ** 1.2 + 0.05 * generator.random()
        state = State.PRUNED if number % 3 == 0 else State.COMPLETE
        ended = curve(error, state, epochs=3 if state is State.PRUNED else 10, at_seconds=30.0 * (number + 1))
        groups.append(searched(number, ended, config=config))
    complete = [group[0] for group in groups if group[0].outcome.state is State.COMPLETE]
    best = min(complete[1:], key=lambda known: known.outcome.error_percent)
    groups += [
        verified(0, [missed(range(100 + extra), [0] * (100 + extra)) for extra in (0, 4, 7)], config=WIDE.baseline),
        verified(
            best.trial.number,
            [missed([1, 2, 3, 4], [5, 6, 7, 8]), missed([1, 2, 9], [5, 0, 0]), missed([1, 11], [5, 3])],
            config=best.trial.config,
        ),
    ]
    judged = dataclasses.replace(protocol(), data_sha256=MNIST_SHA256)
    return study(*groups, of=of or dataclasses.replace(header("wide-tpe", space=WIDE), protocol=judged))


def screening(trials: int = 40, seed: int = 0) -> StudyRecord:
    """A study in which two thirds of the trials are short, and mutations of the first recipe."""
    generator = random.Random(seed)
    recipe = {**WIDE.baseline, "rate": 0.01, "norm": True}
    groups = [
        searched(0, curve(1.4, at_seconds=30.0), origin=BASELINE, config=WIDE.baseline),
        searched(1, curve(0.9, at_seconds=60.0), origin="recipe: higher rate", config=recipe),
    ]
    for number in range(2, trials):
        config = {**recipe, "width": 8 * generator.randint(1, 64), "dropout": round(0.1 * generator.randint(0, 5), 1)}
        error, is_short = 0.6 + 0.5 * generator.random(), number % 3 != 0
        ended = curve(
            0.8 + error if is_short else error,
            State.SCREENED if is_short else State.COMPLETE,
            epochs=2 if is_short else 10,
            at_seconds=30.0 * (number + 1),
        )
        groups.append(
            searched(number, ended, config=config, short_epochs=2 if is_short else None, mutation_of=max(1, number - 1))
        )
    full = [group[0] for group in groups[2:] if not group[0].trial.is_short]
    best = min(full, key=lambda known: known.outcome.error_percent)
    for number, misses in ((0, 110), (1, 80), (best.trial.number, 60)):
        wrong = [range(generator.randint(0, 9), misses + extra) for extra in (0, 3, 6)]
        config = groups[number][0].trial.config
        groups.append(verified(number, [missed(each, [0] * len(each)) for each in wrong], config=config))
    judged = dataclasses.replace(protocol(), data_sha256=MNIST_SHA256)
    of = dataclasses.replace(header("wide-mutation", space=WIDE), protocol=judged, sampler="mutation", pruner="none")
    return study(*groups, of=of)


def engines() -> list[StudyRecord]:
    """Two studies of different engines and spaces on the same data."""
    first = many()
    other = dataclasses.replace(
        header("narrow-hyperband", space=dataclasses.replace(WIDE, name="narrow")),
        protocol=first.header.protocol,
        engine="keras-tuner",
        sampler="hyperband",
        pruner="none",
    )
    return [first, many(30, of=other, seed=1)]


EVIL = (
    "<script>window.hacked=1</script>",
    "<img src=x onerror=window.hacked=1>",
    "</script><script>window.hacked=1</script>",
    "{{ 7*7 }}",
    "<b>bold</b> %{x} &amp;",
    '"><svg onload=window.hacked=1>',
)


def hostile() -> StudyRecord:
    """A study with markup in every name."""
    space = Space(
        name=EVIL[0],
        parameters={"kind": Choice(EVIL, EVIL[0]), "width": Int(8, 512, 32, log=True)},
    )
    judged = dataclasses.replace(protocol(), dataset=EVIL[1])
    of = dataclasses.replace(
        header(EVIL[0], space=space, judged=judged),
        engine=EVIL[1],
        sampler=EVIL[2],
        pruner=EVIL[3],
        command=f"python -m search run {EVIL[2]}",
        versions={EVIL[5]: EVIL[1]},
    )
    trials = [
        searched(number, curve(1 + number / 10, at_seconds=number),
                 config={"kind": EVIL[number % 6], "width": 8 + number},
                 origin=BASELINE if number == 0 else f"recipe: {EVIL[number % 6]}")
        for number in range(14)
    ]  # fmt: skip
    failed = dataclasses.replace(outcome(None, State.FAILED, Cause.ERROR, epochs=0), message=EVIL[1], traceback=EVIL[0])
    return study(*trials, searched(20, failed), verified(3, (0.5, 0.6), config={"kind": EVIL[3], "width": 11}), of=of)


def boards() -> dict[str, list[StudyRecord]]:
    """Studies of all kinds, by name."""
    from tests.leaderboard import records

    failed = outcome(None, State.FAILED, Cause.OUT_OF_MEMORY, epochs=0)
    fresh = header("fresh")
    return {
        "usual": [records.tpe()],
        "short trials": [screening()],
        "short trials only": [records.short_only()],
        "two engines": engines(),
        "several sections": [records.tpe(), records.other(), records.reproduction(), hostile()],
        "reproduction": [records.reproduction()],
        "hostile": [hostile()],
        "one trial": [study(searched(0, outcome(1.4), origin=BASELINE, config=records.SPACE.baseline))],
        "no verification": [study(searched(0, outcome(1.4), origin=BASELINE), searched(1, outcome(1.2)))],
        "no baseline": [study(searched(1, outcome(1.2)), verified(1, (0.9, 0.8)))],
        "all failed": [study(searched(0, failed, origin=BASELINE), searched(1, failed))],
        "none finished": [study(searched(0, None, origin=BASELINE), of=fresh)],
        "none begun": [study(of=fresh)],
        "no study": [],
        "error of zero": [study(searched(0, curve(0.0)), searched(1, curve(0.0)), verified(0, (0.0, 0.0)))],
        "tutorial protocol": [
            study(
                searched(0, outcome(1.0), origin=BASELINE), of=header("watched", judged=protocol(ProtocolName.TUTORIAL))
            )
        ],
        "a loss that is not finite": [
            study(searched(0, curve(1.4), origin=BASELINE), searched(1, _diverged(curve(2.0))))
        ],
        "without a clock": [study(*_clockless(many(20)), of=many(20).header)],
    }


def _diverged(ended: Outcome) -> Outcome:
    last = dataclasses.replace(
        ended.history[-1], training_loss=math.nan, metrics={"loss": math.inf, "error_percent": 2.0}
    )
    return dataclasses.replace(ended, history=(*ended.history[:-1], last))


def _clockless(record: StudyRecord) -> Iterable[Sequence[TrialRecord]]:
    for known in record.trials:
        ended = known.outcome and dataclasses.replace(known.outcome, elapsed_seconds=None)
        yield (dataclasses.replace(known, outcome=ended),)


def board(records: Sequence[StudyRecord]) -> Board:
    """The board of the studies."""
    return compute(records)
