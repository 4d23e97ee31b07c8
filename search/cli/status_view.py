"""Renders a study's status as text: a few labelled lines, and why trials failed. Called by ``status`` and ``ls``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

from rich.console import Console, Group, RenderableType
from rich.filesize import decimal
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from search.leaderboard import formatting, tables
from search.leaderboard.render_text import printed, rich_table
from search.records.record import NO_ENGINE
from search.records.status import StudyStatus
from search.records.summary import StudySummary, UnfinishedTrial, VerifiedRuns
from search.trial import BASELINE, Phase, State, Trial

STAGES = ("screening by short trials", "full trials", "test runs")
"""What a study does, in the order of a search."""
PARTS = {"build": "building and compiling", "fit": "training", "evaluate": "scoring"}
"""Names of the parts of a trial's seconds; a part that is not listed keeps its key."""


def status_text(status: StudyStatus, *, tracebacks: bool = False) -> str:
    """Returns the status as text that fits standard output."""
    return printed(Console(highlight=False), [render_status(status, tracebacks=tracebacks)]).rstrip()


def render_status(status: StudyStatus, *, tracebacks: bool = False) -> RenderableType:
    """Returns the status for a console."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, style="bold")
    grid.add_column(overflow="fold")
    for label, line in _lines(status):
        grid.add_row(label, Text(formatting.one_line(line)))
    parts: list[RenderableType] = [grid]
    if status.summary and status.summary.failures:
        failures = tables.failure_table(status.summary.failures)
        parts += [Text(), Text(tables.FAILURES_TITLE, "bold"), rich_table(failures)]
        parts += _tracebacks(status.summary, shown=tracebacks)
    return Group(*parts)


def _lines(status: StudyStatus) -> Iterator[tuple[str, str]]:
    """Yields labels and lines."""
    yield "Study", f"{status.name}: {_activity(status)}"
    summary = status.summary
    if summary is not None:
        yield "", _describe_study(summary)
        if status.coordinator:
            yield from _labelled("Stage", _stage(summary))
        label = "Running" if status.coordinator else "Unfinished"
        yield from _labelled(label, [_describe_running(entry, status) for entry in summary.running])
        yield from _labelled("Trials", _trials(summary))
        yield from _labelled("Best", _best(summary))
        yield from _labelled(
            "Verified" if summary.states else "Repeats", [_describe_verified(entry) for entry in summary.verified_runs]
        )
        yield "Time", _time(summary)
        yield from _labelled("Workers", _workers(summary))
    yield "Disk", _disk(status)
    if summary is not None and status.coordinator is None and summary.running and summary.header.command:
        yield "Continue", summary.header.command


def _labelled(label: str, lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yields the lines, the first with the label."""
    for index, line in enumerate(lines):
        yield ("" if index else label, line)


def _activity(status: StudyStatus) -> str:
    coordinator = status.coordinator
    written = f", last written {time_ago(status.last_written)}" if status.last_written else ""
    if coordinator is None:
        return f"not running{written}"
    since = formatting.duration(_seconds_since(datetime.fromisoformat(coordinator.since)))
    if len(status.coordinators) > 1:
        processes = ", ".join(f"process {holder.pid} on {holder.host}" for holder in status.coordinators)
        return f"running for {since} by {len(status.coordinators)} coordinators, {processes}{written}"
    if not coordinator.is_on_this_host:
        return (
            f"started by process {coordinator.pid} on {coordinator.host}; whether it still runs cannot be checked from "
            f"this host{written}"
        )
    return f"{'running' if status.summary else 'starting'} for {since}, process {coordinator.pid}{written}"


def _describe_study(summary: StudySummary) -> str:
    header = summary.header
    engine = "" if header.engine == NO_ENGINE else f"; {header.engine}:{header.sampler}, pruner {header.pruner}"
    protocol = header.protocol
    return f"space {header.space.name}, data {protocol.dataset}, {formatting.epochs(protocol.epochs)} a trial{engine}"


def _stage(summary: StudySummary) -> list[str]:
    """Returns what runs now: "screening (1 short trial), test runs (1)"."""
    counts = Counter(_kind(entry.trial) for entry in summary.running)
    return [", ".join(f"{kind} ({counts[kind]})" for kind in STAGES if kind in counts)] if counts else []


def _kind(trial: Trial) -> str:
    screening, full, tests = STAGES
    return tests if trial.phase is not Phase.SEARCH else screening if trial.is_short else full


def _describe_running(running: UnfinishedTrial, status: StudyStatus) -> str:
    """Returns the state of a trial that has not ended."""
    trial = running.trial
    parts = [_name(trial) if trial.parent is None else f"{_name(trial)} (continues #{trial.parent})"]
    parts.append(f"epoch {running.epoch} of {trial.last_epoch}")
    if running.error_percent is not None:
        kind = "val." if trial.phase is Phase.SEARCH else "test"
        parts.append(f"{kind} error {formatting.percent(running.error_percent)} %")
    if status.coordinator is None:
        parts.append("will be resumed")
    elif running.started:
        parts.append(f"for {formatting.duration(_seconds_since(datetime.fromisoformat(running.started)))}")
    return ", ".join(parts)


