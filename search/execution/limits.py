"""When a worker is replaced, and why one is killed. Plain values; the pool judges by them."""

from __future__ import annotations

from dataclasses import dataclass

from search.trial import Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a worker is replaced.

    Args:
        trials: Trials after which it is.
        memory_mib: Resident memory above which it is, once its trial has ended.
        trial_memory_mib: Resident memory above which it is killed, and its trial failed; None for no bound.
        hang_seconds: Time without a sign of life after which it is killed, and its trial failed.
        cancel_seconds: Time that a trial which must stop is given to do so at a step boundary, before its worker is
            killed.
    """

    trials: int = 25
    memory_mib: float = 4096.0
    trial_memory_mib: float | None = None
    hang_seconds: float = 300.0
    cancel_seconds: float = 20.0

    def recycle_mib(self, fresh_mib: float) -> float:
        """Returns the memory above which a worker serves its last trial.

        Args:
            fresh_mib: What it took before its first; of the room that this leaves below a trial's bound, what earlier
                trials left behind may take half, so that no trial is killed for them.
        """
        if self.trial_memory_mib is None:
            return self.memory_mib
        return min(self.memory_mib, (fresh_mib + self.trial_memory_mib) / 2)

    def too_large(self, used_mib: float, fresh_mib: float) -> Verdict | None:
        """Returns why a worker that takes so much memory is killed, or None."""
        if self.trial_memory_mib is None or used_mib <= self.trial_memory_mib:
            return None
        message = (
            f"The worker took {used_mib / 1024:.2f} GiB of memory, {fresh_mib / 1024:.2f} GiB of them before its first "
            f"trial; it may take {self.trial_memory_mib / 1024:.2f} GiB. Raise --trial-memory, or narrow the space "
            "with --range."
        )
        return Verdict(Cause.OUT_OF_MEMORY, message)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a worker is killed, in short and in words."""

    cause: Cause
    message: str
