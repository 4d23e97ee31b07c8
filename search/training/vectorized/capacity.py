"""How many members a device holds: measured with a few of them, by the compiler's own account, before any trial comes.

A few are trained for as long as they were any trial's, so that what was compiled for it serves the first trials.
"""

from __future__ import annotations

import dataclasses
import math

from search.training.run_state import is_out_of_memory
from search.training.vectorized.member import Member
from search.training.vectorized.memory import max_members
from search.training.vectorized.population import Population


def measure_capacity(population: Population, member: Member, *, count: int, free_memory: int) -> int:
    """Returns how many members like one the device holds, a power of two.

    One where not even one fits, and as many as it was measured with where they cannot be trained for another reason:
    then the trials themselves will say why.

    Args:
        population: Of its program; without members before and afterwards.
        member: One before its first step.
        count: How many to measure with; half as many, as often as they do not fit.
        free_memory: Bytes of the device that are free.
    """
    while True:
        try:
            population.stack([dataclasses.replace(member) for _ in range(count)])
            population.warm_up()
            capacity = max_members(population.program.compiled.values(), count, free_memory)
        except Exception as error:  # noqa: BLE001 - what is wrong with it is a trial's own affair
            if count == 1 or not is_out_of_memory(error):
                return count
        else:
            return int(2 ** math.floor(math.log2(capacity)))
        finally:
            population.release()
        count //= 2
