"""Several coordinators on one study in a PostgreSQL server, which is real, as are their processes; training is not.

What only SQLite refuses stands at the end: a file has one coordinator.
"""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from makers import complete, header, trial
from postgres import PASSWORD, Server
from waiting import so_far, wait_for

from search.cli.status_view import status_text
from search.errors import FatalError, UserError
from search.records.arithmetic import Kernels
from search.records.ledger import Ledger
from search.records.opening import open_ledger
from search.records.reader import read_study
from search.records.record import StudyRecord, TrialRecord
from search.records.status import study_status
from search.records.storage import database_ledger, heartbeat
from search.records.storage.journal import COMMIT_INTERVAL_SECONDS
from search.records.storage.locations import StudyLocation
from search.session.parallelism.policy import ChosenBy, Parallelism, WorkerLayout
from search.session.plan import make_plan
from search.session.session import agree_with_coordinators
from search.session.settings import from_mapping
from search.study.peers import interrupt_orphans
from search.study.verification import finalists
from search.trial import BASELINE, Cause, EpochReport, Outcome, Phase, State, Trial


@pytest.fixture
def place(postgres: Server, tmp_path: Path) -> Callable[[str], StudyLocation]:
    """A database, as a machine with a studies folder of its own sees it."""
    url = postgres.database()
    return lambda machine: StudyLocation(studies_dir=tmp_path / machine, storage=url)


def check_whole(record: StudyRecord, trials: int) -> None:
    """None lost, none twice: every number once, every configuration settled once, the baseline and each repeat too."""
    searched = record.trials_in_phase(Phase.SEARCH)
    assert [known.trial.number for known in searched] == list(range(len(searched)))
    assert all(known.outcome is not None for known in record.trials)
    settled = [known for known in searched if known.is_finished]
    assert len(settled) == trials
    assert [known.trial.origin for known in settled].count(BASELINE) == 1
    asked = Counter((json.dumps(dict(known.trial.config)), known.trial.parent) for known in settled)
    assert set(asked.values()) == {1}
    repeats = [
        (k.trial.source_trial, k.trial.replicate) for k in record.trials_in_phase(Phase.VERIFICATION) if k.is_finished
    ]
    assert sorted(repeats) == sorted((k.trial.number, each) for k in finalists(record, 2) for each in range(3))


