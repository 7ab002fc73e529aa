"""Comparisons in the warehouse: one row per window, model and state of knowledge; a repeated one adds nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

from trading.evaluation.comparison import Comparison


@dataclass(frozen=True)
class ComparisonTerms:
    """What was compared: whose bars, which universe (empty: the built-in one), which model on which window."""

    source: str
    universe: str
    model_name: str
    model_version: str
    first_timestamp: datetime
    last_timestamp: datetime
    members: Sequence[str]
    todays_members: Sequence[str]
    restated_bars: int
    watermark: int


_COLUMNS = (
    "source, universe, model_name, model_version, first_timestamp, last_timestamp, members, todays_members, "
    "buy_and_hold_return, model_return, todays_buy_and_hold_return, todays_model_return, "
    "latest_buy_and_hold_return, latest_model_return, restated_bars"
)
_RECORD = f"""
insert into trading.comparisons ({_COLUMNS}, watermark)
select *, %(watermark)s from (values (
    %(source)s, %(universe)s, %(model_name)s, %(model_version)s, %(first_timestamp)s::timestamptz,
    %(last_timestamp)s::timestamptz, %(members)s::text[], %(todays_members)s::text[], %(was_held)s::double precision,
    %(was_model)s::double precision, %(todays_held)s::double precision, %(todays_model)s::double precision,
    %(latest_held)s::double precision, %(latest_model)s::double precision, %(restated_bars)s::integer
)) as told ({_COLUMNS})
where row(told.*) is distinct from (
    select row({_COLUMNS}) from trading.comparisons where source = %(source)s order by comparison_id desc limit 1)
"""
_NEWEST = """
select *, todays_buy_and_hold_return - buy_and_hold_return as survivorship_buy_and_hold,
    todays_model_return - model_return as survivorship_model,
    latest_buy_and_hold_return - buy_and_hold_return as restatement_buy_and_hold,
    latest_model_return - model_return as restatement_model
from trading.comparisons where source = %s order by comparison_id desc limit 1
"""


def record_comparison(conn: psycopg.Connection, terms: ComparisonTerms, found: Comparison) -> None:
    """Keep a comparison unless the newest one of its source says the same."""
    returns = {
        "was_held": found.as_it_was.buy_and_hold,
        "was_model": found.as_it_was.model,
        "todays_held": found.todays_members.buy_and_hold,
        "todays_model": found.todays_members.model,
        "latest_held": found.latest_versions.buy_and_hold,
        "latest_model": found.latest_versions.model,
    }
    lists = {"members": list(terms.members), "todays_members": list(terms.todays_members)}
    conn.execute(_RECORD.encode(), {**vars(terms), **lists, **returns})


def newest_comparison(conn: psycopg.Connection, source: str) -> dict[str, Any] | None:
    """Return the newest comparison of a source by column, with its four differences; None if there is none."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_NEWEST, [source]).fetchone()
