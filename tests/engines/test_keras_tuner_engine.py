"""Tests that Keras Tuner's faults do not reach users of its engine; see also the engine contract."""

from __future__ import annotations

import itertools
import math
import random
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
import pytest
from engine_contract import EPOCHS, SMALL, error_of, play

from search.engines.base import SpaceExhausted
from search.engines.keras_tuner_engine import KerasTunerEngine, to_hyperparameters
from search.engines.samplers import KERAS_TUNER_SAMPLERS
from search.records.record import TrialRecord
from search.study.search_source import replay
from search.trial import BASELINE, EpochReport, Outcome, Proposal, State, Trial
from spaces import AnyNonzero, Choice, Float, Int, Space

CHOICES = Space(
    name="choices",
    parameters={
        "activation": Choice(("relu", "gelu", "silu"), "relu"),
        "norm": Choice((False, True), False),
        "rate": Float(0.0, 1.0, 0.5),
    },
)

LINE = Space(name="line", parameters={"rate": Float(0.0, 1.0, 0.5)})


def engine(sampler: str, *, seed: int = 0, space: Space = SMALL, epochs: int = EPOCHS) -> KerasTunerEngine:
    return KerasTunerEngine(space, sampler=sampler, seed=seed, epochs=epochs)


def complete(error_percent: float) -> Outcome:
    return Outcome(state=State.COMPLETE, metrics={"error_percent": error_percent})


# Random numbers


def test_a_seed_of_zero_is_a_seed() -> None:
    """Keras Tuner itself takes 0 for "any"."""
    seeds = {keras_tuner.oracles.RandomSearchOracle(seed=0).seed for _ in range(20)}
    assert len(seeds) > 1
    assert [engine("random", seed=0).ask(1) for _ in range(3)] == [engine("random", seed=0).ask(1)] * 3
    assert engine("random", seed=0).ask(1) != engine("random", seed=1).ask(1)


# Quiet: no files, no tables, no locks, no end


