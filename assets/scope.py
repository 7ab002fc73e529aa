"""Which data a run is about: the source, its files, its symbols. One resource: every asset of a run means the same.

The defaults are the sample. A run on the user's own data sets them at launch, as `tradeloom demo --prices FILE` does.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, Literal, cast

import dagster as dg
import psycopg

from trading.adapters.session_universes import MembersAsked
from trading.adapters.sources import source_named
from trading.adapters.sources.registry import VENDORS
from trading.adapters.universes import members
from trading.adapters.warehouse import newest_watermark
from trading.errors import InputError
from trading.ingestion.payload import COLUMNS
from trading.ingestion.ports import Source
from trading.ingestion.reader import Adjustment, Kind, Mode
from trading.intervals import refuse_other_than_daily
from trading.scope_terms import ScopeTerms
from trading.windows import Windows, windows_of

MOST_SYMBOLS = 12
_EVER = datetime.max.replace(tzinfo=UTC)

# What is ranked on came to light before the judging window began: a symbol is chosen as it could have been then.
_SYMBOLS = """
select b.symbol
from raw.price_bars as b
where b.source = %(source)s and b.interval = %(interval)s
    and b.timestamp <= %(last)s and b.known_at < %(known_before)s
group by b.symbol
order by
    count(distinct b.timestamp) desc,
    (select count(*) from raw.news_items as n where n.symbols @> array[b.symbol] and n.known_at < %(known_before)s) desc,
    b.symbol
limit %(limit)s
"""

_KNOWN = """
select distinct symbol from raw.price_bars where source = %s and interval = %s and symbol = any(%s)
"""

_EVER_MEMBERS = "select distinct symbol from trading.universe_members where universe = %s"

_STILL_THERE = "select distinct symbol from raw.price_bars where source = %s and interval = %s and timestamp >= %s"

_SESSIONS = """
select distinct timestamp from raw.price_bars
where source = %s and interval = %s and (%s::text[] is null or symbol = any(%s)) order by timestamp
"""


@dataclass(frozen=True)
class Cut:
    """How a scope's data is used: every bar timestamp, oldest first, the windows, and the symbols to learn from."""

    timestamps: list[datetime]
    windows: Windows
    symbols: list[str]


