"""A process of a probe: receives a task and a configuration, trains, and answers each wish to measure with a reading.

Started by ``search.execution.probe`` as ``python -m search.execution.probe_worker FD``, in the environment that a
worker has. It leaves when its pipe closes.
"""

from __future__ import annotations

import sys
from multiprocessing.connection import Connection

from search.execution.messages import ProbeReady, ProbeResult, WorkerUnusable
from search.training.lean import import_keras


def main(connection: Connection) -> None:
    """Measures until the pipe closes."""
    task, config = connection.recv(), connection.recv()
    import_keras()
    from search.training import meter

    is_ready = False

    def wait_for_request() -> float:
        nonlocal is_ready
        if not is_ready:
            is_ready = True
            connection.send(ProbeReady())
        try:
            return float(connection.recv())
        except EOFError:
            raise SystemExit from None

    def send_result(images: float, seconds: float, device_mib: float) -> None:
        connection.send(ProbeResult(images=images, seconds=seconds, device_mib=device_mib))

    connection.send(WorkerUnusable(meter.measure_throughput(task, config, wait_for_request, send_result)))


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])))
