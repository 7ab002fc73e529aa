"""AAPL's four real splits and its dividends against the vendor's factor file, which keeps another convention.

The file's `adjusted = raw * price_factor * split_factor` of the first row whose date >= the bar's date: it is adjusted
back from the newest price, with factors rounded to some five digits, and a row's date is the eve of an ex-date. Ours goes
forward from the first bar. Two adjustments of one series differ by one number, so what is compared is the quotient of
the two series: it must be the same on every bar. Splits to 5e-6 (the file's rounding: 1/112 is written 0.0089286);
total return with the dividends that the file's own price factors imply, to 1e-5.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest

from trading.adapters.adjusted_bars import adjusted_bars
from trading.adapters.ingest import ingest
from trading.adapters.object_store import ObjectStore
from trading.adapters.sources.files import Files
from trading.ingestion.report import BatchReport

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
pytestmark = [
    pytest.mark.engines,
    pytest.mark.skipif(not DATA.is_dir(), reason="the real files of ../shared/data are not here"),
]

LATER = datetime(2024, 6, 3, tzinfo=UTC)
SPLITS = {"2000-06-21": "2", "2005-02-28": "2", "2014-06-09": "7", "2020-08-31": "4"}


@pytest.fixture
def take(database_url: str, store: ObjectStore, tmp_path: Path) -> Callable[..., BatchReport]:
    """Ingest a frame as a Parquet file of the source `files`."""

    def ingest_frame(kind: Any, frame: pd.DataFrame, **described: Any) -> BatchReport:
        written = io.BytesIO()
        frame.to_parquet(written)
        file = tmp_path / f"{kind}-{len(frame)}.parquet"
        file.write_bytes(written.getvalue())
        source = Files(file, **described)
        return ingest(source, kind, now=LATER, database_url=database_url, object_store=store)

    return ingest_frame


def _factors() -> pd.DataFrame:
    factors = pd.read_parquet(DATA / "corporate_action_factors.parquet").query("ticker == 'AAPL'")
    return factors.assign(date=pd.to_datetime(factors["date"].astype(str)).astype("datetime64[ns]")).sort_values(
        "date", ignore_index=True
    )


def _bars(name: str) -> pd.DataFrame:
    return pd.read_parquet(DATA / name).query("ticker == 'AAPL'")


def _actions(factors: pd.DataFrame, sessions: pd.Series) -> pd.DataFrame:
    """The actions that the factors imply: in force from the session after each row's date, by the change to the next."""
    rows: list[Any] = factors.to_dict("records")
    found = []
    for now, then in pairwise(rows[1:]):
        ex_date = sessions[sessions > now["date"]].min()
        ratio = round(then["split_factor"] / now["split_factor"])
        if ratio != 1:
            found.append(("split", ex_date, ratio, None))
        paid = now["reference_price"] * (1 - now["price_factor"] / then["price_factor"])
        if paid > 1e-6:
            found.append(("dividend", ex_date, None, round(paid, 8)))
    frame = pd.DataFrame(found, columns=["kind", "ex_date", "ratio", "amount"])
    return frame.assign(symbol="AAPL")


def _vendor(bars: pd.DataFrame, factors: pd.DataFrame) -> pd.DataFrame:
    days = bars.assign(day=bars["ts"].dt.normalize()).sort_values("ts")
    return pd.merge_asof(days, factors, left_on="day", right_on="date", direction="forward")


def _spread(quotient: pd.Series) -> float:
    return float(quotient.max() / quotient.min() - 1)


def test_the_daily_series_agrees_with_the_factor_file(
    take: Callable[..., BatchReport], conn: psycopg.Connection
) -> None:
    factors, bars = _factors(), _bars("bars_daily_raw_1998_2021.parquet")
    actions = _actions(factors, bars["ts"])
    splits = actions[actions["kind"] == "split"]
    assert {
        f"{day:%Y-%m-%d}": f"{ratio:.0f}" for day, ratio in zip(splits["ex_date"], splits["ratio"], strict=True)
    } == SPLITS
    take("prices", bars, columns={"timestamp": "ts"})
    take("actions", actions)
    vendor = _vendor(bars, factors)

    forward = adjusted_bars(conn, "AAPL", LATER, 10**9)
    ours = pd.Series([float(bar.adjusted_close) for bar in forward.bars])
    assert len(ours) == len(vendor) == 5849
    assert _spread(ours / (vendor["close"] * vendor["split_factor"])) < 5e-6
    # No split shows as a jump any more; the real fall of 2000-09-29 stays.
    steps = pd.Series(ours.to_numpy(), index=vendor["ts"]).pct_change()
    assert steps[list(SPLITS)].abs().max() < 0.11
    assert steps["2000-09-29"] == pytest.approx(-0.52, abs=0.01)

    back = adjusted_bars(conn, "AAPL", LATER, 10**9, adjustment="back")
    assert back.bars[-1].adjusted_close == back.bars[-1].close
    assert all(
        abs(b.adjusted_close * 112 - f.adjusted_close) < Decimal("1e-6")
        for b, f in zip(back.bars, forward.bars, strict=True)
    )

    total = adjusted_bars(conn, "AAPL", LATER, 10**9, adjustment="total_return")
    ours = pd.Series([float(bar.adjusted_close) for bar in total.bars])
    assert len(actions) - len(splits) == 35
    assert _spread(ours / (vendor["close"] * vendor["split_factor"] * vendor["price_factor"])) < 1e-5


def test_the_hourly_series_around_each_split_agrees(take: Callable[..., BatchReport], conn: psycopg.Connection) -> None:
    factors, bars = _factors(), _bars("bars_hourly_raw.parquet")
    near = [abs((bars["ts"].dt.normalize() - pd.Timestamp(day)).dt.days) <= 4 for day in SPLITS]
    bars = bars[pd.concat(near, axis=1).any(axis=1)]
    written = bars.assign(ts=bars["ts"].dt.tz_localize("America/New_York"), interval="1h")
    take("prices", written, columns={"timestamp": "ts"}, gap="join")
    take(
        "actions",
        pd.DataFrame([("AAPL", day, ratio) for day, ratio in SPLITS.items()], columns=["symbol", "ex_date", "ratio"]),
    )
    vendor = _vendor(bars, factors)
    found = adjusted_bars(conn, "AAPL", LATER, 10**9, interval="1h")
    ours = pd.Series([float(bar.adjusted_close) for bar in found.bars])
    assert len(ours) == len(vendor) > 150
    assert _spread(ours / (vendor["close"] * vendor["split_factor"])) < 5e-6


def test_qqq_is_refused_after_its_gap(take: Callable[..., BatchReport], conn: psycopg.Connection) -> None:
    bars = pd.read_parquet(DATA / "bars_daily_raw_1998_2021.parquet").query(
        "ticker in ('QQQ', 'IWM') and ts < '2011-07-01'"
    )
    report = take("prices", bars, columns={"timestamp": "ts"})
    newest = conn.execute("select max(timestamp)::date::text from raw.price_bars where symbol = 'QQQ'").fetchone()
    assert newest == ("2004-11-30",)
    assert set(report.quarantine) == {"identity_gap"}
