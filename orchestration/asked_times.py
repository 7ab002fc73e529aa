"""Times, days and numbers that commands are given, read in one place: what no database or calendar holds is refused."""

from __future__ import annotations

from datetime import date, datetime

import click

from trading.errors import InputError, NaiveTimeError

# Calendars and PostgreSQL's timestamps reach beyond both; arithmetic on the last days of year 9999 does not.
FIRST_YEAR, LAST_YEAR = 1900, 2200
NUMBER = click.IntRange(0, 2**63 - 1)  # a watermark or a batch: bigint


def moment_of(text: str) -> datetime:
    """Return a time that was given with its zone.

    Raises:
        InputError: it is no time, or out of range; NaiveTimeError: it has no zone.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"expected a time such as 2012-06-01T20:15:00Z, found {text!r}") from error
    if moment.tzinfo is None:
        zoned = f"{text}T00:00:00Z" if len(text) == len("2012-06-01") else f"{text}Z"
        raise NaiveTimeError(f"expected a time with its zone, found {text!r}; add one, such as {zoned}")
    refuse_out_of_range("a time", moment, text)
    return moment


def day_of(text: str) -> date:
    """Return a day.

    Raises:
        InputError: it is no day, or out of range.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"expected a day such as 2012-06-01, found {text!r}") from error
    refuse_out_of_range("a day", day, text)
    return day


def refuse_out_of_range(what: str, found: date, text: str) -> None:
    """Raise InputError where a day or a time lies outside the years that can be asked about."""
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise InputError(f"expected {what} from {FIRST_YEAR} to {LAST_YEAR}, found {text!r}")
