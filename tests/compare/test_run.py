"""Tournaments with real engines and real ledgers; the executor is a double that trains nothing."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from doubles import InstantExecutor
from filelock import FileLock

from search.compare.plan import ComparisonPlan, StudyRun, choose_engines, make_comparison_plan, repeat_seed
from search.compare.run import run_studies
from search.compare.store import SPEC_FILE, load_comparison, read_spec, study_records
from search.errors import UserError
from search.execution.base import Event
from search.records.record import COPIED_FROM_KEY, StudyRecord
from search.session.callbacks import Callback
from search.session.settings import from_mapping
from search.study.search_source import final_trials
from search.trial import BASELINE, Phase, State, Trial, config_key

EPOCHS = 4
TWO = ("optuna:tpe", "optuna:random")


def curve(trial: Trial, epoch: int) -> float:
    """An error in percent that the configuration and the seed decide, falling with epochs."""
    share = sum(map(ord, config_key(trial.config))) % 97 / 97
    return 1.0 + share + trial.seed % 13 / 100 + 1.0 / epoch


class Interrupting(InstantExecutor):
    """Presses Ctrl-C when so many trials have begun."""

    def __init__(self, at: int) -> None:
        super().__init__(slots=2, curve=curve)
        self._at = at

    def collect(self, timeout: float) -> list[Event]:
        if 0 < self._at <= len(self.ran):
            self._at = -1
            os.kill(os.getpid(), signal.SIGINT)
        return super().collect(timeout)


class Contest:
    """A folder in which tournaments are run, each on an executor of its own."""

    def __init__(self, folder: Path, dataset: Path, cache_dir: Path) -> None:
        self._options = {
            "dataset": dataset, "cache_dir": cache_dir, "studies_dir": folder / "studies", "space": "mlp",
            "epochs": EPOCHS, "replicates": 2, "seed": 3, "workers": 2, "pruner": "none",
        }  # fmt: skip
        self.folder = folder / "studies" / "compare-small-mlp"
        self.watched: list[StudyRun] = []

    def plan(self, engines: tuple[str, ...] = TWO, repeats: int = 2, name: str | None = None, **more) -> ComparisonPlan:
        bound = {} if more.keys() & {"timeout", "total_epochs", "trials"} else {"trials": 3}
        settings = from_mapping({**self._options, **bound, **more})
        return make_comparison_plan(settings, engines=engines, repeats=repeats, name=name)

    def run(self, executor: InstantExecutor | None = None, **more) -> list[Trial]:
        """Runs a tournament and returns what was trained, without the epochs that warmed the workers up."""
        executor = executor or InstantExecutor(slots=2, curve=curve)
        self.interrupted = run_studies(self.plan(**more), self._watch, executor=executor)
        assert executor.closed or not executor.ran
        return [trial for trial in executor.ran if trial.epochs == EPOCHS]

    def _watch(self, bout: StudyRun) -> Callback:
        self.watched.append(bout)
        return Callback()

    @property
    def records(self) -> dict[str, StudyRecord]:
        return {record.header.name: record for record in study_records(self.folder)}


@pytest.fixture
def contest(tmp_path: Path, small_mnist: Path, cache_dir: Path) -> Contest:
    return Contest(tmp_path, small_mnist, cache_dir)


def seeds_of(record: StudyRecord, phase: Phase) -> list[int]:
    return [known.trial.seed for known in record.trials_in_phase(phase)]


def test_the_studies_of_a_repeat_share_every_seed(contest: Contest) -> None:
    contest.run()
    known = contest.records
    assert sorted(known) == ["optuna-random-0", "optuna-random-1", "optuna-tpe-0", "optuna-tpe-1"]
    for repeat in (0, 1):
        tpe, random = known[f"optuna-tpe-{repeat}"], known[f"optuna-random-{repeat}"]
        assert tpe.header.seed == random.header.seed == repeat_seed(3, repeat)
        for phase in (Phase.SEARCH, Phase.VERIFICATION):
            assert seeds_of(tpe, phase) == seeds_of(random, phase)
    assert not set(seeds_of(known["optuna-tpe-0"], Phase.SEARCH)) & set(seeds_of(known["optuna-tpe-1"], Phase.SEARCH))


def test_every_search_starts_from_the_baseline_alone_and_costs_the_same(contest: Contest) -> None:
    contest.run()
    for record in contest.records.values():
        assert [known.trial.origin for known in record.trials_in_phase(Phase.SEARCH)] == [BASELINE, "found", "found"]
        assert sum(known.outcome.epochs_trained for known in record.trials_in_phase(Phase.SEARCH)) == 3 * EPOCHS


def test_engines_take_turns_repeat_by_repeat(contest: Contest) -> None:
    contest.run()
    turns = [(bout.position, bout.total, bout.engine, bout.repeat) for bout in contest.watched]
    assert turns == [
        (1, 4, "optuna:tpe", 0), (2, 4, "optuna:random", 0), (3, 4, "optuna:tpe", 1), (4, 4, "optuna:random", 1),
    ]  # fmt: skip


def test_an_engine_that_divides_its_epochs_gets_as_many(contest: Contest) -> None:
    contest.run(engines=("optuna:tpe", "keras-tuner:hyperband"), repeats=1, trials=6)
    found = contest.records["keras-tuner-hyperband-0"].trials_in_phase(Phase.SEARCH)
    assert any(known.outcome.state is State.PAUSED for known in found)
    trained = sum(known.outcome.epochs_trained for known in found)
    assert 6 * EPOCHS <= trained < 6 * EPOCHS + 2 * EPOCHS


def test_nothing_is_run_twice(contest: Contest) -> None:
    contest.run()
    before = contest.records
    again = InstantExecutor(slots=2)
    assert contest.run(again) == []
    assert again.ran == []
    assert contest.records == before


def test_the_baseline_is_verified_once_a_repeat(contest: Contest) -> None:
    verified = [trial for trial in contest.run() if trial.phase is Phase.VERIFICATION]
    runs = [(config_key(trial.config), trial.seed) for trial in verified]
    assert len(set(runs)) == len(runs)
    assert len([trial for trial in verified if trial.origin == BASELINE]) == 2 * 2
    first, second = contest.records["optuna-tpe-0"], contest.records["optuna-random-0"]
    for ours, theirs in zip(
        first.trials_in_phase(Phase.VERIFICATION), second.trials_in_phase(Phase.VERIFICATION), strict=True
    ):
        if ours.trial.origin == BASELINE:
            (copy,) = [
                known
                for known in second.trials_in_phase(Phase.VERIFICATION)
                if known.trial.origin == BASELINE and known.trial.seed == ours.trial.seed
            ]
            assert copy.outcome.error_percent == ours.outcome.error_percent
            assert copy.outcome.environment[COPIED_FROM_KEY] == "optuna-tpe-0"
        assert theirs.outcome.state is State.COMPLETE


def test_what_was_copied_is_not_counted_as_another_opening(contest: Contest) -> None:
    verified = [trial for trial in contest.run() if trial.phase is Phase.VERIFICATION]
    assert load_comparison(contest.folder).test_openings == len(verified)


@pytest.mark.parametrize("at", [2, 4, 9, 13])
def test_an_interrupted_tournament_goes_on(contest: Contest, at: int) -> None:
    handler = signal.getsignal(signal.SIGINT)
    contest.run(Interrupting(at))
    assert contest.interrupted
    assert signal.getsignal(signal.SIGINT) is handler
    before = {name: len(final_trials(record)) for name, record in contest.records.items()}
    assert sum(before.values()) < 4 * 3
    contest.run()
    assert not contest.interrupted
    known = contest.records
    assert [len(final_trials(record)) for record in known.values()] == [3] * 4
    for record in known.values():
        complete = [run for run in record.trials_in_phase(Phase.VERIFICATION) if run.outcome.state is State.COMPLETE]
        assert len({(run.trial.source_trial, run.trial.replicate) for run in complete}) == len(complete) == 4
    assert all(len(entrant.errors_by_repeat) == 2 for entrant in load_comparison(contest.folder).engine_results)


def test_a_study_whose_verification_began_is_not_searched_on(contest: Contest) -> None:
    class StopsVerification(Interrupting):
        def submit(self, trial: Trial) -> None:
            super().submit(trial)
            if trial.phase is Phase.VERIFICATION and self._at == 0:
                self._at = len(self.ran)

    contest.run(StopsVerification(0), timeout=0.5)
    assert contest.interrupted
    (record,) = contest.records.values()
    assert record.trials_in_phase(Phase.VERIFICATION)
    more = contest.run(timeout=0.5, repeats=1, engines=("optuna:tpe",))
    assert {trial.phase for trial in more} == {Phase.VERIFICATION}


def test_a_time_budget_is_the_searchs_alone(contest: Contest) -> None:
    contest.run(timeout=0.4, repeats=1)
    for record in contest.records.values():
        ends = [known.outcome.elapsed_seconds for known in record.trials_in_phase(Phase.SEARCH)]
        assert 0.4 <= max(ends) < 0.4 + 2.0
        assert len(record.trials_in_phase(Phase.VERIFICATION)) == 4
        assert record.spent_seconds > max(ends)


def test_repeats_and_engines_can_be_added(contest: Contest) -> None:
    contest.run(engines=("optuna:tpe",), repeats=1)
    before = contest.records["optuna-tpe-0"]
    contest.run(repeats=2)
    assert contest.records["optuna-tpe-0"] == before
    assert len(contest.records) == 4
    rules = read_spec(contest.folder)
    assert (rules.engines, rules.repeats) == (TWO, 2)
    contest.run(engines=("optuna:random",), repeats=1)
    assert read_spec(contest.folder) == rules
    assert len(load_comparison(contest.folder).studies) == 4


def test_a_seed_that_is_not_given_is_drawn_once(contest: Contest) -> None:
    contest.run(repeats=1, seed=None)
    drawn = read_spec(contest.folder).seed
    assert contest.run(repeats=1, seed=None) == []
    assert read_spec(contest.folder).seed == drawn


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 4}, "seed (recorded 3, received 4)"),
        ({"trials": 5}, "budget.epochs (recorded 12, received 20)"),
        ({"timeout": 60.0}, "budget.seconds (recorded nothing, received 60.0)"),
        ({"replicates": 3}, "replicates (recorded 2, received 3)"),
        ({"workers": 1}, "workers (recorded 2, received 1)"),
        ({"fix": {"batch_size": 128}}, "space.parameters"),
        ({"pruner": "median"}, "pruner (recorded none, received median)"),
    ],
)
def test_another_tournament_of_the_same_name_is_refused(contest: Contest, changes: dict, named: str) -> None:
    contest.run(repeats=1)
    with pytest.raises(UserError) as refused:
        contest.plan(**changes)
    assert named in refused.value.message
    assert "--name" in refused.value.hint
    assert contest.plan(name="other", **changes).folder.name == "other"


def test_one_process_at_a_time(contest: Contest) -> None:
    contest.run(repeats=1)
    with FileLock(contest.folder / "lock"), pytest.raises(UserError, match="another process"):
        contest.run(repeats=2)
    assert read_spec(contest.folder).repeats == 1


def test_planning_writes_nothing(contest: Contest) -> None:
    assert contest.plan().folder == contest.folder
    assert not contest.folder.exists()


def test_a_damaged_or_wrong_folder_is_an_error_with_its_place(contest: Contest) -> None:
    contest.run(repeats=1)
    with pytest.raises(UserError, match="is a study"):
        read_spec(contest.folder / "optuna-tpe-0")
    (contest.folder / SPEC_FILE).write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        load_comparison(contest.folder)
    with pytest.raises(UserError, match="no tournament"):
        load_comparison(contest.folder / "nowhere")


def test_the_recorded_rules_are_plain_json(contest: Contest) -> None:
    contest.run(repeats=1)
    document = json.loads((contest.folder / SPEC_FILE).read_text())
    assert (document["seed"], document["epochs"], document["terms"]["protocol"]["epochs"]) == (3, 12, EPOCHS)


def test_a_pruner_goes_to_the_engines_that_have_it() -> None:
    chosen = choose_engines(("optuna", "keras-tuner:hyperband"), "median")
    assert [(choice.name, choice.pruner) for choice in chosen] == [
        ("optuna:tpe", "median"),
        ("keras-tuner:hyperband", "none"),
    ]
    assert [choice.pruner for choice in choose_engines(TWO, None)] == ["asha", "asha"]
    with pytest.raises(UserError, match="pruner of keras-tuner"):
        choose_engines(("keras-tuner",), "median")
