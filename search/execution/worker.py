"""A worker process of this machine: receives a task once, then trials, until its pipe closes.

Started by ``search.execution.local`` as ``python -m search.execution.worker FD``, with the runtime's variables in its
environment already. It is a process of its own rather than a fork or a spawned copy of the caller, so that a notebook
or a script without a main guard can start a search. When the coordinator dies, however it dies, the pipe closes and
the worker leaves at once.
"""

from __future__ import annotations

import os
import sys
import threading
from multiprocessing.connection import Connection

from search.execution.worker_loop import Inbox, run_worker_loop


def main(connection: Connection) -> None:
    """Runs trials until the coordinator closes the pipe."""
    task, inbox = connection.recv(), Inbox()
    threading.Thread(target=read_pipe, args=(inbox, connection), daemon=True).start()
    run_worker_loop(task, inbox, connection.send)


def read_pipe(inbox: Inbox, connection: Connection) -> None:
    """Reads the pipe; leaves with the coordinator."""
    while True:
        try:
            inbox.put(connection.recv())
        except (EOFError, OSError):
            os._exit(0)


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])))
