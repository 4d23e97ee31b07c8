"""What the study does about failures: tries again, goes on, or stops and says why. The executor fails on purpose."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from doubles import InstantExecutor
from makers import TINY, header

from search.engines.optuna_engine import OptunaEngine
from search.errors import FatalError
from search.execution.base import Event, Finished
from search.records.opening import open_ledger
from search.records.reader import read_study
from search.records.record import StudyRecord
from search.records.storage.locations import StudyLocation
from search.session.callbacks import Callback
from search.study.loop import run_loop
from search.study.peers import interrupt_orphans
from search.study.search_source import SearchSource, final_trials
from search.study.verification import ReplicateSource, verification_trials
from search.trial import BASELINE, Cause, Outcome, Phase, State, Trial
from spaces import Int, Space

Fault = Callable[[Trial], Cause | None]


class Failing(InstantExecutor):
    """Trials end as a rule says, whatever they trained; None lets them be."""

    def __init__(self, fault: Fault, *, slots: int = 1) -> None:
        super().__init__(slots=slots)
        self._fault = fault

    def collect(self, timeout: float) -> list[Event]:
        trials = dict(self.running)
        return [self._failed(event, trials[event.key]) for event in super().collect(timeout)]

    def _failed(self, event: Event, trial: Trial) -> Event:
        if not isinstance(event, Finished) or event.outcome.state is State.INTERRUPTED:
            return event
        cause = self._fault(trial)
        lost = Outcome(state=State.FAILED, cause=cause, message=f"it was {cause}")
        return event if cause is None else Finished(event.key, lost)


def search(folder: Path, executor: InstantExecutor, *, trials: int = 6) -> StudyRecord:
    """Runs a session of the study in a folder and returns the record."""
    with open_ledger(StudyLocation(studies_dir=folder), header()) as ledger:
        interrupt_orphans(ledger)
        engine = OptunaEngine(TINY, sampler="random", pruner="none", seed=5, epochs=4)
        source = SearchSource(engine, ledger, trials=trials, recipes=())
        run_loop(source, executor=executor, ledger=ledger, callback=Callback())
        return ledger.read()


def states(record: StudyRecord) -> list[State]:
    return [known.outcome.state for known in record.trials if known.outcome]


def only(number: int, cause: Cause) -> Fault:
    """The trial of that number fails, and no other."""
    return lambda trial: cause if trial.number == number else None


@pytest.mark.parametrize("cause", [Cause.KILLED, Cause.CRASHED, Cause.HUNG])
def test_a_fault_of_the_machine_is_tried_again_at_once_with_the_same_seed(tmp_path: Path, cause: Cause) -> None:
    record = search(tmp_path, Failing(only(2, cause)))
    lost, again = record.trials[2], record.trials[3]
    assert (lost.outcome.state, lost.outcome.cause) == (State.INTERRUPTED, cause)
    assert (again.trial.config, again.trial.seed) == (lost.trial.config, lost.trial.seed)
    assert again.outcome.state is State.COMPLETE
    assert len(final_trials(record)) == 6
    assert len(record.trials) == 7


def test_it_is_tried_again_within_a_bound_over_all_sessions(tmp_path: Path) -> None:
    def unlucky(trial: Trial) -> Cause | None:
        return Cause.KILLED if trial.number > 0 and trial.seed == seeds[-1] else None

    seeds = [search(tmp_path, InstantExecutor(), trials=1).trials[0].trial.seed]
    with open_ledger(StudyLocation(studies_dir=tmp_path), header()) as ledger:
        engine = OptunaEngine(TINY, sampler="random", pruner="none", seed=5, epochs=4)
        trial = SearchSource(engine, ledger, trials=2, recipes=()).next()
        assert trial is not None
        seeds.append(trial.seed)
    record = search(tmp_path, Failing(unlucky), trials=4)
    tries = [known.outcome.state for known in record.trials if known.trial.seed == seeds[-1]]
    assert tries == [State.INTERRUPTED, State.INTERRUPTED, State.FAILED]
    assert len(final_trials(record)) == 4


@pytest.mark.parametrize("cause", [Cause.NOT_FINITE, Cause.OUT_OF_MEMORY, Cause.INVALID, Cause.TRIAL_TIMEOUT])
def test_a_fault_of_the_configuration_is_never_tried_again(tmp_path: Path, cause: Cause) -> None:
    record = search(tmp_path, Failing(only(2, cause)))
    assert states(record).count(State.FAILED) == 1
    assert record.trials[2].outcome.cause is cause
    assert len({known.trial.seed for known in record.trials}) == len(record.trials) == 6


@pytest.mark.parametrize("cause", [Cause.DISK_FULL, Cause.DATA])
def test_what_would_fail_every_trial_stops_the_study_which_goes_on_later(tmp_path: Path, cause: Cause) -> None:
    with pytest.raises(FatalError, match=f"it was {cause}") as stopped:
        search(tmp_path, Failing(only(2, cause), slots=2))
    assert "un the same command again" in stopped.value.hint
    record = read_study(StudyLocation(studies_dir=tmp_path), "study")
    assert all(known.outcome is not None for known in record.trials), "what ran beside was recorded"
    assert (record.trials[2].outcome.state, record.trials[2].outcome.cause) == (State.INTERRUPTED, cause)
    whole = search(tmp_path, InstantExecutor(slots=2))
    assert len(final_trials(whole)) == 6
    again = [known for known in final_trials(whole) if known.trial.seed == record.trials[2].trial.seed]
    assert [known.outcome.state for known in again] == [State.COMPLETE]


@pytest.mark.parametrize(("cause", "runs"), [(Cause.INVALID, 3), (Cause.KILLED, 3 + 3 + 1)])
def test_three_alike_at_the_start_stop_the_study_with_the_cause(tmp_path: Path, cause: Cause, runs: int) -> None:
    with pytest.raises(FatalError, match=str(cause)):
        search(tmp_path, Failing(lambda trial: cause))
    assert len(read_study(StudyLocation(studies_dir=tmp_path), "study").trials) == runs, (
        "a trial that is tried again is one"
    )


def test_a_baseline_that_is_too_much_for_the_machine_does_not_stop_the_study(tmp_path: Path) -> None:
    record = search(tmp_path, Failing(lambda trial: Cause.KILLED if trial.origin == BASELINE else None))
    assert states(record) == [State.INTERRUPTED] * 2 + [State.FAILED] + [State.COMPLETE] * 5


def test_three_alike_are_noticed_over_sessions_and_stop_no_later_one(tmp_path: Path) -> None:
    def fault(trial: Trial) -> Cause | None:
        return Cause.INVALID if trial.number < 3 else None

    search(tmp_path, Failing(fault), trials=2)
    with pytest.raises(FatalError, match=str(Cause.INVALID)):
        search(tmp_path, Failing(fault), trials=4)
    assert states(search(tmp_path, Failing(fault), trials=4)) == [State.FAILED] * 3 + [State.COMPLETE]


def test_a_trial_killed_after_the_last_configuration_was_given_is_tried_again(tmp_path: Path) -> None:
    space = Space(name="few", parameters={"width": Int(1, 3, 2)})
    with open_ledger(StudyLocation(studies_dir=tmp_path), header(space=space)) as ledger:
        engine = OptunaEngine(space, sampler="random", pruner="none", seed=0, epochs=4)
        source = SearchSource(engine, ledger, trials=9, recipes=())
        executor = Failing(only(1, Cause.KILLED), slots=4)
        run_loop(source, executor=executor, ledger=ledger, callback=Callback())
        assert sorted(known.trial.config["width"] for known in final_trials(ledger.read())) == [1, 2, 3]


def test_failures_of_several_causes_at_the_start_are_not_alike(tmp_path: Path) -> None:
    causes = [Cause.INVALID, Cause.NOT_FINITE, Cause.ERROR, Cause.INVALID]
    record = search(tmp_path, Failing(lambda trial: dict(enumerate(causes)).get(trial.number)))
    assert states(record) == [State.FAILED] * 4 + [State.COMPLETE] * 2


def test_failures_that_are_quicker_than_the_first_trials_stop_nothing(tmp_path: Path) -> None:
    """With many workers what fails fails first; it says nothing of the rest."""
    record = search(tmp_path, Failing(lambda trial: Cause.INVALID if trial.number > 0 else None, slots=5), trials=9)
    assert states(record) == [State.COMPLETE] + [State.FAILED] * 8


def test_failures_after_a_success_stop_nothing(tmp_path: Path) -> None:
    record = search(tmp_path, Failing(lambda trial: None if trial.origin == BASELINE else Cause.INVALID))
    assert states(record) == [State.COMPLETE] + [State.FAILED] * 5


def test_a_verification_run_that_a_fault_of_the_machine_ended_is_tried_again(tmp_path: Path) -> None:
    search(tmp_path, InstantExecutor())
    with open_ledger(StudyLocation(studies_dir=tmp_path), header()) as ledger:
        waiting = verification_trials(ledger.read(), count=1, replicates=2)
        executor = Failing(only(1, Cause.KILLED))
        run_loop(ReplicateSource(waiting), executor=executor, ledger=ledger, callback=Callback())
        record = ledger.read()
    assert verification_trials(record, count=1, replicates=2) == []
    runs = record.trials_in_phase(Phase.VERIFICATION)
    assert [known.outcome.state for known in runs].count(State.INTERRUPTED) == 1
    assert len(runs) == 5
