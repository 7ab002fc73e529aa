"""Partitions of time for the rows that are about to be written; how they are made is in SQL (migration 0050).

Called in the publishing transaction, before its rows: a partition stands with them or not at all. Those of this year and
the next stand already, so this makes some only for back history.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime

import psycopg
from psycopg import sql

from trading.ingestion.reader import Kind


def make_partitions(conn: psycopg.Connection, kind: Kind, moments: Collection[datetime]) -> None:
    """Make what lacks for rows of `kind` at these times, in their table and in those derived from it."""
    first_of_day: dict[date, datetime] = {}
    for moment in moments:
        day = moment.date()
        first_of_day[day] = min(moment, first_of_day.get(day, moment))
    if first_of_day:
        conn.execute("select raw.make_partitions(%s, %s)", (kind, list(first_of_day.values())))


def make_partitions_for_staged(conn: psycopg.Connection) -> None:
    """Make what lacks for the bars of this session's staging table."""
    conn.execute("select raw.make_partitions_for('prices', 'pg_temp.staged_bars')")


def analyze_staged(conn: psycopg.Connection) -> None:
    """Gather the statistics of the table of bars and of its partitions in the time of the staged ones."""
    ends = conn.execute("select min(timestamp), max(timestamp) from pg_temp.staged_bars").fetchone()
    conn.execute("call raw.analyze_partitions('raw.price_bars', %s, %s)", ends)


def analyze(conn: psycopg.Connection, table: str, moments: Collection[datetime]) -> None:
    """Gather the statistics of a table, and where it has partitions of those in the time of these moments."""
    if moments:
        conn.execute("call raw.analyze_partitions(%s, %s, %s)", (table, min(moments), max(moments)))
    else:
        conn.execute(sql.SQL("analyze {}").format(sql.Identifier(*table.split("."))))
