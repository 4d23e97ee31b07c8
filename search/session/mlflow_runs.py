"""MLflow runs of a search: a run a study, and below it a run a trial with its parameters and the metrics of each epoch.

The coordinator writes a trial when it has ended, so that no server is asked while an epoch runs. Trials of earlier
sessions are written from the record, unless they are there. Called by ``search.session.run``.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from search.errors import UserError
from search.protocol import ProtocolName
from search.records.record import StudyHeader, StudyRecord
from search.records.redact import without_password
from search.session.callbacks import Callback
from search.session.plan import Plan
from search.study.time_budget import TimeBudget
from search.trial import Outcome, Phase, State, Trial

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

EXPERIMENT = "keras-image-search"
"""The experiment of all studies."""
STUDY_TAG, TRIAL_TAG, PARENT_TAG = "study_id", "trial_id", "mlflow.parentRunId"
METRICS_PER_CALL = 1000
"""MLflow's limit."""
VARIABLES: Mapping[str, str] = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""MLflow's variables, unless they are set. By default it retries for minutes, while the workers would wait, and reports
its use."""


class MlflowCallback(Callback):
    """Writes the trials of a session.

    Args:
        uri: MLflow's tracking URI.
        on_message: Receives a message if the server stops answering; the search continues.
    """

    def __init__(self, uri: str, on_message: Callable[[str], None]) -> None:
        self._uri = uri
        self._on_message = on_message
        self._client: MlflowClient | None = None
        self._study: Any = None
        self._is_tutorial = False
        self._written: dict[str, str] = {}

    def on_session_start(self, plan: Plan, record: StudyRecord, budget: TimeBudget) -> None:
        """Finds or makes the study's run, and writes the trials of earlier sessions that it lacks.

        Raises:
            UserError: The store cannot be used.
        """
        try:
            self._open(record.header)
            for entry in record.trials:
                if entry.outcome is not None and _trial_id(entry.trial) not in self._written:
                    started = datetime.fromisoformat(entry.started).timestamp() if entry.started else time.time()
                    self._write(entry.trial, entry.outcome, started)
        except Exception as error:  # MLflow's stores raise errors of many libraries
            raise UserError(
                f"MLflow cannot be used: {_first_line(error)} Received: --mlflow {without_password(self._uri)}.",
                hint="Name a database such as sqlite:///mlflow.db, or a server that runs.",
            ) from error

    def on_trial_end(self, trial: Trial, outcome: Outcome) -> None:
        """Writes the trial; after an error, none until the next session."""
        seconds = sum(report.seconds for report in outcome.history)
        self._try(lambda client: self._write(trial, outcome, time.time() - seconds))

    def close(self) -> None:
        """Ends the study's run."""
        self._try(lambda client: client.set_terminated(self._study.info.run_id))

    def _try(self, action: Callable[[MlflowClient], None]) -> None:
        if self._client is None:
            return
        try:
            action(self._client)
        except Exception as error:  # noqa: BLE001 - as above; the search is worth more than its log
            self._client = None
            self._on_message(f"MLflow: {_first_line(error)} The next run with --mlflow writes what is missing.")

    def _open(self, header: StudyHeader) -> None:
        for name, value in VARIABLES.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # else it tells of each table of a new database
        client = MlflowClient(tracking_uri=self._uri)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        place = client.create_experiment(EXPERIMENT) if experiment is None else experiment.experiment_id
        study_id = f"{header.name} {header.seed} {header.created}"
        found = client.search_runs([place], f"tags.{STUDY_TAG} = '{study_id}'")
        self._study = found[0] if found else client.create_run(place, run_name=header.name, tags={STUDY_TAG: study_id})
        if found:
            client.update_run(self._study.info.run_id, status="RUNNING")
        else:
            for name, value in _study_parameters(header).items():
                client.log_param(self._study.info.run_id, name, value)
        self._client, self._is_tutorial = client, header.protocol.name is ProtocolName.TUTORIAL
        self._written = {
            run.data.tags[TRIAL_TAG]: run.info.run_id for run in self._nested_runs() if run.info.status != "RUNNING"
        }

    def _nested_runs(self) -> Iterator[Any]:
        """Yields the runs of trials."""
        assert self._client is not None
        info, token = self._study.info, None
        while True:
            page = self._client.search_runs(
                [info.experiment_id], f"tags.`{PARENT_TAG}` = '{info.run_id}'", page_token=token
            )
            yield from page
            if not (token := page.token):
                return

    def _write(self, trial: Trial, outcome: Outcome, started: float) -> None:
        """Writes a run; one of an earlier end of the trial, which was interrupted, is replaced."""
        from mlflow.entities import Param

        assert self._client is not None
        client, info, trial_id = self._client, self._study.info, _trial_id(trial)
        if trial_id in self._written:
            client.delete_run(self._written.pop(trial_id))
        tags = {PARENT_TAG: info.run_id, TRIAL_TAG: trial_id, **_tags(trial, outcome)}
        run = client.create_run(
            info.experiment_id, start_time=round(1000 * started), run_name=_run_name(trial), tags=tags
        )
        metrics = list(self._metrics(trial, outcome, started))
        client.log_batch(run.info.run_id, params=[Param(name, str(value)) for name, value in trial.config.items()])
        for first in range(0, len(metrics), METRICS_PER_CALL):
            client.log_batch(run.info.run_id, metrics=metrics[first : first + METRICS_PER_CALL])
        failed = outcome.state in (State.FAILED, State.INTERRUPTED)
        ended = started + sum(report.seconds for report in outcome.history)
        client.set_terminated(run.info.run_id, "FAILED" if failed else "FINISHED", end_time=round(1000 * ended))
        self._written[trial_id] = run.info.run_id

    def _metrics(self, trial: Trial, outcome: Outcome, started: float) -> Iterator[Metric]:
        """Yields the finite metrics of each epoch, those of the scored images named by the images."""
        from mlflow.entities import Metric

        scored = "validation" if trial.phase is Phase.SEARCH and not self._is_tutorial else "test"
        for report in outcome.history:
            started += report.seconds
            values = {"training_loss": report.training_loss}
            values |= {f"{scored}_{name}": value for name, value in report.metrics.items()}
            for name, value in values.items():
                if math.isfinite(value):
                    yield Metric(name, value, round(1000 * started), report.epoch)