def _name(trial: Trial) -> str:
    short = f", short, {formatting.epochs(trial.epochs)}" if trial.is_short else ""
    if trial.phase is Phase.SEARCH:
        return f"#{trial.number} {trial.origin}{short}"
    source = "" if trial.source_trial is None else f" of {trial.origin} #{trial.source_trial}"
    return f"{trial.phase.value} #{trial.number}{source}{short}"


def _trials(summary: StudySummary) -> list[str]:
    """Returns how the search trials ended, and which of them others continued."""
    if not summary.states:
        return []
    counts = {formatting.trial_state(state): count for state, count in sorted(summary.states.items())}
    interrupted = counts.pop(State.INTERRUPTED.value, 0)
    short = summary.finished_short
    done = f"{summary.finished - short} full and {short} short done" if short else f"{summary.finished} done"
    if counts:
        done += f": {', '.join(f'{count} {state}' for state, count in counts.items())}"
    if interrupted:
        done += f"; {interrupted} interrupted"
    continued = ", ".join(f"#{parent} as #{child}" for parent, child in summary.continued_by.items())
    return [done, f"continued: {continued}"] if continued else [done]


def _best(summary: StudySummary) -> list[str]:
    best = summary.best
    if best is None:
        return ["no full trial is complete yet"] if summary.states else []
    figure = f"#{best.trial.number} {best.trial.origin}, val. error {formatting.percent(best.error_percent)} %"
    if best.trial.origin == BASELINE or best.baseline_difference is None or summary.baseline_error_percent is None:
        return [figure]
    baseline = formatting.percent(summary.baseline_error_percent)
    return [f"{figure}; baseline {baseline} %, difference {formatting.percentage_points(best.baseline_difference)}"]


def _describe_verified(verified: VerifiedRuns) -> str:
    what = verified.origin if verified.source_trial is None else f"#{verified.source_trial} {verified.origin}"
    what = f"{what} (short)" if verified.is_short else what
    if verified.error_percent is None:
        return f"{what}, no result yet, {verified.started} run{'' if verified.started == 1 else 's'} started"
    error = formatting.percent(verified.error_percent)
    return f"{what}, test error {error} %, {verified.complete} of {verified.started} test runs complete"


def _time(summary: StudySummary) -> str:
    spent = f"{formatting.duration(summary.spent_seconds)} in all sessions, {summary.epochs} epochs trained"
    budget = formatting.duration(summary.exhausted_seconds)
    return f"{spent}; the budget of {budget} is used up" if summary.exhausted_seconds else spent


def _workers(summary: StudySummary) -> list[str]:
    """Returns the seconds of the ended trials over all workers, and their parts."""
    total = sum(summary.seconds_by_part.values())
    shares = (f"{PARTS.get(name, name)} {100 * value / total:.0f} %" for name, value in summary.seconds_by_part.items())
    return [f"{formatting.duration(total)}: {', '.join(shares)}"] if total else []


def _disk(status: StudyStatus) -> str:
    parts = status.usage.parts
    ledger = f"ledger {decimal(parts['ledger'].bytes)}, " if parts["ledger"].files else ""
    count = parts["checkpoints"].files
    checkpoints = f"{count} checkpoint{'' if count == 1 else 's'} {decimal(parts['checkpoints'].bytes)}"
    logs = f"logs {decimal(parts['logs'].bytes)}"
    return f"{ledger}{checkpoints}, {logs}; {decimal(status.usage.free_bytes)} free"


def _tracebacks(summary: StudySummary, *, shown: bool) -> Iterator[RenderableType]:
    with_traceback = [failure for failure in summary.failures if failure.traceback]
    if with_traceback and not shown:
        yield Text("Add --traceback to see the last traceback of each cause.")
    for failure in with_traceback if shown else []:
        yield Text(f"{failure.state.value}: {tables.failure_cause(failure)}, the last", "bold")
        printable = (formatting.one_line(line) for line in failure.traceback.splitlines())
        yield Padding(Text("\n".join(printable)), (0, 0, 1, 2))


def time_ago(moment: datetime) -> str:
    """Returns the time since a moment: "3 s ago", "5 min ago", "2 h ago", "6 d ago"."""
    seconds = int(_seconds_since(moment))
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    unit, size = next((candidate for candidate in units if seconds >= candidate[1]), units[-1])
    return f"{seconds // size} {unit} ago"


def _seconds_since(moment: datetime) -> float:
    """Returns the seconds since a moment; 0 if the clock was set back."""
    return max(0.0, (datetime.now(UTC) - moment).total_seconds())
