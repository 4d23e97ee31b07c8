"""A wrapper that makes any executor deliver its events in the same order at every run.

With several workers, the order of events depends on the speed of each worker, and an engine that receives them in
another order proposes other configurations. The wrapper gives each event a logical time: an event of a trial comes one
tick after the trial's previous event, its first event one tick after the event that freed its slot. An event is held
back until no earlier event can follow (the conservative rule of parallel discrete-event simulation). The cost is
waiting: events of a fast trial are held until slow trials have reached the same tick.

Source: Chandy and Misra, "Distributed Simulation", IEEE Transactions on Software Engineering, 1979.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from search.execution.base import Event, Executor, Finished, TrialKey
from search.trial import NO_FILES, Cause, Trial, TrialFiles


@dataclass(slots=True)
class _TrialEvents:
    """The undelivered events of a running trial.

    Args:
        trial: The trial.
        next_tick: Logical time of its next event.
        submission_index: Breaks ties between trials at the same tick.
        pending: Received and not yet delivered.
        is_cancelled: Whether its reports are dropped.
    """

    trial: Trial
    next_tick: int
    submission_index: int
    pending: deque[Event] = field(default_factory=deque)
    is_cancelled: bool = False


class OrderedExecutor(Executor):
    """Delivers another executor's events in a reproducible order.

    Args:
        inner: The executor that runs the trials.
    """

    def __init__(self, inner: Executor) -> None:
        self._inner = inner
        self._events_by_trial: dict[TrialKey, _TrialEvents] = {}
        self._current_tick = self._submission_count = 0

    @property
    def slots(self) -> int:
        """How many trials may run at once."""
        return self._inner.slots

    @property
    def running(self) -> Mapping[TrialKey, Trial]:
        """The trials whose Finished event was not yet delivered."""
        return {key: events.trial for key, events in self._events_by_trial.items()}

    def submit(self, trial: Trial, files: TrialFiles = NO_FILES) -> None:
        """Starts a trial at the present tick."""
        self._events_by_trial[trial.key] = _TrialEvents(trial, self._current_tick + 1, self._submission_count)
        self._submission_count += 1
        self._inner.submit(trial, files)

    def collect(self, timeout: float) -> list[Event]:
        """Returns the one event that is next in logical time, or nothing while it is not known."""
        event = self._pop_next()
        if event is None:
            for received in self._inner.collect(timeout):
                trial_events = self._events_by_trial[received.key]
                if isinstance(received, Finished) or not trial_events.is_cancelled:
                    trial_events.pending.append(received)
            event = self._pop_next()
        return [] if event is None else [event]

    def cancel(self, key: TrialKey, cause: Cause) -> None:
        """Asks a running trial to stop, and drops its reports that were not yet delivered."""
        trial_events = self._events_by_trial[key]
        trial_events.is_cancelled = True
        trial_events.pending = deque(event for event in trial_events.pending if isinstance(event, Finished))
        self._inner.cancel(key, cause)

    def close(self) -> None:
        """Stops everything at once."""
        self._inner.close()

    def _pop_next(self) -> Event | None:
        """Removes and returns the next event; None while an earlier one can still come."""
        trial_events = min(self._events_by_trial.values(), key=_logical_time, default=None)
        if trial_events is None or not trial_events.pending:
            return None
        event = trial_events.pending.popleft()
        self._current_tick, trial_events.next_tick = trial_events.next_tick, trial_events.next_tick + 1
        if isinstance(event, Finished):
            del self._events_by_trial[event.key]
        return event


def _logical_time(events: _TrialEvents) -> tuple[int, int]:
    return events.next_tick, events.submission_index
