"""What charts are fed, out of the warehouse: trades or finer bars, as known at a time, as columns, a block at a time.

Both are read through one shape: moment, id, four prices, size. A trade's id orders the trades of one moment, the shorter
first; a bar has none.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from trading.chart_bars.chart import TRADES
from trading.chart_bars.prints import Print, Prints

BLOCK = 50_000  # prints held at once
FIRST_LOOK = 5_000  # prints of a first look

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OF_TRADES = """
    t.timestamp as at, t.trade_id as id, t.price as open, t.price as high, t.price as low, t.price as close, t.size as size,
    t.known_at, t.watermark, t.source, t.symbol
from raw.trades as t where t.source = {source} and t.symbol = {symbol}
"""
_OF_BARS = """
    t.timestamp as at, '' as id, t.open, t.high, t.low, t.close, t.volume as size,
    t.known_at, t.watermark, t.source, t.symbol
from raw.price_bars as t where t.source = {source} and t.symbol = {symbol} and t.interval = {fed}
"""
# Every version of the print `p`.
_TRADE_AGAIN = "from raw.trades as e where e.source = p.source and e.symbol = p.symbol and e.trade_id = p.id"
_BAR_AGAIN = """from raw.price_bars as e
    where e.source = p.source and e.symbol = p.symbol and e.interval = {fed} and e.timestamp = p.at"""

# What was published in (done, up_to]: how much, since when known, whether all of it continues the series.
_NEWS = """
select count(*), min(p.known_at), min(p.at), max(p.at), coalesce(bool_or(
    (p.at, length(p.id), p.id collate "C") <= ({read_to}, length({read_id}), {read_id} collate "C")
    or exists (select {again} and e.watermark < p.watermark)), false)
from (select {prints}) as p
where p.watermark > {done} and p.watermark <= {up_to}
"""

# What changes the past: all that is new, and all that became known after the first of it did. `reaches` is where each
# begins to matter, every other version of it included; the moments are those at which something came behind another.
_REACH = """
with news as (
    select min(p.known_at) as known_at from (select {prints}) as p where p.watermark > {done} and p.watermark <= {up_to}
),

affected as (
    select p.at, p.id, p.known_at, p.watermark, p.source, p.symbol
    from (select {prints}) as p
    where p.watermark > {done} and p.watermark <= {up_to}
    union
    select p.at, p.id, p.known_at, p.watermark, p.source, p.symbol
    from (select {prints} and t.known_at > (select n.known_at from news as n)) as p
    where p.watermark <= {up_to}
),

spread as (
    select p.at, p.known_at, p.watermark > {done} as is_new, min(e.timestamp) as other_at, max(e.timestamp) as other_to
    from affected as p
    left join lateral (select e.timestamp {again} and e.watermark <> p.watermark and e.watermark <= {up_to}) as e on true
    group by p.at, p.id, p.known_at, p.watermark
),

others as (
    select (
        select p.at from (select {prints}) as p
        where p.watermark <= {done} and p.known_at <= (select n.known_at from news as n)
        order by p.at desc limit 1
    ) as last_at
),

ranked as (
    select s.*, min(s.known_at) over (order by s.at desc) as least_known_behind from spread as s
)

select
    min(least(r.at, r.other_at)),
    max(greatest(r.at, r.other_to)) filter (where r.is_new),
    array_agg(distinct r.known_at) filter (
        where r.known_at = n.known_at or r.known_at > r.least_known_behind or r.other_at is not null or r.at <= o.last_at
    )
from ranked as r cross join news as n cross join others as o
"""

# Everything as it became known: an epoch begins where something came behind what was known, and where a print has other
# versions. Of each: since when, from where to where those prints matter, and the last moment of any print known in it.
_EPOCHS = """
with spread as (
    select p.at, p.known_at, min(e.timestamp) as other_at, max(e.timestamp) as other_to
    from (select {prints}) as p
    left join lateral (select e.timestamp {again} and e.watermark <> p.watermark and e.watermark <= {up_to}) as e on true
    where p.watermark <= {up_to}
    group by p.at, p.id, p.known_at, p.watermark
),

