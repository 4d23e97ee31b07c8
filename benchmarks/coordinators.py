"""How many trials a second one coordinator submits and records, with 10 to 10,000 virtual workers, by ledger.

    python benchmarks/coordinators.py [--workers 10 100 1000 10000] [--samplers random tpe] [--seconds 20]
    python benchmarks/coordinators.py --ledgers journal postgres --url postgresql+psycopg://me@127.0.0.1/bench

Engine, source, loop and ledger are those of a study; the workers are virtual and take no real time. Trials of the space
cnn report ten epochs, without pruning, and have very different lengths, so that some end soon. First every worker gets
a trial. Then, for ``--seconds``, the coordinator's time between two events is measured: after an epoch, and after an
end, when it also proposes and begins another trial. A trial costs one end and ten epochs; the rate is the inverse. If
not all workers have a trial after ``FILLING`` times ``--seconds``, the row counts those that have one. A rate keeps as
many workers busy as the rate times the seconds of a trial.
"""

from __future__ import annotations

import argparse
import random
import secrets
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from statistics import fmean

from common import table
from virtual import EPOCHS, header

from search.engines.registry import EngineChoice, make_engine
from search.execution.base import Event, Finished, Reported
from search.execution.virtual import SimulatedEpoch, SimulatedTrial, VirtualExecutor
from search.records.opening import open_ledger
from search.records.storage.locations import StudyLocation
from search.session.callbacks import Callback
from search.study.loop import run_loop
from search.study.search_source import SearchSource
from search.trial import NO_FILES, Trial, TrialFiles

TRIAL_SECONDS = (30, 300)
FILLING = 4
"""Multiple of ``--seconds`` in which every worker should get a trial."""


class _Timing(VirtualExecutor):
    """A virtual executor that measures its caller's time for each event, once every slot is taken.

    Args:
        slots: Trials at a time.
        seconds: How long to measure.
    """

    def __init__(self, slots: int, seconds: float) -> None:
        super().__init__(_course, slots=slots)
        self.spent: dict[type[Event], list[float]] = {Reported: [], Finished: []}
        self.most = 0
        self._seconds, self._began, self._since = seconds, time.perf_counter(), 0.0
        self._event: Event | None = None

    @property
    def slots(self) -> int:
        """How many trials may run at once: as many as were submitted in the time for it."""
        if self._event is not None or time.perf_counter() - self._began > FILLING * self._seconds:
            return self.most
        return super().slots

    def submit(self, trial: Trial, files: TrialFiles = NO_FILES) -> None:
        """Starts a trial."""
        super().submit(trial, files)
        self.most = max(self.most, len(self.running))

    def collect(self, timeout: float) -> list[Event]:
        """Returns the next event, at which the measurement of the caller's time starts.

        Raises:
            _OverError: The time is over. Ending the running trials would take longer than the benchmark.
        """
        now = time.perf_counter()
        if self._event is None:
            self._began = now
        else:
            self.spent[type(self._event)].append(now - self._since)
        if now - self._began > self._seconds:
            raise _OverError
        events = super().collect(timeout)
        self._event, self._since = events[0], time.perf_counter()
        return events


class _OverError(Exception):
    """The time is over."""


def _course(trial: Trial) -> SimulatedTrial:
    draw = random.Random(trial.number)
    seconds = 10 ** draw.uniform(-3, 0)
    return SimulatedTrial(
        epochs=tuple(SimulatedEpoch(error_percent=draw.uniform(0.5, 3.0), seconds=seconds) for _ in range(EPOCHS))
    )


def rate(place: StudyLocation, *, workers: int, sampler: str, seconds: float) -> tuple[object, ...]:
    """Returns workers with a trial, ended trials, milliseconds an epoch and an end, and trials a second."""
    study = header(f"bench-{secrets.token_hex(4)}", sampler)
    choice = EngineChoice(engine=study.engine, sampler=study.sampler, pruner=study.pruner)
    executor = _Timing(workers, seconds)
    with suppress(_OverError), open_ledger(place, study) as ledger:
        engine = make_engine(choice, study.space, seed=1, epochs=EPOCHS)
        source = SearchSource(engine, ledger)
        run_loop(source, executor=executor, ledger=ledger, callback=Callback())
    epoch, end = (fmean(executor.spent[kind] or [0.0]) for kind in (Reported, Finished))
    return executor.most, len(executor.spent[Finished]), 1000 * epoch, 1000 * end, 1 / (EPOCHS * epoch + end)


def main() -> None:
    """Prints a row for each sampler, ledger and number of workers."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, nargs="+", default=[10, 100, 1000, 10000])
    parser.add_argument("--samplers", nargs="+", default=["random", "tpe"])
    parser.add_argument("--ledgers", nargs="+", default=["journal"], choices=["journal", "postgres"])
    parser.add_argument("--url", help="of an empty database, for postgres")
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    rows = []
    for sampler in options.samplers:
        for ledger in options.ledgers:
            for workers in options.workers:
                with tempfile.TemporaryDirectory() as folder:
                    place = StudyLocation(
                        studies_dir=Path(folder), storage=options.url if ledger == "postgres" else None
                    )
                    row = rate(place, workers=workers, sampler=sampler, seconds=options.seconds)
                bounds = [float(str(row[-1])) * each for each in TRIAL_SECONDS]
                rows.append((sampler, ledger, workers, *row, *bounds))
                print(*rows[-1], flush=True)
    busy = [f"busy at {seconds} s" for seconds in TRIAL_SECONDS]
    heads = ["sampler", "ledger", "workers", "served", "ended", "epoch, ms", "end and begin, ms", "trials a second"]
    table([*heads, *busy], rows)


if __name__ == "__main__":
    main()
