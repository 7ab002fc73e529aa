"""The working rows of a definition as known at a moment, and with another future behind them, as temporary tables.

leak_series     which series are judged
leak_known      the rows that could be computed at the moment, inputs as known then
leak_future     up to 250 rows of each series that came later, as they came
leak_scrambled  the same rows, saying something else
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import sql

from feature_store.leaks.subjects import Subject
from feature_store.views import INDICATORS, is_of_bars

FUTURE_ROWS = 250  # of each series: enough to move any statistic; what reaches further is seen when all of it is gone
SEED = 7
# By one factor per row, from 1.2 to 2.2 or the inverse, a function of the row's key.
_FACTOR = """
    case when h.code % 2 = 0 then 1.2 + h.code % 1000 / 1000.0 else 1 / (1.2 + h.code % 1000 / 1000.0) end
"""
_CODE = "abs(hashtextextended(p.symbol || extract(epoch from p.timestamp)::text, {seed}) % 1000000)"


@dataclass(frozen=True)
class Scope:
    """Which series are judged; all of them if nothing is named."""

    source: str | None = None
    symbols: Sequence[str] | None = None
    interval: str | None = None


def choose_series(conn: psycopg.Connection, scope: Scope, up_to: int) -> int:
    """Make `leak_series` and return how many bars they have in all."""
    conn.execute(
        "create temporary table leak_series on commit drop as"
        " select b.source, b.symbol, b.interval, count(*) as bars from raw.price_bars as b"
        " where b.watermark <= %(w)s and (%(source)s::text is null or b.source = %(source)s)"
        " and (%(symbols)s::text[] is null or b.symbol = any(%(symbols)s))"
        " and (%(interval)s::text is null or b.interval = %(interval)s)"
        " group by b.source, b.symbol, b.interval",
        {"w": up_to, "source": scope.source, "symbols": _list(scope.symbols), "interval": scope.interval},
    )
    found = conn.execute("select coalesce(sum(bars), 0) from leak_series").fetchone()
    return int(found[0]) if found else 0


_MOMENTS = """
with known as (
    select b.known_at from leak_series as s
    join raw.price_bars as b on b.source = s.source and b.symbol = s.symbol and b.interval = s.interval
    where b.watermark <= %(w)s
)
select percentile_disc(%(shares)s::double precision[]) within group (order by known_at) from known
"""

# Just before the last split, and just before the last bar that came after a later one of its series.
_EVENTS = """
select max(a.known_at) - interval '1 microsecond'
from leak_series as s join raw.corporate_actions as a on a.source = s.source and a.symbol = s.symbol
where a.watermark <= %(w)s and a.kind = 'split'
union all
select max(b.known_at) - interval '1 microsecond'
from leak_series as s
join raw.price_bars as b on b.source = s.source and b.symbol = s.symbol and b.interval = s.interval
where b.watermark <= %(w)s and b.known_at > b.nominal_at
    and exists (
        select from raw.price_bars as e
        where e.source = b.source and e.symbol = b.symbol and e.interval = b.interval and e.timestamp >= b.timestamp
            and e.bar_id <> b.bar_id and e.known_at < b.known_at)
