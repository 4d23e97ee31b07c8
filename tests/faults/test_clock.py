"""A search whose machine's clock is set back and forth."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from worn import call, completed, ended, leaderboard, recorded, started, wait_until, words

pytestmark = pytest.mark.slow
FAKETIME = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
"""Where Debian's package ``faketime`` has its library; ``.ci/run`` installs it."""


SLEEPS = """
import select, time  # libfaketime 0.9.10 breaks clock_nanosleep, by which Python sleeps; delete when it does not
time.sleep = lambda seconds: select.select([], [], [], seconds)
"""


@pytest.mark.skipif(FAKETIME is None, reason="sets the clock: apt-get install faketime")
def test_a_clock_that_is_set_back_and_forth_changes_no_duration_and_no_budget(
    small_mnist: Path, cache_dir: Path, tmp_path: Path
) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0")
    (tmp_path / "shim").mkdir()
    (tmp_path / "shim/sitecustomize.py").write_text(SLEEPS)
    environment = {
        **os.environ,
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # setting a system's clock leaves that one alone
        "PYTHONPATH": os.pathsep.join(filter(None, [str(tmp_path / "shim"), os.environ.get("PYTHONPATH")])),
    }
    command = words(small_mnist, cache_dir, trials=4, timeout="30m")
    began = time.monotonic()
    with started(command, tmp_path, env=environment) as session:
        wait_until(session, tmp_path, lambda record: len(ended(record)) >= 1)
        clock.write_text("+2h")  # past the budget, were it counted by this clock
        wait_until(session, tmp_path, lambda record: len(ended(record)) >= 2)
        clock.write_text("-1h")
        wait_until(session, tmp_path, lambda record: len(ended(record)) >= 3)
    before = ended(recorded(tmp_path))
    clock.write_text("-2h")
    done = call(command, tmp_path, env=environment)
    took = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    record = recorded(tmp_path)
    assert set(map(str, before)) <= set(map(str, ended(record)))
    assert len(completed(record)) == 4
    assert 0 < record.spent_seconds < took
    starts = [known.started for known in record.trials]
    assert starts != sorted(starts), "the clock was not set back"
    ends = [known.outcome.elapsed_seconds for known in record.trials if known.outcome]
    assert all(0 <= end < took for end in ends)
    assert all(second >= 0 for known in ended(record) for second in known.outcome.seconds.values())
    assert all(report.seconds > 0 for known in ended(record) for report in known.outcome.history)
    assert leaderboard(tmp_path).returncode == 0
