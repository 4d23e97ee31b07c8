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
from search.execution.packing import Basis, Layout, candidates, fastest
from search.records.record import StudyRecord, TrialRecord
from search.session.packing import Watch, pack
from search.session.planning import Plan, make_plan
from search.session.settings import from_mapping
from search.training.runtime import cores

pytestmark = pytest.mark.skipif(cores() < 2, reason="one core leaves nothing to choose")


class Asked:
    """Notes what is to be measured, and stops it before it begins."""

    def __init__(self) -> None:
        self.layouts: Sequence[Layout] | None = None
        self.watch = Watch(measuring=self._note, should_stop=lambda: True)

    def _note(self, layouts: Sequence[Layout]) -> None:
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
        ({"workers": 3, "threads": 5}, Layout(3, 5)),
        ({"threads": 1}, Layout(cores(), 1)),
        ({"threads": 10_000}, Layout(1, 10_000)),
        ({"workers": 1}, Layout(1, cores())),
        ({"workers": 10_000}, Layout(10_000, 1)),
    ],
)
def test_options_decide_and_nothing_is_measured(options: dict, given: dict, layout: Layout) -> None:
    asked = Asked()
    made = plan(options, **given)
    packed = pack(made, record(made), asked.watch)
    assert packed.packing.layout == layout
    assert packed.task.runtime.threads == layout.threads
    assert asked.layouts is None


@pytest.mark.parametrize("short", [{"trials": 1}, {"timeout": 60.0}, {"total_epochs": 10}, {"trials": 0}])
def test_a_short_study_is_not_measured(options: dict, short: dict) -> None:
    asked = Asked()
    made = plan(options, **short)
    packed = pack(made, record(made), asked.watch)
    assert (packed.packing.basis, packed.packing.layout) == (Basis.UNMEASURED, Layout(cores(), 1))
    assert asked.layouts is None


def test_a_study_keeps_the_threads_it_has_unless_told_otherwise(options: dict) -> None:
    asked = Asked()
    made = plan(options)
    known = record(made, 1, None, cores())
    packed = pack(made, known, asked.watch)
    assert (packed.packing.basis, packed.packing.layout) == (Basis.RECORDED, Layout(1, cores()))
    assert packed.task.runtime.threads == cores()
    assert "bit for bit" in packed.packing.describe()
    assert pack(plan(options, workers=2), known, asked.watch).packing.layout == Layout(2, cores())
    assert pack(plan(options, threads=1), known, asked.watch).packing.layout == Layout(cores(), 1)
    assert asked.layouts is None


def test_a_measurement_that_is_stopped_leaves_a_worker_a_core(options: dict) -> None:
    asked = Asked()
    made = plan(options)
    packed = pack(made, record(made), asked.watch)
    assert asked.layouts == candidates(cores())
    assert (packed.packing.basis, packed.packing.layout) == (Basis.UNMEASURED, Layout(cores(), 1))
    assert not list(Path(options["cache_dir"]).glob("packing/*.json"))


def test_a_backend_that_is_not_installed_names_its_extra(options: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "jax" else find(name))
    with pytest.raises(UserError, match=re.escape("pip install '.[jax]'")) as refusal:
        plan(options, backend="jax")
    assert "--backend jax" in str(refusal.value)


@pytest.mark.slow
def test_what_was_measured_is_remembered_until_it_is_damaged(options: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.session.packing.BUSY_PERCENT", 101.0)  # other tests may run beside this one
    made = plan(options, fix={"filters_1": 8, "dense_1": 32})
    first = pack(made, record(made), Watch())
    assert first.packing.basis is Basis.MEASURED, first.packing.note
    assert tuple(first.packing.speeds) == candidates(cores())
    assert first.packing.layout == fastest(first.packing.speeds)
    second = pack(made, record(made), Watch())
    assert second.packing == dataclasses.replace(first.packing, basis=Basis.REMEMBERED)
    other, asked = plan(options, fix={"filters_1": 9, "dense_1": 32}), Asked()
    pack(other, record(other), asked.watch)
    assert asked.layouts is not None, "another baseline is another measurement"
    (file,) = Path(options["cache_dir"]).glob("packing/*.json")
    for damage in ("", "not JSON", "[1]", '{"images_per_second": [1.0]}', '{"images_per_second": ["fast", NaN]}'):
        file.write_text(damage)
        asked = Asked()
        pack(made, record(made), asked.watch)
        assert asked.layouts is not None, damage
