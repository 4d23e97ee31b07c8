"""Workers and threads are chosen by the options, the record, an earlier measurement, or a measurement."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from makers import complete, trial

from search.errors import UserError
from search.records.arithmetic import Kernels, Layers, require_same_arithmetic, study_arithmetic
from search.records.record import StudyRecord, TrialRecord
from search.session.parallelism.choose import choose_parallelism
from search.session.parallelism.policy import ChosenBy, Parallelism, WorkerLayout, candidate_layouts, fastest
from search.session.plan import Plan, make_plan
from search.session.settings import from_mapping
from search.training.runtime import ONEDNN_SWITCH, ONEDNN_VARIABLE, Device, has_both_kernels, usable_cores
from search.training.task import Task
from search.trial import Config, config_key

pytestmark = pytest.mark.skipif(usable_cores() < 2, reason="one core leaves nothing to choose")


class Probe:
    """Notes what is to be measured, and stops the measurement before it begins."""

    def __init__(self) -> None:
        self.layouts: Sequence[WorkerLayout] | None = None

    def choose(self, plan: Plan, record: StudyRecord | None = None) -> Parallelism:
        return choose_parallelism(plan, record, on_probe_start=self._note, should_stop=lambda: True)

    def _note(self, layouts: Sequence[WorkerLayout]) -> None:
        self.layouts = layouts


@pytest.fixture
def options(small_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    monkeypatch.delenv(ONEDNN_VARIABLE, raising=False)
    folders = {name: tmp_path / name for name in ("cache_dir", "studies_dir", "reports_dir")}
    return {"dataset": small_mnist, "sampler": "random", "seed": 0, **folders}


def plan(options: dict[str, object], **more: object) -> Plan:
    return make_plan(from_mapping({**options, **more}))


def record(made: Plan, *threads: int | None) -> StudyRecord:
    """A record of trials that ran with so many threads."""
    return record_of(made, *({"threads": count} for count in threads))


def record_of(made: Plan, *environments: dict[str, object]) -> StudyRecord:
    """A record of trials that ran in these environments."""
    outcomes = [dataclasses.replace(complete(), environment=environment) for environment in environments]
    trials = tuple(TrialRecord(trial=trial(n), outcome=outcome) for n, outcome in enumerate(outcomes))
    return StudyRecord(header=made.header, trials=trials)


@pytest.mark.parametrize(
    ("given", "layout"),
    [
        ({"workers": 3, "threads": 5}, WorkerLayout(3, 5)),
        ({"threads": 1}, WorkerLayout(usable_cores(), 1)),
        ({"threads": 10_000}, WorkerLayout(1, 10_000)),
        ({"workers": 1}, WorkerLayout(1, usable_cores())),
        ({"workers": 10_000}, WorkerLayout(10_000, 1)),
    ],
)
def test_options_decide_without_a_measurement(options: dict, given: dict, layout: WorkerLayout) -> None:
    probe = Probe()
    chosen = probe.choose(plan(options, kernels="eigen", **given))
    assert chosen == Parallelism(layout=layout, chosen_by=ChosenBy.SPECIFIED, kernels=Kernels.EIGEN)
    assert probe.layouts is None


@pytest.mark.parametrize(
    "short", [{"trials": 1}, {"timeout": 590.0}, {"total_epochs": 10}, {"trials": 0}, {"trials": 4, "epochs": 1}]
)
def test_a_short_study_is_not_measured(options: dict, short: dict) -> None:
    probe = Probe()
    chosen = probe.choose(plan(options, **short))
    assert (chosen.chosen_by, chosen.layout) == (ChosenBy.UNMEASURED, WorkerLayout(usable_cores(), 1))
    assert probe.layouts is None


def test_a_study_keeps_the_threads_of_its_trials_unless_an_option_sets_them(options: dict) -> None:
    probe, made = Probe(), plan(options)
    recorded = record(made, 1, None, usable_cores())
    chosen = probe.choose(made, recorded)
    assert (chosen.chosen_by, chosen.layout) == (ChosenBy.RECORDED, WorkerLayout(1, usable_cores()))
    assert "bit for bit" in chosen.describe()
    assert probe.choose(plan(options, workers=2), recorded).layout == WorkerLayout(2, usable_cores())
    assert probe.choose(plan(options, threads=1), recorded).layout == WorkerLayout(usable_cores(), 1)
    assert probe.layouts is None


def test_a_measurement_that_is_stopped_leaves_a_worker_a_core(options: dict) -> None:
    probe = Probe()
    chosen = probe.choose(plan(options))
    assert probe.layouts == candidate_layouts(usable_cores())
    assert (chosen.chosen_by, chosen.layout) == (ChosenBy.UNMEASURED, WorkerLayout(usable_cores(), 1))
    assert not list(Path(options["cache_dir"]).glob("packing/*.json"))


def test_nothing_is_measured_where_it_is_not_allowed(options: dict) -> None:
    chosen = choose_parallelism(plan(options), may_measure=False, on_probe_start=lambda _: pytest.fail("measured"))
    assert (chosen.chosen_by, chosen.layout) == (ChosenBy.PENDING, WorkerLayout(usable_cores(), 1))


def test_a_backend_that_is_not_installed_names_its_extra(options: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "jax" else find(name))
    with pytest.raises(UserError, match=re.escape("pip install '.[jax]'")) as refusal:
        plan(options, backend="jax")
    assert "--backend jax" in str(refusal.value)


def test_gpu_memory_is_measured_once_and_decides_the_workers(options: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    made, asked = plan(options), list[int]()
    runtime = dataclasses.replace(made.task.runtime, device=Device.GPU, gpus=("0", "1"))
    made = dataclasses.replace(made, task=dataclasses.replace(made.task, runtime=runtime))

    def measure(task: Task, config: Config, should_stop: Callable[[], bool]) -> tuple[tuple[float, ...], float]:
        asked.append(task.runtime.threads)
        return (8000.0, 9000.0), 4000.0

    monkeypatch.setattr("search.session.parallelism.choose.measure_gpu_memory", measure)
    assert choose_parallelism(made, may_measure=False).chosen_by is ChosenBy.PENDING
    first, second = choose_parallelism(made), choose_parallelism(made)
    assert (first.layout, first.chosen_by) == (WorkerLayout(2, 1), ChosenBy.MEASURED)
    assert second == dataclasses.replace(first, chosen_by=ChosenBy.CACHED)
    assert asked == [1]
    recorded = choose_parallelism(made, record(made, 3))
    assert recorded.layout == WorkerLayout(2, 3), "the threads of the recorded trials"


needs_both_kernels = pytest.mark.skipif(not has_both_kernels(), reason="TensorFlow has one kind of kernels here")


@needs_both_kernels
def test_kernels_are_onednn_where_nothing_is_measured(options: dict) -> None:
    for short in ({"trials": 1}, {"workers": 1}, {}):
        assert Probe().choose(plan(options, **short)).kernels is Kernels.ONEDNN


def test_a_build_of_tensorflow_that_may_lack_onednn_keeps_its_default(
    options: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its workers would refuse oneDNN, although no option asked for it."""
    installed = tmp_path / "installed" / "tensorflow-2.21.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: tensorflow\nVersion: 2.21.0\n")
    (installed / "WHEEL").write_text("Wheel-Version: 1.0\nTag: cp311-cp311-linux_x86_64\n")
    monkeypatch.syspath_prepend(str(installed.parent))
    assert not has_both_kernels()
    for short in ({"trials": 1}, {"workers": 1}, {}):
        assert Probe().choose(plan(options, **short)).kernels is None
    assert Probe().choose(plan(options, trials=1, kernels="onednn")).kernels is Kernels.ONEDNN, "as given"


