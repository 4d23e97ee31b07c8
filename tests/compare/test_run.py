"""Comparisons with real engines and real ledgers; the executor is a double that trains nothing."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from pathlib import Path

import pytest
from doubles import InstantExecutor
from filelock import FileLock

from search.compare.plan import ComparisonPlan, choose_engines, make_comparison_plan
from search.compare.run import run_studies
from search.compare.spec import RunKey, study_seed
from search.compare.store import SPEC_FILE, StudyStore
from search.errors import UserError
from search.execution.base import Event
from search.records.arithmetic import KERNELS_KEY, Kernels
from search.records.record import StudyRecord
from search.session.callbacks import Callback
from search.session.settings import from_mapping
from search.study.search_source import final_trials
from search.training.runtime import ONEDNN_VARIABLE, usable_cores
from search.trial import BASELINE, COPIED_FROM_KEY, NO_FILES, Phase, State, Trial, TrialFiles, config_key
from spaces import load

EPOCHS = 4
TWO = ("optuna:tpe", "optuna:random")


def curve(trial: Trial, epoch: int) -> float:
    """An error in percent that the configuration and the seed decide, falling with epochs."""
    share = sum(map(ord, config_key(trial.config))) % 97 / 97
    return 1.0 + share + trial.seed % 13 / 100 + 1.0 / epoch


class Interrupting(InstantExecutor):
    """Sends Ctrl-C when this many trials have begun."""

    def __init__(self, at: int) -> None:
        super().__init__(slots=2, curve=curve)
        self._at = at

    def collect(self, timeout: float) -> list[Event]:
        if 0 < self._at <= len(self.ran):
            self._at = -1
            os.kill(os.getpid(), signal.SIGINT)
        return super().collect(timeout)


class Workplace:
    """A folder in which comparisons are run, each on its own executor."""

    def __init__(self, folder: Path, dataset: Path, cache_dir: Path) -> None:
        self._options = {
            "dataset": dataset, "cache_dir": cache_dir, "studies_dir": folder / "studies", "space": "mlp",
            "epochs": EPOCHS, "replicates": 2, "seed": 3, "workers": 2, "pruner": "none",
        }  # fmt: skip
        self.folder = folder / "studies" / "compare-small-mlp"
        self.store = StudyStore(self.folder)
        self.started: list[RunKey] = []

    def plan(
        self,
        engines: tuple[str, ...] = TWO,
        repeats: int = 2,
        name: str | None = None,
        with_recipes: bool = False,
        **more,
    ) -> ComparisonPlan:
        bound = {} if more.keys() & {"timeout", "total_epochs", "trials"} else {"trials": 3}
        settings = from_mapping({**self._options, **bound, **more})
        return make_comparison_plan(settings, engines=engines, repeats=repeats, name=name, with_recipes=with_recipes)

    def run(self, executor: InstantExecutor | None = None, **more) -> list[Trial]:
        """Runs a comparison and returns the trials that were trained, without those that warmed the workers up."""
        executor = executor or InstantExecutor(slots=2, curve=curve)
        self.interrupted = run_studies(self.plan(**more), self._start, executor=executor)
        assert executor.closed or not executor.ran
        return [trial for trial in executor.ran if trial.epochs == EPOCHS]

    def _start(self, key: RunKey) -> Callback:
        self.started.append(key)
        return Callback()

    @property
    def records(self) -> dict[str, StudyRecord]:
        return {record.header.name: record for record in self.store.studies()}


@pytest.fixture
def workplace(tmp_path: Path, small_mnist: Path, cache_dir: Path) -> Workplace:
    return Workplace(tmp_path, small_mnist, cache_dir)


def seeds_of(record: StudyRecord, phase: Phase) -> list[int]:
    return [run.trial.seed for run in record.trials_in_phase(phase)]


def test_the_studies_of_a_repeat_share_every_seed(workplace: Workplace) -> None:
    workplace.run()
    records = workplace.records
    assert sorted(records) == ["optuna-random-0", "optuna-random-1", "optuna-tpe-0", "optuna-tpe-1"]
    for repeat in (0, 1):
        tpe, random = records[f"optuna-tpe-{repeat}"], records[f"optuna-random-{repeat}"]
        assert tpe.header.seed == random.header.seed == study_seed(3, repeat)
        for phase in (Phase.SEARCH, Phase.VERIFICATION):
            assert seeds_of(tpe, phase) == seeds_of(random, phase)
    assert not set(seeds_of(records["optuna-tpe-0"], Phase.SEARCH)) & set(
        seeds_of(records["optuna-tpe-1"], Phase.SEARCH)
    )


def test_every_search_starts_from_the_baseline_alone_and_costs_the_same(workplace: Workplace) -> None:
    workplace.run()
    for record in workplace.records.values():
        assert [run.trial.origin for run in record.trials_in_phase(Phase.SEARCH)] == [BASELINE, "found", "found"]
        assert sum(run.outcome.epochs_trained for run in record.trials_in_phase(Phase.SEARCH)) == 3 * EPOCHS


def test_every_search_may_try_the_recipes(workplace: Workplace) -> None:
    workplace.run(with_recipes=True)
    recipes = [f"recipe: {name}" for name in load("mlp").recipes][:2]
    for record in workplace.records.values():
        assert [run.trial.origin for run in record.trials_in_phase(Phase.SEARCH)] == [BASELINE, *recipes]


def test_engines_take_turns_repeat_by_repeat(workplace: Workplace) -> None:
    workplace.run()
    assert [(key.engine, key.repeat) for key in workplace.started] == [
        ("optuna:tpe", 0), ("optuna:random", 0), ("optuna:tpe", 1), ("optuna:random", 1),
    ]  # fmt: skip


def test_an_engine_that_divides_its_epochs_gets_as_many(workplace: Workplace) -> None:
    workplace.run(engines=("optuna:tpe", "keras-tuner:hyperband"), repeats=1, trials=6)
    found = workplace.records["keras-tuner-hyperband-0"].trials_in_phase(Phase.SEARCH)
    assert any(run.outcome.state is State.PAUSED for run in found)
    trained = sum(run.outcome.epochs_trained for run in found)
    assert 6 * EPOCHS <= trained < 6 * EPOCHS + 2 * EPOCHS


def test_nothing_is_run_twice(workplace: Workplace) -> None:
    workplace.run()
    before = workplace.records
    again = InstantExecutor(slots=2)
    assert workplace.run(again) == []
    assert again.ran == []
    assert workplace.records == before


def test_the_baseline_is_verified_once_a_repeat(workplace: Workplace) -> None:
    verified = [trial for trial in workplace.run() if trial.phase is Phase.VERIFICATION]
    runs = [(config_key(trial.config), trial.seed) for trial in verified]
    assert len(set(runs)) == len(runs)
    assert len([trial for trial in verified if trial.origin == BASELINE]) == 2 * 2
    first, second = workplace.records["optuna-tpe-0"], workplace.records["optuna-random-0"]
    for ours, theirs in zip(
        first.trials_in_phase(Phase.VERIFICATION), second.trials_in_phase(Phase.VERIFICATION), strict=True
    ):
        if ours.trial.origin == BASELINE:
            (copy,) = [
                run
                for run in second.trials_in_phase(Phase.VERIFICATION)
                if run.trial.origin == BASELINE and run.trial.seed == ours.trial.seed
            ]
            assert copy.outcome.error_percent == ours.outcome.error_percent
            assert copy.outcome.environment[COPIED_FROM_KEY] == "optuna-tpe-0"
        assert theirs.outcome.state is State.COMPLETE


def test_what_was_copied_is_not_counted_as_another_opening(workplace: Workplace) -> None:
    verified = [trial for trial in workplace.run() if trial.phase is Phase.VERIFICATION]
    assert workplace.store.load().test_openings == len(verified)


@pytest.mark.parametrize("at", [2, 4, 9, 13])
def test_an_interrupted_comparison_continues(workplace: Workplace, at: int) -> None:
    handler = signal.getsignal(signal.SIGINT)
    workplace.run(Interrupting(at))
    assert workplace.interrupted
    assert signal.getsignal(signal.SIGINT) is handler
    before = {name: len(final_trials(record)) for name, record in workplace.records.items()}
    assert sum(before.values()) < 4 * 3
    workplace.run()
    assert not workplace.interrupted
    records = workplace.records
    assert [len(final_trials(record)) for record in records.values()] == [3] * 4
    for record in records.values():
        complete = [run for run in record.trials_in_phase(Phase.VERIFICATION) if run.outcome.state is State.COMPLETE]
        assert len({(run.trial.source_trial, run.trial.replicate) for run in complete}) == len(complete) == 4
    assert all(len(place.scores) == 2 for place in workplace.store.load().comparison.engines)


def test_a_study_whose_verification_began_is_not_searched_on(workplace: Workplace) -> None:
    class StopsVerification(Interrupting):
        def submit(self, trial: Trial, files: TrialFiles = NO_FILES) -> None:
            super().submit(trial, files)
            if trial.phase is Phase.VERIFICATION and self._at == 0:
                self._at = len(self.ran)

    workplace.run(StopsVerification(0), timeout=0.5)
    assert workplace.interrupted
    (record,) = workplace.records.values()
    assert record.trials_in_phase(Phase.VERIFICATION)
    more = workplace.run(timeout=0.5, repeats=1, engines=("optuna:tpe",))
    assert {trial.phase for trial in more} == {Phase.VERIFICATION}


def test_a_time_budget_is_the_searchs_alone(workplace: Workplace) -> None:
    workplace.run(timeout=0.4, repeats=1)
    for record in workplace.records.values():
        ends = [run.outcome.elapsed_seconds for run in record.trials_in_phase(Phase.SEARCH)]
        assert 0.4 <= max(ends) < 0.4 + 2.0
        assert len(record.trials_in_phase(Phase.VERIFICATION)) == 4
        assert record.spent_seconds > max(ends)


def test_repeats_and_engines_can_be_added(workplace: Workplace) -> None:
    workplace.run(engines=("optuna:tpe",), repeats=1)
    before = workplace.records["optuna-tpe-0"]
    workplace.run(repeats=2)
    assert workplace.records["optuna-tpe-0"] == before
    assert len(workplace.records) == 4
    spec = workplace.store.read_spec()
    assert (spec.engines, spec.repeats) == (TWO, 2)
    workplace.run(engines=("optuna:random",), repeats=1)
    assert workplace.store.read_spec() == spec
    assert len(workplace.store.load().studies) == 4


def test_a_seed_that_is_not_given_is_drawn_once(workplace: Workplace) -> None:
    workplace.run(repeats=1, seed=None)
    drawn = workplace.store.read_spec().seed
    assert workplace.run(repeats=1, seed=None) == []
    assert workplace.store.read_spec().seed == drawn


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
        ({"with_recipes": True}, "recipes (recorded False, received True)"),
    ],
)
def test_other_terms_under_the_same_name_are_refused(workplace: Workplace, changes: dict, named: str) -> None:
    workplace.run(repeats=1)
    with pytest.raises(UserError) as refused:
        workplace.plan(**changes)
    assert named in refused.value.message
    assert "--name" in refused.value.hint
    assert workplace.plan(name="other", **changes).folder.name == "other"


@pytest.mark.parametrize("layout", [{"workers": None}, {"workers": 2}, {"workers": None, "threads": usable_cores()}])
def test_a_comparison_keeps_its_kernels_whatever_sets_its_workers(
    workplace: Workplace, layout: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(ONEDNN_VARIABLE, raising=False)
    layout = {**layout, "total_epochs": EPOCHS}  # a short study, in which nothing is measured
    first = workplace.plan(**layout, kernels="eigen").spec
    workplace.store.write_spec(first)
    assert workplace.plan(**layout).spec == first
    assert {plan.parallelism.kernels for plan in workplace.plan(**layout).studies.values()} == {Kernels.EIGEN}
    with pytest.raises(UserError, match="kernels"):
        workplace.plan(**layout, kernels="onednn")


def test_a_comparison_that_recorded_no_kernels_goes_on_with_tensorflows_default(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(ONEDNN_VARIABLE, raising=False)
    first = workplace.plan().spec
    old = {name: value for name, value in first.terms.items() if name != KERNELS_KEY}
    workplace.store.write_spec(dataclasses.replace(first, terms=old))
    continued = workplace.plan()
    assert continued.spec.terms[KERNELS_KEY] is None
    assert {plan.parallelism.kernels for plan in continued.studies.values()} == {None}
    given = workplace.plan(kernels="eigen")
    assert {plan.parallelism.kernels for plan in given.studies.values()} == {Kernels.EIGEN}


def test_one_process_at_a_time(workplace: Workplace) -> None:
    workplace.run(repeats=1)
    with FileLock(workplace.folder / "lock"), pytest.raises(UserError, match="another process"):
        workplace.run(repeats=2)
    assert workplace.store.read_spec().repeats == 1


def test_planning_writes_nothing(workplace: Workplace) -> None:
    assert workplace.plan().folder == workplace.folder
    assert not workplace.folder.exists()


def test_a_damaged_or_wrong_folder_is_an_error_with_its_place(workplace: Workplace) -> None:
    workplace.run(repeats=1)
    with pytest.raises(UserError, match="is a study"):
        StudyStore(workplace.folder / "optuna-tpe-0").read_spec()
    (workplace.folder / SPEC_FILE).write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        workplace.store.load()
    with pytest.raises(UserError, match="nowhere"):
        StudyStore(workplace.folder / "nowhere").load()


def test_the_recorded_terms_are_plain_json(workplace: Workplace) -> None:
    workplace.run(repeats=1)
    document = json.loads((workplace.folder / SPEC_FILE).read_text())
    assert (document["seed"], document["epochs"], document["terms"]["protocol"]["epochs"]) == (3, 12, EPOCHS)


def test_a_pruner_goes_to_the_engines_that_have_it() -> None:
    chosen = choose_engines(("optuna:tpe", "optuna:mutation", "keras-tuner:hyperband"), "median")
    assert [(choice.name, choice.pruner) for choice in chosen] == [
        ("optuna:tpe", "median"),
        ("optuna:mutation", "none"),
        ("keras-tuner:hyperband", "none"),
    ]
    assert [choice.pruner for choice in choose_engines(TWO, None)] == ["asha", "asha"]
    with pytest.raises(UserError, match="pruner of keras-tuner"):
        choose_engines(("keras-tuner",), "median")
