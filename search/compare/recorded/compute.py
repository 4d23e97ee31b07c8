"""From simulated searches to the result of their comparison. Pure; called by ``run``, reported by ``report``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, median

from search.compare.paired_tests import rank, wilcoxon_p
from search.compare.recorded.fidelity import Predictor, predictors
from search.compare.recorded.model import Quality, TrainingModel
from search.compare.recorded.simulate import RecordedSpec, SearchResult, best_recipe_error
from search.compare.results import Comparison, Metric, PairedTest
from search.compare.spec import RunKey
from search.leaderboard.statistics import Estimate, t_estimate

METRIC = Metric(
    name="mean gain over the best recipe",
    unit=" percentage points",
    difference_unit=" percentage points",
    digits=3,
    sample="search",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingSummary:
    """A recording and how well it predicts.

    Args:
        configurations: Configurations that were trained at both lengths.
        quality: How well each quantity is predicted.
        predictors: What cheap trainings tell about full ones.
        best_recipe_error_percent: Predicted error of the best recipe.
        best_known_gain_points: The lowest predicted error of a recorded configuration, minus that of the best recipe.
        full_seconds: Predicted seconds of a full training of the best recipe.
        images: Training images of each recorded training.
        search_images: Those for which seconds are predicted.
    """

    configurations: int
    quality: tuple[Quality, ...]
    predictors: tuple[Predictor, ...]
    best_recipe_error_percent: float
    best_known_gain_points: float
    full_seconds: float
    images: int
    search_images: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSummary:
    """An engine's searches of one recording in one budget.

    Args:
        gain: Mean gain over the best recipe, in percentage points; negative is better.
        observed_gain: Mean of the same with noise, in the errors that the searches saw.
        is_lowest_or_tie: Whether its gain is the lowest, or not told apart from the lowest.
        p_value: Of the test against the lowest, adjusted; None for the lowest.
        full_trials: Mean number of full trials.
        short_trials: Mean number of short ones.
        busy_share: Mean share of the workers' time in trials that ended.
        seconds_per_trial: Median processor seconds that the engine took for a trial.
        worse_share: Share of searches whose choice is predicted to be worse than the best recipe.
    """

    gain: Estimate
    observed_gain: Estimate
    is_lowest_or_tie: bool
    p_value: float | None
    full_trials: float
    short_trials: float
    busy_share: float
    seconds_per_trial: float
    worse_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedComparison:
    """The result of a comparison on recorded trainings.

    Args:
        spec: What was run.
        recordings: By name.
        comparisons: By table, a recording with a budget: engines by rank.
        engines: By table and engine.
        excluded: Engines that cannot search a space, and why.
        versions: Of Python and the libraries.
        command: The command that ran it; may be empty.
    """

    spec: RecordedSpec
    recordings: Mapping[str, RecordingSummary]
    comparisons: Mapping[str, Comparison]
    engines: Mapping[str, Mapping[str, EngineSummary]]
    excluded: Mapping[str, str]
    versions: Mapping[str, str]
    command: str


def compute(
    spec: RecordedSpec,
    runs: Mapping[RunKey, SearchResult],
    models: Mapping[str, TrainingModel],
    *,
    excluded: Mapping[str, str],
    versions: Mapping[str, str],
    command: str = "",
) -> RecordedComparison:
    """Returns the result of the runs: all engines that are not excluded, for all tables, in all repeats."""
    names = [choice.name for choice in spec.engines if choice.name not in excluded]
    results = {
        table: {
            name: [runs[RunKey(engine=name, table=table, repeat=repeat)] for repeat in range(spec.repeats)]
            for name in names
        }
        for table in spec.tables
    }
    comparisons = {table: _compare(by_engine) for table, by_engine in results.items()}
    return RecordedComparison(
        spec=spec,
        recordings={name: _summarize_recording(model) for name, model in models.items()},
        comparisons=comparisons,
        engines={table: _summarize_engines(comparisons[table], by_engine) for table, by_engine in results.items()},
        excluded=excluded,
        versions=versions,
        command=command,
    )


def _compare(results: Mapping[str, list[SearchResult]]) -> Comparison:
    repeats = len(next(iter(results.values())))
    test = PairedTest(
        name=f"Wilcoxon's signed-rank test over {repeats} seeds",
        units="seeds",
        p_value=wilcoxon_p,
    )
    gains = {name: {repeat: run.gain_points for repeat, run in enumerate(runs)} for name, runs in results.items()}
    return rank(gains, METRIC, test)


def _summarize_engines(comparison: Comparison, results: Mapping[str, list[SearchResult]]) -> dict[str, EngineSummary]:
    summaries = {}
    for entry in comparison.engines:
        runs, pair = results[entry.engine], entry.pair_with_best
        assert entry.score is not None
        summaries[entry.engine] = EngineSummary(
            gain=entry.score,
            observed_gain=t_estimate([run.observed_gain_points for run in runs]),
            is_lowest_or_tie=pair is None or pair.is_tie,
            p_value=pair.p_adjusted if pair else None,
            full_trials=fmean(run.full_trials for run in runs),
            short_trials=fmean(run.short_trials for run in runs),
            busy_share=fmean(run.busy_share for run in runs),
            seconds_per_trial=median(run.engine_seconds / max(1, run.trials) for run in runs),
            worse_share=fmean(run.gain_points > 0 for run in runs),
        )
    return summaries


def _summarize_recording(model: TrainingModel) -> RecordingSummary:
    space, recipe_error = model.space, best_recipe_error(model)
    configs = [space.recipe(name) for name in space.recipes] or [space.baseline]
    return RecordingSummary(
        configurations=len(model.configs),
        quality=model.quality,
        predictors=predictors(model.recording),
        best_recipe_error_percent=recipe_error,
        best_known_gain_points=min(map(model.error_percent, model.configs)) - recipe_error,
        full_seconds=model.seconds(min(configs, key=model.error_percent), model.epochs),
        images=model.recording.images,
        search_images=model.recording.search_images,
    )
