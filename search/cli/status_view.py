"""How a study's status is told to people: a few labelled lines, and why trials failed.

Width and colours are those of standard output. Knows values alone; called by the command ``status``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from rich.console import Console, Group, RenderableType
from rich.filesize import decimal
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from search.leaderboard import causes, words
from search.leaderboard.render_text import causes_table
from search.records.inspection import Status
from search.records.overview import Begun, Overview, Tested
from search.session.planning import NO_ENGINE
from search.trial import BASELINE, Phase, State, Trial

PARTS = {"build": "building and compiling", "fit": "training", "evaluate": "scoring"}
"""What the parts of a trial's seconds are called; one that is not here has its own name."""


def text(status: Status, *, tracebacks: bool = False) -> str:
    """Returns the status as text that fits standard output."""
    console = Console(highlight=False)
    with console.capture() as capture:
        console.print(view(status, tracebacks=tracebacks))
    return "\n".join(line.rstrip() for line in capture.get().splitlines()).rstrip()


def view(status: Status, *, tracebacks: bool = False) -> RenderableType:
    """Returns the status for a console."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, style="bold")
    grid.add_column(overflow="fold")
    for label, line in _lines(status):
        grid.add_row(label, Text(words.one_line(line)))
    parts: list[RenderableType] = [grid]
    if status.overview and status.overview.failures:
        parts += [Text(), Text(causes.TITLE, "bold"), causes_table(status.overview.failures)]
        parts += _tracebacks(status.overview, shown=tracebacks)
    return Group(*parts)


def _lines(status: Status) -> Iterator[tuple[str, str]]:
    """Yields labels and what is said under them."""
    yield "Study", f"{status.name}: {_doing(status)}"
    seen = status.overview
    if seen is not None:
        yield "", _what(seen)
        yield from _labelled("Running" if status.coordinator else "Left", [_begun(one, status) for one in seen.begun])
        yield from _labelled("Trials", _trials(seen))
        yield from _labelled("Best", _best(seen))
        yield from _labelled("Verified" if seen.states else "Repeats", [_tested(one) for one in seen.tested])
        yield "Time", _time(seen)
        yield from _labelled("Workers", _workers(seen))
    yield "Disk", _disk(status)
    if seen is not None and status.coordinator is None and seen.begun and seen.header.command:
        yield "Go on", seen.header.command


def _labelled(label: str, lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yields the lines, the first of them with the label."""
    for place, line in enumerate(lines):
        yield ("" if place else label, line)


def _doing(status: Status) -> str:
    runs, written = status.coordinator, f", last written {ago(status.written)}" if status.written else ""
    if runs is None:
        return f"not running{written}"
    since = words.duration(_seconds_since(datetime.fromisoformat(runs.since)))
    if len(status.coordinators) > 1:
        each = ", ".join(f"process {one.pid} on {one.host}" for one in status.coordinators)
        return f"running for {since} by {len(status.coordinators)} coordinators, {each}{written}"
    if not runs.is_near:
        return f"taken up by process {runs.pid} on {runs.host}; from here it cannot be seen whether it runs{written}"
    return f"{'running' if status.overview else 'starting'} for {since}, process {runs.pid}{written}"


def _what(seen: Overview) -> str:
    header = seen.header
    engine = "" if header.engine == NO_ENGINE else f"; {header.engine}:{header.sampler}, pruner {header.pruner}"
    protocol = header.protocol
    return f"space {header.space.name}, data {protocol.dataset}, {protocol.epochs} epochs a trial{engine}"


def _begun(one: Begun, status: Status) -> str:
    """Returns what is known of a trial that has not ended."""
    trial = one.trial
    parts = [_name(trial) if trial.parent is None else f"{_name(trial)} (on from #{trial.parent})"]
    parts.append(f"epoch {one.epoch} of {trial.last_epoch}")
    if one.error_percent is not None:
        kind = "val." if trial.phase is Phase.SEARCH else "test"
        parts.append(f"{kind} error {words.percent(one.error_percent)} %")
    if status.coordinator is None:
        parts.append("left behind, will be taken up again")
    elif one.started:
        parts.append(f"for {words.duration(_seconds_since(datetime.fromisoformat(one.started)))}")
    return ", ".join(parts)


