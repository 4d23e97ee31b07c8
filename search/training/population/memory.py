"""What a compiled program takes of the device's memory, by XLA's account before it runs, and what is free there."""

from __future__ import annotations

from typing import Any

import jax

from search.cgroup import available_memory
from search.training.attempt import TooLarge

USABLE = 0.9
"""Share of the free memory that a program may take."""


def check(compiled: Any, limit: int | None = None) -> None:  # noqa: ANN401 - of JAX's
    """Makes sure that a compiled program fits.

    Args:
        compiled: The program.
        limit: Bytes that are free; None for what is measured now.

    Raises:
        TooLarge: It does not.
    """
    account, free = compiled.memory_analysis(), limit or free_bytes()
    needs = 0 if account is None else account.temp_size_in_bytes + account.output_size_in_bytes
    if needs > USABLE * free:
        raise TooLarge(f"The program takes {needs / 2**30:.2f} GiB of memory, where {free / 2**30:.2f} GiB are free.")


def capacity(compiled: Any, members: int, free: int) -> int:  # noqa: ANN401 - of JAX's
    """Returns how many members there may be, at least one, by a compiled program that trains some.

    Beside what the program takes, the states before the epoch and before the last call are kept.

    Args:
        compiled: The program.
        members: How many it trains.
        free: Bytes that are free before it has any.
    """
    account = compiled.memory_analysis()
    if account is None:
        return members
    each = (account.temp_size_in_bytes + 3 * account.output_size_in_bytes) / members
    return max(1, int(USABLE * free / each))


def free_bytes() -> int:
    """Returns the free memory of the device; a CPU's is the machine's, or what its container is granted."""
    device = jax.devices()[0]
    known = device.memory_stats() if device.platform != "cpu" else None
    if not known or "bytes_limit" not in known:
        return available_memory()
    return int(known["bytes_limit"] - known["bytes_in_use"])
