"""A study in bfloat16 from its command to its script: recorded, resumed, reproduced and exported in that precision."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import trained

from search.export.model import export_model
from search.export.script import render_script
from search.export.target import make_target
from search.records.reader import read_study
from search.records.storage.locations import StudyLocation
from search.reproduction.reproduce import Agreement, find_target, reproduce
from search.reproduction.restore import ReproductionOptions
from search.training.runtime import Precision
from search.trial import Phase

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, small_mnist: Path, cache_dir: Path) -> StudyLocation:
    """A study of a user's own space, which names no types."""
    folder = tmp_path_factory.mktemp("bfloat16")
    return trained.record_study(folder, small_mnist, cache_dir, Precision.BFLOAT16)


def test_it_is_reproduced_bit_for_bit_in_bfloat16_alone(place: StudyLocation, cache_dir: Path) -> None:
    record = read_study(place, trained.NAME)
    (same,) = reproduce(record, find_target(record, "2"), ReproductionOptions(cache_dir=str(cache_dir)))
    assert (same.agreement, same.changes) == (Agreement.EXACT, ())
    (other,) = reproduce(
        record, find_target(record, "0"), ReproductionOptions(cache_dir=str(cache_dir), precision="float32")
    )
    assert [(change.name, change.recorded, change.here) for change in other.changes] == [
        ("precision", "bfloat16", "float32")
    ]
    assert other.agreement is not Agreement.EXACT


def test_its_script_and_its_model_are_the_recorded_test_run(
    place: StudyLocation, small_mnist: Path, cache_dir: Path, tmp_path: Path
) -> None:
    order = make_target(
        read_study(place, trained.NAME), "2", reproduction_options=ReproductionOptions(cache_dir=str(cache_dir))
    )
    file = tmp_path / "winner.py"
    file.write_text(render_script(order, file.name), encoding="utf-8")
    assert 'dtype="mixed_bfloat16"' in file.read_text(encoding="utf-8")
    command = [sys.executable, "-I", str(file), str(small_mnist)]
    threads = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=threads, check=False)
    assert done.returncode == 0, done.stderr
    error = order.row.completed_replicates[0].error_percent
    assert done.stdout.splitlines()[-1] == f"Test error: {error:.2f} %"
    exported = export_model(order, tmp_path / "winner.keras", is_scored=True)
    assert exported.custom_layers == ()
    assert exported.outcome.error_percent == error


def test_a_study_keeps_its_precision(tmp_path: Path, small_mnist: Path, cache_dir: Path) -> None:
    words = ["run", "--space", "mlp", "--fix", "width_1=64", "--epochs", "1", "--finalists", "0", "--no-recipes"]
    words += ["--workers", "1", "--threads", "1", "--study", "coarse", "--dataset", str(small_mnist)]

    def search(*more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "search", *words, "--cache-dir", str(cache_dir), *more]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)

    begun = search("--precision", "bfloat16", "--trials", "1")
    assert begun.returncode == 0, begun.stderr
    refused = search("--trials", "2")
    assert refused.returncode == 2
    assert "received tf32" in refused.stderr
    assert "--precision bfloat16" in refused.stderr
    assert search("--precision", "bfloat16", "--trials", "2").returncode == 0
    record = read_study(StudyLocation(studies_dir=tmp_path / "studies"), "coarse")
    assert "--precision bfloat16" in record.header.command
    recorded = [known.outcome.environment["precision"] for known in record.trials_in_phase(Phase.SEARCH)]
    assert recorded == ["bfloat16"] * 2
    (row, *_) = json.loads((tmp_path / "reports" / "coarse" / "leaderboard.json").read_text())["sections"][0]["rows"]
    assert row["environment"]["precision"] == "bfloat16"
