"""The verdict: what a comparison shows and what it rests on, in plain sentences. Every renderer for people has it.

Knows the comparison and the leaderboard's words; no output format.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from search.compare.results import ALPHA, Comparison, EngineResult
from search.leaderboard import formatting

MIN_REPEATS = 10
"""Repeats below which small differences between engines drown in the spread between seeds.

Source: Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS 34 (2021), who
find that conclusions from three to five runs often do not hold.
"""

BUDGET_TOLERANCE = 1.1
"""A study that cost more than its budget by a larger factor is named."""


def summary_sentences(comparison: Comparison) -> list[str]:
    """Returns the sentences: who leads, who ties, by which test, and what that cannot show."""
    return [formatting.one_line(sentence) for sentence in _sentences(comparison)]


def term_sentences(comparison: Comparison) -> list[str]:
    """Returns what all studies shared: budget, seeds, protocol, circumstances."""
    return [formatting.one_line(sentence) for sentence in _term_sentences(comparison)]


def _sentences(comparison: Comparison) -> Iterator[str]:
    ranked = comparison.ranked_engines
    if ranked:
        yield _leader_sentence(ranked[0], alone=len(ranked) == 1)
        yield from _pair_sentences(ranked)
        yield from _test_sentences(comparison)
    else:
        yield "No study was verified on the test images yet, so nothing is ranked."
    yield from _caution_sentences(comparison)
    times = "once" if comparison.test_openings == 1 else f"{comparison.test_openings:,} times"
    yield f"The test images were scored {times}; they steered no search."


def _leader_sentence(best: EngineResult, *, alone: bool) -> str:
    assert best.test is not None
    head = "Verified" if alone else "Lowest mean verified test error" if best.ties else "Best"
    if best.test.interval:
        figure = f"{formatting.estimate(best.test)} % (95 % interval over {best.test.n} repeats)"
    elif best.test.n == 1:
        figure = f"{formatting.percent(best.test.mean)} % from one repeat, so without an interval"
    else:
        figure = f"{formatting.percent(best.test.mean)} % in each of {best.test.n} repeats, so without an interval"
    return f"{head}: {best.engine}, {figure}."


def _pair_sentences(ranked: Sequence[EngineResult]) -> Iterator[str]:
    """Yields whom the first ties with, and whom it beats; a pair without repeats in common is neither."""
    best, others = ranked[0], ranked[1:]
    ties = [entrant.engine for entrant in others if entrant.pair_with_best and entrant.pair_with_best.is_tie]
    beaten = [entrant for entrant in others if entrant.pair_with_best and not entrant.pair_with_best.is_tie]
    if ties:
        yield f"It ties with {_join_names(ties)}: these repeats do not establish an order among them."
    for entrant in beaten:
        pair = entrant.pair_with_best
        assert pair is not None and pair.p_adjusted is not None
        gap = (
            f"{formatting.percentage_points(pair.difference.mean)} percentage points, {format_p_value(pair.p_adjusted)}"
        )
        yield f"It is better than {entrant.engine}: {gap}."
    if others and not beaten and not ties:
        yield f"{best.engine} shares no finished repeat with another engine, so nothing is compared."


def _test_sentences(comparison: Comparison) -> Iterator[str]:
    if not comparison.pairs:
        return
    tested = [pair for pair in comparison.pairs if pair.p is not None]
    if tested:
        pairs = "1 pair" if len(tested) == 1 else f"{len(tested)} pairs"
        yield (
            "Test: paired t test over repeats, whose studies share all seeds; p adjusted for "
            f"{pairs} after Benjamini and Hochberg; a tie from {ALPHA:g} on."
        )
    else:
        yield "There is no p: a paired test needs two repeats in common and some spread, and without one it is a tie."
    repeats = max(pair.repeats for pair in comparison.pairs)
    widths = [pair.difference.interval.half_width for pair in comparison.pairs if pair.difference.interval]
    if repeats < MIN_REPEATS:
        many = "One repeat" if repeats == 1 else f"{repeats} repeats"
        reach = f" (here ± {min(widths):.2f} to ± {max(widths):.2f} points)" if len(widths) > 1 else ""
        what = f"a difference that is small beside its interval{reach}" if widths else "a small difference"
        yield f"{many} cannot establish {what}; a tie does not mean that two engines are equally good."


def _caution_sentences(comparison: Comparison) -> Iterator[str]:
    """Yields what keeps the engines from having had the same: what is missing, failed, or cost more."""
    spec = comparison.spec
    for entrant in comparison.engine_results:
        if (done := sum(run.is_verified for run in entrant.studies)) < spec.repeats:
            yield f"Not finished: {entrant.engine} has {done} of {spec.repeats} repeats verified."
        if failed := sum(run.test_failures for run in entrant.studies):
            runs = "1 run" if failed == 1 else f"{failed} runs"
            yield f"Caution: {runs} of {entrant.engine} on the test images failed; its mean leaves them out."
    for _, run in comparison.studies:
        if spec.epochs is not None and run.epochs > spec.epochs * BUDGET_TOLERANCE:
            yield f"Caution: study {run.header.name} trained {run.epochs} epochs, beyond its {spec.epochs}."
        if spec.seconds is not None and run.seconds > spec.seconds * BUDGET_TOLERANCE:
            elapsed, limit = formatting.duration(run.seconds), formatting.duration(spec.seconds)
            yield f"Caution: study {run.header.name} took {elapsed}, beyond its {limit}."


def _term_sentences(comparison: Comparison) -> Iterator[str]:
    rules, study = comparison.spec, comparison.first_header
    yield f"{budget_sentence(comparison)} Verification comes on top and is not counted."
    yield (
        f"Every study starts from the baseline, without recipes. Seed {rules.seed}; the studies of one repeat share "
        f"the seeds of trials and of verification ({rules.replicates} fresh seeds)."
    )
    if study is not None:
        protocol = study.protocol
        yield (
            f"Space {study.space.name}, data {protocol.dataset} ({protocol.data_sha256[:12]}), "
            f"protocol {protocol.name.value} {protocol.version}, split {protocol.split.value} {protocol.split_seed}, "
            f"{protocol.epochs} epochs a full trial."
        )
        pruners = {entrant.engine: run.header.pruner for entrant, run in comparison.studies}
        yield f"Pruners: {', '.join(f'{engine} {pruner}' for engine, pruner in pruners.items())}."


def budget_sentence(comparison: Comparison) -> str:
    """Returns what each study was given, in a sentence."""
    spec, study = comparison.spec, comparison.first_header
    parts = []
    if spec.epochs is not None:
        full, rest = divmod(spec.epochs, study.protocol.epochs) if study else (0, 1)
        trials = "" if rest else f", those of {full} full trial{'' if full == 1 else 's'}"
        parts.append(f"{spec.epochs:,} epochs trained{trials}, the last trial perhaps going beyond")
    if spec.seconds is not None:
        parts.append(f"{formatting.duration(spec.seconds)} of wall-clock time")
    return f"Budget of each search: {' or '.join(parts)}."


def format_p_value(p: float | None) -> str:
    """Returns a p in words: "p = 0.012", "p < 0.001"; nothing where there is none."""
    return "" if p is None else "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _join_names(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
