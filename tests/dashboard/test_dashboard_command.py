"""``dashboard`` from the outside: a real server in its own process, queried over HTTP."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from makers import complete, header, trial
from waiting import wait_for_record

from search.records.opening import open_ledger
from search.records.reader import read_study
from search.records.storage.locations import StudyLocation
from search.trial import Phase

ROOT = Path(__file__).parents[2]


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "search", *words]


@contextmanager
def dashboard(*words: str, cwd: Path = ROOT) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A dashboard that answers: its address without the page, and its process."""
    pipe = subprocess.PIPE
    arguments = command("dashboard", "--port", "0", *words)
    with subprocess.Popen(arguments, cwd=cwd, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            line = process.stdout.readline()
            address = re.search(r"(http://127\.0\.0\.1:\d+)/dashboard/studies/\d+ ", line)
            assert address, line + process.stderr.read()
            yield address[1], process
        finally:
            process.kill()


def ask(address: str, method: str = "GET", body: Any = None) -> tuple[int, Any]:
    """The status and the JSON of an answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.loads(refusal.read())


@pytest.fixture(scope="module")
def studies_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with two complete trials, one of them verified."""
    folder = tmp_path_factory.mktemp("studies")
    with open_ledger(StudyLocation(studies_dir=folder), header()) as ledger:
        for one in (trial(0), trial(1), trial(0, phase=Phase.VERIFICATION, source_trial=0, replicate=0)):
            ledger.begin(one)
            ledger.finish(one, complete(1.0 + one.number))
    return folder


@pytest.fixture(scope="module")
def address(studies_dir: Path) -> Iterator[str]:
    with dashboard("study", "--studies-dir", str(studies_dir)) as (address, _):
        yield address


def content(folder: Path) -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def test_studies_and_trials_are_shown(address: str) -> None:
    _, answer = ask(f"{address}/api/studies")
    found = {study["study_name"]: study["study_id"] for study in answer["study_summaries"]}
    assert list(found) == ["study/search", "study/verification"]
    _, answer = ask(f"{address}/api/studies/{found['study/search']}?after=0")
    assert [(one["number"], one["state"], one["values"]) for one in answer["trials"]] == [
        (0, "Complete", [1.0]),
        (1, "Complete", [2.0]),
    ]
    assert answer["objective_names"] == ["validation error %"]


def test_the_page_itself_is_served(address: str) -> None:
    with urllib.request.urlopen(f"{address}/dashboard/studies/0", timeout=30) as answer:
        assert "text/html" in answer.headers["Content-Type"]
        assert b"bundle.js" in answer.read()


CHANGES = {
    "delete": ("DELETE", "studies/0", None),
    "create": ("POST", "studies", {"study_name": "new", "directions": ["minimize"]}),
    "rename": ("POST", "studies/0/rename", {"study_name": "new"}),
    "note": ("PUT", "studies/0/note", {"version": 1, "body": "words"}),
    "note on a trial": ("PUT", "studies/0/0/note", {"version": 1, "body": "words"}),
    "tell": ("POST", "trials/0/tell", {"state": "Fail"}),
    "attributes": ("POST", "trials/0/user-attrs", {"user_attrs": {"a": 1}}),
}


@pytest.mark.parametrize(("method", "path", "body"), CHANGES.values(), ids=CHANGES)
def test_the_browser_changes_nothing(address: str, studies_dir: Path, method: str, path: str, body: Any) -> None:
    before = content(studies_dir)
    status, answer = ask(f"{address}/api/{path}", method, body)
    assert status == 403
    assert "only reads" in answer["reason"]
    assert content(studies_dir) == before


def test_only_this_machine_can_reach_it(address: str) -> None:
    port = int(address.rpartition(":")[2])
    known = [one.address for card in psutil.net_if_addrs().values() for one in card if one.family == socket.AF_INET]
    for other in {*known, "127.0.0.2"} - {"127.0.0.1"}:
        with pytest.raises(OSError), socket.create_connection((other, port), timeout=2):
            pass


def test_ctrl_c_ends_it_with_one_line(studies_dir: Path) -> None:
    with dashboard(str(studies_dir / "study")) as (address, process):
        ask(f"{address}/api/studies")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "The dashboard has ended.\n", "")


def refused(*words: str) -> str:
    done = subprocess.run(command("dashboard", *words), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_port_in_use_is_refused_with_a_fix(studies_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = refused("study", "--studies-dir", str(studies_dir), "--port", str(port))
    assert f"another program listens there. Received: --port {port}." in text
    assert "--port 0" in text


def test_an_unknown_study_and_one_that_was_published_are_refused(studies_dir: Path, tmp_path: Path) -> None:
    assert "Did you mean 'study'?" in refused("studdy", "--studies-dir", str(studies_dir))
    assert "can still be written is expected" in refused(str(tmp_path), "--studies-dir", str(studies_dir))
    assert "There is no study" in refused("--studies-dir", str(tmp_path))


def test_a_missing_extra_is_named(studies_dir: Path) -> None:
    code = (
        "import sys\n"
        "sys.modules['optuna_dashboard'] = None\n"  # as Python marks a module that cannot be imported
        "sys.argv = ['search', 'dashboard', 'study', '--studies-dir', sys.argv[1]]\n"
        "from search.cli import main\nmain()\n"
    )
    arguments = [sys.executable, "-c", code, str(studies_dir)]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install '.[dashboard]'" in done.stderr


@pytest.mark.slow
def test_trials_appear_while_a_search_runs_undisturbed(tmp_path: Path, small_mnist: Path, cache_dir: Path) -> None:
    where = ["--storage", f"sqlite:///{tmp_path}/studies.db"]  # test_read_only follows a journal, too
    words = ("--dataset", str(small_mnist), "--cache-dir", str(cache_dir), "--study", "live", "--seed", "0", *where)
    small = ("--space", "mlp", "--fix", "width_1=64", "--epochs", "30", "--threads", "1", "--workers", "1")
    small += ("--tune", "learning_rate,batch_size")
    run = command("run", *words, *small, "--trials", "6", "--finalists", "0", "--sampler", "tpe", "--quiet")
    with subprocess.Popen(run, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as search:
        place = StudyLocation(studies_dir=tmp_path / "studies", storage=where[1])
        wait_for_record(place, "live", lambda record: bool(record.trials), search)
        seen = set()
        with dashboard("live", *where, cwd=tmp_path) as (address, _):
            (search_id,) = [
                one["study_id"]
                for one in ask(f"{address}/api/studies")[1]["study_summaries"]
                if one["study_name"] == "live/search"
            ]
            while search.poll() is None:
                trials = ask(f"{address}/api/studies/{search_id}?after=0")[1]["trials"]
                seen.add((len(trials), sum(one["state"] != "Running" for one in trials)))
                assert ask(f"{address}/api/studies/{search_id}", "DELETE")[0] == 403
                time.sleep(0.5)
            time.sleep(3)  # the page keeps trials for two seconds
            last = ask(f"{address}/api/studies/{search_id}?after=0")[1]["trials"]
        _, err = search.communicate()
    assert (search.returncode, err) == (0, "")
    assert len(read_study(place, "live").trials_in_phase(Phase.SEARCH)) == len(last) == 6
    assert len(seen) >= 3, "new trials were seen while the search ran"
