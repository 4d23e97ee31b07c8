"""The board's ensembles: their error with the interval that the test images give it.

Pure, from a study's record; called by ``rows``. An ensemble is one thing made once, so there is no spread over seeds;
its interval covers the choice of the test images alone.
"""

from __future__ import annotations

from collections import Counter

from search.leaderboard.board import Ensemble
from search.leaderboard.statistics import CONFIDENCE, Interval
from search.records.record import WEIGHTS, StudyRecord, TrialRecord
from search.trial import Outcome, Phase


def ensembles(study: StudyRecord) -> list[Ensemble]:
    """Returns a study's ensembles, of each kind the one formed last."""
    own = [known for known in study.phase(Phase.ENSEMBLE) if not known.copied_from]
    last = {known.trial.origin: (known, known.outcome) for known in own if known.outcome}
    return [_ensemble(study, *one) for one in last.values() if one[1].error_percent is not None]


def _ensemble(study: StudyRecord, known: TrialRecord, outcome: Outcome) -> Ensemble:
    assert outcome.error_percent is not None
    runs = {str(run.trial.number): run.trial.of for run in study.phase(Phase.VERIFICATION)}
    members = Counter(of for number in known.trial.notes.get(WEIGHTS, {}) if (of := runs.get(number)) is not None)
    return Ensemble(
        label=f"ensemble: {known.trial.origin}",
        study=study.header,
        error_percent=outcome.error_percent,
        interval=_interval(outcome),
        members=dict(sorted(members.items())),
        parameters=outcome.parameters,
    )


def _interval(outcome: Outcome) -> Interval | None:
    """Returns Wilson's interval for a share, in percent.

    Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22 (1927).
    """
    if not outcome.scored:
        return None
    from scipy.stats import binomtest

    found = binomtest(len(outcome.wrong), outcome.scored).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(100.0 * float(found.low), 100.0 * float(found.high))
