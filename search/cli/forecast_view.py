"""Describes a forecast in three lines that fit into 80 columns. Called by the displays and the dry run."""

from __future__ import annotations

import textwrap

from search.cli.progress_state import format_clock
from search.leaderboard.formatting import epochs
from search.session.forecast import Forecast


def describe_forecast(forecast: Forecast) -> list[str]:
    """Returns the speed, what the budget buys, the test runs, and what a short time leaves out."""
    search = [_search(forecast)] if forecast.full_trials or forecast.short_trials or forecast.search_seconds else []
    return [_speed(forecast), *search, *_verification(forecast), *_left_out(forecast), *_caution(forecast)]


def _speed(forecast: Forecast) -> str:
    """Returns "1,234 images/s; a full trial: baseline 0:38, first recipe 0:52"."""
    parts = [f"baseline {format_clock(forecast.baseline_seconds)}"]
    if forecast.recipe_seconds is not None:
        parts.append(f"first recipe {format_clock(forecast.recipe_seconds)}")
    trials = f"a full trial: {', '.join(parts)}"
    if forecast.images_per_second is not None:
        return f"  {forecast.images_per_second:,.0f} images/s; {trials}"
    return f"  {trials}{'' if forecast.is_measured else ' (not measured yet)'}"


def _search(forecast: Forecast) -> str:
    """Returns "in 9:30 about 24 short trials of 2 epochs and 5 full ones of 10"."""
    clock = format_clock(forecast.search_seconds)
    if forecast.first_epochs < forecast.epochs:
        trials = "one short trial" if forecast.recipe is None else "two short trials"
        return f"  in {clock} {trials} of {epochs(forecast.first_epochs)}"
    if forecast.short_epochs is None or not forecast.short_trials:
        trials = f"{_counted(forecast.full_trials, 'full trial')} of {epochs(forecast.epochs)}"
    else:
        short = f"{_counted(forecast.short_trials, 'short trial')} of {epochs(forecast.short_epochs)}"
        trials = f"{short} and {_counted(forecast.full_trials, 'full one')} of {forecast.epochs}"
    return f"  in {clock} about {trials}"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _verification(forecast: Forecast) -> list[str]:
    """Returns "then 2 fresh seeds for baseline, best recipe and winner, in 3:20"."""
    if not forecast.verified or not forecast.verification_seconds:
        return []
    more = " or more" if forecast.uses_all_time else ""
    seeds = "1 fresh seed" if forecast.replicates == 1 else f"{forecast.replicates} fresh seeds"
    *others, last = forecast.verified
    names = f"{', '.join(others)} and {last}" if others else last
    return [f"  then {seeds}{more} for {names}, in {format_clock(forecast.verification_seconds)}"]


def _left_out(forecast: Forecast) -> list[str]:
    """Returns "more time would also try the recipe double stages", in one line or more."""
    if not forecast.left_out:
        return []
    recipes = "the recipe" if len(forecast.left_out) == 1 else "the recipes"
    text = f"more time would also try {recipes} {', '.join(forecast.left_out)}"
    return textwrap.wrap(text, 80, initial_indent="  ", subsequent_indent="  ")


def _caution(forecast: Forecast) -> list[str]:
    if forecast.replicates_timeout is not None:
        return [
            f"  Caution: {forecast.replicates} seeds of each row leave no time to search.",
            f"  Fewer --replicates, or more than --timeout {forecast.replicates_timeout // 60}m, leave some.",
        ]
    if forecast.sufficient_timeout is None:
        return []
    names = "the baseline" if forecast.recipe is None else "baseline and best recipe"
    return [
        f"  Caution: too short a time to train {names} for {epochs(forecast.epochs)}.",
        f"  They are trained for {forecast.first_epochs}; --timeout {forecast.sufficient_timeout // 60}m is enough.",
    ]
