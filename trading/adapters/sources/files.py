"""The source `files`: the user's own CSV or Parquet.

Prices: symbol, timestamp, open, high, low, close, volume, optionally interval; other columns (adj_close) stay in the
payload. News: id, published_at, symbols, headline, optionally url and body. Actions: symbol, ex_date, and kind, ratio
or amount. Universe: universe, symbol, date, member. Trades: symbol, timestamp, price, size, optionally trade_id and
side. Usual other names (ticker, date, title, text, created_at, post_id,
...; `trading.ingestion.payload.COLUMNS`) are recognised; where they are not enough, a mapping names the file's own.
CSV decimals stay exact; a float of Parquet is taken as its shortest decimal text, rounded half to even to 6 places (8
for volume).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from trading.errors import InputError
from trading.ingestion.ports import Delivery
from trading.ingestion.reader import NEWEST_PARSER, Adjustment, Gap, Kind, Mode, Reader, format_of


@dataclass(frozen=True)
class Files:
    """One file of the user's.

    Attributes:
        columns: Our column -> the file's, where the usual names do not find it.
        adjustment: What the prices are: as traded (`raw`), split-adjusted (`split`), or also for dividends (`all`).
        calendar: The exchange calendar of symbols that are not known yet.
        gap: What bars after a long gap are: refused, another company's (`split`), or the same one's (`join`).
    """

    file: Path
    columns: dict[str, str] = field(default_factory=dict)
    adjustment: Adjustment = "raw"
    calendar: str = "XNYS"
    interval: str = "1d"
    gap: Gap = "refuse"
    name: str = "files"
    default_mode: Mode = "history"

    def deliver(self, kind: Kind, partition: str | None) -> Delivery:
        """Return the file, untouched.

        Raises:
            InputError: the file is not there, or neither CSV nor Parquet by its name.
        """
        described = (format_of(self.file.name), self.columns, self.interval, self.adjustment, self.calendar, partition)
        reader = Reader(kind, *described, NEWEST_PARSER[kind], self.gap)
        try:
            self.file.open("rb").close()
        except OSError as error:
            raise InputError(f"expected a file to read at {self.file}, found: {error.strerror}") from error
        return Delivery(self.file, self.file.name, reader)