@pytest.mark.parametrize("kernels", Kernels)
def test_the_option_decides_the_kernels_and_overrules_the_variable(
    options: dict, kernels: Kernels, monkeypatch: pytest.MonkeyPatch
) -> None:
    (other,) = set(Kernels) - {kernels}
    monkeypatch.setenv(ONEDNN_VARIABLE, ONEDNN_SWITCH[other])
    made = plan(options, trials=1)
    assert made.task.runtime.kernels is other
    assert Probe().choose(made).kernels is other, "the variable counts as given"
    assert Probe().choose(plan(options, trials=1, kernels=kernels.value)).kernels is kernels


@pytest.mark.parametrize("kernels", Kernels)
def test_a_study_keeps_its_kernels(options: dict, kernels: Kernels) -> None:
    made = plan(options)
    assert Probe().choose(made, record_of(made, {"threads": 1, "kernels": kernels.value})).kernels is kernels


def test_a_study_keeps_its_layers_unless_the_option_sets_them(options: dict) -> None:
    made = plan(options, trials=1)
    assert made.task.runtime.layers is Layers.COMPILED
    for layers in Layers:
        assert made.with_recorded_layers(layers).task.runtime.layers is layers
    older = record_of(made, {"backend": "tensorflow", "device": "CPU", "threads": 1})
    assert made.with_recorded_layers(study_arithmetic(older).layers).task.runtime.layers is Layers.KERAS
    given = plan(options, trials=1, layers="fast").with_recorded_layers(Layers.KERAS)
    with pytest.raises(UserError) as refusal:
        require_same_arithmetic(older, given.arithmetic)
    assert "--layers keras" in refusal.value.hint