def _first_line(error: Exception) -> str:
    return without_password(next(iter(str(error).strip().splitlines()), type(error).__name__))


def _trial_id(trial: Trial) -> str:
    return f"{trial.phase} {trial.number}"


def _run_name(trial: Trial) -> str:
    """Returns "trial 7", "trial 7, test run 2" or "test run 2"."""
    if trial.phase is Phase.SEARCH:
        return f"trial {trial.number}"
    test_run = f"test run {(trial.replicate or 0) + 1}"
    return test_run if trial.source_trial is None else f"trial {trial.source_trial}, {test_run}"


def _tags(trial: Trial, outcome: Outcome) -> dict[str, str]:
    tags = {
        "phase": trial.phase.value,
        "origin": trial.origin,
        "state": outcome.state.value,
        "cause": outcome.cause,
        "short": "true" if trial.is_short else None,
        "epochs": trial.epochs,
        "seed": trial.seed,
        "trial": trial.number if trial.phase is Phase.SEARCH else trial.source_trial,
        "trained_parameters": outcome.parameter_count,
    }
    return {name: str(value) for name, value in tags.items() if value is not None}


def _study_parameters(header: StudyHeader) -> dict[str, Any]:
    return {
        "space": header.space.name,
        "dataset": header.protocol.dataset,
        "protocol": header.protocol.name.value,
        "engine": header.engine,
        "sampler": header.sampler,
        "pruner": header.pruner,
        "epochs": header.protocol.epochs,
        "seed": header.seed,
    }
