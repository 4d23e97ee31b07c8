"""The renderers and the files, on made-up regrets."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from search.compare.tabular import plot, render
from search.compare.tabular.files import write_reports
from search.compare.tabular.results import TabularComparison, compute
from search.engines.registry import engine_names
from search.errors import UserError
from tests.compare.tabular.made_up import BEST, FINALS, WORSE, played


@pytest.fixture
def result() -> TabularComparison:
    return compute(played(FINALS), command="python -m search compare --arena hpobench-mlp --seed 0")


def test_the_text_fits_80_columns(result: TabularComparison, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    finals = {name: FINALS[WORSE] for name in engine_names() if name != "keras-tuner:hyperband"}
    for shown in (result, compute(played(finals)), compute(played(finals, trials=200))):
        text = render.to_text(shown)
        assert max(map(len, text.splitlines())) <= 80
        assert "…" not in text
        assert all(row.engine in text for row in shown.rows)
        assert "optuna:gp did not play" in text.replace("\n", " ")


def test_the_markdown_says_all_that_it_takes_to_judge_it(result: TabularComparison) -> None:
    text = render.to_markdown(result)
    assert text.startswith("# Arena hpobench-mlp: 8 tables, 3 seeds, 100 trials\n")
    for wanted in (
        "Lowest mean: optuna:tpe",
        "Wilcoxon",
        "| optuna:random |",
        "0.0450 ± 0.0205",
        "![Regret against trials](arena.svg)",
        "Regret is how far",
        "## Left out\n\n- optuna:gp did not play",
        "Versions: python 3, optuna 5.",
        "arena.json lists them",
        "MLPClassifier",
        "```sh\npython -m search compare --arena hpobench-mlp --seed 0\n```",
    ):
        assert wanted in text, wanted


def test_the_json_lists_the_seeds_of_every_study(result: TabularComparison) -> None:
    listed = json.loads(render.to_json(result))["tables"]["table_3"]
    assert listed == [result.spec.study_seed("table_3", repeat) for repeat in range(result.spec.repeats)]


def test_the_csv_has_a_line_an_engine(result: TabularComparison) -> None:
    records = list(csv.DictReader(io.StringIO(render.to_csv(result))))
    assert [record["engine"] for record in records] == [row.engine for row in result.rows]
    assert float(records[0]["regret_100"]) == result.rows[0].regrets[100].mean
    assert float(records[0]["regret_25_low"]) < float(records[0]["regret_25"]) < float(records[0]["regret_25_high"])
    assert (records[0]["p_value"], records[0]["standing"]) == ("", "lowest")


def test_the_json_has_a_schema_and_every_figure(result: TabularComparison) -> None:
    document = json.loads(render.to_json(result))
    assert document["schema"] == "arena/1"
    assert document["rows"][0]["regrets"]["100"]["mean"] == result.rows[0].regrets[100].mean
    assert [row["standing"] for row in document["rows"]] == ["lowest", "tie", "behind"]
    assert len(document["curves"][BEST]["mean"]) == 100
    assert document["tables"]["table_0"] == [result.spec.study_seed("table_0", repeat) for repeat in range(3)]


def test_the_picture_is_the_same_each_time_and_tells_ten_engines_apart(result: TabularComparison) -> None:
    drawn = plot.to_svg(result)
    assert drawn == plot.to_svg(result)
    assert ElementTree.fromstring(drawn).tag.endswith("svg")
    many = plot._figure(compute(played(dict.fromkeys(engine_names(), FINALS[WORSE]))))
    looks = {(line.get_color(), line.get_linestyle()) for line in many.axes[0].get_lines()}
    assert len(looks) == 10  # all but the one left out


def test_reports_are_written_as_four_files(result: TabularComparison, tmp_path: Path) -> None:
    paths = write_reports(result, tmp_path / "arena")
    assert [path.name for path in paths] == ["arena.md", "arena.csv", "arena.json", "arena.svg"]
    assert all(path.stat().st_size for path in paths)
    assert sorted(tmp_path.rglob("*.*")) == sorted(paths)


def test_the_picture_is_saved_by_its_suffix(result: TabularComparison, tmp_path: Path) -> None:
    plot.save_plot(result, tmp_path / "a" / "regret.png")
    assert (tmp_path / "a" / "regret.png").read_bytes().startswith(b"\x89PNG")
    plot.save_plot(result, tmp_path / "regret.svg")
    assert (tmp_path / "regret.svg").read_text() == plot.to_svg(result)
    with pytest.raises(UserError, match=r"\.svg or \.png"):
        plot.save_plot(result, tmp_path / "regret.pdf")
