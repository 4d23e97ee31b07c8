"""A worker process that trains many trials as populations, until its pipe closes.

Started by ``search.execution.vectorized`` as ``python -m search.execution.population_worker FD``, in the environment
that a worker has. It receives a task, then how many trials there may be at a time, at most, then trials as they come.
"""

from __future__ import annotations

import dataclasses
import sys
import threading
from multiprocessing.connection import Connection

from search.execution.base import Key
from search.execution.messages import Ready
from search.execution.serving import Inbox, Line
from search.execution.worker import fill
from search.training.lean import import_keras


def serve(connection: Connection) -> None:
    """Runs trials until the coordinator closes the pipe."""
    task, allowance, inbox = connection.recv(), connection.recv(), Inbox()
    threading.Thread(target=fill, args=(inbox, connection), daemon=True).start()
    import_keras()
    from search.training.epochs import Hooks
    from search.training.population.pool import Pool

    pool, lines = Pool(task, most=allowance.most), dict[Key, Line]()
    boundless = dataclasses.replace(task, trial_seconds=None)  # nobody's time is a member's own
    sample = allowance.sample
    places = allowance.most if sample is None else pool.measure(sample.config, sample.phase, sample.members)
    connection.send(Ready(places))
    while True:
        for trial in inbox.arrived(is_awaited=not len(pool)):
            line = lines[trial.key] = Line(trial, boundless, connection.send, inbox)
            outcome = pool.add(trial, Hooks(report=line.report, should_stop=line.should_stop))
            if outcome is not None:
                lines.pop(trial.key).finish(outcome)
        for trial, outcome in pool.advance() if len(pool) else ():
            lines.pop(trial.key).finish(outcome)


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
