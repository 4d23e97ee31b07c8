"""A configuration as a TOML file, which ``python -m search run --config`` takes: every parameter fixed, judged alike.

Knows headers and configurations, no output format beside this one. Called by the Markdown board and the export.
"""

from __future__ import annotations

import json
import re

from search.records.record import StudyHeader
from search.trial import Config


def to_toml(study: StudyHeader, config: Config, *, dataset: str | None = None) -> str:
    """Returns the lines of the file, without a line break at its end.

    Args:
        study: The configuration's.
        config: Active parameters and their values.
        dataset: Where the data set is, where that is more than the name that the protocol keeps.
    """
    protocol = study.protocol
    settings = {
        "space": study.space_source,
        "dataset": dataset or protocol.dataset,
        "epochs": protocol.epochs,
        "split": protocol.split.value,
        "split_seed": protocol.split_seed,
    }
    lines = [f"{name} = {_value(value)}" for name, value in settings.items()]
    return "\n".join([*lines, "", "[fix]", *(f"{_key(name)} = {_value(value)}" for name, value in config.items())])


def _key(name: str) -> str:
    return name if re.fullmatch("[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)


def _value(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
