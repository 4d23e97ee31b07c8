"""The display of a tournament, fed by one whose executor trains nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from doubles import InstantExecutor

from search.cli.compare_display import StudyRunDisplay, describe_comparison
from search.compare.plan import StudyRun
from search.compare.run import run_studies
from search.session.callbacks import Callback
from tests.compare.test_run import Contest, curve


@pytest.fixture
def contest(tmp_path: Path, small_mnist: Path, cache_dir: Path) -> Contest:
    return Contest(tmp_path, small_mnist, cache_dir)


class Watched(StudyRunDisplay):
    """Keeps the live lines, which a pipe would not show."""

    lines: list[str] = []  # noqa: RUF012 - of all bouts together

    def on_tick(self) -> None:
        Watched.lines.append(self.line())


@pytest.mark.parametrize("bound", [{"trials": 3}, {"timeout": 0.2}])
def test_the_live_line_fits_and_says_how_far_it_is(contest: Contest, bound: dict) -> None:
    Watched.lines.clear()
    run_studies(contest.plan(repeats=1, **bound), Watched, executor=InstantExecutor(slots=2, curve=curve))
    assert max(map(len, Watched.lines)) <= 80
    assert any(line.startswith("[1/2]") and "test runs" in line for line in Watched.lines)
    amount = "12 epochs" if "trials" in bound else "0:00 of 0:00"
    assert any(amount in line and "best " in line for line in Watched.lines)


def test_each_study_has_a_header_and_each_trial_a_line(contest: Contest, capsys: pytest.CaptureFixture[str]) -> None:
    run_studies(contest.plan(), StudyRunDisplay, executor=InstantExecutor(slots=2, curve=curve))
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


def test_a_study_that_goes_on_says_what_is_recorded(contest: Contest, capsys: pytest.CaptureFixture[str]) -> None:
    def cut(bout: StudyRun) -> Callback:
        if bout.position == 2:
            raise KeyboardInterrupt
        return Callback()

    with pytest.raises(KeyboardInterrupt):
        run_studies(contest.plan(repeats=1), cut, executor=InstantExecutor(slots=2, curve=curve))
    run_studies(contest.plan(repeats=1), StudyRunDisplay, executor=InstantExecutor(slots=2, curve=curve))
    assert capsys.readouterr().err.startswith("[2/2] optuna:random, repeat 1 of 1")


def test_the_plan_names_engines_budget_and_seed(contest: Contest) -> None:
    text = describe_comparison(contest.plan())
    assert "optuna:tpe, optuna:random; 2 repeats, seed 3" in text
    assert "each search: 12 epochs trained" in text
    assert "each search: 10 min 0 s" in describe_comparison(contest.plan(timeout=600.0))
