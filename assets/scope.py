"""Which data a run is about: the source, its files, its symbols. One resource: every asset of a run means the same.

The defaults are the sample. A run on the user's own data sets them at launch, as `tradeloom demo --prices FILE` does.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, cast

import dagster as dg
import psycopg

from trading.adapters.sources import source_named
from trading.errors import InputError
from trading.ingestion.payload import COLUMNS
from trading.ingestion.ports import Source
from trading.ingestion.reader import Adjustment, Mode

MOST_SYMBOLS = 12

_SYMBOLS = """
select b.symbol
from raw.price_bars as b
where b.source = %(source)s and b.interval = %(interval)s
group by b.symbol
order by
    count(distinct b.timestamp) desc,
    (select count(*) from raw.news_items as n where n.symbols @> array[b.symbol]) desc,
    b.symbol
limit %(limit)s
"""

_KNOWN = """
select distinct symbol from raw.price_bars where source = %s and interval = %s and symbol = any(%s)
"""

_SESSIONS = """
select distinct timestamp from raw.price_bars
where source = %s and interval = %s and symbol = any(%s) order by timestamp
"""


class MarketScope(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The data that a run works on.

    Attributes:
        source: `sample`, or `files` with the two paths below.
        symbols: Those to learn from and trade; empty: up to 12 of the source, the most complete first, then by news.
        adjustment: What the file's prices are: `raw`, `split` or `all`.
        mode: `history` or `live`; empty: the source's own.
        columns: Our column -> the file's, where the usual names do not find it.
    """

    source: str = "sample"
    prices_file: str = ""
    news_file: str = ""
    symbols: list[str] = []  # noqa: RUF012 - pydantic copies it
    interval: str = "1d"
    adjustment: str = "raw"
    calendar: str = "XNYS"
    mode: str = ""
    columns: dict[str, str] = {}  # noqa: RUF012

    @property
    def is_sample(self) -> bool:
        """Whether this is the whole sample, as the demo runs it without options."""
        return self.source == "sample" and not self.symbols

    def price_source(self) -> Source:
        """Return where prices and actions come from."""
        return self._source("prices", self.prices_file)

    def news_source(self) -> Source:
        """Return where news comes from."""
        return self._source("news", self.news_file)

    def has(self, kind: Literal["prices", "actions", "news"]) -> bool:
        """Tell whether this scope delivers `kind` at all: a file of prices brings no actions, and news is optional."""
        if self.source == "sample":
            return True
        return bool({"prices": self.prices_file, "news": self.news_file}.get(kind, ""))

    def ingestion_mode(self) -> Mode | None:
        """Return the mode asked for, or None for the source's own."""
        return cast(Mode, self.mode) if self.mode else None

    def chosen_symbols(self, conn: psycopg.Connection) -> list[str]:
        """Return the symbols of this run, in name order.

        Raises:
            InputError: the source has no bars yet, or none of a symbol that was asked for.
        """
        if self.symbols:
            return self._asked_symbols(conn)
        asked = {"source": self.source, "interval": self.interval, "limit": MOST_SYMBOLS}
        found = sorted(row[0] for row in conn.execute(_SYMBOLS, asked))
        if not found:
            raise InputError(f"expected bars of {self.source}, found none; materialize raw/price_bars")
        return found

    def timestamps(self, conn: psycopg.Connection, symbols: list[str]) -> list[datetime]:
        """Return the bar timestamps of `symbols`, oldest first."""
        rows = conn.execute(_SESSIONS, [self.source, self.interval, symbols])
        return [row[0].astimezone(UTC) for row in rows]

    def _asked_symbols(self, conn: psycopg.Connection) -> list[str]:
        there = {row[0] for row in conn.execute(_KNOWN, [self.source, self.interval, self.symbols])}
        if unknown := sorted(set(self.symbols) - there):
            raise InputError(f"expected bars of {', '.join(unknown)} from {self.source}, found none; ask for others")
        return sorted(there)

    def _source(self, kind: Literal["prices", "news"], file: str) -> Source:
        if self.source == "sample":
            return source_named("sample")
        return source_named(
            self.source,
            file=Path(file) if file else None,
            columns=self._columns_of(kind),
            adjustment=cast(Adjustment, self.adjustment),
            calendar=self.calendar,
        )

    def _columns_of(self, kind: Literal["prices", "news"]) -> dict[str, str]:
        """Return the part of the mapping that speaks of this kind; prices and news share no name."""
        if unknown := sorted(set(self.columns) - set(COLUMNS["prices"]) - set(COLUMNS["news"])):
            ours = ", ".join([*COLUMNS["prices"], *COLUMNS["news"]])
            raise InputError(f"expected --map onto one of {ours}, found {', '.join(unknown)}")
        return {ours: theirs for ours, theirs in self.columns.items() if ours in COLUMNS[kind]}
