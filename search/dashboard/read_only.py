"""An Optuna storage that shows one study and refuses every change. Called by ``search.dashboard.server``.

Reads pass to the wrapped storage. The study's phases appear as Optuna studies, without those in which nothing was run.
The ledger's attributes, which are JSON documents, appear as numbers and words, by which the page can sort.
"""

from __future__ import annotations

import copy
from collections.abc import Container, Mapping
from typing import Any, NoReturn

from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.study.study import _SYSTEM_ATTR_METRIC_NAMES
from optuna.trial import FrozenTrial, TrialState

from search.records.storage.optuna_codec import HEADER_KEY, SPENT_KEY, TRIAL_KEY, decode_trial, optuna_study_name
from search.trial import Phase

READ_ONLY_MESSAGE = "This page only reads the study; nothing can be changed here."


class ReadOnlyError(Exception):
    """A change of a study that may only be read."""

    def __init__(self) -> None:
        super().__init__(READ_ONLY_MESSAGE)


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise ReadOnlyError


class ReadOnlyStorage(BaseStorage):
    """Shows the phases of one study.

    Args:
        storage: The storage that holds it, perhaps among others.
        study: The study's name.
    """

    create_new_study = delete_study = set_study_user_attr = set_study_system_attr = _refuse
    create_new_trial = set_trial_param = set_trial_state_values = set_trial_intermediate_value = _refuse
    set_trial_user_attr = set_trial_system_attr = _refuse

    def __init__(self, storage: BaseStorage, study: str) -> None:
        self._storage = storage
        self._names = [optuna_study_name(study, phase) for phase in Phase]

    def get_all_studies(self) -> list[FrozenStudy]:
        """Returns the search and the other phases in which something was run, in this order."""
        by_name = {study.study_name: study for study in self._storage.get_all_studies()}
        studies = [by_name[name] for name in self._names if name in by_name]
        shown = [*studies[:1], *(study for study in studies[1:] if self._storage.get_n_trials(study._study_id))]
        for index, study in enumerate(shown):
            shown[index] = copied = copy.copy(study)
            copied.user_attrs = _study_attributes(study.user_attrs)
            copied.system_attrs = _system_attributes(study.system_attrs, study.study_name)
        return shown

    def get_study_id_from_name(self, study_name: str) -> int:
        """Returns the storage's number of a phase."""
        return self._storage.get_study_id_from_name(study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        """Returns a phase's name."""
        return self._storage.get_study_name_from_id(study_id)

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Returns that errors are minimized."""
        return self._storage.get_study_directions(study_id)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Returns the description of the study."""
        return _study_attributes(self._storage.get_study_user_attrs(study_id))

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Returns the attributes of Optuna's own tools, and the name of the trials' values."""
        return _system_attributes(self._storage.get_study_system_attrs(study_id), self.get_study_name_from_id(study_id))

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Returns a trial."""
        return _with_attributes(self._storage.get_trial(trial_id))

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Returns a phase's trials."""
        trials = self._storage.get_all_trials(study_id, deepcopy=deepcopy, states=states)
        return [_with_attributes(trial) for trial in trials]


def _study_attributes(user_attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the columns that describe a study."""
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


def _system_attributes(system_attrs: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Returns the attributes of Optuna's own tools, and the name of the trials' values."""
    is_search = name.endswith(f"/{Phase.SEARCH}")
    return {_SYSTEM_ATTR_METRIC_NAMES: ["validation error %" if is_search else "test error %"], **system_attrs}


def _with_attributes(frozen: FrozenTrial) -> FrozenTrial:
    """Returns a copy of a trial with the columns that describe it; columns without a value are left out."""
    copied = copy.copy(frozen)
    if TRIAL_KEY not in frozen.user_attrs:
        copied.user_attrs = {}
        return copied
    record = decode_trial(frozen.number, frozen.user_attrs)
    trial, outcome = record.trial, record.outcome
    columns: dict[str, Any] = {
        "origin": trial.origin,
        "seed": trial.seed,
        "resumed from": trial.parent,
        "of trial": trial.source_trial,
    }
    if outcome is not None:
        columns |= {
            "ended": outcome.state.value,
            "cause": outcome.cause and outcome.cause.value,
            "message": outcome.message,
            "error percent": outcome.error_percent,
            "epochs": len(outcome.history) or None,
            "seconds": round(sum(outcome.seconds.values()), 1) or None,
            "parameters": outcome.parameter_count,
        }
    columns |= {f"engine: {name}": value for name, value in trial.engine_metadata.items()}
    copied.user_attrs = {name: value for name, value in columns.items() if value not in (None, "")}
    return copied
