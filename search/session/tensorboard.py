"""TensorBoard logs of a search: a run a trial, with its curves and, in HParams, its configuration and final error.

The coordinator writes them with tensorboardX, without TensorFlow; one folder a trial::

    DIR/STUDY/trial-0007/events.out.tfevents.*           the metrics of each epoch, as it is reported
                         events.out.tfevents.*.hparams   configuration and outcome; exists once the trial has ended

A trial of an earlier session is written from the record, unless its end is in the folder already. Called by
``search.session.run``.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.records.record import StudyRecord, TrialRecord
from search.session.callbacks import Callback
from search.session.plan import Plan
from search.study.time_budget import TimeBudget
from search.trial import EpochReport, Outcome, Phase, State, Trial

if TYPE_CHECKING:
    from tensorboardX.event_file_writer import EventsWriter

SCALARS: Mapping[str, str] = {
    "training/loss": "training_loss",
    "validation/loss": "loss",
    "validation/error_percent": "error_percent",
}
"""Tags to the fields of an epoch's report."""
FINAL_METRIC = "final/validation_error_percent"
"""The metric in HParams."""
FINAL_SHORT_METRIC = "final/short_validation_error_percent"
"""That of short trials, whose errors are not comparable with those of full ones."""
_ENDED_SUFFIX = ".hparams"


class TensorBoardCallback(Callback):
    """Writes the search trials of a session.

    Args:
        folder: Folder of all studies' logs.
    """

    def __init__(self, folder: Path) -> None:
        self._root = folder
        self._writers: dict[int, EventsWriter] = {}

    def on_session_start(self, plan: Plan, record: StudyRecord, budget: TimeBudget) -> None:
        """Writes the trials of earlier sessions whose end is not in the folder."""
        self._root /= record.header.name
        for trial in record.trials_in_phase(Phase.SEARCH):
            if trial.outcome and not list(self._folder(trial.trial).glob(f"*{_ENDED_SUFFIX}")):
                self._write_recorded(trial, trial.outcome)

    def on_epoch_end(self, trial: Trial, report: EpochReport) -> None:
        """Writes an epoch."""
        if trial.phase is Phase.SEARCH:
            self._write_epoch(trial, report, time.time())

    def on_trial_end(self, trial: Trial, outcome: Outcome) -> None:
        """Writes the configuration and the final error."""
        if trial.phase is Phase.SEARCH:
            self._write_end(trial, outcome, time.time())

    def close(self) -> None:
        """Closes the open files."""
        while self._writers:
            self._writers.popitem()[1].close()

    def _folder(self, trial: Trial) -> Path:
        return self._root / f"trial-{trial.number:04d}"

    def _write_recorded(self, record: TrialRecord, outcome: Outcome) -> None:
        """Writes a recorded trial at the times at which it ran, in place of an earlier part of it."""
        for part in self._folder(record.trial).glob("events.out.tfevents.*"):
            part.unlink()
        wall_time = datetime.fromisoformat(record.started).timestamp() if record.started else time.time()
        for report in outcome.history:
            wall_time += report.seconds
            self._write_epoch(record.trial, report, wall_time)
        self._write_end(record.trial, outcome, wall_time)

    def _write_epoch(self, trial: Trial, report: EpochReport, wall_time: float) -> None:
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.summary import scalar

        if trial.number not in self._writers:
            self._writers[trial.number] = self._make_writer(trial)
        writer = self._writers[trial.number]
        for tag, field in SCALARS.items():
            if (value := getattr(report, field)) is not None:
                writer.write_event(Event(wall_time=wall_time, step=report.epoch, summary=scalar(tag, value)))
        writer.flush()

    def _write_end(self, trial: Trial, outcome: Outcome, wall_time: float) -> None:
        """Writes a trial's outcome into a file of its own, which marks the trial as complete."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.summary import scalar

        if (open_writer := self._writers.pop(trial.number, None)) is not None:
            open_writer.close()
        writer = self._make_writer(trial, _ENDED_SUFFIX)
        for summary in _hparams_summaries(trial, outcome, wall_time):
            writer.write_event(Event(wall_time=wall_time, summary=summary))
        if outcome.error_percent is not None:
            step = outcome.history[-1].epoch if outcome.history else 0
            metric = FINAL_SHORT_METRIC if trial.is_short else FINAL_METRIC
            writer.write_event(Event(wall_time=wall_time, step=step, summary=scalar(metric, outcome.error_percent)))
        writer.close()

    def _make_writer(self, trial: Trial, suffix: str = "") -> EventsWriter:
        from tensorboardX.event_file_writer import EventsWriter

        folder = self._folder(trial)
        folder.mkdir(parents=True, exist_ok=True)
        return EventsWriter(str(folder / "events"), suffix)


def _hparams_summaries(trial: Trial, outcome: Outcome, wall_time: float) -> list[Any]:
    """Returns the summaries that HParams reads of a run: its configuration, and its end.

    Declares no experiment: TensorBoard would use the first one's parameters for all trials, which differ.
    """
    from tensorboardX.proto.api_pb2 import Status
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData, SessionEndInfo
    from tensorboardX.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboardX.summary import hparams

    origin = f"{trial.origin} (short)" if trial.is_short else trial.origin
    _, start, _ = hparams({**trial.config, "origin": origin}, {})
    failed = outcome.state in (State.FAILED, State.INTERRUPTED)
    status = Status.Value("STATUS_FAILURE" if failed else "STATUS_SUCCESS")
    end_data = HParamsPluginData(session_end_info=SessionEndInfo(status=status, end_time_secs=wall_time), version=0)
    plugin = SummaryMetadata.PluginData(plugin_name="hparams", content=end_data.SerializeToString())
    metadata = SummaryMetadata(plugin_data=plugin)
    return [start, Summary(value=[Summary.Value(tag="_hparams_/session_end_info", metadata=metadata)])]
