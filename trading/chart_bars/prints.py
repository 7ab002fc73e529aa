"""What a chart is fed: one print, and many of them as columns.

A trade is a print of one price. A finer bar is a print with its open, high, low, close and volume; styles that go by
price see only its close.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.int64]


class Print(NamedTuple):
    """One input. Times in microseconds since 1970 UTC, prices in millionths, size in hundred-millionths."""

    at: int
    trade_id: str
    open: int
    high: int
    low: int
    close: int
    size: int
    known_at: int

    @classmethod
    def of_trade(cls, at: int, trade_id: str, price: int, size: int, known_at: int) -> Print:
        """Return a trade as a print."""
        return cls(at, trade_id, price, price, price, price, size, known_at)


@dataclass(frozen=True)
class Prints:
    """Prints in their order, as columns; of trades all four prices are one and the same array."""

    at: Column
    trade_ids: Sequence[str]
    open: Column
    high: Column
    low: Column
    close: Column
    size: Column
    known_at: Column

    @classmethod
    def of_trades(cls, at: Any, trade_ids: Sequence[str], price: Any, size: Any, known_at: Any) -> Prints:
        """Return columns of trades (arrays or lists of whole numbers) as prints.

        Raises:
            OverflowError: a number does not fit 64 bits; feed such prints one at a time.
        """
        prices = _whole(price)
        return cls(_whole(at), trade_ids, prices, prices, prices, prices, _whole(size), _whole(known_at))

    @classmethod
    def of_prints(cls, prints: Sequence[Print]) -> Prints:
        """Return single prints as columns.

        Raises:
            OverflowError: as `of_trades`.
        """
        columns = list(zip(*prints, strict=True)) or [()] * len(Print._fields)
        numbers = [_whole(column) for place, column in enumerate(columns) if place != 1]
        return cls(numbers[0], list(columns[1]), *numbers[1:])

    def __len__(self) -> int:
        """The number of prints."""
        return len(self.at)

    def __iter__(self) -> Iterator[Print]:
        """Yield the prints one by one."""
        columns = (self.open, self.high, self.low, self.close, self.size, self.known_at)
        return map(Print._make, zip(self.at.tolist(), self.trade_ids, *(one.tolist() for one in columns), strict=True))

    def cut(self, start: int, stop: int) -> Prints:
        """Return the prints from `start` to before `stop`."""
        part = slice(start, stop)
        close = self.close[part]
        # Of trades they stay one and the same array.
        others = (
            (close, close, close) if self.open is self.close else (self.open[part], self.high[part], self.low[part])
        )
        return Prints(self.at[part], self.trade_ids[part], *others, close, self.size[part], self.known_at[part])

    def where(self, kept: NDArray[np.bool_]) -> Prints:
        """Return the prints that are marked."""
        places = np.flatnonzero(kept)
        ids = [self.trade_ids[place] for place in places.tolist()]
        columns = (self.open, self.high, self.low, self.close, self.size, self.known_at)
        return Prints(self.at[places], ids, *(column[places] for column in columns))


def _whole(values: Any) -> Column:
    return np.asarray(values, dtype=np.int64)
