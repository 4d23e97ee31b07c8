"""A recorded study plays again on a virtual clock: its own curves and those of neighbours, with 1 to 1,000 workers."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from makers import TINY, complete, header, trial

from search.engines.optuna_engine import OptunaEngine
from search.errors import UserError
from search.execution.replay import Replay
from search.execution.virtual import VirtualExecutor
from search.records.ledger import Ledger
from search.records.record import StudyRecord, TrialRecord
from search.records.storage.locations import StudyLocation
from search.session.callbacks import Callback
from search.study.loop import LoopContext, run_loop
from search.study.search_source import SearchLimits, SearchSource
from search.trial import Cause, Config, Outcome, State

WIDE = {**TINY.baseline, "width": 64}
FAST = {**TINY.baseline, "learning_rate": 0.05}
WITH_SGD = {**TINY.baseline, "optimizer": "sgd", "momentum": 0.5}


def study(*known: tuple[Config, Outcome]) -> StudyRecord:
    """A record of search trials."""
    trials = [
        TrialRecord(trial=trial(number, config=config), outcome=outcome)
        for number, (config, outcome) in enumerate(known)
    ]
    return StudyRecord(header=header(), trials=tuple(trials))


def cut(outcome: Outcome, epochs: int, state: State, **changes: object) -> Outcome:
    """An outcome that ended early."""
    return dataclasses.replace(outcome, history=outcome.history[:epochs], seconds={}, state=state, **changes)


def errors(record: StudyRecord, config: Config) -> list[float | None]:
    """What a config plays."""
    return [step.error_percent for step in Replay(record).course(trial(config=config)).epochs]


THREE = study((TINY.baseline, complete(2.0)), (WIDE, complete(1.0)), (WITH_SGD, complete(3.0)))


def test_a_recorded_config_plays_its_own_curve_and_pays_for_building_first() -> None:
    course = Replay(THREE).course(trial(config=WIDE))
    assert [step.error_percent for step in course.epochs] == [4.0, 3.0, 2.0, 1.0]
    recorded = dataclasses.replace(complete(1.0), seconds={"build": 2.5, "fit": 3.5, "evaluate": 0.5})
    (first, *rest) = Replay(study((WIDE, recorded))).course(trial(config=WIDE)).epochs
    assert (first.seconds, [step.seconds for step in rest]) == (3.5, [1.0] * 3)


def test_another_config_plays_the_curve_of_the_nearest_complete_one() -> None:
    assert errors(THREE, {**TINY.baseline, "width": 60}) == errors(THREE, WIDE)
    assert errors(THREE, {**TINY.baseline, "width": 20}) == errors(THREE, TINY.baseline)
    assert errors(THREE, {**WITH_SGD, "width": 40, "momentum": 0.9}) == errors(THREE, WITH_SGD)


def test_of_equally_near_ones_the_first_plays() -> None:
    twice = study((WIDE, complete(1.0)), (WIDE, complete(2.0)))
    assert errors(twice, TINY.baseline)[-1] == 1.0


def test_a_stopped_config_goes_on_in_parallel_to_its_neighbour_at_its_own_pace() -> None:
    pruned = cut(complete(6.0), 2, State.PRUNED)
    slow = dataclasses.replace(pruned, history=tuple(dataclasses.replace(r, seconds=5.0) for r in pruned.history))
    record = study((TINY.baseline, complete(2.0)), (FAST, slow))
    assert errors(record, FAST) == [9.0, 8.0, 7.0, 6.0]
    assert [step.seconds for step in Replay(record).course(trial(config=FAST)).epochs] == [5.0] * 4


def test_a_failed_config_fails_again_where_it_did() -> None:
    failed = cut(complete(6.0), 1, State.FAILED, cause=Cause.NOT_FINITE, message="A loss became NaN or infinite.")
    at_once = cut(complete(6.0), 0, State.FAILED, cause=Cause.INVALID, message="no such layer")
    replay = Replay(study((TINY.baseline, complete(2.0)), (FAST, failed), (WIDE, at_once)))
    course = replay.course(trial(config=FAST))
    assert (len(course.epochs), course.failure_cause, course.message) == (1, Cause.NOT_FINITE, failed.message)
    assert (replay.course(trial(config=WIDE)).epochs, replay.course(trial(config=WIDE)).failure_cause) == (
        (),
        Cause.INVALID,
    )


def test_of_several_trials_of_one_config_the_one_that_went_furthest_plays() -> None:
    paused = cut(complete(6.0), 2, State.PAUSED)
    assert errors(study((WIDE, complete(1.0)), (WIDE, paused)), WIDE) == [4.0, 3.0, 2.0, 1.0]


def test_what_cannot_be_replayed_is_refused() -> None:
    with pytest.raises(UserError, match="none of them complete"):
        Replay(study((WIDE, cut(complete(), 2, State.PRUNED))))
    with pytest.raises(UserError, match="4 epochs at most"):
        Replay(THREE).course(trial(config=WIDE, epochs=5))


def simulate(folder: Path, record: StudyRecord, *, workers: int, trials: int) -> tuple[StudyRecord, float]:
    """Searches a record anew; returns what was recorded and the virtual seconds."""
    executor = VirtualExecutor(Replay(record).course, slots=workers)
    with Ledger.in_memory(StudyLocation(studies_dir=folder), header(pruner="asha")) as ledger:
        engine = OptunaEngine(TINY, sampler="random", pruner="asha", seed=5, epochs=4)
        source = SearchSource(engine, ledger, limits=SearchLimits(trials=trials), recipes=True)
        crew = LoopContext(
            executor=executor,
            ledger=ledger,
            callback=Callback(),
            stop_cause=lambda: None,
            elapsed_seconds=lambda: executor.now,
        )
        run_loop(source, crew)
        return ledger.read(), executor.now


def told(record: StudyRecord) -> list[str]:
    """What a record says, but for the time of day."""
    return [
        json.dumps([dataclasses.asdict(known.trial), known.outcome.to_json() if known.outcome else None])
        for known in record.trials
    ]


@pytest.mark.parametrize(("workers", "trials"), [(1, 200), (10, 200), (1000, 1500)])
def test_a_real_engine_searches_a_record_the_same_way_each_time(tmp_path: Path, workers: int, trials: int) -> None:
    first, seconds = simulate(tmp_path, THREE, workers=workers, trials=trials)
    states = [known.outcome.state for known in first.trials if known.outcome]
    assert len(states) == trials
    assert {State.COMPLETE, State.PRUNED} == set(states)
    again, seconds_again = simulate(tmp_path, THREE, workers=workers, trials=trials)
    assert (told(again), seconds_again) == (told(first), seconds)


def test_more_workers_are_done_sooner_and_as_many_at_once_as_said(tmp_path: Path) -> None:
    times = [simulate(tmp_path, THREE, workers=workers, trials=100)[1] for workers in (1, 10, 100)]
    assert times == sorted(times, reverse=True)
    assert times[0] > 9 * times[1]
    assert times[2] == 4.0  # all at once: four epochs of a second each


def test_a_study_replayed_with_the_same_seed_records_itself(tmp_path: Path) -> None:
    first, seconds = simulate(tmp_path, THREE, workers=4, trials=60)
    again, seconds_again = simulate(tmp_path, first, workers=4, trials=60)
    assert (told(again), seconds_again) == (told(first), seconds)
