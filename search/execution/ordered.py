"""A wrapper that makes any executor deliver its events in the same order at every run.

With several workers events arrive as the machine happens to finish them, and an engine that hears them in another
order proposes other configurations. The wrapper gives each event a logical time: an event of a trial comes one tick
after the event before it, its first one tick after the event that freed its place. An event is held back until no
earlier one can still come (the conservative rule of parallel discrete-event simulation). The cost is waiting: a fast
trial's news is held until slow trials have reached the same tick.

Source: Chandy and Misra, "Distributed Simulation", IEEE Transactions on Software Engineering, 1979.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from search.execution.base import Capabilities, Event, Executor, Finished, Key
from search.trial import Cause, Trial


@dataclass(slots=True)
class _Lane:
    """The events of one running trial."""

    trial: Trial
    next_tick: int
    order: int
    held: deque[Event] = field(default_factory=deque)
    cancelled: bool = False

    def hold(self, event: Event) -> None:
        """Keeps an event back; a cancelled trial's reports no longer count, however far it ran on."""
        if isinstance(event, Finished) or not self.cancelled:
            self.held.append(event)


class OrderedExecutor(Executor):
    """Delivers another executor's events in a reproducible order.

    Args:
        inner: The executor that runs the trials.
    """

    capabilities = Capabilities(survives_worker_death=True, ordered=True)

    def __init__(self, inner: Executor) -> None:
        self._inner = inner
        self._lanes: dict[Key, _Lane] = {}
        self._now = 0
        self._submitted = 0

    @property
    def slots(self) -> int:
        """How many trials may run at once."""
        return self._inner.slots

    @property
    def running(self) -> Mapping[Key, Trial]:
        """The trials whose Finished event was not yet delivered."""
        return {key: lane.trial for key, lane in self._lanes.items()}

    def submit(self, trial: Trial) -> None:
        """Starts a trial at the present tick."""
        self._lanes[trial.key] = _Lane(trial=trial, next_tick=self._now + 1, order=self._submitted)
        self._submitted += 1
        self._inner.submit(trial)

    def collect(self, timeout: float) -> list[Event]:
        """Returns the one event that is next in logical time, or nothing while it cannot be known."""
        for event in [] if self._is_next_known() else self._inner.collect(timeout):
            self._lanes[event.key].hold(event)
        return [self._release()] if self._is_next_known() else []

    def cancel(self, key: Key, cause: Cause) -> None:
        """Asks a running trial to stop; its reports that were not yet delivered never will be."""
        lane = self._lanes[key]
        lane.cancelled = True
        lane.held = deque(event for event in lane.held if isinstance(event, Finished))
        self._inner.cancel(key, cause)

    def close(self) -> None:
        """Stops everything at once."""
        self._inner.close()

    def _first(self) -> Key | None:
        """Returns the trial whose next event is the earliest that can come."""
        return min(self._lanes, key=lambda key: (self._lanes[key].next_tick, self._lanes[key].order), default=None)

    def _is_next_known(self) -> bool:
        first = self._first()
        return first is not None and bool(self._lanes[first].held)

    def _release(self) -> Event:
        first = self._first()
        assert first is not None
        lane = self._lanes[first]
        event = lane.held.popleft()
        self._now, lane.next_tick = lane.next_tick, lane.next_tick + 1
        if isinstance(event, Finished):
            del self._lanes[first]
        return event
