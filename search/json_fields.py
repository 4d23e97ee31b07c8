"""Trials, reports and outcomes as JSON: their fields by the keys that ledgers and ``study.json.gz`` have.

Called by the values in ``search.trial``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from typing import Any

JSON_KEYS = {
    "target_epoch": "until",
    "source_trial": "of",
    "engine_metadata": "notes",
    "elapsed_seconds": "at_seconds",
    "parameter_count": "parameters",
    "scored_images": "scored",
    "misclassified": "wrong",
    "predicted_classes": "predicted",
}
"""Fields whose key in ledgers and ``study.json.gz`` differs: version 0.1.0 named them so."""
FIELD_NAMES = {key: name for name, key in JSON_KEYS.items()}
"""The fields by those keys."""


def fields_to_json(value: Any, *metrics: str) -> dict[str, Any]:
    """Returns the fields of a dataclass by their keys in JSON.

    Each of its metrics is a key of its own; the named ones are null if absent.
    """
    fields = {JSON_KEYS.get(name, name): field_value for name, field_value in asdict(value).items()}
    values = fields.pop("metrics", {})
    return {**fields, **dict.fromkeys(metrics), **values}


def fields_from_json(cls: type[Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of a dataclass with metrics; the keys of other names are its metrics, unless they are null."""
    names = field_names(cls)  # type: ignore[arg-type]
    fields, metrics = dict[str, Any](), dict[str, Any]()
    for key, value in document.items():
        name = FIELD_NAMES.get(key, key)
        if name in names:
            fields[name] = value
        elif value is not None:
            metrics[name] = parse_number(value)
    return {**fields, "metrics": metrics}


@cache
def field_names(cls: type[Any]) -> frozenset[str]:
    """Returns the names of a dataclass's fields."""
    return frozenset(field.name for field in dataclasses.fields(cls))


def parse_number(value: Any) -> Any:
    """Returns a recorded number; ``study.json.gz`` holds numbers that are not finite as texts."""
    return float(value) if isinstance(value, str) else value
