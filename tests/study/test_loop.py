"""The loop with a real engine and a real ledger; the executor is a double that trains nothing."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from doubles import InstantExecutor, bowl
from makers import TINY, complete, header

from search.engines.keras_tuner_engine import KerasTunerEngine
from search.engines.optuna_engine import OptunaEngine
from search.errors import FatalError
from search.execution.base import Event, Executor, Finished
from search.execution.ordered import OrderedExecutor
from search.records.opening import open_ledger
from search.records.record import StudyRecord
from search.records.storage.locations import StudyLocation
from search.session.callbacks import Callback
from search.study.checkpoint_store import CheckpointStore
from search.study.loop import run_loop
from search.study.peers import interrupt_orphans
from search.study.search_source import SearchSource, final_trials
from search.study.verification import (
    ReplicateSource,
    baseline_trials,
    finalists,
    verification_trials,
)
from search.trial import BASELINE, PROPOSED, Cause, EpochReport, Outcome, Phase, State, Trial
from spaces import Int, Recipe, Space


def search(
    folder: Path,
    executor: Executor,
    *,
    trials: float = 12,
    epochs: float = float("inf"),
    recipes: bool = True,
    stop: Callable[[], Cause | None] = lambda: None,
    pruner: str = "none",
) -> StudyRecord:
    """Runs a session of the study in a folder and returns the record."""
    with open_ledger(StudyLocation(studies_dir=folder), header(pruner=pruner)) as ledger:
        interrupt_orphans(ledger)
        engine = OptunaEngine(TINY, sampler="tpe", pruner=pruner, seed=5, epochs=4)
        source = SearchSource(engine, ledger, trials=trials, epochs=epochs, recipes=None if recipes else ())
        run_loop(source, executor=executor, ledger=ledger, callback=Callback(), stop_cause=stop)
        return ledger.read()


def configs(record: StudyRecord) -> list[str]:
    """The configs in the order of their trials."""
    return [json.dumps(dict(known.trial.config)) for known in record.trials_in_phase(Phase.SEARCH)]


def after(count: int, cause: Cause = Cause.CANCELLED) -> Callable[[], Cause | None]:
    """A wish to stop that comes at the count-th look."""
    looks = iter(range(count))
    return lambda: None if next(looks, None) is not None else cause


def test_the_baseline_comes_first_then_recipes_then_proposals(tmp_path: Path) -> None:
    record = search(tmp_path, InstantExecutor())
    origins = [known.trial.origin for known in record.trials]
    assert origins == [BASELINE, "recipe: faster"] + ["found"] * 10
    assert record.trials[0].trial.config == TINY.baseline
    assert all(known.outcome.state is State.COMPLETE for known in record.trials)
    assert len({known.trial.seed for known in record.trials}) == 12


def test_recipes_can_be_left_out(tmp_path: Path) -> None:
    record = search(tmp_path, InstantExecutor(), trials=3, recipes=False)
    assert [known.trial.origin for known in record.trials] == [BASELINE, "found", "found"]


def test_a_recipe_that_is_not_tried_keeps_its_name_where_the_engine_proposes_it(tmp_path: Path) -> None:
    space = Space(
        name="widths",
        parameters={"width": Int(4, 8, 4)},
        recipes={"wider": Recipe(values={"width": 8}, doc="Twice as wide", source="this test")},
    )
    engine = OptunaEngine(space, sampler="grid", pruner="none", seed=5, epochs=4)
    with open_ledger(StudyLocation(studies_dir=tmp_path), header(space=space, sampler="grid")) as ledger:
        source = SearchSource(engine, ledger, recipes=())
        run_loop(source, executor=InstantExecutor(), ledger=ledger, callback=Callback(), stop_cause=lambda: None)
        record = ledger.read()
    names = {known.trial.config["width"]: known.trial.origin for known in record.trials}
    assert names == {4: BASELINE, 5: PROPOSED, 6: PROPOSED, 7: PROPOSED, 8: "recipe: wider"}


def test_trials_are_a_total_of_the_study(tmp_path: Path) -> None:
    search(tmp_path, InstantExecutor(), trials=5)
    again, more = InstantExecutor(), InstantExecutor()
    assert len(search(tmp_path, again, trials=5).trials) == 5
    assert again.ran == []
    assert len(search(tmp_path, more, trials=8).trials) == 8
    assert [trial.number for trial in more.ran] == [5, 6, 7]
    assert BASELINE not in {trial.origin for trial in more.ran}


def test_a_resumed_study_proposes_what_an_uninterrupted_one_would(tmp_path: Path) -> None:
    straight = search(tmp_path / "straight", InstantExecutor(), trials=12)
    for trials in (4, 9, 12):
        resumed = search(tmp_path / "resumed", InstantExecutor(), trials=trials)
    assert configs(resumed) == configs(straight)


def test_an_interrupted_trial_is_taken_up_again_with_its_seed(tmp_path: Path) -> None:
    stopped = search(tmp_path, InstantExecutor(slots=2), stop=after(20))
    interrupted = [known for known in stopped.trials if known.outcome.state is State.INTERRUPTED]
    assert interrupted
    assert {known.outcome.cause for known in interrupted} == {Cause.CANCELLED}
    record = search(tmp_path, InstantExecutor(slots=2))
    assert len(final_trials(record)) == 12
    for known in interrupted:
        again = [one for one in final_trials(record) if one.trial.config == known.trial.config]
        assert [one.trial.seed for one in again] == [known.trial.seed]
    assert len([known for known in final_trials(record) if known.trial.origin == BASELINE]) == 1


def test_a_trial_whose_coordinator_died_is_marked_and_run_again(tmp_path: Path) -> None:
    with open_ledger(StudyLocation(studies_dir=tmp_path), header()) as ledger:
        ledger.begin(Trial(number=0, config=TINY.baseline, seed=77, epochs=4, origin=BASELINE))
    record = search(tmp_path, InstantExecutor(), trials=3)
    assert record.trials[0].outcome.cause is Cause.COORDINATOR_DIED
    again = record.trials[1]
    assert (again.trial.origin, again.trial.seed, again.outcome.state) == (BASELINE, 77, State.COMPLETE)
    assert len(final_trials(record)) == 3


def test_a_failed_trial_is_recorded_and_never_repeated(tmp_path: Path) -> None:
    def curve(trial: Trial, epoch: int) -> float:
        if trial.number % 3 == 2:
            raise ArithmeticError("NaN")
        return bowl(trial, epoch)

    record = search(tmp_path, InstantExecutor(curve=curve))
    states = [known.outcome.state for known in record.trials]
    assert states.count(State.FAILED) == 4
    assert len(set(configs(record))) == 12


def test_bad_trials_are_pruned_and_baseline_and_recipes_never_are(tmp_path: Path) -> None:
    def curve(trial: Trial, epoch: int) -> float:
        return 50.0 if trial.origin != PROPOSED else 10.0 + trial.number + 1.0 / epoch

    record = search(tmp_path, InstantExecutor(curve=curve, slots=3), pruner="asha", trials=15)
    by_state = {state: [known for known in record.trials if known.outcome.state is state] for state in State}
    assert [known.outcome.state for known in record.trials[:2]] == [State.COMPLETE] * 2
    assert len(by_state[State.PRUNED]) >= 3
    for known in by_state[State.PRUNED]:
        assert 0 < len(known.outcome.history) < known.trial.epochs
        assert known.outcome.error_percent == known.outcome.history[-1].error_percent


def test_a_study_whose_first_trials_all_fail_is_ended_with_the_cause(tmp_path: Path) -> None:
    def curve(trial: Trial, epoch: int) -> float:
        raise ArithmeticError("the builder is broken")

    with pytest.raises(FatalError, match="the builder is broken"):
        search(tmp_path, InstantExecutor(curve=curve))


def test_a_baseline_that_failed_is_verified_all_the_same(tmp_path: Path) -> None:
    def curve(trial: Trial, epoch: int) -> float:
        if trial.origin == BASELINE:
            raise ArithmeticError("killed")
        return bowl(trial, epoch)

    record = search(tmp_path, InstantExecutor(curve=curve), trials=4)
    assert finalists(record, 1)[0].trial.origin == BASELINE


def test_a_worker_that_died_leaves_the_epochs_it_reported(tmp_path: Path) -> None:
    class Dying(InstantExecutor):
        def collect(self, timeout: float) -> list[Event]:
            events = super().collect(timeout)
            lost = Outcome(state=State.FAILED, cause=Cause.KILLED)
            return [Finished(event.key, lost) if isinstance(event, Finished) else event for event in events]

    with pytest.raises(FatalError):
        search(tmp_path, Dying(), trials=3)
    with open_ledger(StudyLocation(studies_dir=tmp_path), header()) as ledger:
        record = ledger.read()
    assert [len(known.outcome.history) for known in record.trials] == [4] * 7, "three tries, three tries, and one"
    assert all(known.outcome.error_percent is not None for known in record.trials)


def hyperband(
    folder: Path, executor: Executor, *, stop: Callable[[], Cause | None] = lambda: None, **limits: int
) -> StudyRecord:
    """Runs a session of a Hyperband study of nine epochs and returns the record."""
    protocol = dataclasses.replace(header().protocol, epochs=9)
    with open_ledger(StudyLocation(studies_dir=folder), header(engine="keras-tuner", protocol=protocol)) as ledger:
        interrupt_orphans(ledger)
        engine = KerasTunerEngine(TINY, sampler="hyperband", seed=5, epochs=9)
        source = SearchSource(engine, ledger, recipes=(), **(limits or {"trials": 24}))
        run_loop(
            source, executor=executor, ledger=ledger, callback=Callback(), stop_cause=stop, elapsed_seconds=lambda: 7.0
        )
        return ledger.read()


def test_hyperband_trains_the_epochs_of_its_brackets_and_no_more(tmp_path: Path) -> None:
    record = hyperband(tmp_path, InstantExecutor())
    assert (record.trials[0].trial.origin, record.trials[0].outcome.state) == (BASELINE, State.COMPLETE)
    assert sum(known.outcome.epochs_trained for known in record.trials) == 9 + 75
    states = [known.outcome.state for known in record.trials]
    assert (states.count(State.COMPLETE), states.count(State.PAUSED)) == (1 + 1 + 2 + 3, 9 + 3 + 5)
    assert {known.outcome.elapsed_seconds for known in record.trials} == {7.0}
    for known in record.trials:
        if known.trial.parent is not None:
            parent = record.trials[known.trial.parent]
            assert (known.trial.seed, known.trial.config) == (parent.trial.seed, parent.trial.config)


def test_states_are_kept_while_hyperband_may_go_on_from_them(tmp_path: Path) -> None:
    kept = tmp_path / "study" / "checkpoints"
    half = hyperband(tmp_path, InstantExecutor(), trials=8)
    assert len(list(kept.iterdir())) == len(half.trials) - 1 == 7
    hyperband(tmp_path, InstantExecutor())
    assert list(kept.iterdir()) == []


@pytest.mark.parametrize("looks", [9, 25, 60, 100])
def test_an_interrupted_hyperband_ends_with_the_same_brackets(tmp_path: Path, looks: int) -> None:
    executor = InstantExecutor(slots=3)
    hyperband(tmp_path, executor, stop=after(looks))
    hyperband(tmp_path, executor, stop=after(looks))
    record = hyperband(tmp_path, executor, trials=30)
    trials = [known for known in final_trials(record) if known.trial.engine_metadata.get("iteration") == 0]
    rounds = Counter((known.trial.engine_metadata["bracket"], known.trial.engine_metadata["round"]) for known in trials)
    assert rounds == {(2, 0): 9, (2, 1): 3, (2, 2): 1, (1, 0): 5, (1, 1): 2, (0, 0): 3}
    assert executor.ran[0].origin == BASELINE
    trained = Counter(
        (known.trial.seed, r.epoch) for known in record.trials for r in known.outcome.history if not r.restored
    )
    assert max(trained.values()) == 1


def test_the_finalists_of_hyperband_went_furthest(tmp_path: Path) -> None:
    half = finalists(hyperband(tmp_path / "half", InstantExecutor(), trials=12), 2)
    assert [known.trial.target_epoch for known in half] == [None, 3, 3], "none was trained to the end"
    whole = finalists(hyperband(tmp_path / "whole", InstantExecutor()), 2)
    assert [known.trial.target_epoch for known in whole] == [None, None, None]
    waiting = verification_trials(hyperband(tmp_path / "half", InstantExecutor(), trials=12), count=2, replicates=1)
    assert {trial.last_epoch for trial in waiting} == {9}, "verification trains to the end"


def test_a_budget_of_epochs_is_kept_by_every_engine(tmp_path: Path) -> None:
    for pruner in ("none", "asha"):
        record = search(tmp_path / pruner, InstantExecutor(slots=2), trials=1000, epochs=50, pruner=pruner)
        assert 50 <= sum(known.outcome.epochs_trained for known in record.trials) < 50 + 4
    record = hyperband(tmp_path / "hyperband", InstantExecutor(), epochs=50)
    assert 50 <= sum(known.outcome.epochs_trained for known in record.trials) < 50 + 9
    again = InstantExecutor()
    hyperband(tmp_path / "hyperband", again, epochs=50)
    assert again.ran == []


def test_a_killed_trials_epochs_count_for_the_budget(tmp_path: Path) -> None:
    report = EpochReport(epoch=1, training_loss=0.5, metrics={"error_percent": 3.0}, seconds=2.0)
    for _ in range(2):  # a coordinator dies twice, each time after an epoch
        with open_ledger(StudyLocation(studies_dir=tmp_path), header()) as ledger:
            interrupt_orphans(ledger)
            number = len(ledger.read().trials_in_phase(Phase.SEARCH))
            trial = Trial(number=number, config=TINY.baseline, seed=77, epochs=4, origin=BASELINE)
            ledger.begin(trial)
            ledger.report(trial, report)
    record = search(tmp_path, InstantExecutor(), trials=100, epochs=10, recipes=False)
    killed = [known.outcome for known in record.trials if known.outcome.state is State.INTERRUPTED]
    assert [outcome.history for outcome in killed] == [(report,), (report,)]
    assert sum(known.outcome.epochs_trained for known in record.trials) == 2 + 8, "two lost epochs, and two trials"


@pytest.mark.parametrize(("has_checkpoint", "epochs"), [(True, 1), (False, 4)])
def test_an_interrupted_trial_takes_the_time_of_what_is_left_of_it(
    tmp_path: Path, has_checkpoint: bool, epochs: int
) -> None:
    asked: list[int] = []
    with open_ledger(StudyLocation(studies_dir=tmp_path), header()) as ledger:
        for number, state in enumerate((State.COMPLETE, State.INTERRUPTED)):
            ended = Trial(number=number, config={**TINY.baseline, "width": 16 + number}, seed=7, epochs=4)
            ledger.begin(ended)
            history = complete().history[: 4 - number]
            ledger.finish(ended, dataclasses.replace(complete(), state=state, history=history))
        checkpoints = CheckpointStore(tmp_path / "checkpoints")
        (tmp_path / "checkpoints").mkdir()
        if has_checkpoint:
            Path(checkpoints.latest_path(ended.training_key)).touch()
        engine = OptunaEngine(TINY, sampler="random", pruner="none", seed=0, epochs=4)
        source = SearchSource(
            engine,
            ledger,
            recipes=(),
            has_time=lambda config, epochs: not asked.append(epochs),
            checkpoints=checkpoints,
        )
        assert source.next().training_key == ended.training_key
    assert asked == [epochs]


def test_a_search_whose_proposals_all_fail_uses_its_budget_up(tmp_path: Path) -> None:
    def curve(trial: Trial, epoch: int) -> float:
        if trial.origin == BASELINE:
            return 1.0
        raise ArithmeticError("NaN")

    record = search(tmp_path, InstantExecutor(curve=curve), trials=1000, epochs=14, recipes=False)
    assert [known.outcome.state for known in record.trials] == [State.COMPLETE] + [State.FAILED] * 10


def test_states_that_nothing_goes_on_from_are_swept_away(tmp_path: Path) -> None:
    hyperband(tmp_path, InstantExecutor(), trials=8)
    kept = tmp_path / "study" / "checkpoints"
    before = {path.name for path in kept.iterdir()}
    (kept / "4711.npz").touch()  # of a trial that a kill came upon after its end
    hyperband(tmp_path, InstantExecutor(), trials=8)
    assert {path.name for path in kept.iterdir()} == before


def test_an_exhausted_space_ends_the_search(tmp_path: Path) -> None:
    from spaces import Int, Space

    space = Space(name="few", parameters={"width": Int(1, 4, 2)})
    with open_ledger(StudyLocation(studies_dir=tmp_path), header(space=space)) as ledger:
        engine = OptunaEngine(space, sampler="random", pruner="none", seed=0, epochs=4)
        source = SearchSource(engine, ledger, trials=100)
        run_loop(source, executor=InstantExecutor(slots=2), ledger=ledger, callback=Callback())
        assert source.is_exhausted
        assert sorted(known.trial.config["width"] for known in ledger.read().trials) == [1, 2, 3, 4]


@pytest.mark.parametrize("slots", [2, 5])
def test_ordered_proposes_the_same_whatever_finishes_first(tmp_path: Path, slots: int) -> None:
    def record(seed: int, *, ordered: bool) -> list[str]:
        inner = InstantExecutor(slots=slots, seed=seed)
        executor = OrderedExecutor(inner) if ordered else inner
        found = search(tmp_path / f"{seed}-{ordered}", executor, pruner="asha", trials=14)
        return [
            f"{config} {len(known.outcome.history)}"
            for config, known in zip(configs(found), found.trials, strict=False)
        ]

    first = record(0, ordered=True)
    assert all(record(seed, ordered=True) == first for seed in range(1, 6))
    assert any(record(seed, ordered=False) != record(0, ordered=False) for seed in range(1, 6))


def test_verification_takes_the_baseline_and_the_best_by_validation(tmp_path: Path) -> None:
    record = search(tmp_path, InstantExecutor())
    best = sorted(record.trials[1:], key=lambda known: known.outcome.error_percent)[:2]
    assert finalists(record, 2) == [record.trials[0], *best]
    waiting = verification_trials(record, count=2, replicates=3)
    found_first = sorted(finalists(record, 2), key=lambda known: known.trial.origin != PROPOSED)
    assert [(trial.source_trial, trial.replicate) for trial in waiting] == [
        (known.trial.number, replicate) for replicate in range(3) for known in found_first
    ]
    assert [trial.number for trial in waiting] == list(range(9))
    for replicate in range(3):
        assert len({trial.seed for trial in waiting if trial.replicate == replicate}) == 1
    assert not {trial.seed for trial in waiting} & {known.trial.seed for known in record.trials}


def test_verification_is_resumed_and_not_repeated(tmp_path: Path) -> None:
    search(tmp_path, InstantExecutor())
    with open_ledger(StudyLocation(studies_dir=tmp_path), header()) as ledger:
        for stop in (after(12), lambda: None):
            waiting = verification_trials(ledger.read(), count=2, replicates=3)
            source, executor = ReplicateSource(waiting), InstantExecutor(slots=2)
            run_loop(source, executor=executor, ledger=ledger, callback=Callback(), stop_cause=stop)
        record = ledger.read()
        assert verification_trials(record, count=2, replicates=3) == []
        assert len(verification_trials(record, count=2, replicates=4)) == 3
    done = [known for known in record.trials_in_phase(Phase.VERIFICATION) if known.outcome.state is State.COMPLETE]
    assert len({(known.trial.source_trial, known.trial.replicate) for known in done}) == len(done) == 9
    assert len(record.trials_in_phase(Phase.VERIFICATION)) > 9
    assert record.test_evaluations == len(record.trials_in_phase(Phase.VERIFICATION))


def test_the_baselines_repeats_have_seeds_of_their_own(tmp_path: Path) -> None:
    with open_ledger(StudyLocation(studies_dir=tmp_path), header()) as ledger:
        waiting = baseline_trials(ledger.read(), repeats=3)
        ledger.begin(waiting[0])
        ledger.finish(waiting[0], Outcome(state=State.COMPLETE, metrics={"error_percent": 1.0}))
        left = baseline_trials(ledger.read(), repeats=4)
    assert len({trial.seed for trial in waiting}) == 3
    assert [trial.replicate for trial in left] == [1, 2, 3]
    assert [trial.number for trial in left] == [1, 2, 3]
    assert [trial.seed for trial in left[:2]] == [trial.seed for trial in waiting[1:]]
