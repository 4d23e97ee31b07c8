"""The stored form of a study in an Optuna storage: one Optuna study per phase, and JSON attributes.

Optuna's own tools can read the trials. Data that Optuna has no field for are JSON attributes. Called by the ledgers and
by ``search.records.reader``.
"""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.errors import FatalError, UserError
from search.optuna_domains import to_optuna_distributions
from search.records.ensemble_json import ENSEMBLE_PHASE, ensemble_from_json, ensemble_to_json
from search.records.record import EnsembleRecord, StudyHeader, StudyRecord, TrialRecord
from search.trial import EpochReport, Outcome, Phase, State, Trial

LEDGER_SCHEMA = 6
"""Version of the attributes; a newer ledger is refused.

2: paused and continued trials. 3: rungs. 4: ensembles and predicted classes. 5: outcomes without their history, which
is in the reports. 6: short trials and calibrated losses. Ledgers of all of them are read, and continued in the newest
schema.
"""
HEADER_KEY, SCHEMA_KEY, SPENT_KEY, EXHAUSTED_KEY = "header", "schema", "spent_seconds", "exhausted_seconds"
"""Attributes of the search phase's Optuna study."""
ARITHMETIC_KEY = "arithmetic"
"""Another attribute of it: the backend, precision, threads and kernels that the study trains with."""
TEST_GROUPS_KEY = "test_groups"
"""Another: the group of each test image, see ``encode_numbers``; absent if the data do not say."""
TEST_LABELS_KEY = "test_labels"
"""Another: the class of each test image in the same form; absent in ledgers of older versions."""
TRIAL_KEY, OUTCOME_KEY, REPORT_KEY_PREFIX = "trial", "outcome", "report "
"""Attributes of a trial: what it is, how it ended, and one attribute per epoch, by its number."""
EPOCHS_KEY = "epochs"
"""Key of the length of the history in the outcome attribute."""
_DECODE_ERRORS = (AttributeError, KeyError, TypeError, ValueError)
OPTUNA_STATES: Mapping[State, TrialState] = {
    State.COMPLETE: TrialState.COMPLETE,
    State.PAUSED: TrialState.PRUNED,
    State.SCREENED: TrialState.PRUNED,  # its error is not one of a full training
    State.PRUNED: TrialState.PRUNED,
    State.FAILED: TrialState.FAIL,
    State.INTERRUPTED: TrialState.FAIL,
}


def optuna_study_name(name: str, phase: str = Phase.SEARCH) -> str:
    """Returns the name of the Optuna study that holds one phase of a study."""
    return f"{name}/{phase}"


def study_names(storage: BaseStorage) -> list[str]:
    """Returns the names of the studies in a storage, sorted."""
    suffix = optuna_study_name("")
    names = (study.study_name for study in storage.get_all_studies())
    return sorted(name.removesuffix(suffix) for name in names if name.endswith(suffix))


def create_optuna_studies(storage: BaseStorage, name: str) -> dict[str, int]:
    """Creates the Optuna studies of a study where they are missing; returns their storage ids by phase."""
    return {
        phase: optuna.create_study(
            storage=storage, study_name=optuna_study_name(name, phase), direction="minimize", load_if_exists=True
        )._study_id
        for phase in (*Phase, ENSEMBLE_PHASE)
    }


def write_header(storage: BaseStorage, header: StudyHeader) -> None:
    """Writes a study's header and the schema version, unless they are recorded."""
    study_id = storage.get_study_id_from_name(optuna_study_name(header.name))
    attributes = storage.get_study_user_attrs(study_id)
    if attributes.get(SCHEMA_KEY, 0) < LEDGER_SCHEMA:
        storage.set_study_user_attr(study_id, SCHEMA_KEY, LEDGER_SCHEMA)
    if HEADER_KEY not in attributes:
        storage.set_study_user_attr(study_id, HEADER_KEY, header.to_json())


