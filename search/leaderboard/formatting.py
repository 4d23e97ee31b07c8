"""How figures and names are written for people: the table cells and the verdict share these.

Knows no output format: whoever renders escapes for his own.

Provenance: who proposed a row, what it ran on, and which version of this package made its study.

Words for the renderers; no output format. Hosts are not named: a processor says what a time was measured on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search.leaderboard.board import UNFINISHED, Ensemble, Row
from search.leaderboard.reference import Reference
from search.leaderboard.statistics import Difference, Estimate, Interval
from search.records.record import NO_ENGINE, StudyHeader
from search.trial import State

PACKAGE = "keras-image-search"


def engine_label(study: StudyHeader) -> str:
    """Returns "optuna:tpe"; nothing for a study that proposes nothing."""
    return "" if study.engine == NO_ENGINE else f"{study.engine}:{study.sampler}"


def machine_label(row: Row) -> str:
    """Returns the GPU, or the processor and its cores: "AMD EPYC, 2 cores"; nothing where it was not recorded."""
    environment = row.environment
    device, processor, cores = (str(environment.get(key, "")) for key in ("device", "processor", "cores"))
    if device not in ("", "CPU"):
        return device
    return f"{processor}, {cores} cores" if processor and cores else processor


def package_version(study: StudyHeader) -> str:
    """Returns the version of this package; nothing where it was not recorded."""
    return study.versions.get(PACKAGE, "")


def one_line(text: object) -> str:
    """Returns the text on one line, without characters that would steer a terminal."""
    return "".join(mark if mark.isprintable() else " " for mark in str(text))


def percent(value: float | None) -> str:
    """Returns a figure in percent with two decimals, or nothing."""
    return "" if value is None else f"{value:.2f}"


def published_error(figure: Reference) -> str:
    """Returns a published figure in percent: "0.95", or "about 0.20"."""
    return f"about {percent(figure.error_percent)}" if figure.is_rounded else percent(figure.error_percent)


def percentage_points(value: float | None) -> str:
    """Returns a difference in percentage points with its sign, or nothing."""
    return "" if value is None else f"{value:+z.2f}"


def plus_minus(interval: Interval) -> str:
    """Returns the half-width of an interval; one too small for two decimals is not shown as zero."""
    return "± <0.01" if interval.half_width < 0.005 else f"± {interval.half_width:.2f}"


def estimate(value: Estimate | None) -> str:
    """Returns a mean with its interval: "0.52 ± 0.06", or why it has none: "0.52 (n=1)"."""
    if value is None:
        return ""
    if value.interval:
        return f"{percent(value.mean)} {plus_minus(value.interval)}"
    return f"{percent(value.mean)} (n=1)" if value.n == 1 else f"{percent(value.mean)} (no spread)"


def difference(value: Difference | None) -> str:
    """Returns a difference with its interval, and says "tie" where the runs do not show one."""
    if value is None:
        return ""
    figure = (
        f"{percentage_points(value.mean)} {plus_minus(value.interval)}"
        if value.interval
        else percentage_points(value.mean)
    )
    return f"{figure} tie" if value.is_tie else figure


def rank_range(row: Row) -> str:
    """Returns the place, as a range where the runs show no more: "1", "1-3"."""
    if row.rank_range is None:
        return ""
    first, last = row.rank_range
    return str(first) if first == last else f"{first}-{last}"


def probability(value: float | None) -> str:
    """Returns a p value with two significant digits, or nothing."""
    if value is None:
        return ""
    return "<0.001" if value < 0.001 else f"{value:.2g}" if value < 0.995 else "1"


def ensemble_error(value: Ensemble) -> str:
    """Returns an ensemble's error with the half-width of its interval, which covers the test images alone."""
    return (
        f"{percent(value.error_percent)} {plus_minus(value.interval)}"
        if value.interval
        else percent(value.error_percent)
    )


def interval_bounds(value: Interval | None) -> str:
    """Returns an interval by its ends: "0.31 to 0.48", or nothing."""
    return "" if value is None else f"{value.low:.2f} to {value.high:.2f}"


def ensemble_members(ensemble: Ensemble) -> str:
    """Returns what an ensemble is made of: "3 of #12, 3 of #7"."""
    return ", ".join(f"{count} of #{trial}" for trial, count in ensemble.members.items())


def replicate_count(row: Row) -> str:
    """Returns how many test runs the mean is over: "3", or "2 of 3" when one gave no figure."""
    complete, begun = len(row.completed_replicates), len(row.replicates)
    return str(complete) if complete == begun else f"{complete} of {begun}"


def trial_state(row: Row) -> str:
    """Returns how the row's trial ended, and why: "failed: out of memory"."""
    state = row.state.value if row.state else UNFINISHED
    text = f"{state}: {row.cause.value}" if row.cause else state
    if not row.replicates or row.completed_replicates:
        return text
    has_failed = any(run.state is State.FAILED for run in row.replicates)
    return f"{text}; verification failed" if has_failed else f"{text}; not verified"


def count(value: int | None) -> str:
    """Returns a count with its thousands parted: "226,110", or nothing."""
    return "" if value is None else f"{value:,}"


def duration(seconds: float) -> str:
    """Returns seconds as "48 s", "12 min 3 s" or "2 h 5 min"."""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{whole} s"


def parameter_values(values: Mapping[str, Any]) -> str:
    """Returns "name=value" pairs, fractions to four digits."""
    return " ".join(
        f"{name}={value:.4g}" if type(value) is float else f"{name}={value}" for name, value in values.items()
    )
