"""What the dashboard's columns say of a study and of its trials, from the documents that the ledger keeps.

Pure. Figures stay numbers, by which the page can sort. Knows the ledger's keys; no storage.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.study.study import _SYSTEM_ATTR_METRIC_NAMES

from search.records.storage.optuna_codec import EPOCHS_KEY, HEADER_KEY, OUTCOME_KEY, SPENT_KEY, TRIAL_KEY
from search.trial import Phase


def study_attributes(user_attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a study is."""
    header = user_attrs.get(HEADER_KEY)
    if not header:
        return {}
    protocol = header["protocol"]
    return {
        "space": header["space"]["name"],
        "data": protocol["dataset"],
        "protocol": f"{protocol['name']} {protocol['version']}",
        "epochs": protocol["epochs"],
        "engine": f"{header['engine']}:{header['sampler']}",
        "pruner": header["pruner"],
        "seed": header["seed"],
        "command": header["command"],
        "seconds": user_attrs.get(SPENT_KEY, 0.0),
    }


def system_attributes(system_attrs: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Returns what Optuna's own tools keep with a study, and what the values of its trials are.

    Args:
        system_attrs: What they keep.
        name: The study's name in Optuna, "NAME/PHASE".
    """
    is_search = name.endswith(f"/{Phase.SEARCH.value}")
    return {_SYSTEM_ATTR_METRIC_NAMES: ["validation error %" if is_search else "test error %"], **system_attrs}


def trial_attributes(user_attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a trial is, and how it ended; what does not hold of it is left out."""
    trial, outcome = user_attrs.get(TRIAL_KEY, {}), user_attrs.get(OUTCOME_KEY) or {}
    epochs = outcome.get(EPOCHS_KEY) or len(outcome.get("history", ()))  # the latter in ledgers of version 0.1.0
    labelled = {
        "origin": trial.get("origin"),
        "seed": trial.get("seed"),
        "went on from": trial.get("parent"),
        "of trial": trial.get("of"),
        "ended": outcome.get("state"),
        "cause": outcome.get("cause"),
        "message": outcome.get("message"),
        "error percent": outcome.get("error_percent"),
        "epochs": epochs or None,
        "seconds": round(sum(outcome.get("seconds", {}).values()), 1) or None,
        "parameters": outcome.get("parameters"),
        **{f"engine: {name}": value for name, value in trial.get("notes", {}).items()},
    }
    return {name: value for name, value in labelled.items() if value not in (None, "")}
