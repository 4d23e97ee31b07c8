"""The report of a comparison on real training: its sentences, tables and plot. Called by the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import fmean
from typing import Any

from search.compare.compute import StudyResult, TrainedComparison
from search.compare.curves import has_interval
from search.compare.export import STUDY_FIELDS, study_fields, to_document
from search.compare.plot import Plot
from search.compare.render import Report
from search.compare.results import EnginePair, EngineResult
from search.compare.summary import format_p, plural, summary_sentences
from search.leaderboard import formatting
from search.leaderboard.columns import DisplayColumn
from search.leaderboard.tables import Table
from search.trial import BASELINE

MIN_REPEATS = 10
"""With fewer repeats, small differences between engines cannot be distinguished from the spread between seeds.

Source: Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS 34 (2021):
conclusions from three to five runs often do not hold.
"""
BUDGET_TOLERANCE = 1.1
"""A study that cost more than its budget by a larger factor is named."""
_TABLE_NOTE = """\
Engines that share a rank (=) are not shown to differ from the first of them: the paired t test over repeats gives a p,
adjusted for the number of pairs, of 0.05 or more, or there are fewer than six repeats. A study's figure is the test
error of the complete search trial that is best by what its engine minimizes on the validation images (the error, or the
calibrated loss for engines with short trials), retrained on all training images with fresh seeds.
Intervals are Student's t over repeats; they leave out the choice of test images. Epochs and minutes are those of the
search alone, including trials that were paused, pruned, failed or interrupted. Lines of the plot are expected best
validation errors (Dodge et al. 2019): means over repeats of the least error so far."""


def make_report(result: TrainedComparison) -> Report:
    """Returns the report."""
    terms = list(term_sentences(result))
    summary = list(result_sentences(result))
    tables: dict[str, Table[Any]] = {"Engines, means over repeats": _engine_table(result)}
    if result.studies:
        tables["Studies"] = Table(_STUDY_COLUMNS, result.studies)
    if result.comparison.pairs:
        tables["Pairs"] = Table(_PAIR_COLUMNS, result.comparison.pairs)
    has_curves = any(study.curve for study in result.studies)
    return Report(
        name="comparison",
        title=f"Comparison {result.spec.name}",
        summary=summary,
        notes=terms,
        tables=tables,
        table_note=_TABLE_NOTE,
        plot=_make_plot(result),
        plot_title="Expected best validation error against trials, epochs and minutes" if has_curves else "",
        sections={"Terms": [*terms, *_environment_sentences(result)]},
        commands=result.spec.commands,
        document=to_document(result, summary, terms),
        csv_rows=[list(STUDY_FIELDS), *(list(study_fields(result, study).values()) for study in result.studies)],
    )


def result_sentences(result: TrainedComparison) -> Iterator[str]:
    """Yields what the comparison shows and what limits it."""
    if not any(engine_result.score for engine_result in result.comparison.engines):
        yield "No study was verified on the test images yet, so nothing is ranked."
    best = [study.best.trial for study in result.studies if study.best is not None]
    if best and all(trial.origin == BASELINE for trial in best):
        yield "No engine improved on the baseline: it is the best of every study, so nothing is compared."
    else:
        yield from summary_sentences(result.comparison)
    yield from _precision_sentences(result)
    yield from _caution_sentences(result)
    times = "once" if result.test_openings == 1 else f"{result.test_openings:,} times"
    yield f"The test images were scored {times}; no search used them."


def _precision_sentences(result: TrainedComparison) -> Iterator[str]:
    pairs = result.comparison.pairs
    repeats = max((pair.n for pair in pairs), default=MIN_REPEATS)
    if repeats >= MIN_REPEATS:
        return
    widths = [pair.difference.interval.half_width for pair in pairs if pair.difference.interval]
    values = f" (here ± {min(widths):.2f} to ± {max(widths):.2f} points)" if len(widths) > 1 else ""
    what = f"a difference that is small compared with its interval{values}" if widths else "a small difference"
    yield f"{plural(repeats, 'repeat')} cannot establish {what}; a tie does not mean that two engines are equally good."


def _caution_sentences(result: TrainedComparison) -> Iterator[str]:
    """Yields what made the engines' conditions unequal: missing repeats, failed runs, exceeded budgets."""
    spec = result.spec
    for engine in (engine_result.engine for engine_result in result.comparison.engines):
        studies = result.studies_of(engine)
        if (verified := sum(bool(study.test_runs) for study in studies)) < spec.repeats:
            yield f"Not finished: {engine} has {verified} of {spec.repeats} repeats verified."
        if failed := sum(study.failed_test_runs for study in studies):
            yield f"Caution: {plural(failed, 'run')} of {engine} on the test images failed; its mean leaves them out."
    for study in result.studies:
        if spec.epochs is not None and study.epochs > spec.epochs * BUDGET_TOLERANCE:
            yield f"Caution: study {study.header.name} trained {study.epochs} epochs, beyond its {spec.epochs}."
        if spec.seconds is not None and study.seconds > spec.seconds * BUDGET_TOLERANCE:
            elapsed, limit = formatting.duration(study.seconds), formatting.duration(spec.seconds)
            yield f"Caution: study {study.header.name} took {elapsed}, beyond its {limit}."


