"""The report of a comparison on recorded trainings: its tables, sentences, plot, CSV and JSON document.

The JSON document, schema "recorded/1"; the number rises when a key changes its name or meaning::

    budgets_seconds, repeats, seed, workers    what was run
    recordings   by name: configurations, quality (each predicted quantity: spearman, spearman_of_best, r2, residual and
                 seeds, both standard deviations of the logarithm), predictors (what cheap trainings tell: trainings and
                 Spearman's rho to_error, to_loss, to_loss_of_best), best_recipe_error_percent, best_known_gain_points,
                 full_seconds, images, search_images
    verdict      the sentences
    rows         recording, budget_seconds, engine, gain and observed_gain (mean, low, high, n), p_value,
                 is_lowest_or_tie, full_trials, short_trials, busy_share, seconds_a_trial, worse_share
    left_out     engines that cannot search a space, and why
    versions, command
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from search.compare.curves import CurveBand
from search.compare.plot import Plot
from search.compare.recorded.compute import METRIC, EngineSummary, RecordedComparison, RecordingSummary
from search.compare.recorded.fidelity import Predictor
from search.compare.recorded.model import MIN_CONFIGURATIONS, Quality
from search.compare.recorded.recordings import recording_name
from search.compare.render import Report, interval_json
from search.leaderboard import formatting
from search.leaderboard.columns import DisplayColumn
from search.leaderboard.tables import Table

SCHEMA = "recorded/1"
RELIABLE_SPEARMAN, RELIABLE_CONFIGURATIONS = 0.6, 5 * MIN_CONFIGURATIONS
"""A recording is said to predict if it has these many configurations, and ranks the better third of them this well."""
GAIN_DEFINITION = """\
The gain of a search is the predicted error of the configuration that it chose, minus that of the best recipe, in
percentage points; negative is better. Both are without noise; the search saw noisy trainings. Every search begins with
the baseline and the same recipes, and has its whole budget for searching; verification is not simulated. The observed
gain is the same in the errors that the search saw: what the trees miss counts there as real, and luck does too."""
NOISE_DEFINITION = """\
The noise of a configuration is the difference between a recorded training and its prediction by trees that did not see
its configuration, so it holds what the trees miss as well as the noise of seeds. A configuration has the same noise in
each search of a seed, and noise of the same recorded training at both lengths. Recorded configurations, the recipes
among them, have the noise of seeds alone. That trainings with equal seeds differ less is not simulated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _EngineRow:
    """An engine's searches of one recording, by budget in seconds."""

    engine: str
    by_budget: dict[float, EngineSummary]


@dataclass(frozen=True, slots=True, kw_only=True)
class _QualityRow:
    """How well a quantity of a recording is predicted."""

    recording: str
    quality: Quality


@dataclass(frozen=True, slots=True, kw_only=True)
class _PredictorRow:
    """What a cheap training of a recording tells."""

    recording: str
    predictor: Predictor


def make_report(result: RecordedComparison) -> Report:
    """Returns the report."""
    spec = result.spec
    excluded = [f"{engine} is left out: {reason}" for engine, reason in result.excluded.items()]
    summary = list(result_sentences(result))
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    return Report(
        name="recorded",
        title=f"Searches on recorded trainings: {', '.join(result.recordings)}; {spec.repeats} seeds",
        summary=summary,
        notes=excluded,
        tables=_tables(result),
        table_note="* is the lowest mean gain of a budget, or not told apart from it (Wilcoxon's signed-rank test, p "
        "adjusted for the number of pairs). Observed gain, trials (full + short) and milliseconds are those of the "
        "largest budget.",
        plot=_make_plot(result),
        plot_title="Gain over the best recipe against the time of a search",
        sections={
            "Definitions": [GAIN_DEFINITION, NOISE_DEFINITION],
            "Recordings": list(_recording_sentences(result)),
            **({"Left out": excluded} if excluded else {}),
            "Reproducing it": [
                f"Versions: {versions}.",
                f"Seed {spec.seed}, {spec.workers} concurrent trials. Engines share the seed of a repeat.",
            ],
        },
        commands=[result.command] if result.command else [],
        document=_document(result, summary),
        csv_rows=list(_csv_rows(result)),
    )


