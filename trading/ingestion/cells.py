"""One cell to one exact value: a decimal at its column's scale, a date, a moment, a text.

Text stays exact: "94.2" is Decimal("94.2"), and more decimal places than the column has are a defect, never rounded
away. A float (Parquet has no other number) is taken as its shortest decimal text, then rounded half to even at the
column's scale: 96.42428571428572 becomes 96.424286.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

from trading.identity import at_scale
from trading.ingestion.payload import Cell

_MISSING = frozenset({"", "nan", "null", "none", "na", "n/a", "nat"})
# numeric(15, 6) and numeric(20, 8) hold values below these powers of ten.
LARGEST = {6: Decimal(10) ** 9, 8: Decimal(10) ** 12, 10: Decimal(10) ** 10}


_DIGITS = re.compile(r"(19|20)\d{6}")  # 20240531, as text or as a whole number


class CellError(ValueError):
    """A cell that cannot be read: the rule that it breaks, and what was found."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(detail)
        self.rule = rule
        self.detail = detail


def decimal_of(name: str, cell: Cell, scale: int) -> Decimal | None:
    """Return the cell as a decimal with exactly `scale` places, or None where it is missing or NaN.

    Raises:
        CellError: `unreadable_number`, `too_many_decimals` or `number_too_large`.
    """
    if is_missing(cell):
        return None
    exact = _exact(name, cell, scale)
    if not exact.is_finite() or abs(exact) >= LARGEST[scale]:
        raise CellError("number_too_large", f"{name} is {cell!r}")
    try:
        return at_scale(exact, scale)
    except (ValueError, InvalidOperation) as error:
        raise CellError("too_many_decimals", f"{name} is {cell!r}, at most {scale} decimal places are kept") from error


def _exact(name: str, cell: Cell, scale: int) -> Decimal:
    try:
        if isinstance(cell, float):
            found = Decimal(repr(cell))
            fits = found.is_finite() and abs(found) < LARGEST[scale]
            return found.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_EVEN) if fits else found
        if isinstance(cell, str | int | Decimal) and not isinstance(cell, bool):
            return Decimal(cell.strip() if isinstance(cell, str) else cell)
    except InvalidOperation as error:
        raise CellError("unreadable_number", f"{name} is {cell!r}") from error
    raise CellError("unreadable_number", f"{name} is {cell!r}")


def text_of(cell: Cell) -> str | None:
    """Return the cell as stripped text, or None where there is none. `nan` is a word in a text, so it stays.

    Raises:
        CellError: `unreadable_text`, a list, or a NUL byte, which PostgreSQL's text cannot hold.
    """
    if cell is None or (isinstance(cell, float) and cell != cell):
        return None
    if isinstance(cell, list | dict):
        raise CellError("unreadable_text", f"expected one text, found {cell!r}")
    if "\x00" in str(cell):
        raise CellError("unreadable_text", "the text holds a NUL byte")
    return str(cell).strip() or None


def when_of(name: str, cell: Cell) -> date | datetime | None:
    """Return a bare date, or a date-time with its zone as written, or None where the cell is missing.

    Raises:
        CellError: `naive_timestamp` (a time without a zone: which moment is meant?) or `unreadable_timestamp`.
    """
    if is_missing(cell):
        return None
    found = _parsed_time(name, str(cell)) if isinstance(cell, str) or _is_digits(cell) else cell
    if isinstance(found, datetime):
        if found.tzinfo is None:
            raise CellError("naive_timestamp", f"{name} is {cell!s}: a time without a zone")
        return found
    if isinstance(found, date):
        return found
    raise CellError("unreadable_timestamp", f"{name} is {cell!r}")


def _is_digits(cell: Cell) -> bool:
    """Tell whether a whole number has the digits of a date; seconds since 1970 are no date: 20240531 would be in 1970."""
    return isinstance(cell, int) and _DIGITS.fullmatch(str(cell)) is not None


def _parsed_time(name: str, text: str) -> date | datetime:
    stripped = text.strip()
    if _DIGITS.fullmatch(stripped):
        stripped = f"{stripped[:4]}-{stripped[4:6]}-{stripped[6:]}"
    try:
        return date.fromisoformat(stripped) if len(stripped) == len("2004-05-03") else datetime.fromisoformat(stripped)
    except ValueError as error:
        raise CellError("unreadable_timestamp", f"{name} is {text!r}") from error


def is_missing(cell: Cell) -> bool:
    """Tell whether a cell holds nothing: null, empty text, or NaN however written."""
    if isinstance(cell, str):
        return cell.strip().lower() in _MISSING
    if isinstance(cell, float):
        return cell != cell
    return cell is None or (isinstance(cell, Decimal) and cell.is_nan())


def utc(moment: datetime) -> datetime:
    """Return the same moment in UTC.

    Raises:
        CellError: `unreadable_timestamp`, at the ends of the calendar: there is no day around it to reckon with.
    """
    try:
        found = moment.astimezone(UTC)
        found + timedelta(days=1)
    except OverflowError as error:
        raise CellError("unreadable_timestamp", f"{moment.isoformat()} is no time of a calendar") from error
    return found