def term_sentences(result: TrainedComparison) -> Iterator[str]:
    """Yields what all studies share: budget, seeds, protocol, pruners."""
    spec, header = result.spec, result.first_header
    bounds = []
    if spec.epochs is not None:
        full, rest = divmod(spec.epochs, header.protocol.epochs) if header else (0, 1)
        trials = "" if rest else f" ({plural(full, 'full trial')})"
        bounds.append(f"{spec.epochs:,} epochs trained{trials}, which the last trial may exceed")
    if spec.seconds is not None:
        bounds.append(f"{formatting.duration(spec.seconds)} of wall-clock time")
    yield f"Budget of each search: {' or '.join(bounds)}. Verification is not counted."
    yield (
        f"Every study starts from the baseline, without recipes. Seed {spec.seed}; the studies of one repeat share "
        f"the seeds of trials and of verification ({spec.replicates} fresh seeds)."
    )
    if header is not None:
        protocol = header.protocol
        yield (
            f"Space {header.space.name}, data {protocol.dataset} ({protocol.data_sha256[:12]}), "
            f"protocol {protocol.name.value} {protocol.version}, split {protocol.split.value} {protocol.split_seed}, "
            f"{protocol.epochs} epochs a full trial."
        )
        pruners = {study.key.engine: study.header.pruner for study in result.studies}
        yield f"Pruners: {', '.join(f'{engine} {pruner}' for engine, pruner in pruners.items())}."


def _environment_sentences(result: TrainedComparison) -> Iterator[str]:
    shared = result.spec.terms
    if {"workers", "threads"} <= shared.keys():
        yield f"Workers: {shared['workers']}, threads: {shared['threads']} each."
    if len(result.environments) > 1:
        yield "Caution: not all trials ran on the same versions and hardware, so their times cannot be compared."
    for environment in result.environments:
        yield f"Trials ran on: {formatting.environment_text(environment)}."
    if result.first_header and (versions := result.first_header.versions):
        yield f"Searched with: {formatting.environment_text(versions)}."


