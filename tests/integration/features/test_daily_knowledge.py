"""Bars, headlines, corrections and scores in any order of arrival: every daily row is what raw alone gives again."""

from __future__ import annotations

import random
import secrets
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from feature_store import definitions

pytestmark = pytest.mark.engines
DAYS = [date(2024, 4, 1) + timedelta(days=n) for n in range(40) if (date(2024, 4, 1) + timedelta(days=n)).weekday() < 5]


def moment(day: date, hours: float) -> datetime:
    return datetime.fromisoformat(f"{day}T00:00:00+00:00") + timedelta(hours=hours)


def some_bar(w: Any, pick: random.Random, place: int, delay_days: int) -> Any:
    close = Decimal(pick.randrange(900, 1100)) / 100
    known = moment(DAYS[place], 21.25) + timedelta(days=delay_days)
    return w.Bar("AAA", DAYS[place], close, close + 1, close - 1, close, pick.randrange(1, 999), known)


def publish_item(w: Any, pick: random.Random, serial: int) -> None:
    """A headline or a new version of one, for AAA or no longer for it, on time or late, scored now, later or never."""
    published = moment(pick.choice(DAYS), pick.choice([1, 12, 20.9, 21.1, 23]))
    known = published + timedelta(days=pick.choice([0, 0, 1, 4]))
    item = w.publish_news(f"n{pick.randrange(6)}", pick.choice(["AAA", "AAA", "BBB"]), published, known)
    if pick.random() < 0.8:
        w.score(item, pick.randrange(-100, 101) / 100)
    elif serial % 3 == 0:
        w.score(item, 0.5, version="2")


@pytest.mark.parametrize("seed", range(2))
def test_every_daily_row_is_what_raw_gives_again_at_every_moment_and_watermark(warehouse: Any, seed: int) -> None:
    w, pick = warehouse, random.Random(seed)
    w.fill_calendar(date(2024, 3, 1), DAYS[-1] + timedelta(days=20))
    w.conn.execute(
        "insert into trading.instruments (symbol, asset_class, calendar, currency, tick_size, lot_size, multiplier,"
        " is_draft, known_at, watermark, row_hash) values ('AAA', 'equity', 'XNYS', 'USD', 0.01, 1, 1, false,"
        " '1970-01-01Z', raw.take_watermark('t'), %s)",
        (secrets.token_bytes(32),),
    )
    text = definitions.definition(w.url, w.active("features.daily")).sql
    sql = text.replace("'none'", "'head'").replace("'0'", "'1'")
    definitions.register(w.url, "features.daily", sql, {"scorer": "head", "scorer_version": "1"})
    seen, places = [], 0
    for serial in range(14):
        if places < len(DAYS) - 3:
            count = pick.randrange(1, 4)
            w.publish("sample", [some_bar(w, pick, place, 0) for place in range(places, places + count)])
            places += count
        if pick.random() < 0.4:
            w.publish("sample", [some_bar(w, pick, pick.randrange(places), pick.choice([1, 3, 9]))])
        for _ in range(pick.randrange(0, 3)):
            publish_item(w, pick, serial)
        if pick.random() < 0.7:
            w.advance()
        seen.append(w.one("select raw.newest_watermark()"))
    w.advance()
    seen.append(w.one("select raw.newest_watermark()"))

    definition, compared = w.active("features.daily"), 0
    for watermark in seen[::3] + seen[-1:]:
        for at in [moment(pick.choice(DAYS), pick.choice([1, 21.25, 30])) for _ in range(4)] + [moment(DAYS[-1], 900)]:
            stored = w.all(
                "select timestamp, row_hash from features.daily_as_of(%s, %s, %s)", definition, at, watermark
            )
            for timestamp, row_hash in stored[-4:] + stored[:1]:
                again = w.all(
                    "select row_hash from features.recompute(%s, 'sample', 'AAA', '1d', %s, %s, %s)",
                    definition, timestamp, at, watermark,
                )  # fmt: skip
                assert again == [(row_hash,)], (timestamp, at, watermark)
                compared += 1
    assert compared > 50
    assert w.one("select count(*) from features.daily where sentiment <> 0") > 5