"""


def moments(conn: psycopg.Connection, up_to: int, view: str = INDICATORS, *, thorough: bool) -> list[datetime]:
    """Return when to cut: in the middle; thoroughly also early, late, before the last split and the last revision.

    A daily row is made of its own indicator row and of news: two cuts show what they show at all.
    """
    shares = [0.5]
    if thorough:
        shares = [1 / 3, 0.5, 0.95] if is_of_bars(view) else [0.5, 0.95]
    found = conn.execute(_MOMENTS, {"w": up_to, "shares": shares}).fetchone()
    chosen: list[datetime] = [] if found is None or found[0] is None else list(found[0])
    if thorough and is_of_bars(view):
        chosen += [row[0] for row in conn.execute(_EVENTS, {"w": up_to}) if row[0] is not None]
    return sorted(set(chosen))


def warm_up(conn: psycopg.Connection, subject: Subject, newest: int) -> list[datetime]:
    """Return when the values of each column begin: one that is filled from behind is the first of its column."""
    if subject.definition is None or not is_of_bars(subject.view):
        return []
    begins = [
        sql.SQL("min(v.known_at) filter (where v.{} is not null)").format(sql.Identifier(name))
        for name in subject.columns
    ]
    found = conn.execute(
        sql.SQL("select array[{begins}] from {view} as v join leak_series as s using (source, symbol, interval)"
                " where v.definition = {definition} and v.watermark <= {newest}").format(
            begins=sql.SQL(", ").join(begins), view=sql.Identifier(*subject.view.split(".")),
            definition=sql.Literal(subject.definition), newest=sql.Literal(newest))
    ).fetchone()  # fmt: skip
    return sorted({at for at in found[0] if at is not None}) if found else []


def cut(
    conn: psycopg.Connection, subject: Subject, at: datetime, up_to: int, newest: int, *, future: bool = True
) -> int:
    """Make `leak_known`, `leak_future` and `leak_scrambled` for one moment; return how many rows are known.

    Args:
        up_to: The watermark by which raw tables are read.
        newest: That by which derived rows are read.
        future: False where only `leak_known` is asked for: the future is the dear part of an early cut.
    """
    conn.execute(
        "drop table if exists pg_temp.leak_known, pg_temp.leak_newest, pg_temp.leak_future, pg_temp.leak_scrambled"
    )
    known, later = (_BARS, _LATER_BARS) if is_of_bars(subject.view) else (_ROWS, _LATER_ROWS)
    asked = {"at": at, "w": up_to, "newest": newest, "rows": FUTURE_ROWS, "indicators": subject.indicators}
    asked["rule"] = subject.actions_from
    conn.execute("create temporary table leak_known on commit drop as " + known, asked)
    conn.execute("analyze pg_temp.leak_known")
    conn.execute(
        "create temporary table leak_newest on commit drop as select source, symbol, interval, max(timestamp) as newest"
        " from leak_known group by source, symbol, interval"
    )
    if future:
        conn.execute("create temporary table leak_future on commit drop as " + later, asked)
        conn.execute(
            sql.SQL("create temporary table leak_scrambled on commit drop as select {columns} from leak_future as p cross join"
                    " lateral (select {code} as code) as h").format(
                columns=_otherwise(conn), code=sql.SQL(_CODE.format(seed=SEED)))
        )  # fmt: skip
    found = conn.execute("select count(*) from leak_known").fetchone()
    return int(found[0]) if found else 0


_BARS = """
select p.*
from leak_series as s
cross join lateral features.bars_by_rule(
    null, (s.source, s.symbol, s.interval, 0, '-infinity', %(at)s::timestamptz, '-infinity')::features.segment, %(w)s, 0,
    'infinity', %(rule)s) as p
"""

# Later bars in the versions that came first, with the splits known in the end.
_LATER_BARS = """
select p.*
from leak_newest as s
cross join lateral (
    select later.timestamp from (
        select distinct b.timestamp from raw.price_bars as b
        where b.source = s.source and b.symbol = s.symbol and b.interval = s.interval
            and b.timestamp > s.newest and b.watermark <= %(w)s
        order by b.timestamp limit %(rows)s) as later
    order by later.timestamp desc limit 1
) as l
cross join lateral features.bars_by_rule(
    null, (s.source, s.symbol, s.interval, 0, '-infinity', 'infinity', s.newest + interval '1 microsecond')::features.segment,
    %(w)s, 0, l.timestamp, %(rule)s) as p
where p.timestamp > s.newest
"""

_INDICATORS_AT = """
    select distinct on (i.source, i.symbol, i.interval, i.timestamp) i.*
    from marts.indicators as i
    join leak_series as s on s.source = i.source and s.symbol = i.symbol and s.interval = i.interval
    where i.definition = %(indicators)s and i.watermark <= %(newest)s and i.known_at <= {until}
    order by i.source, i.symbol, i.interval, i.timestamp, i.known_at desc, i.watermark desc, i.row_id desc
"""

_ROWS = f"""
select i.*, i.nominal_at as decision_at, %(w)s::bigint as up_to from (
    {_INDICATORS_AT.format(until="%(at)s::timestamptz")}
) as i
"""

_LATER_ROWS = f"""
select ranked.* from (
    select i.*, i.nominal_at as decision_at, %(w)s::bigint as up_to,
        row_number() over (partition by i.source, i.symbol, i.interval order by i.timestamp) as place
    from ({_INDICATORS_AT.format(until="'infinity'")}) as i
    join leak_newest as n on n.source = i.source and n.symbol = i.symbol and n.interval = i.interval
    where i.timestamp > n.newest
) as ranked
where ranked.place <= %(rows)s
"""


def _otherwise(conn: psycopg.Connection) -> sql.Composed:
    """Return the columns of `leak_future`, every number of the market among them scaled; sales volume and all."""
    described = conn.execute(
        "select attname, format_type(atttypid, atttypmod) from pg_attribute"
        " where attrelid = 'pg_temp.leak_future'::regclass and attnum > 0 order by attnum"
    ).fetchall()
    return sql.SQL(", ").join(_column(name, kind) for name, kind in described)


def _column(name: str, kind: str) -> sql.Composed:
    column = sql.Identifier(name)
    if kind.startswith("numeric") or kind == "double precision":
        scaled = sql.SQL("(p.{column} * ({factor}))::{kind} as {column}")
        return scaled.format(column=column, factor=sql.SQL(_FACTOR), kind=sql.SQL(kind))
    return sql.SQL("p.{column}").format(column=column)


def _list(symbols: Sequence[str] | None) -> list[str] | None:
    return None if symbols is None else list(symbols)