def result_sentences(result: RecordedComparison) -> Iterator[str]:
    """Yields what the comparison shows, first whether the recordings predict at all."""
    for name, recording in result.recordings.items():
        yield _reliability_sentence(name, recording)
    for table, comparison in result.comparisons.items():
        best, summaries = comparison.engines[0], result.engines[table]
        assert best.score is not None
        ties = [entry.engine for entry in comparison.engines[1:] if summaries[entry.engine].is_lowest_or_tie]
        others = f"; not told apart: {', '.join(ties)}" if ties else ""
        yield f"{table}: {best.engine} {formatting.estimate(best.score, METRIC.digits)}{METRIC.unit}{others}."


def _reliability_sentence(name: str, recording: RecordingSummary) -> str:
    loss = next(quality for quality in recording.quality if quality.name.startswith("calibrated loss"))
    figures = (
        f"{recording.configurations} configurations; the calibrated loss of a full training is predicted with "
        f"Spearman's rho {loss.spearman:.2f}, {loss.spearman_of_best:.2f} among the better third, R2 {loss.r2:.2f} "
        "(cross-validated)"
    )
    is_reliable = (
        recording.configurations >= RELIABLE_CONFIGURATIONS
        and min(loss.spearman, loss.spearman_of_best) >= RELIABLE_SPEARMAN
    )
    if is_reliable:
        return f"Recording {name}: {figures}."
    return (
        f"Recording {name} does not predict well enough to rank engines: {figures}. Expected: at least "
        f"{RELIABLE_CONFIGURATIONS} configurations, and both rhos at least {RELIABLE_SPEARMAN:g}."
    )


def _recording_sentences(result: RecordedComparison) -> Iterator[str]:
    for name, recording in result.recordings.items():
        yield (
            f"{name}: trained on {recording.images:,} images, seconds predicted for {recording.search_images:,}. The "
            f"best recipe is predicted at {recording.best_recipe_error_percent:.2f} % and "
            f"{recording.full_seconds:.0f} s a full training. The lowest predicted error of a recorded configuration "
            f"is {recording.best_known_gain_points:+.3f} points from it."
        )


def _tables(result: RecordedComparison) -> dict[str, Table[Any]]:
    tables: dict[str, Table[Any]] = {
        f"{name}: gain over the best recipe, percentage points": Table(_columns(result), _rows(result, name))
        for name in result.recordings
    }
    qualities = [
        _QualityRow(recording=name, quality=quality)
        for name, recording in result.recordings.items()
        for quality in recording.quality
    ]
    cheap = [
        _PredictorRow(recording=name, predictor=predictor)
        for name, recording in result.recordings.items()
        for predictor in recording.predictors
    ]
    return {
        **tables,
        "Quality of the predictions, cross-validated over configurations": Table(_QUALITY, qualities),
        "Recorded trainings: Spearman's rho to the full training": Table(_PREDICTORS, cheap),
    }


def _rows(result: RecordedComparison, recording: str) -> list[_EngineRow]:
    """Returns the engines, the one with the lowest gain in the largest budget first."""
    by_budget = {
        budget: result.engines[table]
        for table, (path, budget) in result.spec.tables.items()
        if recording_name(path) == recording
    }
    order = by_budget[max(by_budget)]
    return [
        _EngineRow(engine=engine, by_budget={budget: engines[engine] for budget, engines in by_budget.items()})
        for engine in order
    ]


def _columns(result: RecordedComparison) -> list[DisplayColumn[_EngineRow]]:
    def gain(budget: float) -> DisplayColumn[_EngineRow]:
        return DisplayColumn(f"{budget / 60:g}\nmin", lambda row: _gain_text(row.by_budget[budget]), "right")

    last, digits = result.spec.budgets[-1], METRIC.digits
    return [
        DisplayColumn("Engine", lambda row: row.engine),
        *map(gain, result.spec.budgets),
        DisplayColumn("Ob-\nserved", lambda row: f"{row.by_budget[last].observed_gain.mean:.{digits}f}", "right"),
        DisplayColumn("Trials", lambda row: _trials_text(row.by_budget[last]), "right"),
        DisplayColumn("ms a\ntrial", lambda row: f"{1000 * row.by_budget[last].seconds_per_trial:,.1f}", "right"),
    ]


def _gain_text(summary: EngineSummary) -> str:
    text = formatting.estimate(summary.gain, METRIC.digits).removesuffix(" (no spread)")
    return f"{text}{'*' if summary.is_lowest_or_tie else ''}"


