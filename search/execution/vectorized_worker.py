"""A worker process that trains many trials as populations, until its pipe closes.

Started by ``search.execution.vectorized`` as ``python -m search.execution.vectorized_worker FD``, in the environment
that a worker has. It receives a task, then how many trials there may be at a time, at most, then trials as they come.
"""

from __future__ import annotations

import dataclasses
import sys
import threading
from multiprocessing.connection import Connection

from search.execution.base import TrialKey
from search.execution.messages import Ready
from search.execution.worker import read_pipe
from search.execution.worker_loop import Inbox, TrialChannel
from search.training.keras_import import import_keras


def main(connection: Connection) -> None:
    """Runs trials until the coordinator closes the pipe."""
    task, capacity, inbox = connection.recv(), connection.recv(), Inbox()
    threading.Thread(target=read_pipe, args=(inbox, connection), daemon=True).start()
    import_keras()
    from search.training.epochs import Hooks
    from search.training.vectorized.scheduler import PopulationScheduler

    pool, channels = PopulationScheduler(task, max_members=capacity.max_trials), dict[TrialKey, TrialChannel]()
    without_time_limit = dataclasses.replace(task, trial_seconds=None)  # nobody's time is a member's own
    probe = capacity.probe_population
    concurrent_trials = (
        capacity.max_trials if probe is None else pool.measure_capacity(probe.config, probe.phase, probe.size)
    )
    connection.send(Ready(concurrent_trials))
    while True:
        for trial in inbox.pop_arrived(wait=not len(pool)):
            channel = channels[trial.key] = TrialChannel(trial, without_time_limit, connection.send, inbox)
            outcome = pool.add(trial, Hooks(report=channel.report, should_stop=channel.should_stop))
            if outcome is not None:
                channels.pop(trial.key).finish(outcome)
        for trial, outcome in pool.train_epoch() if len(pool) else ():
            channels.pop(trial.key).finish(outcome)


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])))