@pytest.mark.parametrize("sampler", KERAS_TUNER_SAMPLERS)
def test_it_prints_nothing_and_writes_nothing(
    sampler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    quiet = engine(sampler)
    for number in range(8):
        play(quiet, number)
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_files_that_lie_about_are_not_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras Tuner continues silently whatever it finds in its folder, and dies of a torn file."""
    expected = [engine("random").ask(number) for number in range(3)]
    for name in ("oracle.json", "untitled_project/oracle.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('{"ongoing_trials": {"tuner0": ')
    monkeypatch.chdir(tmp_path)
    assert [engine("random").ask(number) for number in range(3)] == expected


def test_an_error_is_seen_and_leaves_no_lock_behind() -> None:
    """Keras Tuner's lock stays held by a method that raised, and every other thread waits for it for ever."""
    broken = engine("random")
    with pytest.raises(KeyError):
        broken.tell(99, complete(1.0))
    asked: list[Proposal] = []
    other = threading.Thread(target=lambda: asked.append(broken.ask(1)), daemon=True)
    other.start()
    other.join(timeout=20)
    assert len(asked) == 1


def test_a_hundred_failures_in_a_row_do_not_end_it() -> None:
    """Keras Tuner raises RuntimeError after three."""
    failing = engine("random")
    for number in range(100):
        failing.ask(number)
        failing.tell(number, Outcome(state=State.FAILED))


# What it learns from


def test_the_last_error_counts_and_not_the_least() -> None:
    learning = engine("random")
    learning.ask(0)
    for epoch, error in enumerate((3.0, 1.0, 2.0), start=1):
        learning.report(0, EpochReport(epoch=epoch, training_loss=0.1, metrics={"error_percent": error}))
    learning.tell(0, complete(2.0))
    assert learning._oracle.trials["0"].score == 2.0


def test_the_gaussian_process_learns_from_the_baseline() -> None:
    asked = []
    for error in (0.0, 10.0):
        learning = engine("bayesian", space=LINE)
        learning.ask(0, fixed=Proposal(config=LINE.baseline))
        learning.tell(0, complete(error))
        for number in range(1, 6):
            rate = learning.ask(number).config["rate"]
            learning.tell(number, complete(5.0 + rate))
        asked.append(learning.ask(6).config["rate"])
    assert asked[0] != asked[1]


def test_unordered_options_lie_equally_far_apart() -> None:
    """Keras Tuner lays them on a line, where the middle one is between its neighbours."""
    oracle = engine("bayesian", space=CHOICES)._oracle
    assert [type(part).__name__ for part in oracle._nonfixed_space()] == [*["_Indicator"] * 3, "Boolean", "Float"]
    learning = engine("bayesian", space=CHOICES)
    for number, option in enumerate(("relu", "gelu", "silu")):
        learning.ask(number, fixed=Proposal(config={"activation": option, "norm": False, "rate": 0.5}))
        learning.tell(number, complete(1.0))
    vectors, _ = learning._oracle._vectorize_trials()
    distances = {round(math.dist(a, b), 9) for a, b in itertools.combinations(vectors, 2)}
    assert distances == {round(math.sqrt(2), 9)}
    for number, option in enumerate(("relu", "gelu", "silu")):
        assert learning._oracle._vector_to_values(vectors[number])["activation"] == option


def test_the_gaussian_process_finds_the_middle_of_unordered_options() -> None:
    learning = engine("bayesian", space=CHOICES, seed=3)
    for number in range(14):
        config = learning.ask(number).config
        learning.tell(number, complete(1.0 + 4 * (config["activation"] != "gelu") + abs(config["rate"] - 0.3)))
    best = min(learning._oracle.trials.values(), key=lambda trial: trial.score)
    assert best.hyperparameters.values["activation"] == "gelu"
    assert abs(best.hyperparameters.values["rate"] - 0.3) < 0.1


def test_running_trials_keep_the_gaussian_process_from_proposing_beside_them() -> None:
    """Keras Tuner guesses at how they end by the model of its last proposal, and by none at its first."""
    learning = engine("bayesian", space=LINE)
    for number in range(8):
        rate = number / 7
        learning.ask(number, fixed=Proposal(config={"rate": rate}))
        learning.tell(number, complete(1.0 + 5 * abs(rate - 0.4)))
    asked = [learning.ask(number).config["rate"] for number in range(8, 12)]
    assert min(abs(a - b) for a, b in itertools.combinations(asked, 2)) > 1e-4


def test_a_value_at_the_very_end_of_a_scale_lies_inside() -> None:
    """At probability 1, which its optimizer reaches, a log integer of Keras Tuner's is one too large."""
    space = Space(name="log", parameters={"width": Int(8, 64, 32, log=True), "rate": Float(1e-4, 0.3, 0.1, log=True)})
    (width, _) = to_hyperparameters(space).space
    assert width.prob_to_value(1.0) == 65
    config = engine("bayesian", space=space)._to_config({"width": 65, "rate": np.float64(0.30000000000000004)})
    assert config == {"width": 64, "rate": 0.3}
    assert type(config["rate"]) is float


# Hyperband


def rounds(records: list[TrialRecord]) -> Counter[tuple[Any, ...]]:
    """How many trials each round of each bracket had, and their epochs."""
    keys = ("iteration", "bracket", "round", "initial_epoch", "epochs")
    found = (known.trial.engine_metadata for known in records if known.trial.origin != BASELINE)
    return Counter(tuple(notes[key] for key in keys) for notes in found)


ONE_SWEEP = Counter(
    {
        (0, 2, 0, 0, 1): 9,
        (0, 2, 1, 1, 3): 3,
        (0, 2, 2, 3, 9): 1,
        (0, 1, 0, 0, 3): 5,
        (0, 1, 1, 3, 9): 2,
        (0, 0, 0, 0, 9): 3,
    }
)
"""Of nine epochs, in threes: 23 trials and 75 epochs."""


def test_hyperband_has_keras_tuners_own_brackets() -> None:
    stock = keras_tuner.oracles.HyperbandOracle(
        keras_tuner.Objective("error", "min"), max_epochs=9, hyperparameters=to_hyperparameters(SMALL), seed=1
    )
    expected: Counter[tuple[int, ...]] = Counter()
    for number in range(23):  # what its create_trial and end_trial do, without their files
        values = stock.populate_space(str(number))["values"]
        names = ("bracket", "round", "initial_epoch", "epochs")
        expected[tuple(values[f"tuner/{name}"] for name in names)] += 1
        declared = to_hyperparameters(SMALL)
        declared.values = values
        trial = keras_tuner.engine.trial.Trial(declared, trial_id=str(number), status="COMPLETED")
        trial.score = float(number)
        stock.trials[str(number)] = trial
    assert stock.populate_space("23")["status"] == "STOPPED"
    ours = engine("hyperband")
    found = rounds([play(ours, number) for number in range(23)])
    assert found == ONE_SWEEP
    assert Counter({key[1:]: count for key, count in found.items()}) == expected


def test_hyperband_promotes_the_best_of_a_round() -> None:
    records = [play(engine_, number) for engine_ in [engine("hyperband")] for number in range(13)]
    first = sorted(records[:9], key=lambda known: known.outcome.error_percent)
    assert {known.trial.parent for known in records[9:12]} == {known.trial.number for known in first[:3]}


def test_hyperband_begins_another_sweep_for_as_long_as_the_budget_lasts() -> None:
    endless = engine("hyperband")
    found = rounds([play(endless, number) for number in range(46)])
    assert {key[0] for key in found} == {0, 1}
    assert Counter({(0, *key[1:]): count for key, count in found.items() if key[0] == 1}) == ONE_SWEEP


@pytest.mark.parametrize("failing", [range(4), range(9), (0, 3, 8, 9, 10, 11)])
def test_failures_do_not_starve_a_round(failing: Any) -> None:
    """In Keras Tuner four failures of nine leave the next rounds empty."""
    partly = engine("hyperband")
    records = []
    for number in range(23):
        proposal = partly.ask(number)
        assert proposal.parent not in failing, "a failed trial is not promoted"
        failed = number in failing
        error = math.inf if failed else error_of(proposal.config, proposal.target_epoch or EPOCHS)
        state = State.FAILED if failed else State.PAUSED if proposal.target_epoch else State.COMPLETE
        partly.tell(number, Outcome(state=state, metrics={} if failed else {"error_percent": error}))
        trial = Trial(
            number=number, config=proposal.config, seed=0, epochs=EPOCHS, engine_metadata=proposal.engine_metadata
        )
        records.append(TrialRecord(trial=trial, outcome=None))
    found = rounds(records)
    survivors = sum(number not in failing for number in range(9))
    assert found[0, 2, 1, 1, 3] == min(3, survivors)
    assert found[0, 1, 0, 0, 3] == 5, "the next bracket is begun"


@pytest.mark.parametrize("stop", range(0, 25, 2))
def test_hyperband_is_rebuilt_from_records_wherever_it_stopped(stop: int) -> None:
    straight = engine("hyperband", seed=4)
    records = [play(straight, 0, SMALL.baseline)] + [play(straight, number) for number in range(1, 30)]
    again = engine("hyperband", seed=4)
    replay(again, records[:stop])
    first = [play(again, 0, SMALL.baseline)] if stop == 0 else []
    assert first + [play(again, number) for number in range(max(stop, 1), 30)] == records[stop:]


def test_hyperband_knows_the_brackets_of_parallel_trials() -> None:
    """Keras Tuner labels a trial with the bracket begun last, whichever it belongs to."""
    chance = random.Random(2)
    parallel, running, records = engine("hyperband"), [], []
    for number in range(23):
        if len(running) == 4:
            one, proposal = running.pop(chance.randrange(4))
            state = State.PAUSED if proposal.target_epoch else State.COMPLETE
            parallel.tell(
                one,
                Outcome(
                    state=state, metrics={"error_percent": error_of(proposal.config, proposal.target_epoch or EPOCHS)}
                ),
            )
        proposal = parallel.ask(number)
        running.append((number, proposal))
        trial = Trial(
            number=number, config=proposal.config, seed=0, epochs=EPOCHS, engine_metadata=proposal.engine_metadata
        )
        records.append(TrialRecord(trial=trial, outcome=None))
        assert proposal.engine_metadata["epochs"] == (proposal.target_epoch or EPOCHS)
    found = rounds(records)
    assert all(found[key] <= count for key, count in ONE_SWEEP.items())
    assert found[0, 2, 0, 0, 1] == 9
    assert found[0, 2, 1, 1, 3] > 0


def test_hyperband_says_which_states_are_still_needed() -> None:
    keeping = engine("hyperband")
    records = [play(keeping, number) for number in range(13)]
    promoted = {known.trial.parent for known in records}
    assert promoted
    assert not any(keeping.may_resume(number) for number in range(13)), "its bracket is over"
    half = engine("hyperband")
    replay(half, records[:10])
    chosen = records[9].trial.parent
    assert [half.may_resume(number) for number in range(9)] == [number != chosen for number in range(9)]


def test_a_space_smaller_than_a_bracket_is_trained_to_the_end() -> None:
    few = Space(name="few", parameters={"a": Int(1, 5, 3)})
    small = engine("hyperband", space=few)
    records = [play(small, 0, few.baseline)]
    with pytest.raises(SpaceExhausted):
        for number in range(1, 40):
            records.append(play(small, number))
    assert {known.trial.config["a"] for known in records} == {1, 2, 3, 4, 5}
    assert any(known.trial.parent is not None and known.trial.last_epoch == EPOCHS for known in records)


CLEAN = Space(
    name="clean",
    parameters={
        "shift": Int(0, 1, 0),
        "zoom": Float(0.0, 0.1, 0.0, step=0.1),
        "clean_epochs": Int(0, 2, 0, when=AnyNonzero(parameters=("shift", "zoom"))),
    },
)


@pytest.mark.parametrize("sampler", ["grid", "random", "bayesian"])
def test_a_parameter_that_does_nothing_is_not_varied(sampler: str) -> None:
    proposer = engine(sampler, space=CLEAN)
    proposer.ask(0, fixed=Proposal(config=CLEAN.baseline))
    proposer.tell(0, complete(5.0))
    configs = []
    for number in range(1, 10):
        configs.append(proposer.ask(number).config)
        proposer.tell(number, complete(5.0 - 0.1 * number))
    assert len({str(config) for config in configs}) == 9, "three times three with augmentation"
    assert all(CLEAN.contains(config) and "clean_epochs" in config for config in configs)
