"""Universes and adjusted bars against brute force: at random moments and watermarks, versions late, early and restated.

The oracles are written from docs/corporate-actions.md in plain Python and read the versions as they were written, not
the database.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import psycopg
import pytest

pytestmark = [pytest.mark.engines]

FIRST = date(2020, 1, 1)
ORIGIN = datetime(2020, 1, 1, tzinfo=UTC)
BATCH = (
    "insert into raw.ingestion_batches (kind, source, mode, received_at, payload_key, payload_sha256, payload_name, "
    "rows_in, rows_published, rows_unchanged, rows_merged, rows_quarantined, status, watermark, trace_id) "
    "values ('actions', 'files', 'history', now(), 'k', repeat('0', 64), 'n', 0, 0, 0, 0, 0, 'published', "
    "raw.take_watermark('test'), 't') returning batch_id, watermark"
)


@dataclass(frozen=True)
class Version:
    """One version of a row: its key, its value, since when it is known, and its publication."""

    key: tuple[str, date]
    value: Decimal | bool
    known_at: datetime
    watermark: int


def _in_force(versions: list[Version], as_of: datetime, up_to: int) -> dict[tuple[str, date], Version]:
    found: dict[tuple[str, date], Version] = {}
    for one in versions:
        if one.known_at <= as_of and one.watermark <= up_to:
            other = found.get(one.key)
            if other is None or (other.known_at, other.watermark) < (one.known_at, one.watermark):
                found[one.key] = one
    return found


def _publications(conn: psycopg.Connection, count: int) -> Iterator[tuple[psycopg.Connection, int, int]]:
    """Yield a transaction with its batch and watermark, `count` times."""
    for _ in range(count):
        with conn.transaction():
            batch, watermark = conn.execute(BATCH).fetchone() or (0, 0)
            yield conn, batch, watermark


def test_a_universe_is_what_was_known_then(conn: psycopg.Connection) -> None:
    chance = random.Random(20260901)
    versions: list[Version] = []
    for opened, batch, watermark in _publications(conn, 60):
        for symbol in chance.sample("abcdefghXYZ", chance.randint(1, 3)):
            effective = FIRST + timedelta(days=chance.randrange(12))
            known_at = datetime.combine(effective, datetime.min.time(), UTC) + timedelta(
                days=chance.choice([0, 0, 1, 9])
            )
            member = chance.random() < 0.6
            versions.append(Version((symbol, effective), member, known_at, watermark))
            opened.execute(
                "insert into trading.universe_members (source, universe, symbol, effective_date, is_member, nominal_at, "
                "known_at, watermark, batch_id, row_hash) values ('files', 'u', %s, %s, %s, %s, %s, %s, %s, sha256(''))",
                (symbol, effective, member, effective, known_at, watermark, batch),
            )
    newest = versions[-1].watermark
    answers = set()
    for _ in range(400):
        on = FIRST + timedelta(days=chance.randrange(-1, 14))
        as_of = ORIGIN + timedelta(hours=chance.randrange(-24, 24 * 24))
        up_to = chance.randrange(newest + 2)
        expected: dict[str, tuple[date, bool]] = {}
        for (symbol, effective), one in _in_force(versions, as_of, up_to).items():
            if effective <= on and (symbol not in expected or expected[symbol][0] < effective):
                expected[symbol] = (effective, bool(one.value))
        members = sorted(symbol for symbol, (_, is_member) in expected.items() if is_member)
        found = conn.execute(
            "select symbol from trading.universe_as_of('u', %s, %s, %s)", (on, as_of, up_to)
        ).fetchall()
        assert [symbol for (symbol,) in found] == members, (on, as_of, up_to)
        answers.add(tuple(members))
    assert len(answers) > 30  # the questions did tell states of knowledge apart


def test_bars_are_adjusted_by_what_was_known_then(conn: psycopg.Connection) -> None:
    chance = random.Random(20260902)
    bars = {("bar", FIRST + timedelta(days=day)): Decimal(chance.randrange(50, 150)) for day in range(20)}
    known: dict[str, list[Version]] = {"split": [], "dividend": []}
    for opened, batch, watermark in _publications(conn, 1):
        opened.execute("select raw.make_partitions('prices', %s::timestamptz[])", ([day for _, day in bars],))
        for (_, day), price in bars.items():
            opened.execute(
                "insert into raw.price_bars (source, symbol, interval, timestamp, open, high, low, close, volume, "
                "adjustment, nominal_at, known_at, watermark, batch_id, row_hash) values ('files', 'A', '1d', %s, "
                "%s, %s, %s, %s, 1000, 'raw', %s, %s, %s, %s, sha256(''))",
                (
                    day,
                    *[price] * 4,
                    *[datetime.combine(day, datetime.min.time(), UTC) + timedelta(hours=21)] * 2,
                    watermark,
                    batch,
                ),
            )
    for opened, batch, watermark in _publications(conn, 40):
        kind = chance.choice(["split", "dividend"])
        ex_date = FIRST + timedelta(days=chance.choice([0, 3, 4, 9, 15]))
        value = Decimal(chance.choice(["2", "3", "0.5", "1"] if kind == "split" else ["0", "0.25", "10", "1.5"]))
        known_at = datetime.combine(ex_date, datetime.min.time(), UTC) + timedelta(days=chance.choice([0, 0, 1, 5]))
        known[kind].append(Version((kind, ex_date), value, known_at, watermark))
        opened.execute(
            "insert into raw.corporate_actions (source, symbol, kind, ex_date, ratio, amount, nominal_at, known_at, "
            "watermark, batch_id, row_hash) values ('files', 'A', %s, %s, %s, %s, %s, %s, %s, %s, sha256(''))",
            (kind, ex_date, *((value, None) if kind == "split" else (1, value)), ex_date, known_at, watermark, batch),
        )
    newest = watermark
    for _ in range(120):
        as_of = ORIGIN + timedelta(hours=chance.randrange(24 * 26))
        up_to = chance.randrange(2, newest + 1)
        prices = {
            day: p
            for (_, day), p in bars.items()
            if datetime.combine(day, datetime.min.time(), UTC) + timedelta(hours=21) <= as_of
        }
        for method in ("forward", "back", "total_return"):
            rows = conn.execute(
                "select timestamp::date, adjusted_close, adjusted_volume, known_at from "
                "features.adjusted_bars('files', 'A', '1d', %s, %s, %s)",
                (as_of, up_to, method),
            ).fetchall()
            splits, paid = (_in_force(known[kind], as_of, up_to) for kind in ("split", "dividend"))
            assert [row[0] for row in rows] == sorted(prices)
            for day, close, volume, known_at in rows:
                shares, growth = _factors(day, prices, splits, paid, method)
                assert abs(Fraction(close) - Fraction(prices[day]) * shares * growth) <= Fraction(1, 10**8)
                assert abs(Fraction(volume) - 1000 / shares) <= Fraction(1, 10**8)
                assert known_at <= as_of


def _factors(
    day: date,
    prices: dict[date, Decimal],
    splits: dict[tuple[str, date], Version],
    paid: dict[tuple[str, date], Version],
    method: str,
) -> tuple[Fraction, Fraction]:
    shares, growth, whole = Fraction(1), Fraction(1), Fraction(1)
    for (_, ex_date), one in splits.items():
        whole *= Fraction(one.value)
        shares *= Fraction(one.value) if ex_date <= day else 1
    for (_, ex_date), one in paid.items():
        before = [other for other in prices if other < ex_date]
        if ex_date <= day and before:
            close = Fraction(prices[max(before)])
            growth *= close / (close - Fraction(one.value))
    return (shares / whole if method == "back" else shares), (growth if method == "total_return" else Fraction(1))
