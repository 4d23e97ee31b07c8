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

from search.execution.base import Event, Executor, Finished, TrialKey
from search.trial import Cause, Trial


@dataclass(slots=True)
class _TrialEvents:
    """The events of one running trial."""

    trial: Trial
    next_tick: int
    submission_index: int
    pending: deque[Event] = field(default_factory=deque)
    cancelled: bool = False

    def enqueue(self, event: Event) -> None:
        """Keeps an event back; a cancelled trial's reports no longer count, however far it ran on."""
        if isinstance(event, Finished) or not self.cancelled:
            self.pending.append(event)


class OrderedExecutor(Executor):
    """Delivers another executor's events in a reproducible order.

    Args:
        inner: The executor that runs the trials.
    """

    def __init__(self, inner: Executor) -> None:
        self._inner = inner
        self._events_by_trial: dict[TrialKey, _TrialEvents] = {}
        self._current_tick = 0
        self._submission_count = 0

    @property
    def slots(self) -> int:
        """How many trials may run at once."""
        return self._inner.slots

    @property
    def running(self) -> Mapping[TrialKey, Trial]:
        """The trials whose Finished event was not yet delivered."""
        return {key: lane.trial for key, lane in self._events_by_trial.items()}

    def submit(self, trial: Trial) -> None:
        """Starts a trial at the present tick."""
        self._events_by_trial[trial.key] = _TrialEvents(
            trial=trial, next_tick=self._current_tick + 1, submission_index=self._submission_count
        )
        self._submission_count += 1
        self._inner.submit(trial)

    def collect(self, timeout: float) -> list[Event]:
        """Returns the one event that is next in logical time, or nothing while it cannot be known."""
        for event in [] if self._is_next_known() else self._inner.collect(timeout):
            self._events_by_trial[event.key].enqueue(event)
        return [self._pop_next()] if self._is_next_known() else []

    def cancel(self, key: TrialKey, cause: Cause) -> None:
        """Asks a running trial to stop; its reports that were not yet delivered never will be."""
        trial_events = self._events_by_trial[key]
        trial_events.cancelled = True
        trial_events.pending = deque(event for event in trial_events.pending if isinstance(event, Finished))
        self._inner.cancel(key, cause)

    def close(self) -> None:
        """Stops everything at once."""
        self._inner.close()

    def _next_trial(self) -> TrialKey | None:
        """Returns the trial whose next event is the earliest that can come."""
        return min(
            self._events_by_trial,
            key=lambda key: (self._events_by_trial[key].next_tick, self._events_by_trial[key].submission_index),
            default=None,
        )

    def _is_next_known(self) -> bool:
        next_trial = self._next_trial()
        return next_trial is not None and bool(self._events_by_trial[next_trial].pending)

    def _pop_next(self) -> Event:
        next_trial = self._next_trial()
        assert next_trial is not None
        trial_events = self._events_by_trial[next_trial]
        event = trial_events.pending.popleft()
        self._current_tick, trial_events.next_tick = trial_events.next_tick, trial_events.next_tick + 1
        if isinstance(event, Finished):
            del self._events_by_trial[next_trial]
        return event
