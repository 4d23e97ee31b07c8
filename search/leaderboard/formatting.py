"""Formats figures, names and configurations as text for people.

Called by tables, sentences and reports. The texts are not escaped; each renderer escapes for its own format.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from search.leaderboard.board import BoardEntry, Row, state_name
from search.leaderboard.reference import Reference
from search.leaderboard.row_parts import Ensemble
from search.leaderboard.statistics import EQUIVALENCE_POINTS, Difference, Estimate, Interval, Verdict
from search.protocol import ClassWeight, Objective
from search.records.arithmetic import with_reliable_kernels
from search.records.record import StudyHeader, flatten
from search.trial import Config, State

PACKAGE = "keras-image-search"
CHOSEN_MARK = "*"
"""After the name of a row that its study chose; tables explain it."""


OBJECTIVE_NAMES = {
    Objective.ERROR.metric: "validation error",
    Objective.BALANCED_ERROR.metric: "balanced validation error",
    Objective.LOG_LOSS.metric: "validation log loss",
    "calibrated_loss": "calibrated validation loss",
}
"""What studies minimize, by the metric."""


def objective_name(study: StudyHeader) -> str:
    """Returns what a study minimizes and chooses by, in words."""
    return OBJECTIVE_NAMES[study.objective]


def engine_label(study: StudyHeader) -> str:
    """Returns engine and sampler, "optuna:tpe"; one name where both are the same, as in "none"."""
    return study.engine if study.engine == study.sampler else f"{study.engine}:{study.sampler}"


def machine_label(row: Row) -> str:
    """Returns the GPU, or processor and cores: "AMD EPYC, 2 cores"; empty where it was not recorded."""
    environment = row.environment
    device, processor, cores = (str(environment.get(key, "")) for key in ("device", "processor", "cores"))
    if device not in ("", "CPU"):
        return device
    return f"{processor}, {cores} cores" if processor and cores else processor


def package_version(study: StudyHeader) -> str:
    """Returns the version of this package that made the study; empty where it was not recorded."""
    return study.versions.get(PACKAGE, "")


def environment_text(values: Mapping[str, Any]) -> str:
    """Returns hardware and versions: "device CPU, kernels onednn, threads 1, keras 3.15.1"."""
    values = flatten(with_reliable_kernels(values, unreliable="not recorded reliably"))
    return one_line(", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in values.items()))


def one_line(text: object) -> str:
    """Returns the text on one line, without control characters."""
    line = str(text)
    return line if line.isprintable() else "".join(mark if mark.isprintable() else " " for mark in line)


def percent(value: float | None) -> str:
    """Returns a figure in percent with two decimals; empty for None."""
    return "" if value is None else f"{value:.2f}"


def balanced_error(entry: BoardEntry) -> str:
    """Returns the balanced test error in percent, of a row with its interval's ends; empty where it is not known."""
    if isinstance(entry, Row):
        return with_ends(percent(entry.balanced_error_percent), entry.balanced_interval)
    return "" if isinstance(entry, Reference) else percent(entry.balanced_error_percent)


def log_loss(value: float | None) -> str:
    """Returns a mean cross-entropy in nats; empty for None."""
    return "" if value is None else f"{value:.4f}"


def percentage_points(value: float | None) -> str:
    """Returns a difference in percentage points with its sign; empty for None."""
    return "" if value is None else f"{value:+z.2f}"


def plus_minus(interval: Interval, digits: int = 2) -> str:
    """Returns the half-width of an interval: "± 0.06", or "± <0.01" if it would round to zero."""
    least = 10.0**-digits
    return f"± <{least:g}" if interval.half_width < least / 2 else f"± {interval.half_width:.{digits}f}"


def with_interval(figure: str, interval: Interval | None) -> str:
    """Returns a figure with the half-width of its interval: "0.52 ± 0.06"; the figure alone without one."""
    return f"{figure} {plus_minus(interval)}" if interval else figure


def estimate(value: Estimate | None, digits: int = 2) -> str:
    """Returns a mean with its interval, "0.52 ± 0.06", or why it has none, "0.52 (n=1)".

    An interval that ends at a limit is not symmetric, and its ends are shown: "0.02 (0.00-0.05)".
    """
    if value is None:
        return ""
    if value.interval and abs(value.interval.low + value.interval.high - 2 * value.mean) > 10.0**-digits:
        return with_ends(f"{value.mean:.{digits}f}", value.interval, digits)
    basis = plus_minus(value.interval, digits) if value.interval else "(n=1)" if value.n == 1 else "(no spread)"
    return f"{value.mean:.{digits}f} {basis}"


