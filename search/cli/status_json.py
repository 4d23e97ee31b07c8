"""Studies seen from outside, as JSON values for scripts.

schema    "status/1"; the number rises when a key comes, or changes its name or its meaning

``status`` writes one object, ``ls`` a list of them that leave out begun, failures and tested.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from search.leaderboard.render_json import failure
from search.records.inspection import Status
from search.records.overview import Begun, Overview

SCHEMA = "status/1"


def brief(status: Status) -> dict[str, Any]:
    """Returns what is said of a study in a list of them."""
    runs = status.coordinator
    return {
        "schema": SCHEMA,
        "study": status.name,
        "problem": status.problem or None,
        "coordinator": None if runs is None else {**asdict(runs), "is_on_this_host": runs.is_near},
        "last_written": status.written.isoformat(timespec="seconds") if status.written else None,
        "disk": {
            "bytes": status.usage.bytes,
            "free_bytes": status.usage.free_bytes,
            "parts": {name: asdict(part) for name, part in status.usage.parts.items()},
        },
        **({} if status.overview is None else _totals(status.overview)),
    }


def full(status: Status) -> dict[str, Any]:
    """Returns all that is known of a study's state."""
    seen = status.overview
    if seen is None:
        return brief(status)
    return {
        **brief(status),
        "begun": [_begun(one) for one in seen.begun],
        "gone_on": [{"trial": before, "as": after} for before, after in seen.gone_on.items()],
        "failures": [{**failure(one), "traceback": one.traceback} for one in seen.failures],
        "tested": [asdict(one) for one in seen.tested],
    }


def _totals(seen: Overview) -> dict[str, Any]:
    header, best = seen.header, seen.best
    return {
        "space": header.space.name,
        "dataset": header.protocol.dataset,
        "engine": header.engine,
        "sampler": header.sampler,
        "pruner": header.pruner,
        "command": header.command,
        "states": {state.value: count for state, count in seen.states.items()},
        "settled": seen.settled,
        "running": len(seen.begun),
        "best": best
        and {
            "trial": best.trial.number,
            "origin": best.trial.origin,
            "validation_error_percent": best.error_percent,
            "baseline_difference_points": best.to_baseline,
        },
        "baseline_validation_error_percent": seen.baseline_percent,
        "test_runs": sum(one.complete for one in seen.tested),
        "epochs": seen.epochs,
        "spent_seconds": seen.spent_seconds,
        "exhausted_seconds": seen.exhausted_seconds or None,
        "seconds": dict(seen.parts),
    }


def _begun(one: Begun) -> dict[str, Any]:
    trial = one.trial
    return {
        "phase": trial.phase.value,
        "number": trial.number,
        "origin": trial.origin,
        "parent": trial.parent,
        "of": trial.of,
        "epoch": one.epoch,
        "last_epoch": trial.last_epoch,
        "error_percent": one.error_percent,
        "started": one.started,
    }
