"""``CallbackList`` passes every event to all callbacks in their order and closes all of them."""

from __future__ import annotations

import inspect

import pytest

from search.session.callbacks import Callback, CallbackList

CALLS = [name for name, _ in inspect.getmembers(Callback, inspect.isfunction)]


def recorder(name: str, calls: list[tuple[object, ...]]) -> Callback:
    """A callback that notes every call."""

    def method(call: str):
        return lambda self, *arguments: calls.append((name, call, *arguments))

    return type("Recorder", (Callback,), {call: method(call) for call in CALLS})()


@pytest.mark.parametrize("call", CALLS)
def test_every_event_is_passed_on_in_order(call: str) -> None:
    calls: list[tuple[object, ...]] = []
    callbacks = CallbackList(recorder("first", calls), recorder("second", calls))
    arguments = tuple(range(len(inspect.signature(getattr(Callback, call)).parameters) - 1))
    getattr(callbacks, call)(*arguments)
    assert calls == [("first", call, *arguments), ("second", call, *arguments)]


def test_all_are_closed_even_if_one_raises() -> None:
    class Broken(Callback):
        def close(self) -> None:
            raise OSError("no room")

    calls: list[tuple[object, ...]] = []
    with pytest.raises(OSError, match="no room"):
        CallbackList(recorder("first", calls), Broken(), recorder("last", calls)).close()
    assert calls == [("first", "close"), ("last", "close")]