def _name(trial: Trial) -> str:
    if trial.phase is Phase.SEARCH:
        return f"#{trial.number} {trial.origin}"
    of = "" if trial.of is None else f" of {trial.origin} #{trial.of}"
    return f"{trial.phase.value} #{trial.number}{of}"


def _trials(seen: Overview) -> list[str]:
    """Returns how the search trials ended, and which of them others went on from."""
    if not seen.states:
        return []
    count = {state.value: number for state, number in sorted(seen.states.items())}
    interrupted = count.pop(State.INTERRUPTED.value, 0)
    done = (
        f"{seen.settled} done{': ' if count else ''}{', '.join(f'{number} {state}' for state, number in count.items())}"
    )
    gone_on = [f"#{before} as #{after}" for before, after in seen.gone_on.items()]
    more = [f"gone on: {', '.join(gone_on)}"] if gone_on else []
    return [f"{done}; {interrupted} interrupted" if interrupted else done, *more]


def _best(seen: Overview) -> list[str]:
    best = seen.best
    if best is None:
        return ["no trial is complete yet"] if seen.states else []
    figure = f"#{best.trial.number} {best.trial.origin}, val. error {words.percent(best.error_percent)} %"
    if best.trial.origin == BASELINE or best.to_baseline is None or seen.baseline_percent is None:
        return [figure]
    gap, baseline = words.points(best.to_baseline), words.percent(seen.baseline_percent)
    return [f"{figure}; baseline {baseline} %, difference {gap}"]


def _tested(one: Tested) -> str:
    what = one.origin if one.of is None else f"#{one.of} {one.origin}"
    if one.error_percent is None:
        return f"{what}, no figure yet, runs begun: {one.begun}"
    return f"{what}, test error {words.percent(one.error_percent)} %, runs: {one.complete} of {one.begun} begun"


def _time(seen: Overview) -> str:
    spent = f"{words.duration(seen.spent_seconds)} in all sessions, {seen.epochs} epochs trained"
    budget = words.duration(seen.exhausted_seconds)
    return f"{spent}; the budget of {budget} is used up" if seen.exhausted_seconds else spent


def _workers(seen: Overview) -> list[str]:
    """Returns what the ended trials took, over all workers, and what for."""
    whole = sum(seen.parts.values())
    shares = (f"{PARTS.get(name, name)} {100 * value / whole:.0f} %" for name, value in seen.parts.items())
    return [f"{words.duration(whole)}: {', '.join(shares)}"] if whole else []


def _disk(status: Status) -> str:
    parts = status.usage.parts
    ledger = f"ledger {decimal(parts['ledger'].bytes)}, " if parts["ledger"].files else ""
    count = parts["checkpoints"].files
    checkpoints = f"{count} checkpoint{'' if count == 1 else 's'} {decimal(parts['checkpoints'].bytes)}"
    logs = f"logs {decimal(parts['logs'].bytes)}"
    return f"{ledger}{checkpoints}, {logs}; {decimal(status.usage.free_bytes)} free"


def _tracebacks(seen: Overview, *, shown: bool) -> Iterator[RenderableType]:
    told = [one for one in seen.failures if one.traceback]
    if told and not shown:
        yield Text("Add --traceback to see the last traceback of each cause.")
    for one in told if shown else []:
        yield Text(f"{causes.title(one)}, the last", "bold")
        printable = (words.one_line(line) for line in one.traceback.splitlines())
        yield Padding(Text("\n".join(printable)), (0, 0, 1, 2))


def ago(moment: datetime) -> str:
    """Returns how long ago a moment was: "3 s ago", "5 min ago", "2 h ago", "6 d ago"."""
    seconds = int(_seconds_since(moment))
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    unit, size = next((one for one in units if seconds >= one[1]), units[-1])
    return f"{seconds // size} {unit} ago"


def _seconds_since(moment: datetime) -> float:
    """Returns the seconds since a moment; 0 where the clock was set back behind it."""
    return max(0.0, (datetime.now(UTC) - moment).total_seconds())
