"""When a worker is replaced, and why one is killed. Plain values; the pool judges by them."""

from __future__ import annotations

from dataclasses import dataclass

from search.trial import Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLimits:
    """When a worker is replaced.

    Args:
        max_trials: Trials after which it is.
        memory_mib: Resident memory above which it is, once its trial has ended.
        trial_memory_mib: Resident memory above which it is killed, and its trial failed; None for no bound.
        hang_seconds: Time without a sign of life after which it is killed, and its trial failed.
        cancel_grace_seconds: Time that a trial which must stop is given to do so at a step boundary, before its worker
            is
            killed.
    """

    max_trials: int = 25
    memory_mib: float = 4096.0
    trial_memory_mib: float | None = None
    hang_seconds: float = 300.0
    cancel_grace_seconds: float = 20.0

    def recycle_threshold_mib(self, initial_mib: float) -> float:
        """Returns the memory above which a worker serves its last trial.

        Args:
            initial_mib: What it took before its first; of the room that this leaves below a trial's bound, what earlier
                trials left behind may take half, so that no trial is killed for them.
        """
        if self.trial_memory_mib is None:
            return self.memory_mib
        return min(self.memory_mib, (initial_mib + self.trial_memory_mib) / 2)

    def memory_kill_reason(self, used_mib: float, initial_mib: float) -> KillReason | None:
        """Returns why a worker that takes so much memory is killed, or None."""
        if self.trial_memory_mib is None or used_mib <= self.trial_memory_mib:
            return None
        message = (
            f"The worker took {used_mib / 1024:.2f} GiB of memory, {initial_mib / 1024:.2f} GiB of "
            "them before its first "
            f"trial; it may take {self.trial_memory_mib / 1024:.2f} GiB. Raise --trial-memory, or narrow the space "
            "with --range."
        )
        return KillReason(Cause.OUT_OF_MEMORY, message)


@dataclass(frozen=True, slots=True)
class KillReason:
    """Why a worker is killed, in short and in words."""

    cause: Cause
    message: str