def test_a_study_whose_kernels_are_unknown_goes_on_with_tensorflows_default(options: dict) -> None:
    made = plan(options)
    unsure = record_of(made, {"threads": 1, "onednn": True, "processor_kind": "AuthenticAMD 25 avx2"})
    chosen = Probe().choose(made, unsure)
    assert (chosen.chosen_by, chosen.kernels) == (ChosenBy.RECORDED, None)


def test_what_is_not_given_is_never_refused_and_what_is_given_must_be_the_studys(options: dict) -> None:
    made = plan(options)
    recorded = record_of(made, {"backend": "tensorflow", "device": "CPU", "threads": 1, "kernels": "onednn"})
    require_same_arithmetic(recorded, made.arithmetic)
    chosen = dataclasses.replace(
        made.with_recorded_layers(Layers.KERAS), chosen_parallelism=Probe().choose(made, recorded)
    )
    require_same_arithmetic(recorded, chosen.arithmetic)
    with pytest.raises(UserError) as refusal:
        require_same_arithmetic(recorded, plan(options, threads=2, kernels="eigen").arithmetic)
    assert all(words in str(refusal.value) for words in ("--threads 1", "--kernels onednn"))


@pytest.mark.parametrize(
    "wrong", [{"kernels": "onednnn"}, {"kernels": "onednn", "backend": "jax"}], ids=["unknown", "without effect"]
)
def test_kernels_that_cannot_be_chosen_are_refused(options: dict, wrong: dict) -> None:
    with pytest.raises(UserError, match="kernels"):
        plan(options, **wrong)


def test_vectorized_training_keeps_the_threads_of_the_study(options: dict) -> None:
    """Its threads are the machine's cores; a machine with others continues with the recorded number."""
    made = plan(options, executor="vectorized", workers=2)
    assert Probe().choose(made).layout == WorkerLayout(2, usable_cores())
    recorded = record_of(made, {"backend": "jax", "device": "CPU", "threads": usable_cores() + 3})
    chosen = Probe().choose(made, recorded)
    assert (chosen.layout, chosen.kernels) == (WorkerLayout(2, usable_cores() + 3), None)


@pytest.mark.slow
def test_a_measurement_is_cached_until_its_file_is_damaged(options: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.session.parallelism.choose.BUSY_PERCENT", 101.0)  # other tests may run beside this one
    made = plan(options, fix={"filters_1": 8, "dense_1": 32})
    first = choose_parallelism(made)
    assert first.chosen_by is ChosenBy.MEASURED, first.note
    assert tuple(first.images_per_second) == candidate_layouts(usable_cores())
    assert first.layout == fastest(first.images_per_second)
    assert first.kernels == fastest(first.kernels_images_per_second)
    assert set(first.recipe_images_per_second) <= {config_key(config) for config in made.recipes.values()}
    assert first.recipe_images_per_second
    given = choose_parallelism(plan(options, fix={"filters_1": 8, "dense_1": 32}, threads=1))
    assert (given.kernels, given.chosen_by) == (first.kernels, ChosenBy.SPECIFIED), "those of the earlier measurement"
    assert choose_parallelism(made) == dataclasses.replace(first, chosen_by=ChosenBy.CACHED)
    assert choose_parallelism(made, may_measure=False).chosen_by is ChosenBy.CACHED
    probe = Probe()
    probe.choose(plan(options, fix={"filters_1": 9, "dense_1": 32}))
    assert probe.layouts is not None, "another baseline is another measurement"
    (file,) = Path(options["cache_dir"]).glob("packing/*.json")
    whole = json.loads(file.read_text())
    without_kernels = json.dumps({**whole, "kernels": {"onednn": 1.0}})
    wrong_speeds = ('{"images_per_second": [1.0]}', '{"images_per_second": ["fast", NaN]}')
    for recipes in (None, [1.0], {"a": "fast", "b": -1.0}):
        file.write_text(json.dumps({**whole, "recipes": recipes}))
        assert choose_parallelism(made) == dataclasses.replace(
            first, chosen_by=ChosenBy.CACHED, recipe_images_per_second={}
        )
    for damage in ("", "not JSON", "[1]", *wrong_speeds, without_kernels):
        file.write_text(damage)
        probe = Probe()
        probe.choose(made)
        assert probe.layouts is not None, damage
