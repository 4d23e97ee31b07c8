"""What is said of an exported row, in words that every form of it shares."""

from __future__ import annotations

from search.export.order import Order
from search.leaderboard import words
from search.leaderboard.board import Row


def title(order: Order) -> str:
    """Returns what it is: "mnist with Keras: found #12 of study mnist-cnn-tpe"."""
    header = order.record.header
    return words.one_line(f"{header.protocol.dataset} with Keras: {order.row.name} of study {header.name}")


def figures(order: Order) -> str:
    """Returns its recorded error and what that rests on, in a sentence."""
    row = order.row
    if row.test is None:
        return f"Validation error {words.percent(row.validation_error_percent)} %; not verified on the test images."
    return f"Test error {recorded(row)}."


def of_seed(order: Order) -> str:
    """Returns what the recorded run with the order's seed gave, in a sentence; nothing where there is none."""
    run = order.recorded_run
    if run is None or run.outcome is None:
        return ""
    return f"With seed {order.seed}: {words.percent(run.outcome.error_percent)} %."


def recorded(row: Row) -> str:
    """Returns a verified row's test error: "0.48 ± 0.05 % (mean of 3 seeds, 95 % interval)"."""
    assert row.test is not None, "only of a verified row"
    if row.test.n == 1:
        return f"{words.percent(row.test.mean)} % (one seed)"
    interval = f" {words.plus_minus(row.test.interval)}" if row.test.interval else ""
    what = ", 95 % interval" if row.test.interval else ""
    return f"{words.percent(row.test.mean)}{interval} % (mean of {row.test.n} seeds{what})"
