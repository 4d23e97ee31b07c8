"""How a session's trials are packed: by the options, the record, what was measured before, or a measurement."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from makers import complete, trial

from search.errors import UserError
from search.records.record import StudyRecord, TrialRecord
from search.session.parallelism.choose import ProbeCallbacks, choose_parallelism
from search.session.parallelism.policy import ChosenBy, WorkerLayout, candidate_layouts, fastest_layout
from search.session.plan import Plan, make_plan
from search.session.settings import from_mapping
from search.training.runtime import usable_cores

pytestmark = pytest.mark.skipif(usable_cores() < 2, reason="one core leaves nothing to choose")


class Asked:
    """Notes what is to be measured, and stops it before it begins."""

    def __init__(self) -> None:
        self.layouts: Sequence[WorkerLayout] | None = None
        self.watch = ProbeCallbacks(on_probe_start=self._note, should_stop=lambda: True)

    def _note(self, layouts: Sequence[WorkerLayout]) -> None:
        self.layouts = layouts


@pytest.fixture
def options(small_mnist: Path, tmp_path: Path) -> dict[str, object]:
    folders = {name: tmp_path / name for name in ("cache_dir", "studies_dir", "reports_dir")}
    return {"dataset": small_mnist, "sampler": "random", "seed": 0, **folders}


def plan(options: dict[str, object], **more: object) -> Plan:
    return make_plan(from_mapping({**options, **more}))


def record(made: Plan, *threads: int | None) -> StudyRecord:
    """A record of trials that ran with so many threads."""
    outcomes = [dataclasses.replace(complete(), environment={"threads": count}) for count in threads]
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
def test_options_decide_and_nothing_is_measured(options: dict, given: dict, layout: WorkerLayout) -> None:
    asked = Asked()
    made = plan(options, **given)
    packed = choose_parallelism(made, record(made), asked.watch)
    assert packed.parallelism.layout == layout
    assert packed.task.runtime.threads == layout.threads
    assert asked.layouts is None


@pytest.mark.parametrize("short", [{"trials": 1}, {"timeout": 60.0}, {"total_epochs": 10}, {"trials": 0}])
def test_a_short_study_is_not_measured(options: dict, short: dict) -> None:
    asked = Asked()
    made = plan(options, **short)
    packed = choose_parallelism(made, record(made), asked.watch)
    assert (packed.parallelism.chosen_by, packed.parallelism.layout) == (
        ChosenBy.UNMEASURED,
        WorkerLayout(usable_cores(), 1),
    )
    assert asked.layouts is None


def test_a_study_keeps_the_threads_it_has_unless_told_otherwise(options: dict) -> None:
    asked = Asked()
    made = plan(options)
    known = record(made, 1, None, usable_cores())
    packed = choose_parallelism(made, known, asked.watch)
    assert (packed.parallelism.chosen_by, packed.parallelism.layout) == (
        ChosenBy.RECORDED,
        WorkerLayout(1, usable_cores()),
    )
    assert packed.task.runtime.threads == usable_cores()
    assert "bit for bit" in packed.parallelism.describe()
    assert choose_parallelism(plan(options, workers=2), known, asked.watch).parallelism.layout == WorkerLayout(
        2, usable_cores()
    )
    assert choose_parallelism(plan(options, threads=1), known, asked.watch).parallelism.layout == WorkerLayout(
        usable_cores(), 1
    )
    assert asked.layouts is None


def test_a_measurement_that_is_stopped_leaves_a_worker_a_core(options: dict) -> None:
    asked = Asked()
    made = plan(options)
    packed = choose_parallelism(made, record(made), asked.watch)
    assert asked.layouts == candidate_layouts(usable_cores())
    assert (packed.parallelism.chosen_by, packed.parallelism.layout) == (
        ChosenBy.UNMEASURED,
        WorkerLayout(usable_cores(), 1),
    )
    assert not list(Path(options["cache_dir"]).glob("packing/*.json"))


def test_a_backend_that_is_not_installed_names_its_extra(options: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "jax" else find(name))
    with pytest.raises(UserError, match=re.escape("pip install '.[jax]'")) as refusal:
        plan(options, backend="jax")
    assert "--backend jax" in str(refusal.value)


@pytest.mark.slow
def test_what_was_measured_is_remembered_until_it_is_damaged(options: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.session.parallelism.choose.BUSY_PERCENT", 101.0)  # other tests may run beside this one
    made = plan(options, fix={"filters_1": 8, "dense_1": 32})
    first = choose_parallelism(made, record(made), ProbeCallbacks())
    assert first.parallelism.chosen_by is ChosenBy.MEASURED, first.parallelism.note
    assert tuple(first.parallelism.images_per_second) == candidate_layouts(usable_cores())
    assert first.parallelism.layout == fastest_layout(first.parallelism.images_per_second)
    second = choose_parallelism(made, record(made), ProbeCallbacks())
    assert second.parallelism == dataclasses.replace(first.parallelism, basis=ChosenBy.CACHED)
    other, asked = plan(options, fix={"filters_1": 9, "dense_1": 32}), Asked()
    choose_parallelism(other, record(other), asked.watch)
    assert asked.layouts is not None, "another baseline is another measurement"
    (file,) = Path(options["cache_dir"]).glob("packing/*.json")
    for damage in ("", "not JSON", "[1]", '{"images_per_second": [1.0]}', '{"images_per_second": ["fast", NaN]}'):
        file.write_text(damage)
        asked = Asked()
        choose_parallelism(made, record(made), asked.watch)
        assert asked.layouts is not None, damage
