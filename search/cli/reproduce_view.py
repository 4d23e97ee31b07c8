"""Renders the result of ``reproduce`` as text or as one JSON object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from search.leaderboard import formatting
from search.reproduction.comparison import EnvironmentChange
from search.reproduction.reproduce import Agreement, ReproducedRun, ReproductionTarget
from search.trial import Outcome, Phase, State

SCHEMA = "reproduce/1"


def format_text(study: str, target: ReproductionTarget, repeats: Sequence[ReproducedRun]) -> str:
    """Returns the result of each run, the differences in hardware and software, and the conclusion."""
    lines = [formatting.one_line(f"Study {study}, {target.label}")]
    for repeat in repeats:
        lines += [f"  {line}" for line in _run(repeat)]
    lines += _changes(dict.fromkeys(change for repeat in repeats for change in repeat.changes))
    if target.recorded_count > len(repeats):
        lines.append(
            f"{len(repeats)} of {target.recorded_count} test runs; --seeds {target.recorded_count} repeats them all."
        )
    agreed = sum(repeat.agreement is not Agreement.DIFFERENT for repeat in repeats)
    conclusion = "It agrees" if agreed == len(repeats) else "It does NOT agree"
    return "\n".join([*lines, f"{conclusion}{_agreement_suffix(repeats)}."])


def to_document(study: str, target: ReproductionTarget, repeats: Sequence[ReproducedRun]) -> dict[str, Any]:
    """Returns the same as a JSON document."""
    return {
        "schema": SCHEMA,
        "study": study,
        "target": target.label,
        "note": target.note,
        "recorded_runs": target.recorded_count,
        "agrees": all(repeat.agreement is not Agreement.DIFFERENT for repeat in repeats),
        "runs": [_json(repeat) for repeat in repeats],
    }


def _json(repeat: ReproducedRun) -> dict[str, Any]:
    tolerance = repeat.tolerance
    return {
        "phase": repeat.trial.phase.value,
        "number": repeat.trial.number,
        "seed": repeat.trial.seed,
        "agreement": repeat.agreement.value,
        "exact_expected": repeat.is_exact_expected,
        "equal_epochs": repeat.equal_epochs,
        "recorded": _outcome(repeat.recorded),
        "here": _outcome(repeat.reproduced),
        "interval": asdict(tolerance.interval) if tolerance else None,
        "interval_basis": tolerance.basis if tolerance else None,
        "changes": [asdict(change) for change in repeat.changes],
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        "state": outcome.state.value,
        "cause": outcome.cause.value if outcome.cause else None,
        "message": outcome.message,
        "error_percent": outcome.error_percent,
        "epochs": len(outcome.history),
        "seconds": round(sum(outcome.seconds.values()), 1),
    }


def _run(repeat: ReproducedRun) -> Iterator[str]:
    kind = "validation" if repeat.trial.phase is Phase.SEARCH else "test"
    yield f"seed {repeat.trial.seed}, {_epochs(repeat)}:"
    yield f"  {kind} error recorded {_error_text(repeat.recorded)}, here {_error_text(repeat.reproduced)}"
    yield f"  {_EXPLANATIONS[repeat.agreement](repeat)}"


def _epochs(repeat: ReproducedRun) -> str:
    trained, whole = len(repeat.recorded.history), repeat.trial.epochs
    return f"{trained} epochs" if trained == whole else f"{trained} of {whole} epochs"


def _error_text(outcome: Outcome) -> str:
    if outcome.state in (State.FAILED, State.INTERRUPTED) and outcome.error_percent is None:
        return f"none ({outcome.state.value}{f': {outcome.cause.value}' if outcome.cause else ''})"
    return f"{formatting.percent(outcome.error_percent)} %"


def _exact(repeat: ReproducedRun) -> str:
    mistakes = len(repeat.recorded.predicted_classes)
    images = f", and the wrong classes of {mistakes} misclassified images" if mistakes else ""
    return f"the same bit for bit: the losses and errors of {formatting.epochs(repeat.equal_epochs)}{images}"


def _within(repeat: ReproducedRun) -> str:
    assert repeat.tolerance is not None
    return f"{_first_difference(repeat)}; the error lies {_interval(repeat)}"


def _different(repeat: ReproducedRun) -> str:
    again = repeat.reproduced
    if again.state is State.FAILED and repeat.recorded.state is not State.FAILED:
        return formatting.one_line(f"it failed here: {again.message}")
    if len(again.history) != len(repeat.recorded.history) or again.cause != repeat.recorded.cause:
        return "it ended differently"
    where = f"; the error lies {_interval(repeat)}" if repeat.tolerance else ""
    if repeat.is_exact_expected:
        return f"hardware and software are the same, so all bits should be, but {_first_difference(repeat)}{where}"
    return f"{_first_difference(repeat)}{where}"


_EXPLANATIONS = {Agreement.EXACT: _exact, Agreement.WITHIN: _within, Agreement.DIFFERENT: _different}


def _first_difference(repeat: ReproducedRun) -> str:
    if repeat.equal_epochs == len(repeat.recorded.history):
        return "the curves are the same, but the misclassified images differ"
    return f"the curves differ from epoch {repeat.equal_epochs + 1} on"


def _interval(repeat: ReproducedRun) -> str:
    """Returns whether the error lies in the interval, its bounds, and their basis."""
    tolerance, error = repeat.tolerance, repeat.reproduced.error_percent
    assert tolerance is not None
    low, high = tolerance.interval.low, tolerance.interval.high
    is_inside = error is not None and tolerance.interval.contains(error)
    return f"{'within' if is_inside else 'outside'} {max(0.0, low):.2f} to {high:.2f} % (95 %: {tolerance.basis})"


def _changes(changes: Iterable[EnvironmentChange]) -> Iterator[str]:
    recorded_changes = [change for change in changes if change.recorded is not None]
    unknown = [change.name.rpartition(".")[2] for change in changes if change.recorded is None]
    if recorded_changes:
        yield "Hardware or software differs here:"
    for change in recorded_changes:
        here = "none" if change.here is None else change.here
        yield formatting.one_line(f"  {change.name.rpartition('.')[2]}: recorded {change.recorded}, here {here}")
    if unknown:
        yield formatting.one_line(f"Not recorded, or not reliably, so possibly different: {', '.join(unknown)}.")


def _agreement_suffix(repeats: Sequence[ReproducedRun]) -> str:
    agreements = {repeat.agreement for repeat in repeats}
    return f", {agreements.pop().value}" if len(agreements) == 1 and Agreement.DIFFERENT not in agreements else ""
