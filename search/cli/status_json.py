"""The status of studies as JSON for scripts.

``status`` writes one object; ``ls`` writes a list of objects without the keys of single trials. The number in
``SCHEMA`` rises when a key is added or changes its name or meaning.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from search.leaderboard.render_data import failure_json
from search.records.status import StudyStatus
from search.records.summary import StudySummary, UnfinishedTrial, VerifiedRuns

SCHEMA = "status/2"


def brief_json(status: StudyStatus) -> dict[str, Any]:
    """Returns the entry of a study in a list."""
    coordinator = status.coordinator
    return {
        "schema": SCHEMA,
        "study": status.name,
        "problem": status.problem or None,
        "coordinator": None
        if coordinator is None
        else {**asdict(coordinator), "is_on_this_host": coordinator.is_on_this_host},
        "last_written": status.last_written.isoformat(timespec="seconds") if status.last_written else None,
        "disk": {
            "bytes": status.usage.total_bytes,
            "free_bytes": status.usage.free_bytes,
            "parts": {name: asdict(part) for name, part in status.usage.parts.items()},
        },
        **({} if status.summary is None else _totals(status.summary)),
    }


def full_json(status: StudyStatus) -> dict[str, Any]:
    """Returns the whole status of a study."""
    summary = status.summary
    if summary is None:
        return brief_json(status)
    return {
        **brief_json(status),
        "begun": [_running_trial_json(entry) for entry in summary.running],
        "gone_on": [{"trial": before, "as": after} for before, after in summary.continued_by.items()],
        "failures": [{**failure_json(entry), "traceback": entry.traceback} for entry in summary.failures],
        "tested": [_verified_runs_json(entry) for entry in summary.verified_runs],
    }


def _totals(summary: StudySummary) -> dict[str, Any]:
    header, best = summary.header, summary.best
    return {
        "space": header.space.name,
        "dataset": header.protocol.dataset,
        "engine": header.engine,
        "sampler": header.sampler,
        "pruner": header.pruner,
        "command": header.command,
        "states": {state.value: count for state, count in summary.states.items()},
        "settled": summary.finished,
        "settled_short": summary.finished_short,
        "running": len(summary.running),
        "best": best
        and {
            "trial": best.trial.number,
            "origin": best.trial.origin,
            "validation_error_percent": best.error_percent,
            "baseline_difference_points": best.baseline_difference,
        },
        "baseline_validation_error_percent": summary.baseline_error_percent,
        "test_runs": sum(verified.complete for verified in summary.verified_runs),
        "test_openings": dict(summary.test_openings),
        "searched_after_opening": summary.searched_after_opening,
        "epochs": summary.epochs,
        "spent_seconds": summary.spent_seconds,
        "exhausted_seconds": summary.exhausted_seconds or None,
        "seconds": dict(summary.seconds_by_part),
    }


def _running_trial_json(running: UnfinishedTrial) -> dict[str, Any]:
    trial = running.trial
    return {
        "phase": trial.phase.value,
        "number": trial.number,
        "origin": trial.origin,
        "parent": trial.parent,
        "of": trial.source_trial,
        "epoch": running.epoch,
        "last_epoch": trial.last_epoch,
        "is_short": trial.is_short,
        "error_percent": running.error_percent,
        "started": running.started,
    }


def _verified_runs_json(runs: VerifiedRuns) -> dict[str, Any]:
    return {
        "of": runs.source_trial,
        "origin": runs.origin,
        "is_short": runs.is_short,
        "begun": runs.started,
        "complete": runs.complete,
        "error_percent": runs.error_percent,
    }
