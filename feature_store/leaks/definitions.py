"""Judge a definition of a versioned view: its SQL over inputs without their future, and with another one.

What comes out must be what is stored as known at the moment of the cut. So the rows that training learns from are
judged themselves, not only the SQL. All of it is set-based and inside PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import psycopg

from feature_store.leaks.cutting import Scope, choose_series, cut, moments, warm_up
from feature_store.leaks.differing import Comparison
from feature_store.leaks.future import append_news, append_prices
from feature_store.leaks.subjects import Subject, current_only, reads_more
from feature_store.views import DAILY
from trading.errors import InputError
from trading.leaks.findings import ROW_COLUMN, Finding, Report

THOROUGH_ROWS = 50_000  # up to so many bars all moments are cut at; above, the middle alone unless asked for


@contextmanager
def rolled_back(url: str) -> Iterator[psycopg.Connection]:
    """Yield a connection whose transaction leaves nothing behind."""
    from trading.adapters.postgres import engine_errors

    with (
        engine_errors(),
        psycopg.connect(url, application_name="tradeloom-leaks", options="-c timezone=UTC -c jit=off") as conn,
    ):
        conn.execute("set local work_mem = '256MB'")
        try:
            yield conn
        finally:
            conn.rollback()


def judge_definition(
    conn: psycopg.Connection, subject: Subject, scope: Scope | None = None, *, thorough: bool | None = None
) -> Report:
    """Return what leaks of a definition; the transaction of `conn` must be rolled back after.

    Args:
        thorough: Cut early, late and around splits and revisions too; by default if there are up to 50,000 bars.

    Raises:
        InputError: there are no bars to judge by.
    """
    newest, up_to = _watermarks(conn, subject)
    conn.execute("drop table if exists pg_temp.leak_series")
    bars = choose_series(conn, scope or Scope(), up_to)
    if not bars:
        raise InputError(f"expected bars to judge {subject.view} by, found none; ingest prices first")
    at_all = bars <= THOROUGH_ROWS if thorough is None else thorough
    when, first, rows = moments(conn, up_to, subject.view, thorough=at_all), dict[str, Finding](), 0
    for finding in _static(conn, subject, when[0]):
        first[finding.column] = finding
    appends = reads_more(conn, subject)
    for at in when:
        cut(conn, subject, at, up_to, newest)
        comparison = Comparison(subject, at, newest, _working(conn))
        rows = max(rows, _judge_at(conn, comparison, first, appends=appends))
    early, warming = warm_up(conn, subject, newest) if at_all else [], dict[str, Finding]()
    for at in early:
        cut(conn, subject, at, up_to, newest, future=False)
        comparison = Comparison(subject, at, newest, _working(conn))
        _compare(conn, comparison, ("leak_known",), None, "truncated", "bars", warming)
    first = warming | first  # what a mistake is, is told better with more rows
    return Report(subject.view, "definition", subject.columns, rows, len(early) + len(when), tuple(first.values()))


def _judge_at(conn: psycopg.Connection, comparison: Comparison, first: dict[str, Finding], *, appends: bool) -> int:
    """Judge one cut in both futures and keep the first finding of each column; return how many rows were compared.

    Args:
        appends: Whether the other future is also put into the tables that the SQL reads beside its working rows.
    """
    rows = _compare(conn, comparison, ("leak_known",), None, "truncated", "bars", first)
    inputs, watermark, cause = ("leak_known", "leak_scrambled"), None, "bars"
    before = set(first)
    if appends:
        conn.execute("savepoint true_past")
        watermark, cause = _append(conn, comparison.subject, comparison.at)
    scrambled: dict[str, Finding] = {}
    _compare(conn, comparison, inputs, watermark, "scrambled", cause, scrambled)
    if appends:
        conn.execute("rollback to savepoint true_past")
        if scrambled:  # later rows, or what was appended beside them: the later rows alone say which
            _compare(conn, comparison, inputs, None, "scrambled", "bars", scrambled)
    for column, finding in scrambled.items():
        if column not in before:
            first.setdefault(column, finding)
    return rows


def _append(conn: psycopg.Connection, subject: Subject, at: datetime) -> tuple[int | None, str]:
    """Append what became known later; return the watermark to read it by, and what it is a cause of."""
    if subject.view == DAILY:
        return append_news(conn, subject, at).watermark, "news"
    append_prices(conn, at)
    return None, "restatements"


def _compare(
    conn: psycopg.Connection,
    comparison: Comparison,
    inputs: tuple[str, ...],
    news_up_to: int | None,
    future: str,
    cause: str,
    first: dict[str, Finding],
) -> int:
    rows, one_sided, changed = comparison.count(conn, inputs, news_up_to)
    if one_sided or changed:
        for finding in comparison.findings(conn, inputs, news_up_to, future, cause, rows):
            known = first.get(finding.column)
            if known is None or (finding.timestamp, finding.cause) <= (known.timestamp, known.cause):
                first[finding.column] = finding
    return rows


def _watermarks(conn: psycopg.Connection, subject: Subject) -> tuple[int, int]:
    """Return up to where stored rows are read, and the newest publication that they reflect."""
    row = conn.execute(
        "select coalesce(max(a.watermark), 0), coalesce(max(a.source_watermark), 0)"
        " from features.advances as a where a.definition = %s",
        (subject.definition or subject.indicators,),
    ).fetchone()
    if row is not None and row[1]:
        return row[0], row[1]
    newest = conn.execute("select raw.newest_watermark()").fetchone()
    return (newest[0], newest[0]) if newest else (0, 0)


def _working(conn: psycopg.Connection) -> tuple[str, ...]:
    found = conn.execute(
        "select attname from pg_attribute where attrelid = 'pg_temp.leak_known'::regclass and attnum > 0 order by attnum"
    )
    return tuple(row[0] for row in found)


def _static(conn: psycopg.Connection, subject: Subject, at: datetime) -> list[Finding]:
    """Find relations that keep no versions: what they answer is today's, whatever it is asked of."""
    names = current_only(conn, subject)
    if not names:
        return []
    moment = at.isoformat()
    return [
        Finding(
            ROW_COLUMN,
            "*",
            moment,
            moment,
            moment,
            "scrambled",
            ", ".join(names),
            None,
            None,
            0,
            "current_only",
            "restatements",
        )
    ]
