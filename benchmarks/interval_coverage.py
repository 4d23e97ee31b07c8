"""Measures by simulation whether the figures of the leaderboard hold: intervals, comparisons with the baseline, ranks.

    python benchmarks/interval_coverage.py [--draws 1000] [--seed 0]

Test sets are drawn anew in every repeat, writer by writer with the numbers of images that MNIST's writers have, and so
are the training seeds. What is wrong follows a logistic model: writers, images and seeds have effects, and each
configuration has its own of the first two. The spreads are chosen so that the design effects (1.7 and 2.1 at errors of
0.4 and 1.0 %, of differences 1.5 and 1.8) and the agreement of seeds and of configurations are about those of the
published studies.

``tests/leaderboard/test_interval_coverage.py`` runs a small part of it.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from scipy import optimize, stats

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from search.leaderboard.balanced import balanced_interval
from search.leaderboard.image_groups import ImageGroups
from search.leaderboard.ranking import told_apart
from search.leaderboard.statistics import Verdict
from search.leaderboard.variance import RunErrors, error_difference, estimate_error

WRITER_SPREAD, IMAGE_SPREAD = 3.0, 8.0
"""Standard deviations of the effects of a writer and an image on all configurations, on the logit's scale."""
OWN_WRITER_SPREAD, OWN_IMAGE_SPREAD = 1.5, 2.0
"""Of their effects on one configuration alone."""
TOTAL_SPREAD = np.sqrt(WRITER_SPREAD**2 + IMAGE_SPREAD**2 + OWN_WRITER_SPREAD**2 + OWN_IMAGE_SPREAD**2)
WRITER_SIZES = (105,) * 48 + (20,) * 249
"""Images by writer: about those of MNIST's test set."""
UNBALANCED = (
    ((1500, 300, 150, 50), (2.0, 5.0, 10.0, 30.0)),
    ((800, 200), (1.0, 10.0)),
    ((6000, 3000, 1000), (0.5, 1.0, 4.0)),
    ((600, 30), (2.0, 2.0)),
)
"""Images of each class of unbalanced test sets, and the true error of each class in percent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One kind of test.

    Args:
        error_percent: True error.
        seed_deviation: Standard deviation of the true error over training seeds, in percentage points.
        seeds: Runs of each configuration.
        images: Test images.
    """

    error_percent: float
    seed_deviation: float
    seeds: int
    images: int


@cache
def logit_of(error_percent: float) -> tuple[float, float]:
    """Returns the mean logit that gives an error, and the error's change in points by the logit of a seed."""
    nodes = np.linspace(-9.0, 9.0, 2001)
    weights = stats.norm.pdf(nodes) / stats.norm.pdf(nodes).sum()

    def error(logit: float) -> float:
        return 100.0 * float(weights @ (1 / (1 + np.exp(-(logit + TOTAL_SPREAD * nodes)))))

    logit = float(optimize.brentq(lambda value: error(value) - error_percent, -99.0, 0.0))
    return logit, (error(logit + 0.01) - error(logit - 0.01)) / 0.02


def draw_configurations(rng: np.random.Generator, setting: Setting, count: int) -> list[RunErrors]:
    """Returns the runs of equal configurations on one test set of writers drawn at random."""
    sizes = itertools.accumulate(rng.choice(WRITER_SIZES, setting.images))
    ends = list(itertools.takewhile(lambda end: end < setting.images, sizes))
    writers = np.searchsorted(ends, np.arange(setting.images), side="right")
    logit, slope = logit_of(setting.error_percent)

    def effects(writer_spread: float, image_spread: float) -> np.ndarray:
        by_writer = rng.normal(0, writer_spread, len(ends) + 1)
        return by_writer[writers] + rng.normal(0, image_spread, setting.images)

    shared, groups = effects(WRITER_SPREAD, IMAGE_SPREAD), ImageGroups.of(writers)
    configurations = []
    for _ in range(count):
        hardness = logit + shared + effects(OWN_WRITER_SPREAD, OWN_IMAGE_SPREAD)
        skill = rng.normal(0, setting.seed_deviation / slope, (setting.seeds, 1))
        wrong = rng.random((setting.seeds, setting.images)) < 1 / (1 + np.exp(-(hardness + skill)))
        configurations.append(_runs(wrong, groups))
    return configurations


