"""The checks one by one, without training: folders, data, GPUs, and how a check that breaks is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_data import save_npz, tree

from search.doctor import checks, machine
from search.doctor.check_context import BACKENDS, open_context
from search.doctor.check_result import CheckResult, CheckStatus, last_lines
from search.doctor.checks import CHECKS, Check, failed_checks, run_check, would_run
from search.doctor.folders import check_data, check_folder
from search.doctor.gpu import GpuInfo, GpuInventory, evaluate_gpus, parse_gpu_table
from search.doctor.smoke_test import check_engine, check_workers
from search.errors import UserError
from search.session.settings import Settings
from search.training.runtime import Backend
from search.trial import Outcome, State


def test_a_file_in_place_of_a_folder_fails(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "deeper"):
        finding = check_folder(folder, "--studies-dir")
        assert finding.status is CheckStatus.FAILED
        assert f"{tmp_path / 'file'} is not a folder" in finding.message
        assert finding.fix == "Name another folder with --studies-dir."


def test_a_folder_is_tried_and_nothing_is_left(tmp_path: Path) -> None:
    there, later = check_folder(tmp_path, "--studies-dir"), check_folder(tmp_path / "a" / "b", "--studies-dir")
    assert there.details["locks"]
    assert there.message.startswith("writable, file locks work, ")
    assert later.message.startswith("can be made, file locks work, ")
    assert tree(tmp_path) == set()


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that nobody can write to")
def test_a_folder_that_cannot_be_written_to_fails() -> None:
    finding = check_folder(Path("/proc/self/studies"), "--studies-dir")
    assert finding.status is CheckStatus.FAILED
    assert "cannot be written to" in finding.message


def test_a_damaged_cache_is_mended_and_said(tmp_path: Path) -> None:
    settings = Settings(dataset=save_npz(tmp_path / "small.npz"), cache_dir=str(tmp_path / "cache"))
    with open_context(settings) as subject:
        assert "its cache is new" in check_data(subject).message
        assert "its cache is undamaged" in check_data(subject).message
        assert subject.dataset is not None
        with (Path(subject.dataset.folder) / "x_train.npy").open("r+b") as file:
            file.seek(200)
            file.write(b"damage")
        finding = check_data(subject)
        assert "its cache was damaged and is mended" in finding.message
        assert (finding.status, finding.details["was_mended"]) == (CheckStatus.WARNING, True)
        assert finding.details["sha256"] == subject.dataset.sha256
        assert check_data(subject).status is CheckStatus.OK


@pytest.mark.parametrize("name", ["space", "dataset", "backend"])
def test_an_unknown_name_is_bad_input(name: str) -> None:
    with pytest.raises(UserError, match="no-such"), open_context(Settings(**{name: "no-such"})):
        pass


def test_the_backends_are_those_of_the_runtime() -> None:
    assert tuple(Backend) == BACKENDS


def test_what_a_check_raises_is_what_it_found(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = {
        "raises": Check(function="json:loads"),
        "missing": Check(function="no_such_package.of_this_name:check"),
        "after": Check(function="json:loads", requires=("raises",)),
    }
    monkeypatch.setattr(checks, "CHECKS", broken)
    findings: dict[str, CheckResult] = {}
    with open_context(Settings()) as subject:
        for name in broken:
            findings[name] = run_check(name, subject, findings)
    assert findings["raises"].message.startswith("TypeError: ")
    assert "Traceback" in findings["raises"].details["traceback"]
    assert (findings["missing"].message, findings["missing"].fix) == (
        "No module named 'no_such_package'",
        "pip install .",
    )
    assert findings["after"].message == "not tried, for want of: raises"
    assert failed_checks(findings) == ["raises", "missing"]
    assert not would_run(findings)


def test_a_check_needs_only_those_before_it() -> None:
    names = list(CHECKS)
    assert all(names.index(need) < names.index(name) for name, check in CHECKS.items() for need in check.requires)


def test_warnings_do_not_stop_a_search() -> None:
    assert would_run({"a": CheckResult(message=""), "b": CheckResult(status=CheckStatus.WARNING, message="")})


def test_what_the_driver_says_of_its_devices() -> None:
    table = "NVIDIA H100 80GB HBM3, 81559, 80995\nNVIDIA GB10, [N/A], [N/A]\n"
    h100, gb10 = parse_gpu_table(table)
    assert h100 == GpuInfo(name="NVIDIA H100 80GB HBM3", memory_mib=81559, free_mib=80995)
    assert h100.describe() == "NVIDIA H100 80GB HBM3, 79.6 GiB, 79.1 GiB free"
    assert gb10.describe() == "NVIDIA GB10"
    assert parse_gpu_table("No devices were found\n") == ()


@pytest.mark.parametrize(
    ("devices", "usable", "found", "status", "words", "remedy"),
    [
        (0, 0, (), CheckStatus.OK, "none; searches run on the CPU", ""),
        (1, 1, ("H100",), CheckStatus.OK, "H100; tensorflow finds 1", ""),
        (2, 0, (), CheckStatus.WARNING, "2 NVIDIA devices; tensorflow is installed without", "pip install '.[cuda]'"),
        (1, 1, (), CheckStatus.WARNING, "1 NVIDIA device; tensorflow finds none", "See that nvidia-smi works"),
    ],
)
def test_a_gpu_that_idles_is_a_warning(
    devices: int, usable: int, found: tuple[str, ...], status: CheckStatus, words: str, remedy: str
) -> None:
    seen = GpuInventory(devices=devices, usable=usable, cards=(), by_backend=found)
    finding = evaluate_gpus(seen, Backend.TENSORFLOW)
    assert finding.status is status
    assert finding.message.startswith(words)
    assert finding.fix.startswith(remedy)
    assert bool(finding.fix) is (status is CheckStatus.WARNING)


def test_what_a_container_is_granted_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_context(Settings()) as subject:
        monkeypatch.setattr(machine, "cpu_quota", lambda: 0.5)
        assert "the time of 0.5" in machine.check_cpu(subject).message
        monkeypatch.setattr(machine, "cpu_quota", lambda: None)
        assert "granted" not in machine.check_cpu(subject).message


def test_workers_that_the_memory_does_not_hold_are_a_warning() -> None:
    with open_context(Settings()) as subject:
        subject.outcome = Outcome(state=State.COMPLETE, peak_memory_mib=10.0)
        assert check_workers(subject).status is CheckStatus.OK
        subject.outcome = Outcome(state=State.COMPLETE, peak_memory_mib=2.0**40)
        finding = check_workers(subject)
    assert finding.status is CheckStatus.WARNING
    assert finding.fix == "python -m search run --workers 1"


def test_the_engine_proposes_from_the_space() -> None:
    with open_context(Settings(space="mlp")) as subject:
        finding = check_engine(subject)
        assert finding.status is CheckStatus.OK
        assert subject.space.contains(finding.details["proposed"])


def test_last_words_are_those_that_tell_something() -> None:
    said = "I0000 00:00:1.2  9 port.cc:153] chatter\n\nTraceback:\n  x = y\n      ^^^\nW0000 more\nNameError: y\n"
    assert last_lines(said) == "Traceback:\n  x = y\nNameError: y"
    assert last_lines(said, count=1) == "NameError: y"
