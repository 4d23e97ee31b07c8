"""The checks one by one, without training: folders, data, GPUs, and errors inside a check."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_data import save_npz, tree

from search.doctor import checks, machine
from search.doctor.check_context import BACKENDS, open_context
from search.doctor.checks import (
    CHECKS,
    Check,
    CheckResult,
    CheckStatus,
    failed_checks,
    run_check,
    would_run,
)
from search.doctor.folders import check_data, check_folder
from search.doctor.machine import GpuInfo, GpuInventory, evaluate_gpus, parse_gpu_table
from search.doctor.smoke_test import check_engine, check_workers
from search.errors import UserError
from search.session.settings import Settings
from search.training.runtime import Backend
from search.trial import Outcome, State


def test_a_file_in_place_of_a_folder_fails(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "deeper"):
        result = check_folder(folder, "--studies-dir")
        assert result.status is CheckStatus.FAILED
        assert f"{tmp_path / 'file'} is not a folder" in result.message
        assert result.fix == "Name another folder with --studies-dir."


def test_a_folder_is_tested_and_nothing_stays(tmp_path: Path) -> None:
    there, later = check_folder(tmp_path, "--studies-dir"), check_folder(tmp_path / "a" / "b", "--studies-dir")
    assert there.details["locks"]
    assert there.message.startswith("writable, file locks work, ")
    assert later.message.startswith("can be made, file locks work, ")
    assert tree(tmp_path) == set()


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that nobody can write to")
def test_a_folder_that_cannot_be_written_to_fails() -> None:
    result = check_folder(Path("/proc/self/studies"), "--studies-dir")
    assert result.status is CheckStatus.FAILED
    assert "cannot be written to" in result.message


def test_a_damaged_cache_is_repaired_and_reported(tmp_path: Path) -> None:
    settings = Settings(dataset=save_npz(tmp_path / "small.npz"), cache_dir=str(tmp_path / "cache"))
    with open_context(settings) as context:
        assert "its cache is new" in check_data(context).message
        assert "its cache is undamaged" in check_data(context).message
        assert context.dataset is not None
        with (Path(context.dataset.folder) / "x_train.npy").open("r+b") as file:
            file.seek(200)
            file.write(b"damage")
        result = check_data(context)
        assert "its cache was damaged and is repaired" in result.message
        assert (result.status, result.details["was_mended"]) == (CheckStatus.WARNING, True)
        assert result.details["sha256"] == context.dataset.sha256
        assert check_data(context).status is CheckStatus.OK


@pytest.mark.parametrize("name", ["space", "dataset", "backend"])
def test_an_unknown_name_is_bad_input(name: str) -> None:
    with pytest.raises(UserError, match="no-such"), open_context(Settings(**{name: "no-such"})):
        pass


def test_the_backends_are_those_of_the_runtime() -> None:
    assert tuple(Backend) == BACKENDS


def test_an_error_inside_a_check_is_its_result(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = {
        "raises": Check(function="json:loads"),
        "missing": Check(function="no_such_package.of_this_name:check"),
        "after": Check(function="json:loads", requires=("raises",)),
    }
    monkeypatch.setattr(checks, "CHECKS", broken)
    results: dict[str, CheckResult] = {}
    with open_context(Settings()) as context:
        for name in broken:
            results[name] = run_check(name, context, results)
    assert results["raises"].message.startswith("TypeError: ")
    assert "Traceback" in results["raises"].details["traceback"]
    assert (results["missing"].message, results["missing"].fix) == (
        "No module named 'no_such_package'",
        "pip install .",
    )
    assert results["after"].message == "not run, because it needs: raises"
    assert failed_checks(results) == ["raises", "missing"]
    assert not would_run(results)


def test_a_check_needs_only_those_before_it() -> None:
    names = list(CHECKS)
    assert all(names.index(need) < names.index(name) for name, check in CHECKS.items() for need in check.requires)


def test_warnings_do_not_stop_a_search() -> None:
    assert would_run({"a": CheckResult(message=""), "b": CheckResult(status=CheckStatus.WARNING, message="")})


def test_the_output_of_nvidia_smi_is_parsed() -> None:
    table = "NVIDIA H100 80GB HBM3, 81559, 80995\nNVIDIA GB10, [N/A], [N/A]\n"
    h100, gb10 = parse_gpu_table(table)
    assert h100 == GpuInfo(name="NVIDIA H100 80GB HBM3", memory_mib=81559, free_mib=80995)
    assert h100.describe() == "NVIDIA H100 80GB HBM3, 79.6 GiB, 79.1 GiB free"
    assert gb10.describe() == "NVIDIA GB10"
    assert parse_gpu_table("No devices were found\n") == ()


@pytest.mark.parametrize(
    ("devices", "found", "status", "words", "fix"),
    [
        (0, (), CheckStatus.OK, "none; searches run on the CPU", ""),
        (1, ("H100",), CheckStatus.OK, "H100; tensorflow finds 1", ""),
        (2, (), CheckStatus.WARNING, "2 GPUs; tensorflow finds none", "pip install '.[cuda]'"),
    ],
)
def test_a_gpu_that_the_backend_does_not_use_is_a_warning(
    devices: int, found: tuple[str, ...], status: CheckStatus, words: str, fix: str
) -> None:
    inventory = GpuInventory(devices=devices, cards=(), by_backend=found)
    result = evaluate_gpus(inventory, Backend.TENSORFLOW)
    assert result.status is status
    assert result.message.startswith(words)
    assert result.fix.startswith(fix)
    assert bool(result.fix) is (status is CheckStatus.WARNING)


def test_a_containers_share_of_the_cores_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_context(Settings()) as context:
        monkeypatch.setattr(machine, "cpu_quota", lambda: 0.5)
        assert "the time of 0.5" in machine.check_cpu(context).message
        monkeypatch.setattr(machine, "cpu_quota", lambda: None)
        assert "granted" not in machine.check_cpu(context).message


def test_workers_that_do_not_fit_into_memory_are_a_warning() -> None:
    with open_context(Settings()) as context:
        context.outcome = Outcome(state=State.COMPLETE, peak_memory_mib=10.0)
        assert check_workers(context).status is CheckStatus.OK
        context.outcome = Outcome(state=State.COMPLETE, peak_memory_mib=2.0**40)
        result = check_workers(context)
    assert result.status is CheckStatus.WARNING
    assert result.fix == "python -m search run --workers 1"


def test_the_engine_proposes_from_the_space() -> None:
    with open_context(Settings(space="mlp")) as context:
        result = check_engine(context)
        assert result.status is CheckStatus.OK
        assert context.space.contains(result.details["proposed"])
