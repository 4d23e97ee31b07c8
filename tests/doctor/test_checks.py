"""The checks one by one, without training: folders, data, GPUs, and how a check that breaks is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_data import save_npz, tree

from search.doctor import checks, machine
from search.doctor.checks import CHECKS, Check, examine, to_mend, would_run
from search.doctor.finding import Finding, Status, last_lines
from search.doctor.folders import check_data, check_folder
from search.doctor.gpu import Card, Seen, judge, read_cards
from search.doctor.proof import check_engine, check_workers
from search.doctor.subject import BACKENDS, open_subject
from search.errors import UserError
from search.session.settings import Settings
from search.training.runtime import Backend
from search.trial import Outcome, State


def test_a_file_in_place_of_a_folder_fails(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "deeper"):
        finding = check_folder(folder, "--studies-dir")
        assert finding.status is Status.FAILS
        assert f"{tmp_path / 'file'} is not a folder" in finding.found
        assert finding.remedy == "Name another folder with --studies-dir."


def test_a_folder_is_tried_and_nothing_is_left(tmp_path: Path) -> None:
    there, later = check_folder(tmp_path, "--studies-dir"), check_folder(tmp_path / "a" / "b", "--studies-dir")
    assert there.details["locks"]
    assert there.found.startswith("writable, file locks work, ")
    assert later.found.startswith("can be made, file locks work, ")
    assert tree(tmp_path) == set()


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that nobody can write to")
def test_a_folder_that_cannot_be_written_to_fails() -> None:
    finding = check_folder(Path("/proc/self/studies"), "--studies-dir")
    assert finding.status is Status.FAILS
    assert "cannot be written to" in finding.found


def test_a_damaged_cache_is_mended_and_said(tmp_path: Path) -> None:
    settings = Settings(dataset=save_npz(tmp_path / "small.npz"), cache_dir=str(tmp_path / "cache"))
    with open_subject(settings) as subject:
        assert "its cache is new" in check_data(subject).found
        assert "its cache is undamaged" in check_data(subject).found
        assert subject.dataset is not None
        with (Path(subject.dataset.folder) / "x_train.npy").open("r+b") as file:
            file.seek(200)
            file.write(b"damage")
        finding = check_data(subject)
        assert "its cache was damaged and is mended" in finding.found
        assert (finding.status, finding.details["was_mended"]) == (Status.WARNING, True)
        assert finding.details["sha256"] == subject.dataset.sha256
        assert check_data(subject).status is Status.OK


@pytest.mark.parametrize("name", ["space", "dataset", "backend"])
def test_an_unknown_name_is_bad_input(name: str) -> None:
    with pytest.raises(UserError, match="no-such"), open_subject(Settings(**{name: "no-such"})):
        pass


def test_the_backends_are_those_of_the_runtime() -> None:
    assert tuple(Backend) == BACKENDS


def test_what_a_check_raises_is_what_it_found(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = {
        "raises": Check(function="json:loads"),
        "missing": Check(function="no_such_package.of_this_name:check"),
        "after": Check(function="json:loads", needs=("raises",)),
    }
    monkeypatch.setattr(checks, "CHECKS", broken)
    findings: dict[str, Finding] = {}
    with open_subject(Settings()) as subject:
        for name in broken:
            findings[name] = examine(name, subject, findings)
    assert findings["raises"].found.startswith("TypeError: ")
    assert "Traceback" in findings["raises"].details["traceback"]
    assert (findings["missing"].found, findings["missing"].remedy) == (
        "No module named 'no_such_package'",
        "pip install .",
    )
    assert findings["after"].found == "not tried, for want of: raises"
    assert to_mend(findings) == ["raises", "missing"]
    assert not would_run(findings)


def test_a_check_needs_only_those_before_it() -> None:
    names = list(CHECKS)
    assert all(names.index(need) < names.index(name) for name, check in CHECKS.items() for need in check.needs)


def test_warnings_do_not_stop_a_search() -> None:
    assert would_run({"a": Finding(found=""), "b": Finding(status=Status.WARNING, found="")})


def test_what_the_driver_says_of_its_devices() -> None:
    table = "NVIDIA H100 80GB HBM3, 81559, 80995\nNVIDIA GB10, [N/A], [N/A]\n"
    h100, gb10 = read_cards(table)
    assert h100 == Card(name="NVIDIA H100 80GB HBM3", memory_mib=81559, free_mib=80995)
    assert h100.describe() == "NVIDIA H100 80GB HBM3, 79.6 GiB, 79.1 GiB free"
    assert gb10.describe() == "NVIDIA GB10"
    assert read_cards("No devices were found\n") == ()


@pytest.mark.parametrize(
    ("devices", "usable", "found", "status", "words", "remedy"),
    [
        (0, 0, (), Status.OK, "none; searches run on the CPU", ""),
        (1, 1, ("H100",), Status.OK, "H100; tensorflow finds 1", ""),
        (2, 0, (), Status.WARNING, "2 NVIDIA devices; tensorflow is installed without", "pip install '.[cuda]'"),
        (1, 1, (), Status.WARNING, "1 NVIDIA device; tensorflow finds none", "See that nvidia-smi works"),
    ],
)
def test_a_gpu_that_idles_is_a_warning(
    devices: int, usable: int, found: tuple[str, ...], status: Status, words: str, remedy: str
) -> None:
    seen = Seen(devices=devices, usable=usable, cards=(), by_backend=found)
    finding = judge(seen, Backend.TENSORFLOW)
    assert finding.status is status
    assert finding.found.startswith(words)
    assert finding.remedy.startswith(remedy)
    assert bool(finding.remedy) is (status is Status.WARNING)


def test_what_a_container_is_granted_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_subject(Settings()) as subject:
        monkeypatch.setattr(machine, "cpu_quota", lambda: 0.5)
        assert "the time of 0.5" in machine.check_cpu(subject).found
        monkeypatch.setattr(machine, "cpu_quota", lambda: None)
        assert "granted" not in machine.check_cpu(subject).found


def test_workers_that_the_memory_does_not_hold_are_a_warning() -> None:
    with open_subject(Settings()) as subject:
        subject.outcome = Outcome(state=State.COMPLETE, peak_memory_mib=10.0)
        assert check_workers(subject).status is Status.OK
        subject.outcome = Outcome(state=State.COMPLETE, peak_memory_mib=2.0**40)
        finding = check_workers(subject)
    assert finding.status is Status.WARNING
    assert finding.remedy == "python -m search run --workers 1"


def test_the_engine_proposes_from_the_space() -> None:
    with open_subject(Settings(space="mlp")) as subject:
        finding = check_engine(subject)
        assert finding.status is Status.OK
        assert subject.space.contains(finding.details["proposed"])


def test_last_words_are_those_that_tell_something() -> None:
    said = "I0000 00:00:1.2  9 port.cc:153] chatter\n\nTraceback:\n  x = y\n      ^^^\nW0000 more\nNameError: y\n"
    assert last_lines(said) == "Traceback:\n  x = y\nNameError: y"
    assert last_lines(said, count=1) == "NameError: y"
