"""The connection to a Ray cluster: joined or started, watched, and left or stopped.

A thread asks every second which nodes there are and what is free on them, so that nobody else waits for the answer; a
cluster that gives none for a while is lost. Knows nothing of trials.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from search.errors import FatalError, UserError

LOOK_SECONDS = 1.0
LOST_SECONDS = 20.0
"""Time without an answer after which a cluster is lost; Ray itself ends this process after 60."""
AGAIN = "Run the same command again when the cluster is back: what was recorded is kept, and trials go on."


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One machine of the cluster.

    Args:
        name: What the cluster calls it; mostly its address.
        resources: What it has in all, by Ray's names, such as CPU.
    """

    name: str
    resources: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What the cluster was, a moment ago.

    Args:
        nodes: The living ones, by id.
        free: What nobody uses, all nodes together, by Ray's names.
        at: When it was asked, by the monotonic clock.
    """

    nodes: Mapping[str, Node] = field(default_factory=dict)
    free: Mapping[str, float] = field(default_factory=dict)
    at: float = 0.0


class Connection:
    """A connection to a cluster; made by ``connect``.

    Args:
        is_ours: Whether it was made here, and is to be closed here.
    """

    def __init__(self, *, is_ours: bool) -> None:
        self._is_ours = is_ours
        self._names: dict[str, str] = {}
        self._latest = self._look()
        self._is_closed = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def latest(self) -> Snapshot:
        """The latest snapshot.

        Raises:
            FatalError: The cluster has not answered for a while.
        """
        if time.monotonic() - self._latest.at > LOST_SECONDS:
            raise FatalError("The connection to the Ray cluster was lost.", hint=AGAIN)
        return self._latest

    def name(self, node_id: str) -> str:
        """Returns what the cluster calls a node, living or not."""
        return self._names.get(node_id, node_id[:12])

    def close(self) -> None:
        """Leaves the cluster, and stops one that was started here; one that is lost is not waited for."""
        import ray

        is_lost = time.monotonic() - self._latest.at > LOST_SECONDS
        self._is_closed.set()
        if self._is_ours and not is_lost:
            ray.shutdown()

    def _watch(self) -> None:
        while not self._is_closed.wait(LOOK_SECONDS):
            try:
                self._latest = self._look()
            except Exception:  # noqa: BLE001 - whatever Ray raises: it gave no answer, and is asked again
                continue

    def _look(self) -> Snapshot:
        import ray

        known = {
            node["NodeID"]: Node(name=node["NodeName"] or node["NodeManagerAddress"], resources=node["Resources"])
            for node in ray.nodes()
            if node["Alive"]
        }
        self._names |= {node_id: node.name for node_id, node in known.items()}
        return Snapshot(nodes=known, free=ray.available_resources(), at=time.monotonic())


def connect(address: str | None, *, cpus: int) -> Connection:
    """Joins a cluster; without an address one is started on this machine, unless this process has joined one already.

    Args:
        address: "auto", HOST:PORT, or ray://HOST:PORT.
        cpus: Of a cluster that is started here.

    Raises:
        UserError: There is none at the address, or it cannot be joined from here.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    if ray.is_initialized():
        return Connection(is_ours=False)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address is None:
            ray.init(address="local", num_cpus=cpus, include_dashboard=False, **quiet)
        else:
            ray.init(address=address, **quiet, **_own_address(address))
        return Connection(is_ours=True)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        ray.shutdown()
        where = "start Ray on this machine" if address is None else f"join a Ray cluster. Received: --address {address}"
        raise UserError(
            f"Could not {where} ({str(error).strip().splitlines()[0]}).",
            hint="ray status shows a cluster. A machine that is no node of it joins by ray://HOST:10001, mostly with "
            "RAY_AUTH_MODE=token in the environment, and the same ~/.ray/auth_token. Python and Ray must have the same "
            "versions there and here.",
        ) from error


def _own_address(address: str) -> dict[str, Any]:
    """Returns the address of this machine where a cluster lies on a loopback address, which Ray would not find."""
    try:
        host = ipaddress.ip_address(address.rpartition(":")[0])
    except ValueError:
        return {}
    return {"_node_ip_address": str(host)} if host.is_loopback else {}
