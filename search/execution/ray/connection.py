"""The connection to a Ray cluster, which is joined or started.

A thread takes a snapshot of the nodes and their free resources every second, so that no caller waits for Ray. A cluster
that does not answer for a while is lost. Used by ``search.execution.ray.executor`` and its backend.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from search.errors import FatalError, UserError

POLL_SECONDS = 1.0
CONNECTION_TIMEOUT_SECONDS = 20.0
"""Time without an answer after which a cluster is lost."""
RAY_ABORT_SECONDS = 600
"""Time without an answer after which Ray aborts this process; its own 60 s can be too few to write the reports."""
ANSWER_TIMEOUT_SECONDS = 5.0
"""How long a cluster may take to accept a connection; Ray itself would try for minutes."""
CLIENT_PORT = 10001
"""Ray's default for ray://HOST."""
JOIN_HINT = (
    "ray status shows a cluster. A machine that is no node of it joins by ray://HOST:10001, mostly with "
    "RAY_AUTH_MODE=token in the environment, and the same ~/.ray/auth_token. Python and Ray must have the same "
    "versions there and here."
)
RESUME_HINT = "Run the same command again when the cluster is back: what was recorded is kept, and trials continue."


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One machine of the cluster.

    Args:
        name: The cluster's name of it; mostly its address.
        resources: All its resources by Ray's names, such as CPU.
    """

    name: str
    resources: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSnapshot:
    """The cluster at a moment.

    Args:
        nodes: The living nodes by id.
        available: Free resources of all nodes together, by Ray's names.
        taken_at: When Ray answered, by the monotonic clock.
    """

    nodes: Mapping[str, Node] = field(default_factory=dict)
    available: Mapping[str, float] = field(default_factory=dict)
    taken_at: float = 0.0


class ClusterConnection:
    """A connection to a cluster; made by ``connect``.

    Args:
        owns_cluster: Whether this process has joined or started the cluster and must leave it.
    """

    def __init__(self, *, owns_cluster: bool) -> None:
        self._owns_cluster = owns_cluster
        self._node_names: dict[str, str] = {}
        self._snapshot = self._take_snapshot()
        self._is_closed = threading.Event()
        threading.Thread(target=self._poll, daemon=True).start()

    @property
    def snapshot(self) -> ClusterSnapshot:
        """The latest snapshot.

        Raises:
            FatalError: The cluster has not answered for a while.
        """
        if time.monotonic() - self._snapshot.taken_at > CONNECTION_TIMEOUT_SECONDS:
            raise FatalError("The connection to the Ray cluster was lost.", hint=RESUME_HINT)
        return self._snapshot

    def node_name(self, node_id: str) -> str:
        """Returns the name of a node, living or not."""
        return self._node_names.get(node_id, node_id[:12])

    def close(self) -> None:
        """Leaves the cluster, and stops one that was started here. A lost cluster is not waited for."""
        import ray

        is_lost = time.monotonic() - self._snapshot.taken_at > CONNECTION_TIMEOUT_SECONDS
        self._is_closed.set()
        if self._owns_cluster and not is_lost:
            ray.shutdown()

    def _poll(self) -> None:
        while not self._is_closed.wait(POLL_SECONDS):
            try:
                self._snapshot = self._take_snapshot()
            except Exception:  # noqa: BLE001 - whatever Ray raises, there was no answer, and the next second tries again
                continue

    def _take_snapshot(self) -> ClusterSnapshot:
        import ray

        nodes = {
            node["NodeID"]: Node(name=node["NodeName"] or node["NodeManagerAddress"], resources=node["Resources"])
            for node in ray.nodes()
            if node["Alive"]
        }
        self._node_names |= {node_id: node.name for node_id, node in nodes.items()}
        return ClusterSnapshot(nodes=nodes, available=ray.available_resources(), taken_at=time.monotonic())


def check_address(address: str) -> None:
    """Checks that something accepts connections at an address; "auto" and a malformed one are left to Ray.

    Raises:
        UserError: Nothing does.
    """
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        host, port = parts.hostname, parts.port or (CLIENT_PORT if parts.scheme == "ray" else None)
    except ValueError:
        return
    if host is None or port is None:
        return
    try:
        socket.create_connection((host, port), timeout=ANSWER_TIMEOUT_SECONDS).close()
    except OSError as error:
        raise UserError(
            f"No Ray cluster answers at {host}:{port} ({error}). Received: --address {address}.", hint=JOIN_HINT
        ) from error


def connect(address: str | None, *, cpus: int) -> ClusterConnection:
    """Joins a cluster, or the one that this process has joined already; without an address, starts one here.

    Args:
        address: "auto", HOST:PORT, or ray://HOST:PORT.
        cpus: Cores of a cluster that is started here.

    Raises:
        UserError: There is no cluster at the address, or it cannot be joined from here.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address is not None:
        os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", str(RAY_ABORT_SECONDS))
    import ray

    if ray.is_initialized():
        return ClusterConnection(owns_cluster=False)
    log_options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address is None:
            ray.init(address="local", num_cpus=cpus, include_dashboard=False, **log_options)
        else:
            ray.init(address=address, **log_options, **_loopback_options(address))
        return ClusterConnection(owns_cluster=True)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        ray.shutdown()
        where = "start Ray on this machine" if address is None else f"join a Ray cluster. Received: --address {address}"
        raise UserError(
            f"Could not {where} ({str(error).strip().splitlines()[0]}).",
            hint=JOIN_HINT,
        ) from error


def _loopback_options(address: str) -> dict[str, Any]:
    """Returns this machine's address for a cluster on a loopback address, which Ray would not find."""
    try:
        host = ipaddress.ip_address(address.rpartition(":")[0])
    except ValueError:
        return {}
    return {"_node_ip_address": str(host)} if host.is_loopback else {}
