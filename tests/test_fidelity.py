"""Trials that are stopped at a rung and go on later, through the whole loop; the executor trains nothing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from doubles import Curve, InstantExecutor
from makers import TINY, header

from search.engines.optuna_engine import OptunaEngine
from search.records.opening import open_ledger
from search.records.record import StudyRecord
from search.records.storage.locations import StudyLocation
from search.session.callbacks import Callback
from search.study.checkpoint_store import CheckpointStore
from search.study.loop import run_loop
from search.study.peers import interrupt_orphans
from search.study.search_source import SearchSource, final_trials
from search.trial import BASELINE, Cause, State, Trial

EPOCHS = 4
Stop = Cause | None


def rising(trial: Trial, epoch: int) -> float:
    """Later configurations are worse, so that those stopped early turn out to have been good."""
    return 10.0 + trial.seed % 97 + 1.0 / epoch


def asha(
    folder: Path, executor: InstantExecutor, *, trials: int = 24, weights: int = 10, looks: int | None = None
) -> StudyRecord:
    """Runs a session of a study, stopped after so many looks, and returns the record."""
    left = iter(range(looks or 0))
    with open_ledger(StudyLocation(studies_dir=folder), header(pruner="asha")) as ledger:
        interrupt_orphans(ledger)
        engine = OptunaEngine(TINY, sampler="random", pruner="asha", seed=5, epochs=EPOCHS)
        checkpoints = CheckpointStore(ledger.folder / "checkpoints", max_kept=weights)
        source = SearchSource(engine, ledger, trials=trials, checkpoints=checkpoints, recipes=())

        def stop() -> Stop:
            return Cause.CANCELLED if looks is not None and next(left, None) is None else None

        run_loop(source, executor=executor, ledger=ledger, callback=Callback(), stop_cause=stop)
        return ledger.read()


def executor(slots: int = 3, curve: Curve = rising) -> InstantExecutor:
    return InstantExecutor(slots=slots, curve=curve)


def test_stopped_trials_go_on_from_their_state_and_train_nothing_twice(tmp_path: Path) -> None:
    record = asha(tmp_path, executor())
    children = [known for known in record.trials if known.trial.parent is not None]
    assert children
    for known in children:
        parent = record.trials[known.trial.parent]
        assert (parent.outcome.state, parent.trial.config) == (State.PRUNED, known.trial.config)
        assert known.trial.seed == parent.trial.seed
        before = len(parent.outcome.history)
        assert [report.restored for report in known.outcome.history[: before + 1]] == [True] * before + [False]
    trained = Counter(
        (known.trial.seed, r.epoch) for known in record.trials for r in known.outcome.history if not r.restored
    )
    assert max(trained.values()) == 1
    assert record.trials[0].trial.origin == BASELINE
    assert record.trials[0].outcome.state is State.COMPLETE


def test_states_are_those_of_waiting_trials_and_no_more_than_may_be_kept(tmp_path: Path) -> None:
    record = asha(tmp_path / "all", executor(), weights=100)
    resumed = {known.trial.parent for known in record.trials}
    waiting = [k for k in record.trials if k.outcome.state is State.PRUNED and k.trial.number not in resumed]
    expected = {f"{known.trial.training_key}-{len(known.outcome.history)}.npz" for known in waiting}
    assert names(tmp_path / "all") == expected
    assert len(expected) > 2
    few = asha(tmp_path / "few", executor(), weights=2)
    assert len(names(tmp_path / "few")) <= 2
    assert len(final_trials(few)) == 24


def names(folder: Path) -> set[str]:
    return {path.name for path in (folder / "study" / "checkpoints").glob("*")}


def test_with_no_room_for_states_promoted_trials_begin_anew(tmp_path: Path) -> None:
    running = executor()
    record = asha(tmp_path, running, weights=0)
    children = [known for known in record.trials if known.trial.parent is not None]
    assert children
    assert not any(report.restored for known in children for report in known.outcome.history)
    assert all(files.resume_from is None for files in running.files.values())
    assert names(tmp_path) == set()


@pytest.mark.parametrize("looks", [7, 23, 40, 55, 71])
def test_a_study_that_was_stopped_ends_with_everything_trained_once(tmp_path: Path, looks: int) -> None:
    running = executor()
    asha(tmp_path, running, looks=looks)
    asha(tmp_path, running, looks=looks)
    stopped = [known.trial for known in asha(tmp_path, running, looks=0).trials if known.outcome.cause]
    record = asha(tmp_path, running)
    assert len(final_trials(record)) == 24
    again = {(known.trial.seed, known.trial.parent) for known in final_trials(record)}
    assert {(trial.seed, trial.parent) for trial in stopped} <= again, "promoted ones too go on"
    trained = Counter(
        (known.trial.seed, r.epoch) for known in record.trials for r in known.outcome.history if not r.restored
    )
    assert max(trained.values()) == 1
    parents = [known.trial.parent for known in final_trials(record) if known.trial.parent is not None]
    assert len(set(parents)) == len(parents), "nobody goes on twice"


def test_with_one_worker_a_resumed_study_is_the_uninterrupted_one(tmp_path: Path) -> None:
    def told(record: StudyRecord) -> list[tuple[object, ...]]:
        return [(k.trial.seed, k.trial.parent, k.outcome.state, len(k.outcome.history)) for k in record.trials]

    straight = asha(tmp_path / "straight", executor(slots=1))
    for trials in (5, 11, 24):
        resumed = asha(tmp_path / "resumed", executor(slots=1), trials=trials)
    assert told(resumed) == told(straight)