def start(place: StudyLocation, *, trials: int, seconds: float, seed: int) -> subprocess.Popen[str]:
    """Starts a coordinator in a process of its own."""
    program = Path(__file__).parent / "coordinators.py"
    words = [str(place.storage), str(place.studies_dir), *map(str, (trials, seconds, seed))]
    return subprocess.Popen(
        [sys.executable, "-X", "faulthandler", str(program), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_trial_whose_coordinator_is_not_heard_of_any_more_is_another_s(
    place: Callable[[str], StudyLocation], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat.Heartbeat, "_renew_periodically", lambda self: None)
    report = EpochReport(epoch=1, training_loss=0.5, metrics={"error_percent": 4.0})
    with open_ledger(place("one"), header()) as slow, open_ledger(place("two"), header()) as other:
        slow.begin(trial(0))
        assert slow.report(trial(0), report)
        time.sleep(COMMIT_INTERVAL_SECONDS)
        slow.flush()
        assert interrupt_orphans(other) == 0
        monkeypatch.setattr(heartbeat, "LEASE_SECONDS", 0.0)
        assert interrupt_orphans(other) == 1
        time.sleep(COMMIT_INTERVAL_SECONDS)
        assert not slow.report(trial(0), report)  # it learns that it was taken for dead
        assert slow.finish(trial(0), complete()).cause is Cause.COORDINATOR_DIED
    (known,) = read_study(place("one"), "study").trials
    assert (known.outcome.state, known.outcome.history) == (State.INTERRUPTED, (report,))


def test_whoever_was_cut_off_as_well_gives_the_others_time(
    place: Callable[[str], StudyLocation], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat.Heartbeat, "_renew_periodically", lambda self: None)
    with open_ledger(place("one"), header()) as slow, open_ledger(place("two"), header()) as other:
        slow.begin(trial(0))
        time.sleep(0.6)
        monkeypatch.setattr(heartbeat, "LEASE_SECONDS", 0.5)
        beating = other._heartbeat
        beating._renewed_at -= 1000.0  # as after an outage
        beating._renew()
        assert interrupt_orphans(other) == 0
        time.sleep(0.6)
        assert interrupt_orphans(other) == 1


def test_what_a_coordinator_left_behind_is_taken_up_by_one_alone(place: Callable[[str], StudyLocation]) -> None:
    with open_ledger(place("one"), header()) as leaving:
        leaving.begin(trial(0))
    with open_ledger(place("two"), header()) as two, open_ledger(place("three"), header()) as three:
        known = two.orphans()
        assert [one.trial.number for one in known] == [one.trial.number for one in three.orphans()] == [0]
        first, second = Outcome(state=State.INTERRUPTED, message="first"), Outcome(state=State.INTERRUPTED)
        assert two.finish(known[0].trial, first) == three.finish(known[0].trial, second) == first


def test_a_decision_waits_for_the_one_before_it(place: Callable[[str], StudyLocation]) -> None:
    order: list[str] = []

    def decide(ledger: Ledger) -> None:
        with ledger.exclusive():
            heard = ledger.changes(Phase.SEARCH)
            order.append("second")
            ledger.begin(trial(len(heard)))

    with open_ledger(place("one"), header()) as one, open_ledger(place("two"), header()) as two:
        with one.exclusive():
            waiting = threading.Thread(target=decide, args=(two,))
            waiting.start()
            time.sleep(0.3)
            order.append("first")
            one.begin(trial(0))
        waiting.join()
        assert order == ["first", "second"]
        assert [known.trial.number for known in one.read().trials] == [0, 1]


def test_a_server_that_restarts_costs_a_turn_and_nothing_else(
    place: Callable[[str], StudyLocation], postgres: Server
) -> None:
    from search.records.ledger import TransactionLostError
    from search.records.opening import open_ledger

    with open_ledger(place("one"), header()) as ledger:
        ledger.begin(trial(0))
        with pytest.raises(TransactionLostError), ledger.exclusive():
            ledger.begin(trial(1))
            postgres.stop()
            threading.Timer(1.0, postgres.start).start()
        assert not ledger.has_begun(trial(1))
        assert ledger.report(trial(0), EpochReport(epoch=1, training_loss=0.5, metrics={"error_percent": 4.0}))
        ledger.begin(trial(1, seed=7))
        assert ledger.finish(trial(0), complete()) == complete()
        assert [known.trial.seed for known in ledger.read().trials] == [0, 7]


def test_no_news_is_lost_when_the_server_goes_away_while_they_are_read(
    place: Callable[[str], StudyLocation], postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_trial, restarts = database_ledger.decode_trial, []

    def read_and_restart(*fields: Any) -> TrialRecord:
        if not restarts:
            restarts.append(postgres.stop())
            postgres.start()
        return read_trial(*fields)

    with open_ledger(place("one"), header()) as one, open_ledger(place("two"), header()) as two:
        one.begin(trial(0))
        two.changes(Phase.SEARCH)
        one.finish(trial(0), complete())
        monkeypatch.setattr(database_ledger, "decode_trial", read_and_restart)
        assert [known.outcome for known in two.changes(Phase.SEARCH)] == [complete()]
        assert len(restarts) == 1


def test_a_server_that_stays_away_ends_the_study_in_words(
    place: Callable[[str], StudyLocation], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from sqlalchemy.exc import OperationalError

    from search.records.storage.retry import call_with_retry

    def ask() -> None:
        raise OperationalError("select 1", {}, Exception("connection refused\nmore"))

    with pytest.raises(FatalError, match=r"for 0 s \(connection refused\)") as end:
        call_with_retry(ask, seconds=0.3)
    assert "Run the same command again" in end.value.hint
    assert "cannot be reached (connection refused)" in caplog.text


def test_a_study_s_coordinators_are_seen_and_its_time_is_that_of_the_longest(
    place: Callable[[str], StudyLocation],
) -> None:
    with open_ledger(place("one"), header()) as one, open_ledger(place("two"), header()) as two:
        one.record_spent_seconds(12.0)
        two.record_spent_seconds(7.0)
        assert one.read().spent_seconds == 12.0
        seen = study_status(place("three"), "study")
        assert [known.pid for known in seen.coordinators] == [os.getpid()] * 2
        assert "by 2 coordinators, process" in status_text(seen)
    assert study_status(place("three"), "study").coordinators == ()


def test_the_password_is_nowhere(place: Callable[[str], StudyLocation]) -> None:
    wrong = place("one").storage.replace(PASSWORD, f"{PASSWORD}x")
    with pytest.raises(UserError, match="cannot be reached") as refusal:
        open_ledger(StudyLocation(studies_dir=Path("/nowhere"), storage=wrong), header())
    assert PASSWORD not in f"{refusal.value} {place('one')!r}"


@pytest.mark.parametrize("part", ["se@cret@localhost", "pa@se:cret@localhost"])
def test_a_password_with_a_sign_that_must_be_escaped_is_not_shown(tmp_path: Path, part: str) -> None:
    with pytest.raises(UserError, match="cannot be read") as refusal:
        read_study(StudyLocation(studies_dir=tmp_path, storage=f"postgresql+psycopg://me:{part}/searches"), "study")
    assert "%40" in refusal.value.hint
    assert "cret" not in f"{refusal.value} {refusal.value.hint}"


def wait_until(place: StudyLocation, ended: int) -> None:
    """Returns once so many trials have ended."""

    def is_so() -> bool:
        record = so_far(place, "study")
        return record is not None and sum(known.is_finished for known in record.trials) >= ended

    wait_for(is_so, 120)


@pytest.mark.slow
def test_four_coordinators_one_of_them_killed_and_the_server_restarted(
    place: Callable[[str], StudyLocation], postgres: Server
) -> None:
    names = ("one", "two", "three", "four")  # the seed of whoever comes first counts
    sessions = [start(place(name), trials=60, seconds=0.15, seed=seed) for seed, name in enumerate(names)]
    wait_until(place("one"), 12)
    os.kill(sessions[0].pid, signal.SIGKILL)
    wait_until(place("one"), 20)
    postgres.stop()
    time.sleep(2.0)
    postgres.start()
    said = [session.communicate(timeout=100) for session in sessions]
    assert [session.returncode for session in sessions] == [-signal.SIGKILL, 0, 0, 0], said
    record = read_study(place("one"), "study")
    check_whole(record, 60)
    lost = [known.trial for known in record.trials if known.outcome.cause is Cause.COORDINATOR_DIED]
    assert lost  # the killed one's, each taken up again with its seed
    again: list[Trial] = [known.trial for known in record.trials_in_phase(Phase.SEARCH) if known.is_finished]
    assert {one.seed for one in lost if one.phase is Phase.SEARCH} <= {one.seed for one in again}
    ran = [set(map(int, printed.split())) for printed, _ in said[1:]]
    assert all(ran) and len(set.union(*ran)) == sum(map(len, ran))
    assert all(errors for _, errors in said[1:])  # each told of the restart
    assert PASSWORD not in "".join(map(str, said))


def test_coordinators_that_choose_at_the_same_time_compute_alike(
    place: Callable[[str], StudyLocation], small_mnist: Path, cache_dir: Path
) -> None:
    shared = {
        "dataset": small_mnist,
        "cache_dir": cache_dir,
        "study": "both",
        "storage": place("one").storage,
        "seed": 1,
    }
    made = make_plan(from_mapping(shared))
    small = Parallelism(layout=WorkerLayout(2, 1), chosen_by=ChosenBy.MEASURED, kernels=Kernels.ONEDNN)
    large = Parallelism(layout=WorkerLayout(1, 8), chosen_by=ChosenBy.MEASURED, kernels=Kernels.EIGEN)
    with open_ledger(place("one"), made.header) as first, open_ledger(place("two"), made.header) as second:
        assert agree_with_coordinators(made, small, first) == small
        agreed = agree_with_coordinators(made, large, second)
        assert (agreed.layout.threads, agreed.kernels, agreed.chosen_by) == (1, Kernels.ONEDNN, ChosenBy.RECORDED)
        assert agree_with_coordinators(made, agreed, second) == agreed
        with pytest.raises(UserError, match="threads"):
            agree_with_coordinators(make_plan(from_mapping({**shared, "threads": 8})), large, second)


@pytest.mark.slow
def test_two_real_commands_share_a_study_and_keep_the_password(
    place: Callable[[str], StudyLocation], small_mnist: Path, cache_dir: Path, tmp_path: Path
) -> None:
    url = str(place("one").storage)
    options = ["--space", "mlp", "--dataset", str(small_mnist), "--cache-dir", str(cache_dir), "--study", "both"]
    options += [
        "--trials",
        "4",
        "--finalists",
        "1",
        "--replicates",
        "1",
        "--epochs",
        "1",
        "--no-recipes",
        "--workers",
        "1",
    ]
    options += ["--sampler", "tpe", "--threads", "1", "--fix", "width_1=64", "--tune", "learning_rate,batch_size"]
    given = {"typed": (["--storage", url], {}), "environment": ([], {"KERAS_IMAGE_SEARCH_STORAGE": url})}
    sessions = []
    for name, (words, more) in given.items():
        folder = tmp_path / name
        folder.mkdir()
        command = [sys.executable, "-m", "search", "run", *options, *words]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), **more}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        sessions.append(subprocess.Popen(command, cwd=folder, env=environment, text=True, **pipes))
    said = [session.communicate(timeout=150) for session in sessions]
    assert [session.returncode for session in sessions] == [0, 0], said
    record = read_study(place("one"), "both")
    settled = [known for known in record.trials_in_phase(Phase.SEARCH) if known.is_finished]
    assert len({json.dumps(dict(known.trial.config)) for known in settled}) == len(settled) == 4
    assert [known.trial.origin for known in settled].count(BASELINE) == 1
    verified = [
        (known.trial.source_trial, known.trial.replicate) for known in record.trials_in_phase(Phase.VERIFICATION)
    ]
    assert len(set(verified)) == len(verified) == 2
    boards = [(tmp_path / name / "reports" / "both" / "leaderboard.md").read_text() for name in given]
    one, two = ([line for line in board.splitlines() if "spent" not in line] for board in boards)
    assert one == two
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    told = "".join(map(str, said)) + record.header.command
    assert not any(PASSWORD.encode() in _content(path) for path in written) and PASSWORD not in told


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == ".gz" else content


def sqlite(folder: Path, machine: str) -> StudyLocation:
    """A database in a file, as a process with a studies folder of its own sees it."""
    return StudyLocation(studies_dir=folder / machine, storage=f"sqlite:///{folder}/studies.db")


def test_a_second_process_is_refused_on_sqlite(tmp_path: Path) -> None:
    with open_ledger(sqlite(tmp_path, "one"), header()) as ledger:
        ledger.begin(trial(0))
        with pytest.raises(UserError, match="being run by another process"):
            open_ledger(sqlite(tmp_path, "two"), header())
        ledger.begin(trial(1))
    with open_ledger(sqlite(tmp_path, "two"), header()) as ledger:
        assert len(ledger.read().trials) == 2


def test_trials_that_another_program_adds_end_the_session_before_they_are_mixed_up(tmp_path: Path) -> None:
    import optuna

    with open_ledger(sqlite(tmp_path, "one"), header()) as ledger:
        ledger.begin(trial(0))
        optuna.load_study(study_name=f"study/{Phase.SEARCH.value}", storage=sqlite(tmp_path, "").storage).ask()
        with pytest.raises(FatalError, match="Another process adds trials"):
            ledger.begin(trial(1))


def test_reading_a_database_that_is_not_there_makes_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Unknown study"):
        read_study(sqlite(tmp_path, "one"), "study")
    assert list(tmp_path.iterdir()) == []