class MarketScope(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The data that a run works on.

    Attributes:
        source: `sample`; `files` with the two paths below; or a vendor such as `yfinance`, whose bars are there already:
            its own assets fetch them (assets/vendors.py).
        symbols: Those to learn from and trade; empty: up to 12 of the source, the most complete first, then by news, by
            what was known when training ended.
        universe: A universe of trading.universe_members: a symbol counts on the days on which it was a member. Empty:
            the built-in one of the source, the symbols that had bars by then.
        adjustment: What the file's prices are: `raw`, `split` or `all`.
        mode: `history` or `live`; empty: the source's own.
        columns: Our column -> the file's, where the usual names do not find it.
    """

    source: str = "sample"
    prices_file: str = ""
    news_file: str = ""
    symbols: list[str] = []  # noqa: RUF012 - pydantic copies it
    universe: str = ""
    interval: str = "1d"
    adjustment: str = "raw"
    calendar: str = "XNYS"
    mode: str = ""
    columns: dict[str, str] = {}  # noqa: RUF012

    @property
    def is_sample(self) -> bool:
        """Whether this is the whole sample, as the demo runs it without options."""
        return self.source == "sample" and not self.symbols and not self.universe

    def terms(self) -> ScopeTerms:
        """Return what is kept beside whatever is made under this scope."""
        return ScopeTerms(self.source, tuple(sorted(set(self.symbols))), self.universe, self.interval, self.adjustment)

    @property
    def vendor(self) -> str:
        """The vendor behind a network that this scope works on, without its variant; empty where it is none."""
        name = self.source.partition(":")[0]
        return name if name in VENDORS else ""

    def price_source(self) -> Source:
        """Return where prices and actions come from."""
        return self._source("prices", self.prices_file)

    def news_source(self) -> Source:
        """Return where news comes from."""
        return self._source("news", self.news_file)

    def has(self, kind: Kind) -> bool:
        """Tell whether this scope delivers `kind` at all: a file of prices brings no actions, news is optional."""
        if self.source == "sample":
            return kind not in ("universe", "trades")
        return bool({"prices": self.prices_file, "news": self.news_file}.get(kind, ""))

    def ingestion_mode(self) -> Mode | None:
        """Return the mode asked for, or None for the source's own."""
        return cast(Mode, self.mode) if self.mode else None

    def cut(self, conn: psycopg.Connection) -> Cut:
        """Return the windows of this scope, and its symbols as they could be chosen when training ended.

        Raises:
            InputError: the source has no bars yet, or none of a symbol or of a universe that was asked for; or the
                history is too short; or the interval is not 1d.
        """
        refuse_other_than_daily(self.interval, "models are trained, judged and traded on daily bars")
        asked = self._asked_symbols(conn) if self.symbols else None
        rows = conn.execute(_SESSIONS, [self.source, self.interval, asked, asked])
        timestamps = [row[0].astimezone(UTC) for row in rows]
        if not timestamps:
            raise InputError(f"expected bars of {self.source}, found none; materialize raw/price_bars")
        windows = windows_of([timestamp.date() for timestamp in timestamps])
        if self.universe:
            return Cut(timestamps, windows, self._of_universe(conn, asked))
        return Cut(timestamps, windows, asked or self._most_complete(conn, windows))

    def todays_symbols(self, conn: psycopg.Connection, cut: Cut) -> list[str]:
        """Return what one would choose today, in name order: the members, or the most complete that still have bars."""
        last = cut.timestamps[-1]
        if self.symbols and not self.universe:
            return cut.symbols
        if self.universe:
            found = members(conn, self.universe, last.date(), _EVER, newest_watermark(conn))
            return [symbol for symbol in found if symbol in cut.symbols]
        alive = cut.timestamps[-5:][0]  # a symbol may miss a day or two
        rows = conn.execute(_STILL_THERE, [self.source, self.interval, alive])
        asked = {"last": last, "known_before": _EVER, "limit": None, **self._series()}
        complete = [row[0] for row in conn.execute(_SYMBOLS, asked)]
        there = {row[0] for row in rows}
        return sorted([symbol for symbol in complete if symbol in there][:MOST_SYMBOLS])

    def members_asked(self, conn: psycopg.Connection, day: date) -> MembersAsked | None:
        """Return the question that `members_at` answers for a session beginning on `day`; None without a universe."""
        if not self.universe:
            return None
        began = datetime.combine(day, time(), UTC)
        return MembersAsked(self.universe, self.symbols, day, began, newest_watermark(conn))

    def members_at(self, conn: psycopg.Connection, cut: Cut, day: date, asked: MembersAsked | None = None) -> list[str]:
        """Return those of the scope's symbols that a session may trade that begins on `day`, as known then.

        Raises:
            InputError: the universe had no member then.
        """
        asked = asked or self.members_asked(conn, day)
        if asked is None:
            return cut.symbols
        found = members(conn, asked.universe, asked.on_date, asked.as_of, asked.watermark)
        if traded := [symbol for symbol in found if symbol in cut.symbols]:
            return traded
        raise InputError(f"expected members of {self.universe} on {day}, found none known then; ingest its history")

    def _series(self) -> dict[str, Any]:
        return {"source": self.source, "interval": self.interval}

    def _most_complete(self, conn: psycopg.Connection, windows: Windows) -> list[str]:
        last, judged = (datetime.combine(day, time(), UTC) for day in (windows.training.last, windows.judging.first))
        asked = {"last": last, "known_before": judged, "limit": MOST_SYMBOLS, **self._series()}
        # Where the whole history was delivered later than that, nothing was known then, and the bars must do.
        for question in (asked, asked | {"known_before": _EVER}):
            if found := sorted(row[0] for row in conn.execute(_SYMBOLS, question)):
                return found
        raise InputError(f"expected bars of {self.source} up to {windows.training.last}, found none")

    def _of_universe(self, conn: psycopg.Connection, asked: list[str] | None) -> list[str]:
        ever = {row[0] for row in conn.execute(_EVER_MEMBERS, [self.universe])}
        if not ever:
            raise InputError(
                f"expected a universe of trading.universe_members, found none named {self.universe!r}; ingest it with "
                "`tradeloom ingest universe`"
            )
        there = conn.execute(_KNOWN, [self.source, self.interval, sorted(ever)])
        if found := sorted(row[0] for row in there if asked is None or row[0] in asked):
            return found
        raise InputError(f"expected bars of {self.source} of a member of {self.universe}, found none; ingest prices")

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
