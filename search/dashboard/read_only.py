"""One study of a storage, for whoever may only look: Optuna's storage interface, in which every change is refused.

The study's phases are Optuna studies here; those in which nothing was run are left out. Attributes, which the ledger
keeps as documents, are shown as figures and words (``search.dashboard.attributes``). Passes reading on to the storage
that it wraps. Called by ``search.dashboard.server``.
"""

from __future__ import annotations

import copy
from collections.abc import Container, Sequence
from typing import Any, NoReturn

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from search.dashboard import attributes
from search.trial import Phase

READ_ONLY_MESSAGE = "This page only reads the study; nothing can be changed here."


class ReadOnlyError(Exception):
    """Somebody tried to change a study that is only looked at."""

    def __init__(self) -> None:
        super().__init__(READ_ONLY_MESSAGE)


class ReadOnlyStorage(BaseStorage):
    """Shows the phases of one study.

    Args:
        storage: The storage that holds it, perhaps among others.
        study: The study's name in it.
    """

    def __init__(self, storage: BaseStorage, study: str) -> None:
        self._storage = storage
        self._names = [f"{study}/{phase.value}" for phase in Phase]

    def get_all_studies(self) -> list[FrozenStudy]:
        """Returns the search, and the other phases in which something was run, in this order."""
        found = {study.study_name: study for study in self._storage.get_all_studies()}
        studies = [found[name] for name in self._names if name in found]
        return [
            self._with_study_attributes(phase_study)
            for index, phase_study in enumerate(studies)
            if index == 0 or self._storage.get_n_trials(phase_study._study_id)
        ]

    def get_study_id_from_name(self, study_name: str) -> int:
        """Returns the storage's number for a phase."""
        return self._storage.get_study_id_from_name(study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        """Returns a phase's name."""
        return self._storage.get_study_name_from_id(study_id)

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Returns that errors are to be as low as they can be."""
        return self._storage.get_study_directions(study_id)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Returns what the study is, in words."""
        return attributes.study_attributes(self._storage.get_study_user_attrs(study_id))

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Returns what Optuna's own tools have noted, and what the trials' values are."""
        return attributes.system_attributes(
            self._storage.get_study_system_attrs(study_id), self.get_study_name_from_id(study_id)
        )

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Returns a trial."""
        return _with_trial_attributes(self._storage.get_trial(trial_id))

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Returns a phase's trials."""
        trials = self._storage.get_all_trials(study_id, deepcopy=deepcopy, states=states)
        return [_with_trial_attributes(trial) for trial in trials]

    def _with_study_attributes(self, study: FrozenStudy) -> FrozenStudy:
        copied = copy.copy(study)
        copied.user_attrs = attributes.study_attributes(study.user_attrs)
        copied.system_attrs = attributes.system_attributes(study.system_attrs, study.study_name)
        return copied

    # Whoever would change something is refused.

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> NoReturn:
        """Refuses."""
        raise ReadOnlyError

    def delete_study(self, study_id: int) -> NoReturn:
        """Refuses."""
        raise ReadOnlyError

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> NoReturn:
        """Refuses."""
        raise ReadOnlyError

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> NoReturn:
        """Refuses."""
        raise ReadOnlyError

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> NoReturn:
        """Refuses."""
        raise ReadOnlyError

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> NoReturn:
        """Refuses."""
        raise ReadOnlyError

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> NoReturn:
        """Refuses."""
        raise ReadOnlyError

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> NoReturn:
        """Refuses."""
        raise ReadOnlyError

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> NoReturn:
        """Refuses."""
        raise ReadOnlyError

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> NoReturn:
        """Refuses."""
        raise ReadOnlyError


def _with_trial_attributes(trial: FrozenTrial) -> FrozenTrial:
    copied = copy.copy(trial)
    copied.user_attrs = attributes.trial_attributes(trial.user_attrs)
    return copied