def _trials_text(summary: EngineSummary) -> str:
    return f"{summary.full_trials:.0f} + {summary.short_trials:.0f}"


_QUALITY: list[DisplayColumn[_QualityRow]] = [
    DisplayColumn("Recording", lambda row: row.recording),
    DisplayColumn("Quantity", lambda row: row.quality.name),
    DisplayColumn("Spearman", lambda row: f"{row.quality.spearman:.2f}", "right"),
    DisplayColumn("best\nthird", lambda row: f"{row.quality.spearman_of_best:.2f}", "right"),
    DisplayColumn("R2", lambda row: f"{row.quality.r2:.2f}", "right"),
    DisplayColumn("noise,\nlog", lambda row: f"{row.quality.residual:.3f}", "right"),
    DisplayColumn(
        "of seeds,\nlog", lambda row: "" if row.quality.seeds is None else f"{row.quality.seeds:.3f}", "right"
    ),
]


_PREDICTORS: list[DisplayColumn[_PredictorRow]] = [
    DisplayColumn("Recording", lambda row: row.recording),
    DisplayColumn("Predictor", lambda row: row.predictor.name),
    DisplayColumn("n", lambda row: str(row.predictor.trainings), "right"),
    DisplayColumn("to its\nerror", lambda row: f"{row.predictor.to_error:.2f}", "right"),
    DisplayColumn("to its\nloss", lambda row: f"{row.predictor.to_loss:.2f}", "right"),
    DisplayColumn("best\nthird", lambda row: f"{row.predictor.to_loss_of_best:.2f}", "right"),
]


def _csv_rows(result: RecordedComparison) -> Iterator[list[object]]:
    rows = list(_row_documents(result))
    flat = [{**row, "gain": row["gain"]["mean"], "observed_gain": row["observed_gain"]["mean"]} for row in rows]
    yield list(flat[0])
    yield from (list(row.values()) for row in flat)


def _row_documents(result: RecordedComparison) -> Iterator[dict[str, Any]]:
    for recording in result.recordings:
        for row in _rows(result, recording):
            for budget, summary in row.by_budget.items():
                yield {
                    "recording": recording,
                    "budget_seconds": budget,
                    "engine": row.engine,
                    "gain": interval_json(summary.gain),
                    "observed_gain": interval_json(summary.observed_gain),
                    "p_value": summary.p_value,
                    "is_lowest_or_tie": summary.is_lowest_or_tie,
                    "full_trials": summary.full_trials,
                    "short_trials": summary.short_trials,
                    "busy_share": summary.busy_share,
                    "seconds_a_trial": summary.seconds_per_trial,
                    "worse_share": summary.worse_share,
                }


def _document(result: RecordedComparison, summary: list[str]) -> dict[str, Any]:
    spec = result.spec
    return {
        "schema": SCHEMA,
        "budgets_seconds": list(spec.budgets),
        "repeats": spec.repeats,
        "seed": spec.seed,
        "workers": spec.workers,
        "recordings": {name: asdict(recording) for name, recording in result.recordings.items()},
        "verdict": summary,
        "rows": list(_row_documents(result)),
        "left_out": dict(result.excluded),
        "versions": dict(result.versions),
        "command": result.command,
    }


def _make_plot(result: RecordedComparison) -> Plot:
    panels = {
        f"Minutes of search, {recording}": {
            row.engine: CurveBand(
                costs=tuple(budget / 60 for budget in row.by_budget),
                mean=tuple(summary.gain.mean for summary in row.by_budget.values()),
                low=tuple(_bound(summary, "low") for summary in row.by_budget.values()),
                high=tuple(_bound(summary, "high") for summary in row.by_budget.values()),
            )
            for row in _rows(result, recording)
        }
        for recording in result.recordings
    }
    engines = list(next(iter(panels.values())))
    return Plot(
        title=f"Gain over the best recipe, {result.spec.repeats} seeds",
        engines=engines,
        panels=panels,
        y_label="Percentage points",
        engines_with_band=engines[:1],
        salt="recorded",
    )


def _bound(summary: EngineSummary, end: str) -> float:
    interval = summary.gain.interval
    return summary.gain.mean if interval is None else float(getattr(interval, end))
