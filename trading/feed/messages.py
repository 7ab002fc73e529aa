"""What a vendor's stream says, one message each: about which bar or trade, in which place of its series, in which words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

FeedKind = Literal["prices", "trades"]


@dataclass(frozen=True)
class Message:
    """One bar or trade as it came.

    Attributes:
        timestamp: The start of a bar, the moment of a trade, UTC.
        key: What names it within its kind and symbol: another message of the key is a repeat or a correction.
        line: The vendor's own words, one line of JSON, untouched.
        sequence: Its number in the series, where the vendor counts them without a hole.
        corrects: It changes what was told before, so no place in the order is waited for.
    """

    kind: FeedKind
    symbol: str
    timestamp: datetime
    key: str
    line: str
    sequence: int | None = None
    corrects: bool = False


@dataclass(frozen=True)
class Hole:
    """Messages of a series that did not come in time: those between two that did.

    Attributes:
        first, last: The numbers that are missing, both included, where the vendor numbers its trades.
    """

    kind: FeedKind
    symbol: str
    after: datetime
    before: datetime
    first: int | None = None
    last: int | None = None
