"""The display of a comparison, fed by one whose executor trains nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from doubles import InstantExecutor

from search.cli.compare_display import StudyDisplay, describe_comparison
from search.compare.run import run_studies
from search.compare.spec import RunKey
from search.session.callbacks import Callback
from tests.compare.test_run import Workplace, curve


@pytest.fixture
def workplace(tmp_path: Path, small_mnist: Path, cache_dir: Path) -> Workplace:
    return Workplace(tmp_path, small_mnist, cache_dir)


class Watched(StudyDisplay):
    """Keeps the live lines, which a pipe would not show."""

    lines: list[str] = []  # noqa: RUF012 - of all studies together

    def on_tick(self) -> None:
        Watched.lines.append(self.line())


@pytest.mark.parametrize("bound", [{"trials": 3}, {"timeout": 0.2}])
def test_the_live_line_fits_and_says_how_far_it_is(workplace: Workplace, bound: dict) -> None:
    Watched.lines.clear()
    plan = workplace.plan(repeats=1, **bound)
    run_studies(plan, lambda key: Watched(plan, key), executor=InstantExecutor(slots=2, curve=curve))
    assert max(map(len, Watched.lines)) <= 80
    assert any(line.startswith("[1/2]") and "test runs" in line for line in Watched.lines)
    amount = "12 epochs" if "trials" in bound else "0:00 of 0:00"
    assert any(amount in line and "best " in line for line in Watched.lines)


def test_studies_have_a_header_and_trials_a_line(workplace: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    plan = workplace.plan()
    run_studies(plan, lambda key: StudyDisplay(plan, key), executor=InstantExecutor(slots=2, curve=curve))
    told = capsys.readouterr()
    headers = [line for line in told.err.splitlines() if line.startswith("[")]
    assert headers == [
        "[1/4] optuna:tpe, repeat 1 of 2",
        "[2/4] optuna:random, repeat 1 of 2",
        "[3/4] optuna:tpe, repeat 2 of 2",
        "[4/4] optuna:random, repeat 2 of 2",
    ]
    assert told.err.count("baseline  complete  validation error") == 4
    assert told.out == ""


def test_a_study_that_goes_on_says_what_is_recorded(workplace: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(key: RunKey) -> Callback:
        if key.engine == "optuna:random":
            raise KeyboardInterrupt
        return Callback()

    plan = workplace.plan(repeats=1)
    with pytest.raises(KeyboardInterrupt):
        run_studies(plan, interrupt, executor=InstantExecutor(slots=2, curve=curve))
    run_studies(plan, lambda key: StudyDisplay(plan, key), executor=InstantExecutor(slots=2, curve=curve))
    assert capsys.readouterr().err.startswith("[2/2] optuna:random, repeat 1 of 1")


def test_the_plan_names_engines_budget_and_seed(workplace: Workplace) -> None:
    text = describe_comparison(workplace.plan())
    assert "optuna:tpe, optuna:random; 2 repeats, seed 3" in text
    assert "each search: 12 epochs trained" in text
    assert "each search: 10 min 0 s" in describe_comparison(workplace.plan(timeout=600.0))
