"""The process that asks a backend."""

from __future__ import annotations

from search.training.backend_probe import last_lines


def test_the_last_lines_of_a_log_leave_out_noise() -> None:
    log = "I0000 00:00:1.2  9 port.cc:153] chatter\n\nTraceback:\n  x = y\n      ^^^\nW0000 more\nNameError: y\n"
    assert last_lines(log) == "Traceback:\n  x = y\nNameError: y"
    assert last_lines(log, count=1) == "NameError: y"
