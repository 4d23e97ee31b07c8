"""Tests ``run`` in real processes, with real training on a small part of MNIST."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from in_process import CommandHere

from search.records.reader import read_study
from search.records.storage.locations import StudyLocation
from search.trial import BASELINE, Phase, State

SMALL = (
    "--fix",
    "filters_1=8",
    "--fix",
    "dense_1=32",
    "--epochs",
    "2",
    "--replicates",
    "2",
    "--threads",
    "1",
    "--workers",
    "1",
)


def run(folder: Path, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs ``python -m search`` in a folder."""
    command = [sys.executable, "-m", "search", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    if check:
        assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, small_mnist: Path, cache_dir: Path) -> Path:
    """A folder in which a whole study was run."""
    folder = tmp_path_factory.mktemp("finished")
    words = ("--dataset", str(small_mnist), "--cache-dir", str(cache_dir), "--study", "whole", "--seed", "0")
    (folder / "words.json").write_text(json.dumps(words))
    (folder / "first.txt").write_text(run(folder, "run", *words, *SMALL, "--trials", "4").stdout)
    return folder


def again(finished: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Runs the finished study's command again."""
    return run(finished, "run", *json.loads((finished / "words.json").read_text()), *SMALL, *more)


def test_a_study_is_searched_verified_and_reported(finished: Path) -> None:
    record = read_study(StudyLocation(studies_dir=finished / "studies"), "whole")
    searched, verified = record.trials_in_phase(Phase.SEARCH), record.trials_in_phase(Phase.VERIFICATION)
    assert [known.trial.number for known in searched] == [0, 1, 2, 3]
    assert sorted(known.trial.origin for known in searched).count(BASELINE) == 1
    complete = [known for known in searched if known.outcome.state is State.COMPLETE]
    assert len(verified) == 2 * min(2, len(complete))
    assert all(known.outcome.state is State.COMPLETE for known in verified)
    assert record.header.seed == 0
    assert "run --dataset" in record.header.command
    printed = (finished / "first.txt").read_text()
    assert "baseline" in printed
    assert "error %" in printed


def test_the_reports_agree_with_the_record(finished: Path) -> None:
    folder = finished / "reports" / "whole"
    rows = list(csv.DictReader(io.StringIO((folder / "leaderboard.csv").read_text())))
    assert len(rows) == 4
    assert json.loads((folder / "leaderboard.json").read_text())["schema"].startswith("leaderboard/")
    assert "python -m search run" in (folder / "leaderboard.md").read_text()


def test_running_it_again_trains_nothing(finished: Path) -> None:
    before = read_study(StudyLocation(studies_dir=finished / "studies"), "whole").trials
    done = again(finished, "--trials", "4")
    assert read_study(StudyLocation(studies_dir=finished / "studies"), "whole").trials == before
    assert "nothing left to do" in done.stderr.lower()
    assert "baseline" in done.stdout


def test_more_trials_continue_the_study(finished: Path) -> None:
    events = [json.loads(line) for line in again(finished, "--trials", "5", "--json").stdout.splitlines()[:-1]]
    began = [event["trial"] for event in events if event["event"] == "began" and event["trial"]["phase"] == "search"]
    assert [trial["number"] for trial in began] == [4]
    assert began[0]["origin"] != BASELINE


def test_json_lines_end_with_the_board(finished: Path) -> None:
    lines = again(finished, "--trials", "5", "--json").stdout.splitlines()
    assert json.loads(lines[-1])["leaderboard"]["schema"].startswith("leaderboard/")
    assert json.loads(lines[0])["event"] == "opened"
    packed = json.loads(lines[1])
    assert (packed["event"], packed["threads"], packed["basis"]) == ("packed", 1, "as given")


def test_quiet_prints_only_the_board(finished: Path) -> None:
    done = again(finished, "--trials", "5", "--quiet")
    assert done.stderr == ""
    assert "baseline" in done.stdout


def test_a_parameter_is_an_option_and_a_file_gives_options(finished: Path, tmp_path: Path) -> None:
    config = tmp_path / "study.toml"
    config.write_text('space = "mlp"\ntrials = 7\nseed = 0\n[fix]\nwidth_1 = 64\n')
    shown = run(tmp_path, "run", "--config", str(config), "--batch-size", "64", "--help").stdout
    assert "--batch-size" in shown
    from search.cli.options import merge_options
    from search.session.settings import from_mapping

    options = merge_options({"trials": 3}, config=config, extra=("--batch-size", "64", "--learning-rate=0.01"))
    assert options["trials"] == 3
    goals = merge_options(
        {"stop_when": ("error<1", "plateau:4,error<2"), "trial_timeout": "2m", "trial_memory": "2GiB"}
    )
    read_from = from_mapping(goals)
    assert read_from.stop_when == ("error<1", "plateau:4", "error<2")
    assert (read_from.trial_timeout, read_from.trial_memory) == (120.0, 2048.0)
    assert options["space"] == "mlp"
    assert options["fix"] == {"width_1": 64, "batch_size": "64", "learning_rate": "0.01"}
    assert tomllib.loads(config.read_text())["trials"] == 7


BAD = {
    "space": (["--space", "cnm"], "cnn"),
    "space file": (["--space", "nowhere.py"], "nowhere.py"),
    "sampler": (["--sampler", "tpee"], "tpe"),
    "pruner": (["--pruner", "ash"], "asha"),
    "engine": (["--engine", "optunaa"], "optuna"),
    "protocol": (["--protocol", "holdup"], "holdout"),
    "split": (["--split", "groups"], "group"),
    "no groups": (["--split", "group", "--dataset", "ungrouped.npz"], "group"),
    "device": (["--devices", "tpu"], "gpu:0,1"),
    "devices": (["--devices", "cpu,gpu"], "gpu:0,1"),
    "gpu by no number": (["--devices", "gpu:one"], "gpu:0,1"),
    "backend": (["--backend", "pytorch"], "torch"),
    "precision": (["--precision", "bfloat"], "bfloat16"),
    "kernels": (["--kernels", "onednnn"], "onednn"),
    "kernels without effect": (["--kernels", "eigen", "--backend", "jax"], "--backend tensorflow"),
    "threads": (["--threads", "0"], "--threads"),
    "dataset": (["--dataset", "nowhere.npz"], "nowhere.npz"),
    "fixed outside": (["--fix", "filters_1=10000"], "filters_1"),
    "unknown parameter": (["--fix", "filter_1=8"], "filters_1"),
    "not a pair": (["--fix", "filters_1"], "name=value"),
    "range outside": (["--range", "filters_1=0:1000"], "filters_1"),
    "range backwards": (["--range", "filters_1=40:20"], "filters_1"),
    "trials": (["--trials", "-1"], "--trials"),
    "timeout": (["--timeout", "soon"], "soon"),
    "negative timeout": (["--timeout", "-5m"], "-5m"),
    "trial timeout": (["--trial-timeout", "soon"], "soon"),
    "no trial timeout": (["--trial-timeout", "0s"], "--trial-timeout"),
    "trial memory": (["--trial-memory", "lots"], "4GiB"),
    "little trial memory": (["--trial-memory", "512MiB"], "1GiB"),
    "goal": (["--stop-when", "error=0.6"], "error<"),
    "second goal": (["--stop-when", "error<0.6,plateau:0"], "plateau:0"),
    "epochs": (["--epochs", "0"], "--epochs"),
    "workers": (["--workers", "0"], "--workers"),
    "seed": (["--seed", "-1"], "--seed"),
    "large seed": (["--seed", "18446744073709551616"], "at most 9223372036854775807"),
    "fixed twice": (["--fix", "batch_size=32", "--fix", "batch_size=64"], "32 and 64"),
    "fixed by option and --fix": (["--batch-size", "64", "--fix", "batch_size=32"], "64 and 32"),
    "two ranges": (["--range", "batch_size=32:128", "--range", "batch_size=16:64"], "32:128 and 16:64"),
    "parameter in a file": (["--config", "parameter.toml"], "[fix]"),
    "study name": (["--study", "a/b"], "a/b"),
    "typed wrong": (["--trails", "3"], "--trials"),
    "word": (["cnn"], "cnn"),
    "no number": (["--trials", "many"], "many"),
    "storage": (["--storage", "nonsense"], "storage"),
    "unreachable": (["--storage", "sqlite:////nowhere/at/all.db"], "storage"),
    "studies folder": (["--studies-dir", "file/studies"], "--studies-dir"),
    "reports folder": (["--reports-dir", "file/reports"], "--reports-dir"),
    "cache folder": (["--cache-dir", "file/cache"], "--cache-dir"),
    "grid": (["--sampler", "grid"], "learning_rate"),
    "no cluster": (["--executor", "ray", "--address", "127.0.0.1:1"], "127.0.0.1:1"),
    "no cluster for clients": (["--executor", "ray", "--address", "ray://127.0.0.1:1"], "127.0.0.1:1"),
    "config": (["--config", "nowhere.toml"], "nowhere.toml"),
    "config key": (["--config", "wrong.toml"], "trials"),
    "config syntax": (["--config", "broken.toml"], "broken.toml"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_and_nothing_is_written(
    tmp_path: Path, cache_dir: Path, search_here: CommandHere, case: str
) -> None:
    words, named = BAD[case]
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "wrong.toml").write_text("trails = 3\n")
    (tmp_path / "broken.toml").write_text("trials = = 3\n")
    (tmp_path / "parameter.toml").write_text("batch-size = 64\n")
    images = {f"x_{part}": np.zeros((40, 4, 4), np.uint8) for part in ("train", "test")}
    labels = {f"y_{part}": np.arange(40) % 2 for part in ("train", "test")}
    np.savez(tmp_path / "ungrouped.npz", **images, **labels)
    before = sorted(tmp_path.rglob("*"))
    cache = () if "--cache-dir" in words else ("--cache-dir", str(cache_dir))
    done = search_here(tmp_path, "run", *cache, *words)
    assert done.returncode == 2, done.stderr
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 6
    assert done.stdout == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_another_study_of_the_same_name_is_refused(finished: Path) -> None:
    words = json.loads((finished / "words.json").read_text())
    done = run(finished, "run", *words, *SMALL, "--trials", "4", "--sampler", "random", check=False)
    assert done.returncode == 2
    assert "sampler" in done.stderr
    assert "--study" in done.stderr


def test_a_dry_run_writes_nothing_and_says_where_its_seconds_are_from(
    finished: Path, tmp_path: Path, small_mnist: Path, cache_dir: Path
) -> None:
    done = run(tmp_path, "run", "--dataset", str(small_mnist), "--cache-dir", str(cache_dir), "--dry-run", *SMALL)
    assert "another machine" in done.stdout
    assert "no study was written" in done.stdout.lower()
    assert list(tmp_path.iterdir()) == []
    words, before = json.loads((finished / "words.json").read_text()), sorted(finished.rglob("*"))
    assert "trials of this study" in run(finished, "run", *words, *SMALL, "--dry-run").stdout
    (event,) = run(finished, "run", *words, *SMALL, "--dry-run", "--json").stdout.splitlines()
    assert json.loads(event)["baseline_seconds"] > 0
    assert sorted(finished.rglob("*")) == before


def test_a_parameter_with_the_name_of_an_option_is_mentioned(
    tmp_path: Path, small_mnist: Path, cache_dir: Path
) -> None:
    text = (Path(__file__).parents[1] / "own_space.py").read_text(encoding="utf-8")
    (tmp_path / "own.py").write_text(text.replace('"units"', '"workers"'), encoding="utf-8")
    data = ("--dataset", str(small_mnist), "--cache-dir", str(cache_dir))
    done = run(tmp_path, "run", "--space", "own.py", *data, "--trials", "2", "--dry-run")
    assert "fix it with --fix workers=VALUE; --workers is an option of the run" in done.stdout


@pytest.mark.parametrize(("builder", "named"), [("logits", "not probabilities"), ("broken", "block")])
def test_a_run_without_a_trained_trial_fails_and_says_where_to_look(
    tmp_path: Path, small_mnist: Path, cache_dir: Path, builder: str, named: str
) -> None:
    layers = "keras.layers.Dense(classes)(keras.layers.Flatten()(images))" if builder == "logits" else "config['block']"
    (tmp_path / "own.py").write_text(
        "from spaces import Int, Space\n\n\ndef build(images, config, classes):\n    import keras\n\n"
        f"    return {layers}\n\n\nSPACE = Space(name='own', parameters={{'width': Int(1, 9, 3)}}, build=build)\n"
    )
    options = ("--dataset", str(small_mnist), "--cache-dir", str(cache_dir), "--trials", "1", "--epochs", "1")
    done = run(tmp_path, "run", "--space", "own.py", *options, "--finalists", "0", "--threads", "1", check=False)
    assert done.returncode == 1
    assert "status" in done.stderr
    assert named in done.stdout + done.stderr
