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


def make_partitions_for(conn: psycopg.Connection, kind: Kind, staging: str) -> None:
    """Make what lacks for the rows of a staging table of this session."""
    conn.execute("select raw.make_partitions_for(%s, %s)", (kind, f"pg_temp.{staging}"))


def analyze_for(conn: psycopg.Connection, table: str, staging: str) -> None:
    """Gather the statistics of a table and of its partitions in the time of the rows of a staging table."""
    ends = sql.SQL("select min(timestamp), max(timestamp) from {}").format(sql.Identifier("pg_temp", staging))
    conn.execute("call raw.analyze_partitions(%s, %s, %s)", (table, *(conn.execute(ends).fetchone() or ())))


def analyze(conn: psycopg.Connection, table: str, moments: Collection[datetime]) -> None:
    """Gather the statistics of a table, and where it has partitions of those in the time of these moments."""
    if moments:
        conn.execute("call raw.analyze_partitions(%s, %s, %s)", (table, min(moments), max(moments)))
    else:
        conn.execute(sql.SQL("analyze {}").format(sql.Identifier(*table.split("."))))