def with_ends(figure: str, interval: Interval | None, digits: int = 2) -> str:
    """Returns a figure with the ends of its interval: "0.44 (0.31-0.58)", "-0.57 (-0.71 to -0.43)"."""
    if interval is None:
        return figure
    between = " to " if interval.low < 0 or interval.high < 0 else "-"
    return f"{figure} ({interval.low:z.{digits}f}{between}{interval.high:z.{digits}f})"


def test_error(entry: BoardEntry) -> str:
    """Returns the test error of a line of the board: "0.52 (0.46-0.59)", "0.52 (n=1)", "about 0.20".

    Empty without one.
    """
    if isinstance(entry, Row):
        return error_estimate(entry.test_error)
    figure = with_ends(percent(entry.error_percent), entry.interval)
    return f"about {figure}" if isinstance(entry, Reference) and entry.is_rounded else figure


def error_estimate(value: Estimate | None) -> str:
    """Returns a mean with the ends of its interval, or why it has none: "0.52 (n=1)"; empty for None."""
    if value is None:
        return ""
    return with_ends(percent(value.mean), value.interval) if value.interval else estimate(value)


def entry_name(entry: BoardEntry) -> str:
    """Returns the name of a line of the board, with the mark of a row that a study chose by validation."""
    return f"{entry.name} {CHOSEN_MARK}" if isinstance(entry, Row) and entry.chosen_in else entry.name


def entry_study(entry: BoardEntry) -> str:
    """Returns the study of a line of the board, "mnist-cnn and 2 more" if pooled; empty for a published figure."""
    if isinstance(entry, Reference):
        return ""
    more = len(entry.study_names) - 1 if isinstance(entry, Row) else 0
    return f"{entry.study.name} and {more} more" if more else entry.study.name


def some_of(items: Sequence[str], most: int = 4) -> str:
    """Returns a list in words, of which only the first items are named if there are many: "a, b and 21 more"."""
    more = len(items) - most
    return ", ".join(items) if more <= 1 else f"{', '.join(items[:most])} and {more:,} more"


def errors_by_seed(entry: BoardEntry) -> str:
    """Returns the test error of each seed, an ensemble's models, or the source of a published figure."""
    if isinstance(entry, Row):
        return ", ".join(f"{run.seed}: {percent(run.error_percent)}" for run in entry.completed_replicates)
    return f"models: {ensemble_members(entry)}" if isinstance(entry, Ensemble) else entry.source


def difference(value: Difference | None) -> str:
    """Returns a difference with its interval, and "tie" where the interval contains 0 or is missing."""
    if value is None:
        return ""
    figure = with_interval(percentage_points(value.mean), value.interval)
    return f"{figure} tie" if value.is_tie else figure


def error_difference(value: Difference | None) -> str:
    """Returns a difference of errors with the ends of its interval: "-0.57 (-0.71 to -0.43)"; empty for None."""
    return "" if value is None else with_ends(percentage_points(value.mean), value.interval)


VERDICTS = {
    Verdict.LOWER: "lower",
    Verdict.HIGHER: "higher",
    Verdict.EQUIVALENT: "equivalent in practice",
    Verdict.UNDECIDED: "not shown to differ",
}
"""What people read of a difference."""


def verdict(value: Difference | None, equivalence_points: float = EQUIVALENCE_POINTS) -> str:
    """Returns what a difference shows: "lower", "higher", "equivalent in practice", "not shown to differ"."""
    return "" if value is None else VERDICTS[value.verdict(equivalence_points)]


def rank_range(row: Row) -> str:
    """Returns the rank, or the range that the runs leave open: "1", "1-3"; empty unless verified."""
    if row.rank_range is None:
        return ""
    first, last = row.rank_range
    return str(first) if first == last else f"{first}-{last}"


def interval_bounds(value: Interval | None) -> str:
    """Returns an interval by its ends, "0.31 to 0.48"; empty for None."""
    return "" if value is None else f"{value.low:.2f} to {value.high:.2f}"


def ensemble_members(ensemble: Ensemble) -> str:
    """Returns the share of the models of each search trial in the mean: "96 % #12, 4 % #7"."""
    return ", ".join(f"{share:.0%}".replace("%", " %") + f" #{trial}" for trial, share in ensemble.members.items())


