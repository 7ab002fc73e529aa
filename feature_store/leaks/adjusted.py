"""Judge the adjusted series: as known at a moment, none of the three may change by what becomes known after it.

A series of which a method gives no answer (a total return of prices that came adjusted) has nothing to judge by it.
"""

from __future__ import annotations

from datetime import datetime

import psycopg

from feature_store.leaks.cutting import Scope, choose_series, moments
from feature_store.leaks.future import append_prices
from trading.leaks.findings import Finding, Report

METHODS = ("forward", "back", "total_return")
COLUMNS = ("open", "high", "low", "close", "volume")

_SERIES = """
create temporary table {name} on commit drop as
select s.source, s.symbol, s.interval, a.timestamp, a.known_at, a.adjusted_open as open, a.adjusted_high as high, a.adjusted_low as low,
    a.adjusted_close as close, a.adjusted_volume as volume
from answered as s
cross join lateral features.adjusted_bars(s.source, s.symbol, s.interval, %(at)s, %(w)s, %(method)s) as a
"""

_CHECK = "select features.check_adjustment(%s, %s, %s, %s, %s, %s)"

_CHANGED = """
select b.symbol, b.timestamp, b.known_at, b.{column}::double precision, a.{column}::double precision, count(*) over ()
from before_it as b full join after_it as a using (source, symbol, interval, timestamp)
where b.{column} is distinct from a.{column}
order by b.timestamp, b.symbol limit 1
"""


def judge_adjusted(conn: psycopg.Connection, scope: Scope | None = None, *, thorough: bool = False) -> list[Report]:
    """Return a report for each method; the transaction of `conn` must be rolled back after."""
    newest = conn.execute("select raw.newest_watermark()").fetchone()
    up_to = newest[0] if newest else 0
    conn.execute("drop table if exists pg_temp.leak_series")
    if not choose_series(conn, scope or Scope(), up_to):
        return []
    when = moments(conn, up_to, thorough=thorough)
    return [_judged(conn, method, when, up_to) for method in METHODS]


def _judged(conn: psycopg.Connection, method: str, when: list[datetime], up_to: int) -> Report:
    first, rows = dict[str, Finding](), 0
    for at in when:
        conn.execute("savepoint true_past")
        _choose_answered(conn, method, at, up_to)
        conn.execute(_SERIES.format(name="before_it"), {"at": at, "w": up_to, "method": method})
        watermark = append_prices(conn, at).watermark
        conn.execute(_SERIES.format(name="after_it"), {"at": at, "w": watermark, "method": method})
        counted = conn.execute("select count(*) from before_it").fetchone()
        rows = max(rows, counted[0] if counted else 0)
        for column in COLUMNS:
            if (finding := _first(conn, column, at)) is not None:
                first.setdefault(column, finding)
        conn.execute("rollback to savepoint true_past")
    return Report(f"features.adjusted_bars {method}", "series", COLUMNS, rows, len(when), tuple(first.values()))


def _choose_answered(conn: psycopg.Connection, method: str, at: datetime, up_to: int) -> None:
    """Make `answered`, the chosen series of which the method has an answer as known at `at`; the others say why not."""
    conn.execute("create temporary table answered (source text, symbol text, interval text) on commit drop")
    for series in conn.execute("select source, symbol, interval from leak_series").fetchall():
        try:
            with conn.transaction():
                conn.execute(_CHECK, (*series, at, up_to, method))
        except psycopg.errors.InvalidParameterValue:
            continue
        conn.execute("insert into answered values (%s, %s, %s)", series)


def _first(conn: psycopg.Connection, column: str, at: datetime) -> Finding | None:
    row = conn.execute(_CHANGED.format(column=column)).fetchone()
    if row is None:
        return None
    symbol, timestamp, known_at, before, after, changed = row
    both = before is not None and after is not None
    return Finding(
        column=column,
        symbol=str(symbol),
        timestamp=timestamp.isoformat(),
        decision_at=(known_at or at).isoformat(),
        moment=at.isoformat(),
        future="scrambled",
        before=before,
        after=after,
        difference=after - before if both else None,
        changed_rows=changed,
        kind="actions",
        cause="actions",
    )