def read_header(storage: BaseStorage, name: str) -> StudyHeader | None:
    """Returns a study's header; None if its first session died before writing it.

    Raises:
        UserError: The ledger has a newer schema.
    """
    attributes = _study_attributes(storage, name)
    if attributes.get(SCHEMA_KEY, 0) > LEDGER_SCHEMA:
        raise UserError(
            f"The ledger of study {name!r} was written by a newer version. "
            f"Expected: schema {LEDGER_SCHEMA} at most. Received: {attributes[SCHEMA_KEY]}.",
            hint="Update this package.",
        )
    return StudyHeader.from_json(attributes[HEADER_KEY]) if HEADER_KEY in attributes else None


def decode_study(
    storage: BaseStorage, header: StudyHeader, ended: MutableMapping[tuple[Phase, int], TrialRecord] | None = None
) -> StudyRecord:
    """Returns everything that is recorded of a study.

    Args:
        storage: Holds it.
        header: The study.
        ended: Keeps the records of ended trials, which do not change any more, between calls; None to keep none.
    """
    ended = {} if ended is None else ended
    attributes = _study_attributes(storage, header.name)
    return StudyRecord(
        header=header,
        trials=tuple(
            _decode_once(phase, trial, ended)
            for phase in Phase
            for trial in _frozen_trials(storage, optuna_study_name(header.name, phase))
        ),
        ensembles=tuple(
            ensemble
            for trial in _frozen_trials(storage, optuna_study_name(header.name, ENSEMBLE_PHASE))
            if (ensemble := _decode_ensemble(trial)) is not None
        ),
        spent_seconds=attributes.get(SPENT_KEY, 0.0),
        exhausted_seconds=attributes.get(EXHAUSTED_KEY, 0.0),
        arithmetic=attributes.get(ARITHMETIC_KEY, {}),
        test_groups=decode_numbers(attributes.get(TEST_GROUPS_KEY, "")),
        test_labels=decode_numbers(attributes.get(TEST_LABELS_KEY, "")),
    )


def encode_test_images(labels: Sequence[int], groups: Sequence[int] | None) -> dict[str, str]:
    """Returns the attributes that hold the class and the group of each test image; no groups if None."""
    attributes = {TEST_LABELS_KEY: encode_numbers(labels)}
    return attributes if groups is None else {**attributes, TEST_GROUPS_KEY: encode_numbers(groups)}


def encode_numbers(numbers: Sequence[int]) -> str:
    """Returns numbers as a text that fits into a database's text column: 32-bit integers, compressed."""
    content = b"".join(number.to_bytes(4, "little") for number in numbers)
    return base64.b64encode(zlib.compress(content, 9)).decode()


def decode_numbers(text: str) -> tuple[int, ...]:
    """Returns the numbers that ``encode_numbers`` encoded; none for an empty text."""
    content = zlib.decompress(base64.b64decode(text)) if text else b""
    return tuple(number for (number,) in struct.iter_unpack("<I", content))


def _decode_once(
    phase: Phase, trial: FrozenTrial, ended: MutableMapping[tuple[Phase, int], TrialRecord]
) -> TrialRecord:
    key = (phase, trial.number)
    if key in ended:
        return ended[key]
    record = decode_trial(trial.number, trial.user_attrs, trial.datetime_start)
    if record.outcome is not None and trial.state.is_finished():
        ended[key] = record
    return record


def _study_attributes(storage: BaseStorage, name: str) -> dict[str, Any]:
    try:
        return storage.get_study_user_attrs(storage.get_study_id_from_name(optuna_study_name(name)))
    except KeyError:
        return {}


def _frozen_trials(storage: BaseStorage, optuna_name: str) -> list[FrozenTrial]:
    try:
        study_id = storage.get_study_id_from_name(optuna_name)
    except KeyError:
        return []
    return storage.get_all_trials(study_id, deepcopy=False)


