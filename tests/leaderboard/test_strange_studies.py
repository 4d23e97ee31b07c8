"""Every report of the smallest and strangest studies is made: no figure of a study costs its board."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from search.leaderboard.compute import compute
from search.leaderboard.files import FORMATS
from search.leaderboard.index_page import render_index_page
from search.protocol import ProtocolName
from search.records import study_json
from search.records.merge import LocatedStudy, merge_studies
from search.records.record import EnsembleRecord, StudyRecord, TrialRecord
from search.report.files import render_html
from search.report.plot import render_svg
from search.session.publish import publish_study
from search.trial import BASELINE, Cause, EpochReport, Outcome, Phase, State, Trial
from tests.leaderboard.records import BETTER, ENVIRONMENT, SPACE, header, outcome, protocol, searched, study, verified

IMAGES = (0, 1, 2, 10)
"""Numbers of test images, by which a 0 % or a 100 % has an interval beyond its end, or none."""
CONFIGS = (SPACE.baseline, BETTER, {**SPACE.baseline, "dropout": 0.3})
ERRORS = st.sampled_from([0.0, 100.0, 90.0, 0.5, 1e-9, 50.0])
NUMBERS = st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -1.0, 1e-300, 1e300, 0.3])
"""Losses of a history."""


@st.composite
def histories(draw: st.DrawFn, error: float | None) -> tuple[EpochReport, ...]:
    return tuple(
        EpochReport(
            epoch=epoch,
            training_loss=draw(NUMBERS),
            metrics={} if error is None else {"loss": draw(NUMBERS), "error_percent": draw(ERRORS)},
            seconds=draw(st.sampled_from([0.0, 1.0, 1e6])),
        )
        for epoch in range(1, draw(st.integers(0, 3)) + 1)
    )


@st.composite
def outcomes(draw: st.DrawFn, states: tuple[State, ...], *, is_scored: bool = False) -> Outcome | None:
    """How a trial ended, or None; with results by image where it was scored on them."""
    state = draw(st.sampled_from([*states, State.FAILED, State.INTERRUPTED, None]))
    if state is None:
        return None
    has_error = state not in (State.FAILED, State.INTERRUPTED) or draw(st.booleans())
    images = draw(st.sampled_from(IMAGES)) if is_scored and state is State.COMPLETE else None
    wrong = tuple(sorted(draw(st.sets(st.integers(0, images - 1))))) if images else ()
    error = (100 * len(wrong) / images if images else draw(ERRORS)) if has_error else None
    return Outcome(
        state=state,
        cause=draw(st.sampled_from(Cause)) if state in (State.FAILED, State.INTERRUPTED) else None,
        metrics={} if error is None else {"error_percent": error},
        history=draw(histories(error)),
        seconds=draw(st.sampled_from([{}, {"fit": 0.0}, {"fit": 1.0, "build": 2.0}])),
        parameter_count=draw(st.sampled_from([None, 0, 1, 10**9])),
        environment=draw(st.sampled_from([{}, ENVIRONMENT])),
        elapsed_seconds=draw(st.sampled_from([None, 0.0, 60.0])),
        misclassified=wrong,
        predicted_classes=tuple(0 for _ in wrong) if draw(st.booleans()) else (),
        scored_images=images if draw(st.booleans()) else None,
        message=draw(st.sampled_from(["", "It failed.\nAgain."])),
    )


@st.composite
def trials(draw: st.DrawFn, *, is_short: bool) -> list[TrialRecord]:
    states = (State.SCREENED, State.PRUNED) if is_short else (State.COMPLETE, State.PRUNED, State.PAUSED)
    return [
        TrialRecord(
            trial=Trial(
                number=number,
                config=draw(st.sampled_from(CONFIGS)) if number else SPACE.baseline,
                seed=number,
                epochs=3,
                is_short=is_short,
                origin=draw(st.sampled_from(["found", "recipe: two stages"])) if number else BASELINE,
                engine_metadata=draw(st.sampled_from([{}, {"bracket": 1, "score": math.nan}])),
            ),
            outcome=draw(outcomes(states)),
        )
        for number in range(draw(st.integers(0, 4)))
    ]


@st.composite
def repeats(draw: st.DrawFn, phase: Phase, source: Trial | None) -> list[TrialRecord]:
    """Test runs of a search trial, or the repeats of a baseline; all may have been cancelled."""
    ends = draw(st.lists(outcomes((State.COMPLETE, State.COMPLETE), is_scored=True), max_size=3))
    return [
        TrialRecord(
            trial=Trial(
                number=10 * (source.number if source else 0) + place,
                config=source.config if source else SPACE.baseline,
                seed=place,
                epochs=3,
                is_short=source is not None and source.is_short,
                origin=source.origin if source else BASELINE,
                phase=phase,
                source_trial=source.number if source else None,
                replicate=place,
            ),
            outcome=ended,
        )
        for place, ended in enumerate(ends)
    ]


@st.composite
def strange_studies(draw: st.DrawFn) -> StudyRecord:
    """A study of any of these trials, with an ensemble, of data that are MNIST's or others, scored or not."""
    judged = protocol(draw(st.sampled_from(ProtocolName)), dataset=draw(st.sampled_from(["mnist", "mine"])))
    searched = draw(trials(is_short=draw(st.booleans())))
    verified = [run for record in searched for run in draw(repeats(Phase.VERIFICATION, record.trial))]
    reproduced = draw(repeats(Phase.REPRODUCTION, None)) if draw(st.booleans()) else []
    ensemble = EnsembleRecord(
        origin="mean",
        weights=dict.fromkeys((run.trial.number for run in verified), 1.0),
        error_percent=draw(ERRORS),
        scored_images=draw(st.sampled_from(IMAGES)),
        parameter_count=0,
    )
    return StudyRecord(
        header=replace(
            header(draw(st.sampled_from(["one", "two"])), judged=judged), created=draw(st.sampled_from("ab"))
        ),
        trials=(*searched, *verified, *reproduced),
        ensembles=(ensemble,) if draw(st.booleans()) else (),
        spent_seconds=draw(st.sampled_from([0.0, 1e9])),
        opened_by=draw(st.sampled_from([{}, {"export": 1}])),
        test_groups=draw(st.sampled_from([(), tuple(index // 5 for index in range(10))])),
    )


def contents(studies: list[StudyRecord]) -> dict[str, Callable[[], str | bytes | None]]:
    """What makes each report of the studies, on one board."""
    merged = merge_studies([LocatedStudy(study, study.header.name) for study in studies])
    board = compute(merged.records)
    return {
        **{name: lambda form=form: form(board) for name, form in FORMATS.items()},
        "README": lambda: render_index_page(
            board,
            Path(),
            files={record.header.name: Path(record.header.name, study_json.FILE_NAME) for record in merged.records},
            board_files=[],
            existing_page=None,
        ),
        "html": lambda: render_html(board, merged.records),
        **{f"study {place}": lambda study=study: study_json.dumps(study) for place, study in enumerate(studies)},
    }


@settings(max_examples=30)
@given(st.lists(strange_studies(), max_size=2))
def test_every_report_of_a_strange_study_is_made(studies: list[StudyRecord]) -> None:
    for make in contents(studies).values():
        assert make()


@settings(max_examples=6)  # Matplotlib takes half a second for each
@given(strange_studies())
def test_the_plot_of_a_strange_study_is_drawn(study: StudyRecord) -> None:
    plot = render_svg(compute([study]), [study])
    assert not plot or plot.startswith("<?xml")


def test_of_a_study_whose_every_figure_is_zero_every_report_is_written(tmp_path: Path) -> None:
    judged = protocol(dataset="mine")  # nothing is published for it, so that nothing lies above 0 on the ruler
    never_wrong = study(
        searched(0, outcome(0.0), origin=BASELINE, config=SPACE.baseline),
        searched(1, outcome(0.0)),
        verified(0, (0.0, 0.0), config=SPACE.baseline),
        verified(1, (0.0, 0.0)),
        of=header(judged=judged),
    )
    written = publish_study(never_wrong, tmp_path)
    assert written.messages == ()
    assert len(written.paths) == 6
