"""A process of a probe: receives a task and a configuration, trains, and answers each wish to measure with a reading.

Started by ``search.execution.probe`` as ``python -m search.execution.probe_worker FD``, in the environment that a
worker has. It leaves when its pipe closes.
"""

from __future__ import annotations

import sys
from multiprocessing.connection import Connection

from search.execution.messages import Reading, Unfit, Warm
from search.training.lean import import_keras


def serve(connection: Connection) -> None:
    """Measures until the pipe closes."""
    task, config = connection.recv(), connection.recv()
    import_keras()
    from search.training import meter

    is_warm = False

    def wait() -> float:
        nonlocal is_warm
        if not is_warm:
            is_warm = True
            connection.send(Warm())
        try:
            return float(connection.recv())
        except EOFError:
            raise SystemExit from None

    def tell(images: float, seconds: float, device_mib: float) -> None:
        connection.send(Reading(images=images, seconds=seconds, device_mib=device_mib))

    connection.send(Unfit(meter.run(task, config, wait, tell)))


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