def encode_running_trial(header: StudyHeader, trial: Trial) -> FrozenTrial:
    """Returns a started trial for Optuna; only search trials have parameters, since Optuna's tools compare them."""
    is_search = trial.phase is Phase.SEARCH
    return create_trial(
        state=TrialState.RUNNING,
        params=dict(trial.config) if is_search else {},
        distributions=to_optuna_distributions(header.space, trial.config) if is_search else {},
        user_attrs={TRIAL_KEY: trial.to_json()},
    )


def encode_outcome(outcome: Outcome) -> dict[str, Any]:
    """Returns the outcome attribute: the history is left out but for its length, since every epoch is a report."""
    document = replace(outcome, history=()).to_json()
    del document["history"]
    return {**document, EPOCHS_KEY: len(outcome.history)}


def objective_values(outcome: Outcome) -> list[float] | None:
    """Returns the objective values for Optuna: the last error of a trial that did not fail."""
    error, is_known = outcome.error_percent, OPTUNA_STATES[outcome.state] is not TrialState.FAIL
    return [error] if is_known and error is not None and math.isfinite(error) else None


def decode_trial(number: int, attributes: Mapping[str, Any], started: datetime | None = None) -> TrialRecord:
    """Returns a trial from its attributes.

    Raises:
        FatalError: They are those of another version.
    """
    try:
        outcome = decode_outcome(attributes)
        return TrialRecord(
            trial=Trial.from_json(attributes[TRIAL_KEY]),
            outcome=outcome,
            started=_to_iso_time(started),
            reports=() if outcome else _decode_reports(attributes),
        )
    except _DECODE_ERRORS as error:
        raise _unreadable_error(f"trial {number} of its phase", error) from error


def _unreadable_error(what: str, error: Exception) -> FatalError:
    return FatalError(
        f"The ledger holds a record that this version cannot read: {what} ({type(error).__name__}: {error}).",
        hint="Read it with the version that wrote it, or start another study with --study NAME.",
    )


def _to_iso_time(time: datetime | None) -> str:
    return time.astimezone(UTC).isoformat(timespec="seconds") if time else ""


def decode_outcome(attributes: Mapping[str, Any]) -> Outcome | None:
    """Returns the outcome of a trial from its attributes, with its history; None if it has not ended."""
    if not attributes.get(OUTCOME_KEY):
        return None
    document = dict(attributes[OUTCOME_KEY])
    if "history" in document:  # schema 4 and before
        return Outcome.from_json(document)
    epochs = document.pop(EPOCHS_KEY)  # a report may arrive in the moment in which another coordinator ends the trial
    return replace(Outcome.from_json(document), history=_decode_reports(attributes)[:epochs])


def _decode_reports(attributes: Mapping[str, Any]) -> tuple[EpochReport, ...]:
    reports = [EpochReport.from_json(value) for name, value in attributes.items() if name.startswith(REPORT_KEY_PREFIX)]
    return tuple(sorted(reports, key=lambda report: report.epoch))


def encode_ensemble(ensemble: EnsembleRecord, number: int) -> FrozenTrial:
    """Returns an ensemble for Optuna.

    Args:
        ensemble: What to record.
        number: Its position among the study's ensembles, from 0.
    """
    trial, outcome = ensemble_to_json(ensemble, number)
    user_attrs = {TRIAL_KEY: trial, OUTCOME_KEY: outcome}
    return create_trial(state=TrialState.COMPLETE, value=ensemble.error_percent, user_attrs=user_attrs)


def _decode_ensemble(trial: FrozenTrial) -> EnsembleRecord | None:
    attributes, started = trial.user_attrs, _to_iso_time(trial.datetime_start)
    try:
        return ensemble_from_json(attributes[TRIAL_KEY], decode_outcome(attributes), started)
    except _DECODE_ERRORS as error:
        raise _unreadable_error(f"ensemble {trial.number}", error) from error
