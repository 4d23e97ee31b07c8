"""A coordinator in a process of its own, for tests of several on one database: all is real but the training.

    python tests/coordinators.py URL FOLDER TRIALS SECONDS SEED    works on the study until it is done

SECONDS is what an epoch takes; SEED counts for whoever begins the study. Prints the numbers of the trials that it ran.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

from doubles import InstantExecutor
from makers import TINY, header

from search.engines.optuna_engine import OptunaEngine
from search.execution.base import Event
from search.records.opening import open_ledger
from search.records.storage.locations import StudyLocation
from search.session.callbacks import Callback
from search.study.loop import run_loop
from search.study.peers import interrupt_orphans
from search.study.search_source import SearchSource
from search.study.verification import ReplicateSource, verification_trials
from search.trial import Phase


class PacedExecutor(InstantExecutor):
    """As its base, but an event takes its time."""

    seconds = 0.0

    def collect(self, timeout: float) -> list[Event]:
        time.sleep(self.seconds)
        return super().collect(timeout)


def work(place: StudyLocation, *, trials: int, seconds: float, seed: int) -> list[int]:
    """Searches and verifies, as a session does; returns the numbers of the search trials that it ran."""
    executor = PacedExecutor(slots=2)
    executor.seconds = seconds
    with open_ledger(place, header(pruner="asha", seed=seed), accept_recorded_seed=True) as ledger:
        loop = {"executor": executor, "ledger": ledger, "callback": Callback()}
        interrupt_orphans(ledger)
        engine = OptunaEngine(TINY, sampler="tpe", pruner="asha", seed=ledger.header.seed, epochs=4)
        run_loop(SearchSource(engine, ledger, trials=trials), **loop)
        ran = [trial.number for trial in executor.ran]
        record = ledger.read()
        waiting = verification_trials(record, count=2, replicates=3)
        run_loop(ReplicateSource(waiting, record.trials_in_phase(Phase.VERIFICATION)), **loop)
    return ran


if __name__ == "__main__":
    url, folder, *numbers = sys.argv[1:]
    trials, seconds, seed = numbers
    place = StudyLocation(studies_dir=Path(folder), storage=url)
    print(*work(place, trials=int(trials), seconds=float(seconds), seed=int(seed)))
