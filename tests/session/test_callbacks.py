"""Several listeners hear everything, in their order, and all of them are closed."""

from __future__ import annotations

import inspect

import pytest

from search.session.callbacks import Callback, CallbackList

CALLS = [name for name, _ in inspect.getmembers(Callback, inspect.isfunction)]


def recorder(name: str, heard: list[tuple[object, ...]]) -> Callback:
    """A listener that writes down every call."""

    def method(call: str):
        return lambda self, *arguments: heard.append((name, call, *arguments))

    return type("Recorder", (Callback,), {call: method(call) for call in CALLS})()


@pytest.mark.parametrize("call", CALLS)
def test_everything_is_passed_on_in_order(call: str) -> None:
    heard: list[tuple[object, ...]] = []
    several = CallbackList(recorder("first", heard), recorder("second", heard))
    arguments = tuple(range(len(inspect.signature(getattr(Callback, call)).parameters) - 1))
    getattr(several, call)(*arguments)
    assert heard == [("first", call, *arguments), ("second", call, *arguments)]


def test_all_are_closed_also_where_one_cannot_be() -> None:
    class Broken(Callback):
        def close(self) -> None:
            raise OSError("no room")

    heard: list[tuple[object, ...]] = []
    with pytest.raises(OSError, match="no room"):
        CallbackList(recorder("first", heard), Broken(), recorder("last", heard)).close()
    assert heard == [("first", "close"), ("last", "close")]
