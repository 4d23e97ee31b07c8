"""What a ledger must keep on every storage; inherited by a test class for each, which gives its class and a place."""

from __future__ import annotations

import dataclasses
import functools
import time
from pathlib import Path

import pytest
from makers import TINY, complete, header, trial

from search.errors import UserError
from search.protocol import Split
from search.records.ledger import Ledger
from search.records.opening import open_ledger
from search.records.reader import read_study
from search.records.record import EnsembleRecord
from search.records.storage.locations import StudyLocation
from search.trial import Cause, Outcome, Phase, State
from spaces import Int


class LedgerContract:
    """Inherit, and define ``kind`` and ``place(tmp_path)``."""

    kind: type[Ledger]

    @staticmethod
    def place(tmp_path: Path) -> StudyLocation:
        raise NotImplementedError

    def test_what_is_written_is_read(self, tmp_path: Path) -> None:
        place = self.place(tmp_path)
        searched, verified = trial(0), trial(0, phase=Phase.VERIFICATION, source_trial=0, replicate=0)
        with open_ledger(place, header()) as ledger:
            assert type(ledger) is self.kind
            for one, error in ((searched, 1.5), (verified, 1.25)):
                ledger.begin(one)
                outcome = complete(error)
                ledger.report(one, outcome.history[0])  # the others were not reported
                assert ledger.finish(one, outcome) == outcome
            ledger.record_spent_seconds(12.5)
            for labels, groups in (([1, 0, 0, 1], [2, 0, 2, 70_000]), ([2], [1])):  # the first call counts
                ledger.record_test_images(labels, groups)
        record = read_study(place, "study")
        assert record.header == header()
        assert record.spent_seconds == 12.5
        assert record.test_groups == (2, 0, 2, 70_000)
        assert record.test_labels == (1, 0, 0, 1)
        assert [known.trial for known in record.trials] == [searched, verified]
        assert [known.outcome for known in record.trials] == [complete(1.5), complete(1.25)]
        assert all(known.started for known in record.trials)
        assert record.test_evaluations == 1

    def test_every_state_survives_with_its_cause(self, tmp_path: Path) -> None:
        place = self.place(tmp_path)
        outcomes = [
            complete(2.0),
            dataclasses.replace(complete(3.0, epochs=2), state=State.PRUNED),
            Outcome(state=State.FAILED, cause=Cause.NOT_FINITE, message="NaN", traceback="Traceback ..."),
            Outcome(state=State.INTERRUPTED, cause=Cause.TIMEOUT, message="time"),
        ]
        with open_ledger(place, header()) as ledger:
            for number, outcome in enumerate(outcomes):
                ledger.begin(trial(number))
                ledger.finish(trial(number), outcome)
        assert [known.outcome for known in read_study(place, "study").trials] == outcomes

    def test_an_ensemble_is_no_trial(self, tmp_path: Path) -> None:
        place = self.place(tmp_path)
        ensembles = [
            EnsembleRecord(
                origin=origin,
                weights={0: 0.75, 12: 0.25},
                error_percent=1.0,
                scored_images=200,
                parameter_count=300,
                misclassified=(3, 7),
                predicted_classes=(1, 0),
            )
            for origin in ("mean", "greedy")
        ]
        with open_ledger(place, header()) as ledger:
            for ensemble in ensembles:
                ledger.run_exclusive(functools.partial(ledger.record_ensemble, ensemble))
        record = read_study(place, "study")
        assert all(ensemble.started for ensemble in record.ensembles)
        assert [dataclasses.replace(ensemble, started="") for ensemble in record.ensembles] == ensembles
        assert record.trials == ()
        assert record.test_evaluations == 2

    def test_a_running_trial_has_no_outcome(self, tmp_path: Path) -> None:
        place = self.place(tmp_path)
        with open_ledger(place, header()) as ledger:
            ledger.begin(trial(0))
            assert ledger.read().trials[0].outcome is None
            deadline = time.monotonic() + 10.0
            while not (seen := read_study(place, "study").trials):  # others see it in a moment
                assert time.monotonic() < deadline
                ledger.flush()
            assert seen[0].outcome is None

    def test_a_study_is_taken_up_again(self, tmp_path: Path) -> None:
        place = self.place(tmp_path)
        for number in range(3):
            with open_ledger(place, header(created=f"2026-01-0{number + 1}")) as ledger:
                ledger.begin(trial(number))
                ledger.finish(trial(number), complete(float(number)))
        record = read_study(place, "study")
        assert [known.trial.number for known in record.trials] == [0, 1, 2]
        assert record.header.created == "2026-01-01"

    def test_another_study_of_the_same_name_is_refused(self, tmp_path: Path) -> None:
        place, protocol = self.place(tmp_path), header().protocol
        others = {
            "width": {"space": TINY.restrict({"width": Int(4, 32, 16, log=True)})},
            "split": {"protocol": dataclasses.replace(protocol, split=Split.STRATIFIED)},
            "dataset": {"protocol": dataclasses.replace(protocol, data_sha256="cd" * 32)},
            "epochs": {"protocol": dataclasses.replace(protocol, epochs=20)},
            "sampler": {"sampler": "tpe"},
            "pruner": {"pruner": "asha"},
            "seed": {"seed": 6},
            "file of --space": {"builder_sha256": "2" * 64},
        }
        hashed = header(builder_sha256="1" * 64)
        with open_ledger(place, hashed) as ledger:
            ledger.begin(trial(0))
        before = read_study(place, "study")
        for named, changes in others.items():
            with pytest.raises(UserError, match=named) as refusal:
                open_ledger(place, dataclasses.replace(hashed, **changes))
            assert "--study" in refusal.value.hint
        assert read_study(place, "study") == before

    def test_a_reworded_space_is_the_same_study(self, tmp_path: Path) -> None:
        place = self.place(tmp_path)
        with open_ledger(place, header()):
            pass
        reworded = dataclasses.replace(
            TINY.restrict({"width": dataclasses.replace(TINY.parameters["width"], doc="Said better.")}), doc="Too."
        )
        with open_ledger(place, header(space=reworded)):
            pass

    def test_studies_stand_apart(self, tmp_path: Path) -> None:
        place = self.place(tmp_path)
        for name in ("one", "two"):
            with open_ledger(place, header(name)) as ledger:
                ledger.begin(trial(0))
        assert place.study_names() == ["one", "two"]
        assert len(read_study(place, "one").trials) == 1

    def test_an_unknown_study_is_named(self, tmp_path: Path) -> None:
        place = self.place(tmp_path)
        with pytest.raises(UserError, match="Unknown study"):
            read_study(place, "nothing")
        with open_ledger(place, header("study")):
            pass
        with pytest.raises(UserError) as refusal:
            read_study(place, "studdy")
        assert "Did you mean 'study'?" in refusal.value.hint

    def test_trial_numbers_have_no_gaps(self, tmp_path: Path) -> None:
        with open_ledger(self.place(tmp_path), header()) as ledger, pytest.raises(AssertionError):
            ledger.begin(trial(3))