ranked as (
    select s.*, s.other_at is not null or s.known_at > min(s.known_at) over (order by s.at desc) as is_behind
    from spread as s
),

moments as (
    select
        r.known_at,
        max(r.at) as last_at,
        min(least(r.at, r.other_at)) filter (where r.is_behind) as changed_at,
        max(greatest(r.at, r.other_to)) filter (where r.is_behind) as changed_to
    from ranked as r
    group by r.known_at
),

numbered as (
    select
        m.*,
        count(m.changed_at) over (order by m.known_at) as epoch,
        max(m.last_at) over (order by m.known_at) as to_at
    from moments as m
)

select min(n.known_at), min(n.changed_at), max(n.changed_to), max(n.to_at)
from numbered as n
group by n.epoch
order by n.epoch
"""

# Versions known before a moment, the newest of each, in their order.
_STREAM = """
copy (
    select
        (extract(epoch from p.at) * 1000000)::bigint, p.id, trunc(p.open * 1000000)::bigint, trunc(p.high * 1000000)::bigint,
        trunc(p.low * 1000000)::bigint, trunc(p.close * 1000000)::bigint, trunc(p.size * 100000000)::numeric(30, 0),
        (extract(epoch from p.known_at) * 1000000)::bigint
    from (select {prints} and t.timestamp >= {after_at} and t.timestamp <= {to_at}) as p
    where (p.at, length(p.id), p.id collate "C") > ({after_at}, length({after_id}), {after_id} collate "C")
        and p.known_at < {before} and p.watermark <= {up_to}{there}
        and not exists (
            select {again}
                and (e.known_at, e.watermark) > (p.known_at, p.watermark) and e.known_at < {before} and e.watermark <= {up_to}
        )
    order by p.at, length(p.id), p.id collate "C"
    limit {limit}
) to stdout (format csv)
"""


@dataclass(frozen=True)
class News:
    """What a publication brought of one series: `reaches_back`: some of it changes prints that were there."""

    count: int
    known_at: datetime | None
    first_at: datetime | None
    last_at: datetime | None
    reaches_back: bool


@dataclass(frozen=True)
class Reach:
    """From where on a series must be read again, up to where prints differ, and since when each epoch holds."""

    first_at: datetime
    last_at: datetime
    epochs: tuple[datetime, ...]


@dataclass(frozen=True)
class Epoch:
    """A stretch of time in which knowledge grew at the end of a series only, but for what came at its beginning.

    Attributes:
        changed_at, changed_to: From where to where that changes prints; None where it only continues the series.
        to_at: The last moment of a print that was known at its end.
    """

    since: datetime
    changed_at: datetime | None
    changed_to: datetime | None
    to_at: datetime


@dataclass(frozen=True)
class Feed:
    """The prints of one series: trades, or bars of the interval `fed`."""

    conn: psycopg.Connection
    source: str
    symbol: str
    fed: str

    def news(self, done: int, up_to: int, read_to: datetime | None, read_id: str) -> News:
        """Return what was published in (done, up_to], against a series that was read to (read_to, read_id)."""
        found = self.conn.execute(
            self._statement(_NEWS, done=done, up_to=up_to, read_to=read_to, read_id=read_id)
        ).fetchone()
        assert found is not None, "an aggregate always has a row"
        return News(*found)

    def reach(self, done: int, up_to: int) -> Reach:
        """Return how far back what was published in (done, up_to] reaches."""
        found = self.conn.execute(self._statement(_REACH, done=done, up_to=up_to)).fetchone()
        assert found is not None, "an aggregate always has a row"
        first, last, epochs = found
        return Reach(first, last, tuple(sorted(epochs)))

    def epochs(self, up_to: int) -> list[Epoch]:
        """Return the epochs of everything published up to `up_to`, in their order."""
        return [Epoch(*row) for row in self.conn.execute(self._statement(_EPOCHS, up_to=up_to))]

    def blocks(
        self,
        after_at: datetime | None,
        after_id: str,
        before: datetime | str,
        up_to: int,
        to_at: datetime | None = None,
        look: int | None = None,
    ) -> Iterator[Prints | list[Print]]:
        """Yield the prints behind (after_at, after_id), from the first where None, as known before `before`.

        Where a number does not fit 64 bits a block is a list of single prints.

        Args:
            to_at: No later ones; None: to the end.
            look: How many are looked for first.
        """
        # What a step or a late print needs is in the first few: planned for few rows. The rest is planned as a whole.
        limit: int | None = min(look or FIRST_LOOK, FIRST_LOOK)
        while True:
            count = 0
            for block in self._stream(after_at, after_id, before, up_to, to_at or "infinity", limit):
                count += len(block)
                after_at, after_id = end_of(block)
                yield block
            if limit is None or count < limit:
                return
            limit = limit * 10 if limit * 10 <= FIRST_LOOK else None

    def _stream(
        self,
        after_at: datetime | None,
        after_id: str,
        before: datetime | str,
        up_to: int,
        to_at: datetime | str,
        limit: int | None,
    ) -> Iterator[Prints | list[Print]]:
        values = {"after_at": after_at, "after_id": after_id, "before": before, "up_to": up_to, "to_at": to_at}
        statement = self._statement(_STREAM, **values, limit=sql.SQL("all") if limit is None else limit)
        with self.conn.cursor() as cursor, cursor.copy(statement) as copy:
            lines: list[bytes] = []
            for line in copy:
                lines.append(bytes(line))
                if len(lines) == BLOCK:
                    yield _parsed(b"".join(lines))
                    lines = []
            if lines:
                yield _parsed(b"".join(lines))

    def _statement(self, text: str, **values: Any) -> sql.Composed:
        of_trades = self.fed == TRADES
        literals = {name: _literal(value) for name, value in values.items()}
        series = {"source": _literal(self.source), "symbol": _literal(self.symbol), "fed": _literal(self.fed)}
        return sql.SQL(text).format(
            prints=sql.SQL(_OF_TRADES if of_trades else _OF_BARS).format(**series),
            again=sql.SQL(_TRADE_AGAIN if of_trades else _BAR_AGAIN).format(**series),
            there=sql.SQL(" and p.size > 0" if of_trades else ""),
            **literals,
        )


def _literal(value: Any) -> sql.Composable:
    """`copy` takes no parameters, and times need their type: 'infinity' is one."""
    if isinstance(value, sql.Composable):
        return value
    if isinstance(value, datetime):
        return sql.SQL("{}::timestamptz").format(sql.Literal(value.isoformat()))
    if value is None or value == "infinity":
        return sql.SQL("{}::timestamptz").format(sql.Literal(value or "-infinity"))
    return sql.SQL("{}::text").format(sql.Literal(value)) if isinstance(value, str) else sql.Literal(value)


def end_of(block: Prints | list[Print]) -> tuple[datetime, str]:
    """Return the moment and the id of the last print of a block."""
    if isinstance(block, Prints):
        return _EPOCH + timedelta(microseconds=int(block.at[-1])), block.trade_ids[-1]
    return _EPOCH + timedelta(microseconds=block[-1].at), block[-1].trade_id


def _parsed(lines: bytes) -> Prints | list[Print]:
    import polars as pl

    whole = dict.fromkeys(("at", "trade_id", "open", "high", "low", "close", "size", "known_at"), pl.Int64)
    try:
        frame = pl.read_csv(lines, has_header=False, schema=whole | {"trade_id": pl.String})
    except pl.exceptions.ComputeError:
        return [
            Print(int(at), name, *map(int, numbers)) for at, name, *numbers in csv.reader(io.StringIO(lines.decode()))
        ]
    columns = [frame[name].to_numpy() for name in ("at", "open", "high", "low", "close", "size", "known_at")]
    ids = frame["trade_id"].fill_null("").to_list()
    if (
        frame["open"].equals(frame["high"])
        and frame["open"].equals(frame["low"])
        and frame["open"].equals(frame["close"])
    ):
        return Prints.of_trades(columns[0], ids, columns[4], columns[5], columns[6])
    return Prints(columns[0], ids, *columns[1:])
