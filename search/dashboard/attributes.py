"""What the dashboard's columns say of a study and of its trials, from the documents that the ledger keeps.

Pure. Figures stay numbers, by which the page can sort. Knows the ledger's keys; no storage.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.study.study import _SYSTEM_ATTR_METRIC_NAMES

from search.records.ledger import HEADER, OUTCOME, SPENT, TRIAL
from search.trial import Phase


def of_study(known: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a study is."""
    header = known.get(HEADER)
    if not header:
        return {}
    judged = header["protocol"]
    return {
        "space": header["space"]["name"],
        "data": judged["dataset"],
        "protocol": f"{judged['name']} {judged['version']}",
        "epochs": judged["epochs"],
        "engine": f"{header['engine']}:{header['sampler']}",
        "pruner": header["pruner"],
        "seed": header["seed"],
        "command": header["command"],
        "seconds": known.get(SPENT, 0.0),
    }


def of_tools(known: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Returns what Optuna's own tools keep with a study, and what the values of its trials are.

    Args:
        known: What they keep.
        name: The study's name in Optuna, "NAME/PHASE".
    """
    is_search = name.endswith(f"/{Phase.SEARCH.value}")
    return {_SYSTEM_ATTR_METRIC_NAMES: ["validation error %" if is_search else "test error %"], **known}


def of_trial(known: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a trial is, and how it ended; what does not hold of it is left out."""
    trial, outcome = known.get(TRIAL, {}), known.get(OUTCOME) or {}
    history = outcome.get("history", ())
    shown = {
        "origin": trial.get("origin"),
        "seed": trial.get("seed"),
        "went on from": trial.get("parent"),
        "of trial": trial.get("of"),
        "ended": outcome.get("state"),
        "cause": outcome.get("cause"),
        "message": outcome.get("message"),
        "error percent": outcome.get("error_percent"),
        "epochs": len(history) or None,
        "seconds": round(sum(outcome.get("seconds", {}).values()), 1) or None,
        "parameters": outcome.get("parameters"),
        **{f"engine: {name}": value for name, value in trial.get("notes", {}).items()},
    }
    return {name: value for name, value in shown.items() if value not in (None, "")}
