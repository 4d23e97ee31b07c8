"""A worker process that trains many trials as populations, until its pipe closes.

``search.execution.vectorized`` starts it as ``python -m search.execution.vectorized_worker FD``. It receives a task,
its ``Capacity``, then trials as they come.
"""

from __future__ import annotations

import dataclasses
import sys
from multiprocessing.connection import Connection

from search.execution.base import TrialKey
from search.execution.messages import Ready
from search.execution.worker_loop import Inbox, TrialChannel
from search.training.runtime import import_keras


def main(connection: Connection) -> None:
    """Runs trials until the coordinator closes the pipe."""
    task, capacity, inbox = connection.recv(), connection.recv(), Inbox()
    inbox.read_from(connection)
    import_keras()
    from search.training.epochs import Hooks
    from search.training.vectorized.scheduler import PopulationScheduler

    scheduler = PopulationScheduler(task, max_members=capacity.max_trials)
    channels: dict[TrialKey, TrialChannel] = {}
    without_time_limit = dataclasses.replace(task, trial_seconds=None)  # members share their time
    concurrent_trials = capacity.max_trials
    if capacity.probe_config is not None:
        concurrent_trials = scheduler.measure_capacity(capacity.probe_config, capacity.probe_phase, capacity.probe_size)
    connection.send(Ready(concurrent_trials))
    while True:
        for request in inbox.pop_arrived(wait=not len(scheduler)):
            channel = TrialChannel(request.trial, without_time_limit, connection.send, inbox)
            hooks = Hooks(report=channel.report, should_stop=channel.should_stop)
            outcome = scheduler.add(request.trial, hooks, request.files)
            if outcome is None:
                channels[request.trial.key] = channel
            else:
                channel.finish(outcome)
        for trial, outcome in scheduler.train_epoch() if len(scheduler) else ():
            channels.pop(trial.key).finish(outcome)


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])))