def replicate_count(row: Row) -> str:
    """Returns the number of complete test runs and of their studies, "9 / 3"; the runs alone of one study.

    "2 of 3" where others were begun; empty without a test run.
    """
    complete, begun = len(row.completed_replicates), len(row.replicates)
    runs = str(begun or "") if complete == begun else f"{complete} of {begun}"
    return f"{runs} / {len(row.study_names)}" if row.pooled else runs


def entry_state(entry: BoardEntry) -> str:
    """Returns how a row's trial ended, "failed: out of memory"; "ensemble" and "published" for the other lines."""
    if not isinstance(entry, Row):
        return "ensemble" if isinstance(entry, Ensemble) else "published"
    row, state = entry, trial_state(entry.state)
    text = f"{state}: {row.cause.value}" if row.cause else state
    if not row.replicates or row.completed_replicates:
        return text
    has_failed = any(run.state is State.FAILED for run in row.replicates)
    return f"{text}; verification failed" if has_failed else f"{text}; not verified"


def exceptional_state(row: Row) -> str:
    """Returns what ``entry_state`` says of a row beside "complete" or "short", which its name says: "pruned"."""
    state, _, verification = entry_state(row).partition("; ")
    is_usual = row.state in (State.COMPLETE, State.SCREENED) and row.cause is None
    return "; ".join(part for part in ("" if is_usual else state, verification) if part)


def trial_state(state: State | None) -> str:
    """Returns how a trial ended; "short" for a short trial that reached its last epoch."""
    return state_text(state_name(state))


def state_text(name: str) -> str:
    """Returns the name of a state as people read it: "short" for "screened"."""
    return "short" if name == State.SCREENED else name


def epochs(number: int) -> str:
    """Returns "1 epoch" or "10 epochs"."""
    return f"{number} epoch{'' if number == 1 else 's'}"


def count(value: int | None) -> str:
    """Returns a count with thousands separators, "226,110"; empty for None."""
    return "" if value is None else f"{value:,}"


def duration(seconds: float) -> str:
    """Returns seconds as "48 s", "12 min 3 s" or "2 h 5 min"."""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{whole} s"


def parameter_values(values: Mapping[str, Any]) -> str:
    """Returns "name=value" pairs, floats with four significant digits."""
    return " ".join(f"{name}={parameter_value(value)}" for name, value in values.items())


def parameter_value(value: Any) -> str:
    """Returns a value of a parameter, a float with four significant digits."""
    return f"{value:.4g}" if type(value) is float else str(value)


def lineage(row: Row) -> str:
    """Returns what the engine made a row from: "mutation of trial 7: dropout 0.2 -> 0.25"; empty if not recorded."""
    mutation = row.mutation
    if mutation is None:
        return ""
    if not mutation.changes:
        length = "short" if row.is_short else "full"
        return f"{length} training of trial {mutation.trial}"
    changes = ", ".join(
        f"{name} {' -> '.join('not used' if value is None else parameter_value(value) for value in values)}"
        for name, values in mutation.changes.items()
    )
    return f"mutation of trial {mutation.trial}: {changes}"


def config_toml(study: StudyHeader, config: Config, *, dataset: str | None = None) -> str:
    """Returns a configuration as TOML for ``python -m search run --config``, with every parameter fixed.

    Args:
        study: The configuration's study.
        config: Active parameters and their values.
        dataset: Path of the data set; None for the name in the protocol.
    """
    protocol = study.protocol
    settings = {
        "space": study.space_source,
        "dataset": dataset or protocol.dataset,
        "epochs": protocol.epochs,
        "split": protocol.split.value,
        "split_seed": protocol.split_seed,
        **({"folds": protocol.folds} if protocol.folds > 1 else {}),
        **({"class_weight": protocol.class_weight.value} if protocol.class_weight is not ClassWeight.NONE else {}),
    }
    lines = [f"{name} = {_toml_value(value)}" for name, value in settings.items()]
    return "\n".join(
        [*lines, "", "[fix]", *(f"{_toml_key(name)} = {_toml_value(value)}" for name, value in config.items())]
    )


def _toml_key(name: str) -> str:
    return name if re.fullmatch("[A-Za-z0-9_-]+", name) else _toml_value(name)


def _toml_value(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
