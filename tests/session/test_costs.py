"""Tests what the trials of a plan are expected to take, before and after some have run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from makers import complete, trial

from search.cli.progress_state import ProgressState
from search.errors import UserError
from search.records.record import StudyRecord, TrialRecord
from search.records.storage.file_ledger import FileLedger
from search.session.costs import SAMPLED_CONFIGS, PlanCosts
from search.session.parallelism.policy import ChosenBy, Parallelism, WorkerLayout
from search.session.plan import Plan, make_plan
from search.session.settings import from_mapping
from search.study.time_budget import InterruptHandler, TimeBudget
from search.trial import Config, Phase, config_key

TWO = WorkerLayout(workers=2, threads=1)
OWN_SPACE = """
from spaces import TRAINING, Int, Space


def build(images, config, classes):
    raise AssertionError("no model is built")


def workload(config, image_shape, classes):
    return {workload}


SPACE = Space(name="own", parameters={{"units": Int(8, 64, 16), **TRAINING}}, build=build, workload=workload)
"""


@pytest.fixture
def plan(tmp_path: Path, small_mnist: Path, cache_dir: Path) -> Callable[..., Plan]:
    """Makes plans for two workers; their throughput together can be given."""

    def make(images_per_second: float | None = None, **options: object) -> Plan:
        where = {"dataset": small_mnist, "cache_dir": cache_dir, "studies_dir": tmp_path / "studies"}
        plan = make_plan(from_mapping({**where, "seed": 1, "timeout": 600, **options}))
        measured = {} if images_per_second is None else {TWO: images_per_second}
        return replace(
            plan,
            chosen_parallelism=Parallelism(layout=TWO, chosen_by=ChosenBy.MEASURED, images_per_second=measured),
        )

    return make


def test_the_throughput_of_a_worker_is_its_share_of_what_was_measured(plan: Callable[..., Plan]) -> None:
    unknown, slow, fast = (PlanCosts.of(plan(speed)) for speed in (None, 1_000.0, 10_000.0))
    assert not unknown.is_observed
    assert slow.is_observed
    assert slow.baseline_seconds() > 3 * fast.baseline_seconds()
    assert len(slow.sampled_seconds()) == SAMPLED_CONFIGS
    assert {*slow.recipe_seconds()} == {"double stages + gelu", "double stages", "two stages + sgd"}
    assert PlanCosts.of(plan(5_000.0, recipes=False)).recipe_seconds() == {}
    assert slow.recipe_seconds()["two stages + sgd"] > slow.baseline_seconds()


def test_measured_recipes_take_what_was_measured(plan: Callable[..., Plan]) -> None:
    unmeasured = PlanCosts.of(plan(20_000.0, timeout=None))
    config = next(iter(unmeasured.recipes.values()))
    epoch = unmeasured.prior.observe_throughput(config, 1.0)
    predicted = unmeasured.model.work_seconds(config, epoch.work)
    for factor in (0.6, 1.5):
        speed = epoch.seconds / (factor * predicted)
        speeds = {config_key(config): speed}
        parallelism = replace(unmeasured.plan.parallelism, recipe_images_per_second=speeds)
        measured = PlanCosts.of(replace(unmeasured.plan, chosen_parallelism=parallelism))
        assert measured.model.work_seconds(config, epoch.work) == pytest.approx(factor * predicted, rel=0.15)


def test_the_first_recipe_leaves_time_to_search_and_others_can_be_trained(plan: Callable[..., Plan]) -> None:
    unlimited = PlanCosts.of(plan(5_000.0, timeout=None))
    names, baseline = list(unlimited.recipes), unlimited.plan.header.space.baseline

    def with_test(config: Config) -> float:
        return sum(unlimited.model.trial_seconds(config, phase=phase) for phase in (Phase.SEARCH, Phase.VERIFICATION))

    seconds = {name: with_test(config) for name, config in unlimited.recipes.items()}
    assert seconds[names[0]] == max(seconds.values())
    for timeout in (1, *range(100, 4_000, 100)):
        leaves_time = [name for name in names if with_test(baseline) + seconds[name] <= 1 / 2 * 2 * timeout]
        first = leaves_time[0] if leaves_time else min(names, key=seconds.__getitem__)
        others = [name for name in names if name != first and seconds[name] <= 2 / 3 * timeout]
        assert list(PlanCosts.of(plan(5_000.0, timeout=timeout)).recipes) == [first, *others]
    assert list(PlanCosts.of(plan(5_000.0, timeout=4_000)).recipes) == names


def test_what_ran_corrects_the_expectation(plan: Callable[..., Plan]) -> None:
    prepared = plan(5_000.0)
    ran = TrialRecord(trial=trial(config=prepared.header.space.baseline), outcome=complete())
    before = PlanCosts.of(prepared)
    after = before.after(before.observe([ran]).values())
    assert after.is_observed
    assert after.baseline_seconds() != before.baseline_seconds()
    record = StudyRecord(header=prepared.header, trials=(ran,))
    assert before.fitted(record).baseline_seconds() == after.baseline_seconds()


def test_the_remaining_time_is_known_from_the_start_where_the_throughput_was_measured(
    plan: Callable[..., Plan],
) -> None:
    left = []
    for speed in (None, 500.0, 5_000.0):
        prepared = plan(speed, timeout=None, trials=20)
        with FileLedger.in_memory(prepared.location, prepared.header) as ledger:
            budget = TimeBudget(
                ledger,
                timeout=None,
                estimate_verification=lambda: 0.0,
                interrupt=InterruptHandler(),
                session_seconds=lambda: 0.0,
            )
            left.append(ProgressState(prepared, ledger.read(), budget).eta_seconds())
    unknown, slow, fast = left
    assert unknown is None
    assert slow is not None
    assert fast is not None
    assert slow > 3 * fast > 0.0


@pytest.mark.parametrize(
    "workload",
    [
        "{}",
        "config['no such parameter']",
        "Workload(pixels=float('nan'))",
        "Workload(pixels=784 if config['units'] == 16 else 1 / 0)",
        "Workload(pixels=784 if config['units'] == 16 else -1)",
    ],
)
def test_a_workload_function_that_cannot_be_used_is_refused(
    workload: str, plan: Callable[..., Plan], tmp_path: Path
) -> None:
    path = tmp_path / "own.py"
    text = OWN_SPACE.format(workload=workload).replace("Int, Space", "Int, Space, Workload")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="workload"):
        plan(space=str(path))


def test_a_space_of_ones_own_may_count_its_work(plan: Callable[..., Plan], tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    text = OWN_SPACE.format(
        workload="Workload(pixels=784, dense_macs=10**9 * config['units'], parameters=10, layers=1)"
    )
    path.write_text(text.replace("Int, Space", "Int, Space, Workload"), encoding="utf-8")
    costs = PlanCosts.of(plan(5_000.0, space=str(path)))
    one, many = ({**costs.plan.header.space.baseline, "units": units} for units in (8, 64))
    assert costs.model.trial_seconds(many) > 5 * costs.model.trial_seconds(one)
