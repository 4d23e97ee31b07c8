"""Rows of Optuna's tables, as ``database_ledger`` writes and reads them within its transactions."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any

from optuna.distributions import distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import and_, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from search.records.storage.optuna_codec import OUTCOME_KEY, REPORT_KEY_PREFIX, TRIAL_KEY
from search.trial import EpochReport

TrialRow = models.TrialModel
"""A row of Optuna's table of trials."""
AttributeRow = models.TrialUserAttributeModel
"""A row of its table of their attributes."""


def trial_row(frozen_trial: FrozenTrial, *, study_id: int, number: int) -> TrialRow:
    """Returns the row of a trial that is to be added to an Optuna study, with its values, parameters and attributes."""
    return TrialRow(
        study_id=study_id,
        number=number,
        state=frozen_trial.state,
        datetime_start=frozen_trial.datetime_start,
        datetime_complete=frozen_trial.datetime_complete,
        values=[objective_row(value) for value in frozen_trial.values or ()],
        params=[
            models.TrialParamModel(
                param_name=name,
                param_value=frozen_trial.distributions[name].to_internal_repr(value),
                distribution_json=distribution_to_json(frozen_trial.distributions[name]),
            )
            for name, value in frozen_trial.params.items()
        ],
        user_attributes=[
            AttributeRow(key=name, value_json=json.dumps(value)) for name, value in frozen_trial.user_attrs.items()
        ],
    )


def insert_attribute_once(server: RDBStorage, study_id: int, key: str, value: object) -> None:
    """Writes an attribute of an Optuna study unless it exists; of concurrent calls one succeeds."""
    attribute = models.StudyUserAttributeModel(study_id=study_id, key=key, value_json=json.dumps(value))
    with suppress(IntegrityError), Session(server.engine) as session, session.begin():
        session.add(attribute)


def write_epochs(session: Session, epochs: Sequence[tuple[int, EpochReport]]) -> set[int]:
    """Records epochs of running trials, each epoch once; returns the ids of trials that have ended."""
    trial_ids = {trial_id for trial_id, _ in epochs}
    query = select(TrialRow.trial_id).where(TrialRow.trial_id.in_(trial_ids), TrialRow.state == TrialState.RUNNING)
    unfinished = set(session.scalars(query))
    attributes = trial_attributes(session, unfinished, epochs_of=unfinished)
    model = models.TrialIntermediateValueModel
    for trial_id, report in epochs:
        key, error = f"{REPORT_KEY_PREFIX}{report.epoch}", report.error_percent
        if trial_id not in unfinished or key in attributes[trial_id]:
            continue
        session.add(AttributeRow(trial_id=trial_id, key=key, value_json=json.dumps(report.to_json())))
        if error is not None:
            value, kind = model.intermediate_value_to_stored_repr(error)
            values = {"intermediate_value": value, "intermediate_value_type": kind}
            session.add(model(trial_id=trial_id, step=report.epoch, **values))
    return trial_ids - unfinished


def objective_row(value: float, **fields: int) -> models.TrialValueModel:
    """Returns the row of a trial's objective value."""
    model = models.TrialValueModel
    return model(objective=0, value=value, value_type=model.TrialValueType.FINITE, **fields)


def count_trials(session: Session, study_id: int) -> int:
    """Returns the number of trials of an Optuna study."""
    return session.scalar(select(func.count()).where(TrialRow.study_id == study_id)) or 0


def unfinished_trial_ids(session: Session, study_id: int) -> set[int]:
    """Returns the storage ids of an Optuna study's running trials."""
    query = select(TrialRow.trial_id).where(TrialRow.study_id == study_id, TrialRow.state == TrialState.RUNNING)
    return set(session.scalars(query))


def trial_attributes(
    session: Session, trial_ids: Collection[int], *, epochs_of: Collection[int]
) -> dict[int, dict[str, Any]]:
    """Returns the attributes of trials by storage id; the epochs of some of them only."""
    has_wanted_key = or_(
        AttributeRow.key.in_((TRIAL_KEY, OUTCOME_KEY)),
        and_(AttributeRow.key.startswith(REPORT_KEY_PREFIX), AttributeRow.trial_id.in_(epochs_of)),
    )
    query = select(AttributeRow.trial_id, AttributeRow.key, AttributeRow.value_json)
    query = query.where(AttributeRow.trial_id.in_(trial_ids), has_wanted_key)
    attributes: dict[int, dict[str, Any]] = {trial_id: {} for trial_id in trial_ids}
    for trial_id, key, value in session.execute(query) if trial_ids else ():
        attributes[trial_id][key] = json.loads(value)
    return attributes
