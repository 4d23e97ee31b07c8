"""A comparison on recorded trainings: run once, continued, reported."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from search.compare.recorded.compute import RecordedComparison
from search.compare.recorded.contenders import parse_contender
from search.compare.recorded.report import make_report
from search.compare.recorded.run import run_searches
from search.compare.recorded.simulate import RecordedSpec
from search.compare.render import FORMATS, write_reports
from search.errors import UserError

NAMES = ("rival:recipes", "rival:mutation", "optuna:grid")


def make_spec(path: Path, **changes: object) -> RecordedSpec:
    engines = tuple(map(parse_contender, NAMES))
    return RecordedSpec(
        **{"recordings": (path,), "engines": engines, "budgets": (60.0, 120.0), "repeats": 6, **changes}
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("comparison")


@pytest.fixture(scope="module")
def result(path: Path, folder: Path) -> RecordedComparison:
    return run_searches(make_spec(path), folder, processes=1, command="the command")


def test_gains_are_ranked_by_budget_and_what_cannot_search_is_named(result: RecordedComparison) -> None:
    assert list(result.comparisons) == ["made-up 1 min", "made-up 2 min"]
    last = result.comparisons["made-up 2 min"]
    assert [entry.engine for entry in last.engines] == ["rival:mutation", "rival:recipes"]
    summary = result.engines["made-up 2 min"]
    assert summary["rival:recipes"].gain.mean == 0.0
    assert summary["rival:mutation"].gain.mean < 0.0
    assert summary["rival:mutation"].is_lowest_or_tie
    assert list(result.excluded) == ["optuna:grid"]


def test_a_second_call_runs_nothing_and_other_terms_are_refused(
    result: RecordedComparison, path: Path, folder: Path
) -> None:
    recorded = (folder / "games.jsonl").read_text()
    calls: list[object] = []
    possible = make_spec(path, engines=tuple(map(parse_contender, NAMES[:2])))
    again = run_searches(possible, folder, progress=lambda *counts: calls.append(counts))
    assert again.engines == result.engines
    assert calls == []
    assert (folder / "games.jsonl").read_text() == recorded
    with pytest.raises(UserError, match="differs in workers"):
        run_searches(make_spec(path, workers=3), folder)


def test_every_report_says_how_well_the_recording_predicts(result: RecordedComparison, tmp_path: Path) -> None:
    report = make_report(result)
    for form in ("table", "markdown"):
        assert "does not predict well enough" in FORMATS[form](report)  # 40 configurations are few
    document = json.loads(FORMATS["json"](report))
    assert document["recordings"]["made-up"]["quality"][0]["spearman"] > 0.7
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"](report))))
    assert len(rows) == len(document["rows"]) == 4
    assert {path.suffix for path in write_reports(report, tmp_path)} == {".md", ".csv", ".json", ".svg"}