def coverage(rng: np.random.Generator, setting: Setting, draws: int) -> tuple[float, float]:
    """Returns how often the interval of an error and that of a difference of 0 hold the truth."""
    held = equal = 0
    for _ in range(draws):
        ours, theirs = draw_configurations(rng, setting, 2)
        interval, difference = estimate_error(ours).interval, error_difference(ours, theirs)
        held += interval is not None and interval.contains(setting.error_percent)
        equal += difference.is_tie
    return held / draws, equal / draws


def balanced_coverage(
    rng: np.random.Generator, class_sizes: Sequence[int], class_errors: Sequence[float], seeds: int, draws: int
) -> float:
    """Returns how often the interval of a balanced error holds the truth, where writers have 20 images each.

    Args:
        rng: Draws writers, images and seeds.
        class_sizes: Number of test images of each class.
        class_errors: True error of each class in percent; its standard deviation over seeds is a tenth of it.
        seeds: Runs of each configuration.
        draws: Test sets and configurations.
    """
    logits, slopes = np.array([logit_of(error) for error in class_errors]).T
    writers, held = np.arange(sum(class_sizes)) // 20, 0
    for _ in range(draws):
        labels = rng.permutation(np.repeat(np.arange(len(class_sizes)), class_sizes))
        own = rng.normal(0, np.sqrt(TOTAL_SPREAD**2 - WRITER_SPREAD**2), len(labels))
        hardness = logits[labels] + own + rng.normal(0, WRITER_SPREAD, writers[-1] + 1)[writers]
        skill = rng.normal(0, 0.1, (seeds, 1)) * (np.array(class_errors) / slopes)[labels]
        wrong = rng.random((seeds, len(labels))) < 1 / (1 + np.exp(-(hardness + skill)))
        interval = balanced_interval(_runs(wrong, ImageGroups.of(writers)), labels)
        held += interval is not None and interval.contains(float(np.mean(class_errors)))
    return held / draws


def _runs(wrong: np.ndarray, groups: ImageGroups | None) -> RunErrors:
    return RunErrors(
        errors_percent=(100.0 * wrong.mean(axis=1)).tolist(),
        wrong_indices=[np.flatnonzero(line) for line in wrong],  # type: ignore[misc]
        image_count=wrong.shape[1],
        groups=groups,
    )


def false_improvements(rng: np.random.Generator, setting: Setting, finalists: int, draws: int) -> tuple[float, float]:
    """Returns how often the chosen of equal finalists is called better than the baseline, and how often any is."""
    chosen = any_one = 0
    for _ in range(draws):
        baseline, *others = draw_configurations(rng, setting, finalists + 1)
        better = [error_difference(other, baseline).verdict() is Verdict.LOWER for other in others]
        chosen += better[0]  # the validation images know nothing of these test images
        any_one += any(better)
    return chosen / draws, any_one / draws


def staged_improvements(rng: np.random.Generator, setting: Setting, draws: int) -> tuple[np.ndarray, float, float]:
    """Returns how often the chosen of equal rows is called better than the baseline, by how stages of seeds end.

    A stage trains one further seed of both. The first figures are those after each number of stages; the second is that
    of a number drawn at random, as the time that is left gives it; the third is that of stages which end as soon as the
    row is called better, which this project does not do.
    """
    better = np.zeros((draws, setting.seeds), dtype=bool)
    for line in better:
        ours, theirs = draw_configurations(rng, setting, 2)
        for stage in range(setting.seeds):
            line[stage] = (
                error_difference(_first(ours, stage + 1), _first(theirs, stage + 1)).verdict() is Verdict.LOWER
            )
    by_time = better[np.arange(draws), rng.integers(0, setting.seeds, draws)]
    return better.mean(axis=0), float(by_time.mean()), float(better.any(axis=1).mean())


def one_seed_improvements(rng: np.random.Generator, setting: Setting, draws: int) -> tuple[float, float]:
    """Returns how often an equal row with one seed is called better than a baseline with all, and how often neither."""
    differences = []
    for _ in range(draws):
        ours, theirs = draw_configurations(rng, setting, 2)
        differences.append(error_difference(_first(ours, 1), theirs))
    lower = sum(difference.verdict() is Verdict.LOWER for difference in differences)
    return lower / draws, sum(difference.is_tie for difference in differences) / draws


