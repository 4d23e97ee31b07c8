"""Pools the test runs of one configuration over several studies, so that it is one row with more seeds.

Rows are pooled that agree in configuration, model builder, epochs, class weights and arithmetic. A section's rows agree
in the protocol's name and in the data, and test runs train on all training images. Called by ``compute``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from search.leaderboard.board import Row
from search.leaderboard.image_groups import ImageGroups
from search.leaderboard.row_parts import PooledTrial, Replicate
from search.leaderboard.variance import RunErrors, estimate_error
from search.records.arithmetic import Arithmetic
from search.trial import config_key
from spaces.registry import later_parameters
from spaces.training import complete


def pool_rows(rows: Iterable[Row]) -> tuple[list[Row], list[Row]]:
    """Returns the rows, those of one configuration in several studies as one, and the rows that were pooled."""
    groups: dict[Hashable, list[list[Row]]] = defaultdict(list)
    for row in rows:
        alike = groups[_key(row)]
        if (members := next((each for each in alike if _is_comparable(row, each)), None)) is not None:
            members.append(row)
        else:
            alike.append([row])
    kept: list[Row] = []
    pooled: list[Row] = []
    for members in (members for alike in groups.values() for members in alike):
        if len({row.study.name for row in members}) == 1:
            kept += members
        else:
            kept.append(_pool(members))
            pooled += members
    return kept, pooled


def _key(row: Row) -> Hashable:
    """Returns what rows that are pooled share beside the arithmetic; a row without a test error shares it with none."""
    if row.test_error is None:
        return (row.study.name, row.trial)
    study, is_repeat = row.study, row.trial is None
    config = {**later_parameters(study.space, study.space_source), **complete(row.config)}
    network = (study.space.name, study.builder_sha256, config_key(config))
    training = (row.schedule_epochs, row.is_short, study.protocol.class_weight, str(row.environment.get("device", "")))
    return (*network, *training, is_repeat)


def _is_comparable(row: Row, members: Iterable[Row]) -> bool:
    """Returns whether the arithmetic of a row differs from that of none; what older versions did not record agrees."""
    arithmetic = Arithmetic.from_environment(row.environment)
    return not any(arithmetic.differences(Arithmetic.from_environment(other.environment)) for other in members)


def _pool(members: Sequence[Row]) -> Row:
    """Returns one row with the test runs of several; the first of the most telling name gives the rest.

    What one study found may be the baseline of another that continues from it; it is called found.
    """
    first = min(members, key=lambda row: (row.is_baseline, not row.is_recipe))
    replicates = _distinct(replicate for row in members for replicate in row.replicates)
    errors = complete_runs(replicates, first.run_errors.groups)
    validated = [row.validation_error_percent for row in members if row.validation_error_percent is not None]
    balanced = [error for row in members if (error := row.validation_balanced_error_percent) is not None]
    return replace(
        first,
        validation_error_percent=fmean(validated) if validated else None,
        validation_balanced_error_percent=fmean(balanced) if len(balanced) == len(validated) > 0 else None,
        replicates=replicates,
        run_errors=errors,
        test_error=estimate_error(errors),
        pooled=tuple(
            PooledTrial(
                study=row.study.name,
                trial=row.trial,
                validation_error_percent=row.validation_error_percent,
                test_error_percent=row.test_error.mean,
            )
            for row in members
            if row.test_error
        ),
        chosen_in=tuple(name for row in members for name in row.chosen_in),
    )


def complete_runs(replicates: Sequence[Replicate], groups: ImageGroups | None) -> RunErrors:
    """Returns the complete replicates, for the statistics.

    Args:
        replicates: All replicates.
        groups: Of the test images; None where they are taken as independent.
    """
    complete = [run for run in replicates if run.error_percent is not None]
    image_counts = {run.scored for run in complete}
    return RunErrors(
        errors_percent=[run.error_percent for run in complete if run.error_percent is not None],
        wrong_indices=[run.wrong for run in complete],
        image_count=image_counts.pop() if len(image_counts) == 1 else None,
        groups=groups,
    )


def _distinct(replicates: Iterable[Replicate]) -> tuple[Replicate, ...]:
    """Returns each run once: of equal seeds with equal results by image, the first."""
    distinct: dict[Hashable, Replicate] = {}
    for run in replicates:
        if run.error_percent is None:
            distinct[(run.study, run.number, len(distinct))] = run
        else:
            distinct.setdefault((run.seed, run.error_percent, frozenset(run.wrong)), run)
    return tuple(distinct.values())


def row_of(row: Row, rows: Mapping[tuple[str, int | None], Row]) -> Row:
    """Returns the row that holds a study's row: itself, or the pooled one.

    Args:
        row: A row of one study.
        rows: What ``by_trial`` returns.
    """
    return rows.get((row.study.name, row.trial), row)


def by_trial(rows: Iterable[Row]) -> dict[tuple[str, int | None], Row]:
    """Returns pooled rows by the study and trial of each that they pool."""
    return {(trial.study, trial.trial): row for row in rows for trial in row.pooled}
