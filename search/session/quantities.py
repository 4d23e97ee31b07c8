"""Parses durations, sizes and numbers of options. Called by the settings and by comparisons."""

from __future__ import annotations

import re

from search.errors import UserError

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(g|gib|gb|m|mib|mb)", re.IGNORECASE)
_COUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([km]?)", re.IGNORECASE)
_UNITS_MIB = {"m": 1.0, "mib": 1.0, "mb": 1e6 / 2**20, "g": 1024.0, "gib": 1024.0, "gb": 1e9 / 2**20}


def parse_duration(text: str) -> float:
    """Returns the seconds in a text such as ``90``, ``90s``, ``20m`` or ``1h30m``.

    Raises:
        UserError: The text has another form.
    """
    match = _DURATION.fullmatch(text.strip())
    if not match or not any(match.groups()):
        raise UserError(f"A duration is such as 90s, 20m or 1h30m. Received: {text!r}.")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return 3600 * hours + 60 * minutes + seconds


def parse_size(text: str) -> float:
    """Returns the MiB in a text such as ``4GiB``, ``2.5G`` or ``3000MiB``; GB and MB are powers of ten.

    Raises:
        UserError: The text has another form.
    """
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise UserError(f"A size is such as 4GiB, 2.5GiB or 3000MiB. Received: {text!r}.")
    return float(match[1]) * _UNITS_MIB[match[2].lower()]


def parse_count(text: str) -> int:
    """Returns the count in a text such as ``60000``, ``60k`` or ``1.5m``.

    Raises:
        UserError: The text has another form.
    """
    match = _COUNT.fullmatch(text.strip())
    if not match:
        raise UserError(f"A count is such as 60000, 60k or 1.5m. Received: {text!r}.")
    return round(float(match[1]) * {"": 1, "k": 1_000, "m": 1_000_000}[match[2].lower()])


def parse_number(value: str | float) -> float:
    """Returns a number, or that of a text.

    Raises:
        UserError: The text is no number.
    """
    try:
        return float(value)
    except ValueError:
        raise UserError(f"A number is such as 0.05. Received: {value!r}.") from None
