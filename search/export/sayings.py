"""What is said of an exported row, in words that every form of it shares."""

from __future__ import annotations

from search.export.order import ExportTarget
from search.leaderboard import words
from search.leaderboard.board import Row


def title(target: ExportTarget) -> str:
    """Returns what it is: "mnist with Keras: found #12 of study mnist-cnn-tpe"."""
    header = target.record.header
    return words.one_line(f"{header.protocol.dataset} with Keras: {target.row.name} of study {header.name}")


def error_sentence(target: ExportTarget) -> str:
    """Returns its recorded error and what that rests on, in a sentence."""
    row = target.row
    if row.test_error is None:
        return f"Validation error {words.percent(row.validation_error_percent)} %; not verified on the test images."
    return f"Test error {format_test_error(row)}."


def seed_error_sentence(target: ExportTarget) -> str:
    """Returns what the recorded run with the order's seed gave, in a sentence; nothing where there is none."""
    trial_record = target.test_record
    if trial_record is None or trial_record.outcome is None:
        return ""
    return f"With seed {target.seed}: {words.percent(trial_record.outcome.error_percent)} %."


def format_test_error(row: Row) -> str:
    """Returns a verified row's test error: "0.48 ± 0.05 % (mean of 3 seeds, 95 % interval)"."""
    assert row.test_error is not None, "only of a verified row"
    if row.test_error.n == 1:
        return f"{words.percent(row.test_error.mean)} % (one seed)"
    interval = f" {words.plus_minus(row.test_error.interval)}" if row.test_error.interval else ""
    what = ", 95 % interval" if row.test_error.interval else ""
    return f"{words.percent(row.test_error.mean)}{interval} % (mean of {row.test_error.n} seeds{what})"
