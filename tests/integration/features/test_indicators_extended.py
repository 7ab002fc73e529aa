"""The second view of indicators: TA-Lib judges what it has, numpy and pandas the rest; all of one publication."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import psycopg
import pytest
import talib

from feature_store import definitions, retention
from feature_store.blast_radius import trace
from feature_store.leaks.definitions import judge_definition, rolled_back
from feature_store.leaks.gate import verdict_on
from feature_store.leaks.subjects import compiled, registered
from feature_store.views import INDICATORS_EXTENDED, VIEWS
from trading.adapters.recalls import Asked

pytestmark = pytest.mark.engines

FIRST = date(2004, 1, 1)
AGAIN = FIRST + timedelta(days=79 + 16)  # the last bar before it is of day 79: a day more than the definition bridges
HOURS = 60


def walk(w: Any, symbol: str, bars: int, first: date = FIRST, seed: int = 0) -> list[Any]:
    """A random walk to the cent, with ties, a stretch of one price and days without a trade."""
    draw = np.random.default_rng(seed)
    closes = np.round(60 * np.exp(np.cumsum(draw.normal(0, 0.02, bars))), 1)
    made = []
    for n, close in enumerate(closes):
        opened, up, down = (round(float(x), 1) for x in draw.uniform((-1, 0, 0), (1, 1, 1)))
        if 120 <= n < 160:
            close, opened, up, down = closes[120], 0.0, 0.0, 0.0
        o, c = Decimal(str(close)) + Decimal(str(opened)), Decimal(str(close))
        high, low = max(o, c) + Decimal(str(up)), min(o, c) - Decimal(str(down))
        volume = 0 if n % 50 == 7 else int(draw.integers(1, 10**6))
        made.append(w.Bar(symbol, first + timedelta(days=n), o, high, low, c, volume))
    return made


@pytest.fixture(scope="module")
def filled(shared_extended_warehouse: Any) -> Any:
    """RND, a random walk of 700 days, and 60 hours of it; GAP, begun anew; NEW, what GAP is after it.

    RND comes from a second source too, in 15 random portions.
    """
    w = shared_extended_warehouse
    w.publish("files", walk(w, "RND", 700) + walk(w, "GAP", 80, seed=1))
    w.publish("files", walk(w, "GAP", 60, AGAIN, 2) + walk(w, "NEW", 60, AGAIN, 2))
    publish_as(w, "RND", "1h", timedelta(hours=1), HOURS)
    w.advance()
    bars, cuts = walk(w, "RND", 700), sorted(random.Random(3).sample(range(1, 700), 14))
    for begin, end in pairwise([0, *cuts, 700]):
        w.publish("sample", bars[begin:end])
        w.advance()
    return w


def publish_as(w: Any, symbol: str, interval: str, step: timedelta, bars: int) -> None:
    """Publish the first daily bars of a symbol once more, as bars of a shorter interval that follow each other."""
    w.conn.execute(
        "insert into raw.price_bars (source, symbol, interval, timestamp, open, high, low, close, volume, adjustment,"
        " nominal_at, known_at, watermark, batch_id, row_hash) select source, symbol, %s, at, open, high, low, close,"
        " volume, adjustment, at + %s, at + %s, watermark, batch_id, row_hash"
        " from (select b.*, %s::timestamptz + row_number() over (order by b.timestamp) * %s as at"
        " from raw.price_bars as b where b.symbol = %s order by b.timestamp limit %s) as shorter",
        (interval, step, step, f"{FIRST}T12:00:00+00:00", step, symbol, bars),
    )


def columns(w: Any, symbol: str, interval: str = "1d", first: date = FIRST) -> pd.DataFrame:
    named = w.one("select columns from features.definitions where definition = %s", w.active(INDICATORS_EXTENDED))
    rows = w.all(
        f"select timestamp, {', '.join(named)} from features.indicators_extended_as_of(%s, 'infinity', %s)"
        " where source = 'files' and symbol = %s and interval = %s and timestamp >= %s order by timestamp",
        w.active(INDICATORS_EXTENDED), 2**62, symbol, interval, first,
    )  # fmt: skip
    return pd.DataFrame(rows, columns=["timestamp", *named]).set_index("timestamp").astype(float)


def judged_by_talib(a: pd.DataFrame) -> dict[str, np.ndarray[Any, Any]]:
    high, low, close, volume = (a[name].to_numpy() for name in ("high", "low", "close", "volume"))
    slow_k, slow_d = talib.STOCH(high, low, close, 14, 3, 0, 3, 0)
    fast_k, fast_d = talib.STOCHF(high, low, close, 14, 3, 0)
    aroon_down, aroon_up = talib.AROON(high, low, 25)
    middle, reach = talib.EMA(close, 20), 2 * talib.ATR(high, low, close, 10)
    upper, lower = talib.MAX(high, 20), talib.MIN(low, 20)
    return {
        "typical_price": talib.TYPPRICE(high, low, close),
        "plus_di_14": talib.PLUS_DI(high, low, close, 14),
        "minus_di_14": talib.MINUS_DI(high, low, close, 14),
        "adx_14": talib.ADX(high, low, close, 14),
        "stochastic_fast_k_14": fast_k,
        "stochastic_k_14": slow_k,
        "stochastic_d_14": slow_d,
        "fast %D": fast_d,
        "cci_20": talib.CCI(high, low, close, 20),
        "mfi_14": talib.MFI(high, low, close, volume, 14),
        "williams_r_14": talib.WILLR(high, low, close, 14),
        "roc_10": talib.ROC(close, 10),
        "donchian_upper_20": upper,
        "donchian_middle_20": (upper + lower) / 2,
        "donchian_lower_20": lower,
        "keltner_upper_20": middle + reach,
        "keltner_middle_20": middle,
        "keltner_lower_20": middle - reach,
        "aroon_up_25": aroon_up,
        "aroon_down_25": aroon_down,
        "aroon_oscillator_25": talib.AROONOSC(high, low, 25),
        "trix_15": talib.TRIX(close, 15),
        "parabolic_sar": talib.SAR(high, low, 0.02, 0.2),
    }


def judged_by_pandas(a: pd.DataFrame) -> dict[str, pd.Series]:
    log_range, log_change = np.log(a.high / a.low), np.log(a.close / a.open)
    parkinson = log_range**2 / (4 * np.log(2))
    garman_klass = 0.5 * log_range**2 - (2 * np.log(2) - 1) * log_change**2
    money = a.typical_price * a.volume
    return {
        "vwap_20": money.rolling(20).sum() / a.volume.rolling(20).sum(),
        "parkinson_variance_1": parkinson,
        "garman_klass_variance_1": garman_klass,
        "parkinson_volatility_20": parkinson.rolling(20).mean().clip(lower=0) ** 0.5,
        "garman_klass_volatility_20": garman_klass.rolling(20).mean().clip(lower=0) ** 0.5,
    }


# TA-Lib begins fast %K with fast %D and slow %K with slow %D; ours begin with their own first value.
BEGINS_EARLIER = {"stochastic_fast_k_14": 14, "stochastic_k_14": 16}


def assert_talib_agrees(a: pd.DataFrame, symbol: str) -> None:
    ours = a.assign(**{"fast %D": a.stochastic_k_14})
    for name, expected in judged_by_talib(a).items():
        begins = int(np.argmax(~np.isnan(expected)))
        if name in BEGINS_EARLIER:
            assert a[name].first_valid_index() == a.index[BEGINS_EARLIER[name] - 1], name
        elif name != "fast %D":
            assert a[name].first_valid_index() == a.index[begins], f"{name} does not begin where TA-Lib begins"
        found = ours[name].to_numpy()
        told = f"{name} of {symbol}"
        np.testing.assert_allclose(found[begins:], expected[begins:], rtol=1e-9, atol=1e-9, err_msg=told)
        assert not np.isnan(found[begins:]).any()


def test_talib_agrees_from_the_first_value(filled: Any) -> None:
    a = columns(filled, "RND")
    assert_talib_agrees(a, "RND")
    assert (a.cci_20[139:160] == 0).all(), "20 bars of one price"


def sample_bars(w: Any, symbol: str) -> list[Any]:
    from bokeh_sampledata import stocks

    told = getattr(stocks, symbol)
    rows = zip(*(told[name] for name in ("date", "open", "high", "low", "close", "volume")), strict=True)
    made = []
    for day, *numbers, volume in rows:
        o, h, low, c = (Decimal(str(one)) for one in numbers)
        made.append(w.Bar(symbol, date.fromisoformat(day), o, max(o, h, c), min(o, low, c), c, volume))
    return made


def in_cents(w: Any, symbol: str, lows: Any, closes: Any, highs: Any, volumes: Any) -> list[Any]:
    """Bars of prices in cents and volumes in hundred-millionths, opened at their close."""
    made = []
    for n, told in enumerate(zip(lows, closes, highs, volumes, strict=True)):
        low, close, high = (Decimal(int(cents)) / 100 for cents in told[:3])
        volume = Decimal(int(told[3])).scaleb(-8)
        made.append(w.Bar(symbol, FIRST + timedelta(days=n), close, high, low, close, volume))
    return made


def test_talib_agrees_on_ties_thin_volumes_and_prices_that_stand(extended_warehouse: Any) -> None:
    """Bars whose typical prices are one to the cent and not in doubles; sums that are small and not nothing."""
    w, draw = extended_warehouse, np.random.default_rng(7)
    walked = 5000 + draw.integers(-99, 100, 500).cumsum()
    near = draw.integers(500, 506, 500)
    below, above = draw.integers(0, 3, (2, 500))
    up_and_down, whole = np.arange(500) % 2, 10**8
    series = {
        # 104.13 + 102.16 + 103.37 = 109.99 + 90.00 + 109.67
        "ONE": (np.where(up_and_down, 10216, 9000), np.where(up_and_down, 10337, 10967),
                np.where(up_and_down, 10413, 10999), np.full(500, whole)),
        "CENT": (near - below, near, near + above, whole * draw.integers(0, 1000, 500)),
        "THIN": (walked - below, walked, walked + above, draw.integers(0, 9, 500)),
        "STANDS": (np.r_[walked[:60] - below[:60], np.full(440, walked[59])], np.r_[walked[:60], np.full(440, walked[59])],
                   np.r_[walked[:60] + above[:60], np.full(440, walked[59])], np.full(500, whole)),
    }  # fmt: skip
    sample = ("AAPL", "FB", "GOOG", "IBM", "MSFT")
    w.publish("files", [bar for symbol in sample for bar in sample_bars(w, symbol)])
    w.publish("files", [bar for symbol, told in series.items() for bar in in_cents(w, symbol, *told)])
    publish_as(w, "CENT", "5m", timedelta(minutes=5), 300)
    w.advance()
    for symbol in (*sample, *series):
        assert_talib_agrees(columns(w, symbol, first=date(1990, 1, 1)), symbol)
    assert_talib_agrees(columns(w, "CENT", "5m"), "CENT of 5m")
    assert (columns(w, "ONE")[["cci_20", "mfi_14"]].dropna() == 0).all(axis=None)
    assert (columns(w, "THIN").mfi_14.dropna() > 0).any()


def test_a_price_that_stands_for_ten_thousand_bars_stops_nothing(filled: Any) -> None:
    """A sum that only decays is 0 before a double is no number more, whose product is an error in PostgreSQL."""
    stepped = filled.one(
        "select step from (select n, features.indicator_extended_v2(null, false, n, 1e9, h, h - 1, h - 1, h, 1, 0, 0)"
        " over (order by n) as step from generate_series(1, 11000) as n"
        " cross join lateral (select 10.0::float8 + greatest(0, 60 - n) %% 7 as h) as p) as s order by n desc limit 1"
    )
    assert len(stepped) == 179


def test_an_independent_oracle_agrees_where_talib_has_nothing(filled: Any) -> None:
    a = columns(filled, "RND")
    for name, expected in judged_by_pandas(a).items():
        assert np.array_equal(expected.isna(), a[name].isna()), name
        np.testing.assert_allclose(a[name], expected, rtol=1e-9, atol=1e-7, err_msg=name)


def test_the_vwap_of_the_day_begins_anew_at_midnight_utc_and_is_only_of_shorter_bars(filled: Any) -> None:
    hours = columns(filled, "RND", "1h")
    money = (hours.typical_price * hours.volume).groupby(hours.index.floor("D")).cumsum()
    shares = hours.volume.groupby(hours.index.floor("D")).cumsum()
    assert len(set(hours.index.floor("D"))) == 4
    np.testing.assert_allclose(hours.vwap_utc_day, money / shares, rtol=1e-12)
    assert columns(filled, "RND").vwap_utc_day.isna().all()


def test_the_logarithm_is_the_c_library_s_to_its_last_digits(filled: Any) -> None:
    pairs = [(a, b) for a in (1e-6, 0.5, 1.0, 99.99, 100.0, 100.01, 150.0, 9e7) for b in (1e-6, 1.0, 100.0, 9e7)]
    found = filled.all(
        "select features.log_ratio_v1(a, b) from unnest(%s::float8[], %s::float8[]) as p (a, b)",
        [a for a, _ in pairs], [b for _, b in pairs],
    )  # fmt: skip
    np.testing.assert_allclose([one for (one,) in found], [np.log(a) - np.log(b) for a, b in pairs], rtol=1e-11)
    assert filled.one("select features.log_ratio_v1(123.45, 123.45)") == 0.0


def test_random_portions_give_the_rows_of_one_publication(filled: Any) -> None:
    own = "'{row_id,source,watermark,source_watermark,row_hash,bar_id}'::text[]"
    rows = f"""
        select timestamp, to_jsonb(i) - {own} from marts.indicators_extended as i
        where symbol = 'RND' and interval = '1d' and source = %s order by timestamp"""
    whole, portions = filled.all(rows, "files"), filled.all(rows, "sample")
    assert len(portions) == 700
    assert portions == whole
    assert filled.one("select count(distinct watermark) from marts.indicators_extended where source = 'sample'") == 15


def test_after_a_long_gap_every_column_begins_anew(filled: Any) -> None:
    w = filled
    after, new = columns(w, "GAP", first=AGAIN), columns(w, "NEW")
    pd.testing.assert_frame_equal(after, new, check_exact=True)
    assert len(after) == 60
    assert after.iloc[0].dropna().index.tolist() == [
        "open", "high", "low", "close", "volume", "typical_price", "parkinson_variance_1", "garman_klass_variance_1",
    ]  # fmt: skip
    states = w.all(
        "select array_agg(distinct state) from marts.indicators_extended where timestamp >= %s and interval = '1d'"
        " and symbol in ('GAP', 'NEW') group by timestamp", AGAIN,
    )  # fmt: skip
    assert {len(both) for (both,) in states} == {1}


def test_a_row_computed_again_from_raw_has_the_same_identity(filled: Any) -> None:
    w = filled
    rows = w.all(
        "select definition, source, symbol, interval, timestamp, known_at, watermark, row_hash, row_id"
        " from marts.indicators_extended where row_id %% 97 = 0"
    )
    assert len(rows) > 5
    for *asked, row_hash, row_id in rows:
        assert w.store.recompute(*asked).row_hash == row_hash.hex()
        assert w.store.by_id(INDICATORS_EXTENDED, row_id).computed_hash(2) == row_hash.hex()


def test_the_views_that_python_knows_are_those_of_the_warehouse(filled: Any) -> None:
    found = filled.all("select view, made_from, working_name from features.views")
    assert sorted(found) == sorted((name, one.made_from, one.working_name) for name, one in VIEWS.items())
    assert "bar_hash" in filled.one("select features.fixed_columns(%s)", INDICATORS_EXTENDED)
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=r"found marts\.other"):
        filled.one("select features.fixed_columns('marts.other')")


def test_a_service_takes_its_columns_and_the_leak_gate_passes_what_it_rests_on(filled: Any) -> None:
    w = filled
    service = w.store.newest_service("trend", ("close", "adx_14", "trix_15"), INDICATORS_EXTENDED)
    begin = datetime(2004, 6, 1, tzinfo=UTC)
    frame = w.store.training_set(service, ["RND"], begin, begin + timedelta(days=300))
    expected = columns(w, "RND").loc[begin : begin + timedelta(days=300)]
    assert frame[["close", "adx_14"]].to_numpy().tolist() == expected[["close", "adx_14"]].to_numpy().tolist()
    (row,) = w.store.latest(service, ["RND"], as_of=frame.known_at.iloc[-1].to_pydatetime())
    assert row.values["trix_15"] == frame.trix_15.iloc[-1]
    verdict = verdict_on(w.url, service, "files", ["RND", "NEW"], "0" * 64)
    assert verdict.passed, verdict.sentence()
    assert INDICATORS_EXTENDED in {report["name"] for report in verdict.reports}


def test_a_planted_leak_is_found_in_the_second_view(filled: Any) -> None:
    w = filled
    with rolled_back(w.url) as conn:
        clean = registered(conn, w.active(INDICATORS_EXTENDED))
        planted = clean.sql.replace(
            "then step[36] end as roc_10", "then lead(close) over (order by timestamp) end as roc_10"
        )
        assert planted != clean.sql
        parameters = dict(definitions.definition(w.url, w.active(INDICATORS_EXTENDED)).parameters)
        leaky = compiled(conn, INDICATORS_EXTENDED, planted, parameters)
        assert {one.column for one in judge_definition(conn, leaky).findings} == {"roc_10"}


def test_a_row_of_the_second_view_goes_only_by_compaction(filled: Any) -> None:
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="append-only"):
        filled.conn.execute("delete from marts.indicators_extended")


def test_versions_are_traced_compacted_and_begun_from_again_as_those_of_the_first_view(extended_warehouse: Any) -> None:
    w, low, high, later = extended_warehouse, Decimal(5), Decimal(50), datetime(2100, 1, 1, tzinfo=UTC)
    second = FIRST + timedelta(days=1)

    def publish(day: date, close: str, known_at: datetime) -> None:
        w.publish("files", [w.Bar("AAA", day, Decimal(10), high, low, Decimal(close), 100, known_at)])
        w.advance()

    for n, close in enumerate(("10", "11", "12", "13")):
        publish(FIRST, close, datetime(2004, 1, 10 + n, tzinfo=UTC))
    publish(second, "20", datetime(2004, 1, 20, tzinfo=UTC))
    with w.conn.transaction():
        reach = trace(w.conn, Asked(batch=w.one("select min(batch_id) from raw.ingestion_batches")))
    assert [(one.view, one.rows, one.changed) for one in reach.rows] == [(INDICATORS_EXTENDED, 1, 1)]
    assert [(one.view, one.row_count) for one in retention.compact(w.url, later)] == [(INDICATORS_EXTENDED, 2)]
    # It begins from a version of the first bar that was taken away.
    publish(second, "21", datetime(2004, 1, 11, 12, tzinfo=UTC))
    definition, newest = w.active(INDICATORS_EXTENDED), w.one("select raw.newest_watermark()")
    for as_of in (datetime(2004, 1, 11, 12, tzinfo=UTC), datetime(2004, 1, 12, tzinfo=UTC), later):
        ((found,),) = w.all(
            "select row_hash from features.indicators_extended_as_of(%s, %s, %s) where timestamp::date = %s",
            definition, as_of, newest, second,
        )  # fmt: skip
        again = w.store.recompute(definition, "files", "AAA", "1d", midnight(second), as_of, newest)
        assert again.row_hash == found.hex()


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
