"""What a compiled program takes of the device's memory, by XLA's account before it runs, and what is free there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax

from search.training.cgroup import available_memory
from search.training.run_state import ExceedsFreeMemory

USABLE_FRACTION = 0.9
"""Share of the free memory that a program may take."""


def check_fits(compiled: Any, free_limit: int | None = None) -> None:
    """Makes sure that a compiled program fits.

    Args:
        compiled: The program.
        free_limit: Bytes that are free; None for what is measured now.

    Raises:
        TooLarge: It does not.
    """
    account, free = compiled.memory_analysis(), free_limit or free_bytes()
    needs = 0 if account is None else account.temp_size_in_bytes + account.output_size_in_bytes
    if needs > USABLE_FRACTION * free:
        raise ExceedsFreeMemory(
            f"The program takes {needs / 2**30:.2f} GiB of memory, where {free / 2**30:.2f} GiB are free."
        )


def max_members(programs: Iterable[Any], members: int, free: int) -> int:
    """Returns how many members there may be, at least one, by the compiled programs that train and score some.

    Beside what a program takes while it runs, three states are kept: that before the epoch, that before the last call,
    and what the program makes of it.

    Args:
        programs: Those that are run one after the other.
        members: How many they are made for.
        free: Bytes that are free before there are any.
    """
    accounts = [account for one in programs if (account := one.memory_analysis()) is not None]
    if not accounts:
        return members
    needed = max(one.temp_size_in_bytes for one in accounts) + 3 * max(one.output_size_in_bytes for one in accounts)
    return max(1, int(USABLE_FRACTION * free * members / needed))


def free_bytes() -> int:
    """Returns the free memory of the device; a CPU's is the machine's, or what its container is granted."""
    device = jax.devices()[0]
    stats = device.memory_stats() if device.platform != "cpu" else None
    if not stats or "bytes_limit" not in stats:
        return available_memory()
    return int(stats["bytes_limit"] - stats["bytes_in_use"])
