"""The identity of a row: one canonical byte string per row, hashed with sha256.

The same rule lives twice, here and in SQL (`raw.canon`, migration 0001), because a row is hashed where it is written
(PostgreSQL) and checked where it is explained (Python); `tests/parity/test_identity.py` holds the two together.

Why not `row::text` or JSON: both follow the session's time zone or a library's float printing, and 1.5 and 1.50 would
be two identities. Here a value is a tag byte and fixed bytes: floats as IEEE-754 big endian, decimals as text at the
column's scale, times as microseconds since 1970-01-01 UTC.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

PRICE_SCALE = 6
QUANTITY_SCALE = 8
MONEY_SCALE = 8

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NULL = b"\x00"


def canon(value: str | bool | int | float | Decimal | datetime | date | bytes | None) -> bytes:
    """Return the canonical bytes of one value: a tag, then a length where the width is free, then the bytes.

    Decimals must already be at their column's scale (see `at_scale`); date-times must carry a zone.

    Raises:
        TypeError: a type that no column has.
        ValueError: a naive date-time.
    """
    match value:
        case None:
            return _NULL
        case bool():
            return b"b" + (b"\x01" if value else b"\x00")
        case int():
            return b"i" + struct.pack(">q", value)
        case float():
            return b"f" + struct.pack(">d", value)
        case Decimal():
            return _sized(b"d", format(value, "f").encode())
        case datetime():
            return b"t" + struct.pack(">q", epoch_micros(value))
        case date():
            return _sized(b"s", value.isoformat().encode())
        case str():
            return _sized(b"s", value.encode())
        case bytes():
            return _sized(b"x", value)
    raise TypeError(f"expected a value a column can hold, found {type(value).__name__}")


def row_hash(values: Iterable[str | bool | int | float | Decimal | datetime | date | bytes | None]) -> bytes:
    """Return the sha256 over the canonical bytes of `values`, in their order."""
    digest = hashlib.sha256()
    for value in values:
        digest.update(canon(value))
    return digest.digest()


def at_scale(value: Decimal, scale: int) -> Decimal:
    """Return `value` with exactly `scale` decimal places; refuses to lose a digit.

    Raises:
        ValueError: `value` has more decimal places than `scale`.
    """
    fixed = value.quantize(Decimal(1).scaleb(-scale))
    if fixed != value:
        raise ValueError(f"expected at most {scale} decimal places, found {value}")
    return fixed


def epoch_micros(moment: datetime) -> int:
    """Return microseconds since 1970-01-01 UTC, exactly (no float in between).

    Raises:
        ValueError: `moment` is naive.
    """
    if moment.tzinfo is None:
        raise ValueError(f"expected a date-time with a zone, found {moment.isoformat()}")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _sized(tag: bytes, payload: bytes) -> bytes:
    return tag + struct.pack(">i", len(payload)) + payload
