"""The options --batch, --symbol, --from, --to and --source of the commands that speak of published bars."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from orchestration.asked_times import refuse_out_of_range
from trading.adapters.recalls import Asked
from trading.errors import InputError, NaiveTimeError

_DATE_LENGTH = len("2012-03-01")


def asked_bars(batch: int | None, symbol: str | None, first: str | None, last: str | None, source: str | None) -> Asked:
    """Return what the options ask for; a bare date is that whole day, in UTC, the zone of a bar's label.

    Raises:
        InputError: neither or both of --batch and --symbol, options that do not fit, or a date that is none.
    """
    if (batch is None) == (symbol is None):
        found = "both" if batch is not None else "neither"
        raise InputError(f"expected either --batch ID or --symbol S, found {found}; choose one")
    if batch is not None:
        if given := [f"--{name}" for name, one in (("from", first), ("to", last), ("source", source)) if one]:
            raise InputError(f"expected --batch alone, found {', '.join(given)}; it goes with --symbol")
        return Asked(batch=batch)
    start, end = _moment("--from", first), _moment("--to", last, is_end=True)
    if start is not None and end is not None and start > end:
        raise InputError(f"expected --from before --to, found {first} after {last}")
    return Asked(source=source, symbol=symbol, first=start, last=end)


def _moment(option: str, text: str | None, *, is_end: bool = False) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"expected {option} as a date such as 2012-03-01, found {text!r}") from error
    refuse_out_of_range(f"{option} as a date", moment, text)
    if len(text) <= _DATE_LENGTH:
        day = datetime.combine(moment.date(), time(), UTC)
        return day + timedelta(days=1, microseconds=-1) if is_end else day
    if moment.tzinfo is None:
        raise NaiveTimeError(f"expected {option} with a zone, found {text!r}; add one, such as {text}Z")
    return moment