def _engine_table(result: TrainedComparison) -> Table[EngineResult]:
    def mean(engine: str, value: Callable[[StudyResult], float], format_spec: str) -> str:
        studies = result.studies_of(engine)
        return format(fmean(map(value, studies)), format_spec) if studies else ""

    columns: list[DisplayColumn[EngineResult]] = [
        DisplayColumn(
            "Rank",
            lambda engine_result: (
                f"{engine_result.rank}{'=' if engine_result.ties else ''}" if engine_result.rank else ""
            ),
        ),
        DisplayColumn("Engine", lambda engine_result: engine_result.engine),
        DisplayColumn("Test\nerror %", lambda engine_result: formatting.estimate(engine_result.score), "right"),
        DisplayColumn("p to\nbest", lambda engine_result: format_p(engine_result.pair_with_best), "right"),
        DisplayColumn(
            "To baseline,\n% points",
            lambda engine_result: formatting.difference(result.difference_to_baseline(engine_result.engine)),
            "right",
            min_width=100,
        ),
        DisplayColumn(
            "Val.\nerror %",
            lambda engine_result: formatting.percent(result.validation_error_percent(engine_result.engine)),
            "right",
        ),
        DisplayColumn(
            "Epochs", lambda engine_result: mean(engine_result.engine, lambda study: study.epochs, ".0f"), "right"
        ),
        DisplayColumn(
            "Minutes",
            lambda engine_result: mean(engine_result.engine, lambda study: study.seconds / 60, ".1f"),
            "right",
        ),
        DisplayColumn(
            "Trials",
            lambda engine_result: mean(engine_result.engine, lambda study: study.trial_count, ".0f"),
            "right",
            min_width=100,
        ),
        DisplayColumn("Repeats", lambda engine_result: str(len(engine_result.scores)), "right", min_width=100),
    ]
    return Table(columns, result.comparison.engines)


_STUDY_COLUMNS: tuple[DisplayColumn[StudyResult], ...] = (
    DisplayColumn("Study", lambda study: study.header.name),
    DisplayColumn("Seed", lambda study: str(study.header.seed), "right", min_width=100),
    DisplayColumn("Best", lambda study: study.best_label),
    DisplayColumn("Val.\nerror %", lambda study: formatting.percent(study.validation_error_percent), "right"),
    DisplayColumn("Test\nerror %", lambda study: formatting.percent(study.test_error_percent), "right"),
    DisplayColumn("Baseline's", lambda study: formatting.percent(study.baseline_error_percent), "right", min_width=100),
    DisplayColumn("Epochs", lambda study: str(study.epochs), "right"),
    DisplayColumn("Minutes", lambda study: f"{study.seconds / 60:.1f}", "right"),
    DisplayColumn("Trials", lambda study: str(study.trial_count), "right"),
    DisplayColumn(
        "How they ended",
        lambda study: ", ".join(f"{count} {state}" for state, count in sorted(study.state_counts.items())),
        wraps=True,
        min_width=120,
    ),
)
_PAIR_COLUMNS: tuple[DisplayColumn[EnginePair], ...] = (
    DisplayColumn("Lower mean", lambda pair: pair.first),
    DisplayColumn("Against", lambda pair: pair.second),
    DisplayColumn(
        "Difference,\n% points",
        lambda pair: formatting.with_interval(
            formatting.percentage_points(pair.difference.mean), pair.difference.interval
        ),
        "right",
    ),
    DisplayColumn("Repeats", lambda pair: str(pair.n), "right", min_width=100),
    DisplayColumn("p", lambda pair: "" if pair.p is None else f"{pair.p:.3f}", "right"),
    DisplayColumn("p adjusted", format_p, "right"),
)


def _make_plot(result: TrainedComparison) -> Plot:
    """Returns the expected best validation error against each cost."""
    spec, labels = result.spec, {"trials": "Trials ended", "epochs": "Epochs trained", "minutes": "Minutes of search"}
    band = "of its 95 % interval" if has_interval(spec.repeats) else "from the least to the most"
    return Plot(
        title=f"Mean of {spec.repeats} repeats, band {band}" if spec.repeats > 1 else "One repeat",
        engines=spec.engines,
        panels={label: result.expected_best[cost] for cost, label in labels.items()},
        y_label="Expected best validation error, %",
        y_limits=_error_limits(result),
        engines_with_band=spec.engines,
        baseline=result.baseline_validation_percent,
        salt=spec.name,
    )


def _error_limits(result: TrainedComparison) -> tuple[float, float] | None:
    """Returns the ends of the error axis, little above the baseline: a bad first trial would flatten the rest."""
    baseline = result.baseline_validation_percent
    errors = [point.error_percent for study in result.studies for point in study.curve]
    if baseline is None or max(errors) <= baseline:
        return None
    low = min(errors)
    margin = 0.2 * max(baseline - low, 0.2 * baseline)
    return low - margin / 2, baseline + margin
