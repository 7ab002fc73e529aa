"""A split acts from the opening of its session on, which in Sydney's summer and for futures is the eve in UTC."""

from __future__ import annotations

import json
import random
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import pytest

from feature_store import definitions
from orchestration import cli
from trading.adapters.adjusted_bars import adjusted_bars
from trading.adapters.sessions import ensure_sessions
from trading.calendar import Session, exchange_sessions

pytestmark = pytest.mark.engines

EX_DATE = date(2024, 1, 17)
INDICATORS = "marts.indicators"
FOREVER = datetime(2100, 1, 1, tzinfo=UTC)
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    warehouse: Any, object_store_settings: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Run `tradeloom` on the warehouse; return its exit code, its stdout and its stderr."""
    monkeypatch.setenv("TRADELOOM_POSTGRES_URL", warehouse.url)
    for name in ("endpoint", "access_key", "secret_key", "bucket"):
        monkeypatch.setenv(f"TRADELOOM_S3_{name.upper()}", getattr(object_store_settings, name))

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["tradeloom", *arguments])
        try:
            cli.main()
        except SystemExit as end:
            return (int(end.code or 0), *capsys.readouterr())
        return (0, *capsys.readouterr())

    return call


def starts_of(session: Session, length: timedelta) -> Iterator[datetime]:
    """The starts of the bars of a session, break or not."""
    for opens_at, closes_at in session.stretches:
        at = opens_at
        while at < closes_at:
            yield at
            at += length


def write_bars(file: Path, symbol: str, calendar: str, minutes: int) -> int:
    """Write nine sessions of bars at 100, at 50 from the session of EX_DATE on; return how many."""
    lines = ["symbol,timestamp,open,high,low,close,volume,interval"]
    label = f"{minutes}m" if minutes < 60 else f"{minutes // 60}h"
    for session in exchange_sessions(calendar, date(2024, 1, 9), date(2024, 1, 19)):
        price, volume = (50, 20) if session.session_date >= EX_DATE else (100, 10)
        for at in starts_of(session, timedelta(minutes=minutes)):
            lines.append(f"{symbol},{at:%Y-%m-%dT%H:%M:%SZ},{price},{price},{price},{price},{volume},{label}")
    file.write_text("\n".join([*lines, ""]))
    return len(lines) - 1


def ingest(run: Run, kind: str, file: Path, *words: str) -> None:
    code, _, err = run("ingest", kind, "--source", "files", "--file", str(file), *words)
    assert (code, err) == (0, "")


def deliver(run: Run, tmp_path: Path, symbol: str, calendar: str, minutes: int, *, actions_first: bool = False) -> int:
    bars, actions = tmp_path / f"{symbol}.csv", tmp_path / f"{symbol}-actions.csv"
    count = write_bars(bars, symbol, calendar, minutes)
    actions.write_text(f"symbol,kind,ex_date,ratio\n{symbol},split,{EX_DATE},2\n")
    both = [("prices", bars, "--calendar", calendar), ("actions", actions)]
    for words in reversed(both) if actions_first else both:
        ingest(run, *words)  # type: ignore[arg-type]
    return count


def first_prints(w: Any, symbol: str, definition: str | None = None) -> list[tuple[Any, ...]]:
    """What was known first of each bar, as training sets and backtests read it."""
    found: list[tuple[Any, ...]] = w.all(
        "select distinct on (timestamp) timestamp, close, volume, return_1d from marts.indicators"
        " where symbol = %s and definition = %s order by timestamp, known_at, watermark desc, row_id desc",
        symbol,
        definition or w.active(INDICATORS),
    )
    return found


@pytest.mark.parametrize(
    ("symbol", "calendar", "minutes", "actions_first"),
    [
        ("BHP", "XASX", 60, False),
        ("RIO", "XASX", 15, True),
        pytest.param("ES", "CMES", 60, False, marks=pytest.mark.long),
        pytest.param("IBM", "XNYS", 30, False, marks=pytest.mark.long),
    ],
)
def test_bars_of_the_session_of_the_ex_date_are_adjusted_from_its_opening(
    warehouse: Any, run: Run, tmp_path: Path, symbol: str, calendar: str, minutes: int, actions_first: bool
) -> None:
    w = warehouse
    count = deliver(run, tmp_path, symbol, calendar, minutes, actions_first=actions_first)
    w.advance()
    label = f"{minutes}m" if minutes < 60 else "1h"

    # The eve is in it: every bar is as before the split, in its first print already, and none is known again later.
    assert {row[1:3] for row in first_prints(w, symbol)} == {(100.0, 10.0)}
    assert {row[3] for row in first_prints(w, symbol)} == {None, 0.0}
    made = "select count(distinct (timestamp, known_at)) from marts.indicators where symbol = %s and definition = %s"
    assert w.one(made, symbol, w.active(INDICATORS)) == count
    code, out, _ = run("features", "--symbols", symbol, "--interval", label, "--history", "--json")
    assert (code, {row["close"] for row in json.loads(out)["rows"]}) == (0, {100.0})

    # Days out of them: adjusted they are level; as delivered each session has the shares of its own.
    words = ["features", "bars", "--symbols", symbol, "--of", label, "--json"]
    code, out, _ = run(*words, "--interval", "1d")
    assert (code, {float(bar["low"]) for bar in json.loads(out)["series"][0]["bars"]}) == (0, {100.0})
    code, out, err = run(*words, "--interval", "1d", "--adjustment", "none")
    lows = {
        bar["timestamp"][:10]: (float(bar["low"]), float(bar["high"])) for bar in json.loads(out)["series"][0]["bars"]
    }
    assert (code, err) == (0, "")
    assert {day: prices for day, prices in lows.items() if day in ("2024-01-16", "2024-01-17")} == {
        "2024-01-16": (100.0, 100.0), "2024-01-17": (50.0, 50.0)}  # fmt: skip
    code, _, err = run(*words, "--interval", "1w", "--adjustment", "none")
    assert (code, err.count("\n")) == (1, 1)
    assert "found one in the 1w of 2024-01-15" in err

    # Display and total return, and what reconciling sees.
    for method, factors in (("forward", {1, 2}), ("back", {Decimal("0.5"), 1}), ("total_return", {1, 2})):
        found = adjusted_bars(w.conn, symbol, FOREVER, 2**62, interval=label, adjustment=method)  # type: ignore[arg-type]
        assert {bar.factor for bar in found.bars} == factors
        assert len({bar.adjusted_close for bar in found.bars}) == 1
    code, out, _ = run("reconcile", "--symbols", symbol, "--json")
    assert (code, json.loads(out)["findings"]) == (0, [])


def with_the_first_rule(w: Any) -> str:
    """Register the definition of the releases before, beside the new one: it has no parameter `actions_from`."""
    new = definitions.definition(w.url, w.active(INDICATORS))
    assert new.parameters["actions_from"] == "session"
    parameters = {name: value for name, value in new.parameters.items() if name != "actions_from"}
    return definitions.register(w.url, INDICATORS, new.sql, parameters)


def test_an_older_definition_keeps_its_numbers_beside_the_new_one(warehouse: Any, run: Run, tmp_path: Path) -> None:
    w, new = warehouse, warehouse.active(INDICATORS)
    definitions.retire(w.url, w.active("features.daily"))
    older = with_the_first_rule(w)
    deliver(run, tmp_path, "BHP", "XASX", 60)
    deliver(run, tmp_path, "IBM", "XNYS", 30)
    w.advance()
    assert first_prints(w, "IBM", older) == first_prints(w, "IBM", new)
    eve = datetime(2024, 1, 16, 23, tzinfo=UTC)
    assert [(row[0], row[1], row[3]) for row in first_prints(w, "BHP", older) if row[3]] == [
        (eve, 50.0, -0.5), (eve + timedelta(hours=1), 100.0, 1.0)]  # fmt: skip
    assert [row for row in first_prints(w, "BHP", new) if row[3]] == []
    stored = w.all(
        "select definition, source, symbol, interval, timestamp, known_at, watermark, row_hash from marts.indicators"
        " where symbol = 'BHP' and timestamp between %s and %s", eve - timedelta(hours=2), eve + timedelta(hours=2),
    )  # fmt: skip
    assert {row[0] for row in stored} == {older, new}
    for *asked, row_hash in stored:
        assert w.store.recompute(*asked).row_hash == row_hash.hex()


def test_a_late_split_concerns_the_rows_of_the_eve_too(warehouse: Any, run: Run, tmp_path: Path) -> None:
    w = warehouse
    write_bars(tmp_path / "bars.csv", "BHP", "XASX", 60)
    ingest(run, "prices", tmp_path / "bars.csv", "--calendar", "XASX")
    w.advance()
    (tmp_path / "actions.csv").write_text(f"symbol,kind,ex_date,ratio\nBHP,split,{EX_DATE},2\n")
    ingest(run, "actions", tmp_path / "actions.csv", "--live", "--delivered-at", "2024-02-01T00:00:00Z")
    w.advance()
    eve = datetime(2024, 1, 16, 23, tzinfo=UTC)
    versions = w.all(
        "select close, known_at from marts.indicators where symbol = 'BHP' and timestamp = %s order by known_at", eve
    )
    assert versions == [(50.0, eve + timedelta(minutes=75)), (100.0, datetime(2024, 2, 1, tzinfo=UTC))]
    ((place,),) = w.all(
        "select timestamp from features.split_changes(null, null, 'BHP', %s, %s)", "2024-01-17Z", "2024-01-17Z"
    )
    assert eve - timedelta(hours=1) < place <= eve


class Market:
    """Intraday bars and splits of one symbol, published in pieces, with the truth about them kept aside."""

    def __init__(self, w: Any, rng: random.Random, calendar: str) -> None:
        self.w, self.rng, self.calendar, self.symbol = w, rng, calendar, f"S{secrets.token_hex(4)}"
        self.length = timedelta(minutes=rng.choice((15, 60, 240)))
        begin = date(2023, 12, 18) if rng.random() < 0.5 else date(2024, 3, 25)  # holidays, and the clocks change
        self.sessions = exchange_sessions(calendar, begin, begin + timedelta(days=18))
        self.splits: list[tuple[date, Decimal, datetime]] = []
        w.conn.execute(
            "insert into trading.instruments (symbol, asset_class, calendar, currency, tick_size, lot_size, multiplier,"
            " is_draft, known_at, watermark, row_hash) values (%s, 'equity', %s, 'USD', 0.01, 1, 1, true, '1970-01-01',"
            " raw.take_watermark('test'), %s)", (self.symbol, calendar, secrets.token_bytes(32)),
        )  # fmt: skip

    @property
    def interval(self) -> str:
        minutes = int(self.length.total_seconds()) // 60
        return f"{minutes}m" if minutes < 60 else f"{minutes // 60}h"

    def bring_bars(self, sessions: list[Session]) -> None:
        """Publish the bars of sessions; what they need of the calendar is recorded with them, as ingestion does."""
        w, days = self.w, [session.session_date for session in sessions]
        with w.conn.transaction():
            ensure_sessions(w.conn, [self.calendar], days[0], days[-1], sessions[-1].closes_at)
            watermark = w.one("select raw.take_watermark('test')")
            batch = w._batch("files", watermark, 1)
            starts = [(one, at) for one in sessions for at in starts_of(one, self.length)]
            w.conn.execute("select raw.make_partitions('prices', %s)", ([at for _, at in starts],))
            for session, at in starts:
                known = min(at + self.length, session.closes_at) + timedelta(minutes=15)
                w.conn.execute(
                    "insert into raw.price_bars (source, symbol, interval, timestamp, open, high, low, close, volume,"
                    " adjustment, nominal_at, known_at, watermark, batch_id, row_hash)"
                    " values ('files', %s, %s, %s, 7, 7, 7, 7, 840, 'raw', %s, %s, %s, %s, %s)",
                    (self.symbol, self.interval, at, known, known, watermark, batch, secrets.token_bytes(32)),
                )

    def bring_split(self, ex_date: date) -> None:
        """Publish a split: ahead of its day, known by its day as history says, or late."""
        nominal = datetime(ex_date.year, ex_date.month, ex_date.day, tzinfo=UTC)
        known = nominal + timedelta(days=self.rng.choice((-9, 0, 0, 0, 2, 30)), hours=0)
        ratio = Decimal(self.rng.choice((2, 3, 5)))
        if any(one[0] == ex_date for one in self.splits):
            known = max(one[2] for one in self.splits if one[0] == ex_date) + timedelta(hours=5)
        self.splits.append((ex_date, ratio, known))
        with self.w.conn.transaction():
            watermark = self.w.one("select raw.take_watermark('test')")
            self.w.conn.execute(
                "insert into raw.corporate_actions (source, symbol, kind, ex_date, ratio, nominal_at, known_at, watermark,"
                " batch_id, row_hash) values ('files', %s, 'split', %s, %s, %s, %s, %s, %s, %s)",
                (self.symbol, ex_date, ratio, nominal, known, watermark, self.w._batch("files", watermark, 1),
                 secrets.token_bytes(32)),
            )  # fmt: skip

    def truth(self, as_of: datetime) -> dict[datetime, float]:
        """By hand: the close of each bar known then, times the splits known then whose ex-date is not after its session.

        What is known by its ex-date as history says is known when the session of the ex-date opens.
        """
        newest: dict[date, Decimal] = {}
        for ex_date, ratio, known in self.splits:
            opens = [one.opens_at for one in self.sessions if one.session_date >= ex_date]
            by_its_day = known == datetime(ex_date.year, ex_date.month, ex_date.day, tzinfo=UTC)
            if (min(known, *opens) if by_its_day and opens else known) <= as_of:
                newest[ex_date] = ratio
        return {
            at: float(7 * prod(ratio for ex_date, ratio in newest.items() if ex_date <= session.session_date))
            for session in self.sessions
            for at in starts_of(session, self.length)
            if min(at + self.length, session.closes_at) + timedelta(minutes=15) <= as_of
        }


@pytest.mark.parametrize(
    ("calendar", "seed"),
    [
        *(("XASX", 1), ("CMES", 1)),
        *(pytest.param(name, seed, marks=pytest.mark.long) for name in ("XNYS", "XTKS", "24/7") for seed in (1, 2)),
        *(pytest.param(name, seed, marks=pytest.mark.long) for name in ("XASX", "CMES") for seed in (2, 3, 4)),
    ],
)
def test_whatever_the_order_every_answer_is_that_of_a_reading_by_hand(warehouse: Any, calendar: str, seed: int) -> None:
    w, rng = warehouse, random.Random(f"{calendar} {seed}")
    definitions.retire(w.url, w.active("features.daily"))
    market = Market(w, rng, calendar)
    dates = [one.session_date for one in market.sessions]
    days = [dates[0] + timedelta(days=n) for n in range(-1, (dates[-1] - dates[0]).days + 3)]  # weekends too
    cuts = [0, *sorted(rng.sample(range(1, len(dates)), 4)), len(dates)]
    for first, last in pairwise(cuts):
        for _ in range(rng.randint(0, 2)):
            market.bring_split(rng.choice(days))
        market.bring_bars(market.sessions[first:last])
        if rng.random() < 0.7:
            w.advance()
    market.bring_split(rng.choice(days))
    w.advance()

    definition = w.active(INDICATORS)
    moments = [rng.choice(market.sessions).opens_at + timedelta(minutes=rng.randint(0, 600)) for _ in range(4)]
    for as_of in (*moments, FOREVER):
        answered = dict(w.all(
            "select timestamp, close from features.indicators_as_of(%s, %s, %s) where symbol = %s",
            definition, as_of, 2**62, market.symbol,
        ))  # fmt: skip
        assert answered == market.truth(as_of)
        displayed = w.all(
            "select timestamp, adjusted_close from features.adjusted_bars('files', %s, %s, %s, %s)",
            market.symbol, market.interval, as_of, 2**62,
        )  # fmt: skip
        assert {at: float(close) for at, close in displayed} == market.truth(as_of)
    stored = w.all(
        "select definition, source, symbol, interval, timestamp, known_at, watermark, row_hash from marts.indicators"
        " where symbol = %s order by random() limit 15", market.symbol,
    )  # fmt: skip
    for *asked, row_hash in stored:
        assert w.store.recompute(*asked).row_hash == row_hash.hex()