def _first(runs: RunErrors, count: int) -> RunErrors:
    return replace(runs, errors_percent=runs.errors_percent[:count], wrong_indices=runs.wrong_indices[:count])


def boards_with_false_pairs(rng: np.random.Generator, setting: Setting, rows: int, draws: int) -> float:
    """Returns how many boards of equal rows tell a pair apart."""
    return sum(any(map(any, told_apart(draw_configurations(rng, setting, rows)))) for _ in range(draws)) / draws


def settings() -> Iterator[Setting]:
    """Yields the kinds of test that are simulated."""
    for images, error, deviation, seeds in itertools.product((500, 10_000), (0.4, 1.0), (0.0, 0.03, 0.07), (1, 3, 10)):
        yield Setting(error_percent=error, seed_deviation=deviation, seeds=seeds, images=images)


def main() -> None:
    """Prints six tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng, draws = np.random.default_rng(arguments.seed), arguments.draws
    print(f"Standard error of a share of 95 %: {100 * stats.binom.std(draws, 0.95) / draws:.1f} %\n")
    print("| images | error % | seed s.d. | seeds | error held % | difference held % |\n|---|---|---|---|---|---|")
    for setting in settings():
        held, equal = coverage(rng, setting, draws)
        print(
            f"| {setting.images:,} | {setting.error_percent} | {setting.seed_deviation} | {setting.seeds} "
            f"| {100 * held:.1f} | {100 * equal:.1f} |",
            flush=True,
        )
    print("\n| images | error % | seed s.d. | finalists | chosen falsely better % | any % |\n|---|---|---|---|---|---|")
    for images, error, deviation, finalists in itertools.product((500, 10_000), (0.4, 1.0), (0.0, 0.07), (1, 3, 10)):
        setting = Setting(error_percent=error, seed_deviation=deviation, seeds=3, images=images)
        chosen, any_one = false_improvements(rng, setting, finalists, draws)
        print(
            f"| {images:,} | {error} | {deviation} | {finalists} | {100 * chosen:.1f} | {100 * any_one:.1f} |",
            flush=True,
        )
    print("\n| images | error % | seed s.d. | boards of 20 equal rows with a false pair % |\n|---|---|---|---|")
    for images, error, deviation in itertools.product((500, 10_000), (0.4, 1.0), (0.0, 0.07)):
        setting = Setting(error_percent=error, seed_deviation=deviation, seeds=3, images=images)
        share = boards_with_false_pairs(rng, setting, 20, draws // 4)
        print(f"| {images:,} | {error} | {deviation} | {100 * share:.1f} |", flush=True)
    print(
        "\n| error % | seed s.d. | falsely better % after 1, 2, ... seeds | after a random number | at the first time |"
    )
    print("|---|---|---|---|---|")
    for error, deviation in itertools.product((0.4, 1.0), (0.0, 0.03, 0.07)):
        setting = Setting(error_percent=error, seed_deviation=deviation, seeds=6, images=10_000)
        stages, by_time, at_first = staged_improvements(rng, setting, draws)
        figures = ", ".join(f"{100 * share:.1f}" for share in stages)
        print(f"| {error} | {deviation} | {figures} | {100 * by_time:.1f} | {100 * at_first:.1f} |", flush=True)
    print("\n| error % | seed s.d. | seeds of the baseline | one seed falsely better % | difference held % |")
    print("|---|---|---|---|---|")
    for error, deviation, seeds in itertools.product((0.4, 1.0), (0.0, 0.03, 0.07), (1, 3)):
        setting = Setting(error_percent=error, seed_deviation=deviation, seeds=seeds, images=10_000)
        lower, equal = one_seed_improvements(rng, setting, draws)
        print(f"| {error} | {deviation} | {seeds} | {100 * lower:.1f} | {100 * equal:.1f} |", flush=True)
    print("\n| images by class | errors % | seeds | balanced error held % |\n|---|---|---|---|")
    for (sizes, errors), seeds in itertools.product(UNBALANCED, (1, 3, 10)):
        held = balanced_coverage(rng, sizes, errors, seeds, draws)
        print(f"| {sizes} | {errors} | {seeds} | {100 * held:.1f} |", flush=True)


if __name__ == "__main__":
    main()
