"""TA-Lib beside PostgreSQL: bars out, a view's indicators in Python, rows into a table like ours. By ADBC, or by
pandas.read_sql and COPY.

The table has the columns, the primary key and the as-of index of the view; what TA-Lib does not make (names, times,
hashes, a state) is filled with constants or with what was read. What it has no function for, numpy makes. Arguments: the
URL, and the view (marts.indicators unless given).
"""

import io
import sys
import time
from itertools import pairwise

import adbc_driver_postgresql.dbapi as adbc
import numpy
import pandas
import psycopg
import pyarrow
import talib
from speaking import serve

URL = sys.argv[1]
VIEW = sys.argv[2] if len(sys.argv) > 2 else "marts.indicators"
PRICES = ("open", "high", "low", "close", "volume")
FIRST_NAMES = (
    "sma_20", "sma_50", "ema_12", "ema_26", "rsi_14", "macd", "macd_signal", "macd_histogram", "bollinger_upper_20",
    "bollinger_middle_20", "bollinger_lower_20", "atr_14", "obv", "return_1d", "return_5d", "return_20d",
    "volatility_20d",
)  # fmt: skip
EXTENDED_NAMES = (
    "typical_price", "plus_di_14", "minus_di_14", "adx_14", "stochastic_fast_k_14", "stochastic_k_14",
    "stochastic_d_14", "cci_20", "mfi_14", "vwap_20", "williams_r_14", "roc_10", "donchian_upper_20",
    "donchian_middle_20", "donchian_lower_20", "keltner_upper_20", "keltner_middle_20", "keltner_lower_20",
    "aroon_up_25", "aroon_down_25", "aroon_oscillator_25", "trix_15", "parabolic_sar", "parkinson_variance_1",
    "garman_klass_variance_1", "parkinson_volatility_20", "garman_klass_volatility_20",
)  # fmt: skip
FIELDS = "symbol, timestamp, known_at, nominal_at, bar_id, row_hash as bar_hash, " + ", ".join(
    f"{name}::double precision" for name in PRICES
)
WHOLE = f"select {FIELDS} from raw.price_bars order by symbol, timestamp"
LAST = f"""
select b.* from (select distinct symbol from bench_symbols) as s
cross join lateral (
    select {FIELDS} from raw.price_bars as p
    where p.source = 'files' and p.symbol = s.symbol and p.interval = '1d' order by p.timestamp desc limit 300
) as b
order by b.symbol, b.timestamp
"""
TABLE = f"""
drop table if exists bench_indicators;
create table bench_indicators (like {VIEW} including defaults including identity including constraints);
alter table bench_indicators add primary key (row_id);
create index on bench_indicators (
    definition, source, symbol, interval, timestamp desc, known_at desc, watermark desc, row_id desc
);
drop table if exists bench_symbols;
create table bench_symbols as select distinct symbol from raw.price_bars;
"""
CONSTANTS = {"source": "files", "interval": "1d", "definition": "d" * 64}

rows = psycopg.connect(URL, autocommit=True)
connection = adbc.connect(URL)


def indicators(opened, high, low, close, volume):
    macd, signal, histogram = talib.MACD(close, 12, 26, 9)
    upper, middle, lower = talib.BBANDS(close, 20)
    returns = talib.ROCP(close, 1)
    spread = numpy.full_like(close, numpy.nan)
    spread[1:] = talib.STDDEV(returns[1:], 20) * numpy.sqrt(20 / 19)
    return (
        talib.SMA(close, 20), talib.SMA(close, 50), talib.EMA(close, 12), talib.EMA(close, 26), talib.RSI(close, 14),
        macd, signal, histogram, upper, middle, lower, talib.ATR(high, low, close, 14), talib.OBV(close, volume),
        returns, talib.ROCP(close, 5), talib.ROCP(close, 20), spread,
    )  # fmt: skip


def extended(opened, high, low, close, volume):
    typical = talib.TYPPRICE(high, low, close)
    fast_k, slow_k = talib.STOCHF(high, low, close, 14, 3, 0)
    _, slow_d = talib.STOCH(high, low, close, 14, 3, 0, 3, 0)
    aroon_down, aroon_up = talib.AROON(high, low, 25)
    upper, lower = talib.MAX(high, 20), talib.MIN(low, 20)
    middle, reach = talib.EMA(close, 20), 2 * talib.ATR(high, low, close, 10)
    log_range, log_change = numpy.log(high / low), numpy.log(close / opened)
    parkinson = log_range**2 / (4 * numpy.log(2))
    garman_klass = log_range**2 / 2 - (2 * numpy.log(2) - 1) * log_change**2
    return (
        typical, talib.PLUS_DI(high, low, close, 14), talib.MINUS_DI(high, low, close, 14),
        talib.ADX(high, low, close, 14), fast_k, slow_k, slow_d, talib.CCI(high, low, close, 20),
        talib.MFI(high, low, close, volume, 14), talib.SUM(typical * volume, 20) / talib.SUM(volume, 20),
        talib.WILLR(high, low, close, 14), talib.ROC(close, 10), upper, (upper + lower) / 2, lower, middle + reach,
        middle, middle - reach, aroon_up, aroon_down, aroon_up - aroon_down, talib.TRIX(close, 15),
        talib.SAR(high, low, 0.02, 0.2), parkinson, garman_klass, numpy.sqrt(talib.SMA(parkinson, 20)),
        numpy.sqrt(talib.SMA(garman_klass, 20)),
    )  # fmt: skip


MADE_BY = {
    "marts.indicators": (FIRST_NAMES, indicators, 20),
    "marts.indicators_extended": (EXTENDED_NAMES, extended, 24),
}
NAMES, COMPUTED, STATE = MADE_BY[VIEW]


def by_symbol(codes, columns):
    """Return an array of the view's columns from the five price columns, series by series."""
    cuts = numpy.flatnonzero(numpy.r_[True, codes[1:] != codes[:-1], True])
    made = numpy.empty((len(NAMES), len(codes)))
    for begin, end in pairwise(cuts):
        made[:, begin:end] = COMPUTED(*(numpy.ascontiguousarray(column[begin:end]) for column in columns))
    return made, cuts


def read_by_adbc(query):
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetch_arrow_table()


def write_by_adbc(table, made):
    count = len(table)
    state = pyarrow.ListArray.from_arrays(
        pyarrow.array(numpy.arange(count + 1, dtype=numpy.int32) * STATE), pyarrow.array(numpy.zeros(count * STATE))
    )
    columns = {name: pyarrow.repeat(pyarrow.scalar(value), count) for name, value in CONSTANTS.items()}
    one = pyarrow.repeat(pyarrow.scalar(1, pyarrow.int64()), count)
    columns |= {"watermark": one, "source_watermark": one, "row_hash": table["bar_hash"], "state": state}
    columns |= {name: table[name] for name in table.column_names}
    columns |= {n: pyarrow.array(c, mask=numpy.isnan(c)) for n, c in zip(NAMES, made, strict=True)}
    with connection.cursor() as cursor:
        cursor.adbc_ingest("bench_indicators", pyarrow.table(columns), mode="append")
    connection.commit()


def computed(table):
    codes = table["symbol"].combine_chunks().dictionary_encode().indices.to_numpy()
    return by_symbol(codes, [table[name].to_numpy() for name in PRICES])


def build_by_adbc():
    rows.execute("truncate bench_indicators")
    rows.execute("checkpoint")
    begun = time.perf_counter()
    table = read_by_adbc(WHOLE)
    made, _ = computed(table)
    write_by_adbc(table, made)
    return {"seconds": time.perf_counter() - begun, **summary()}


def build_by_read_sql():
    rows.execute("truncate bench_indicators")
    rows.execute("checkpoint")
    begun = time.perf_counter()
    frame = pandas.read_sql(WHOLE, rows)
    made, _ = by_symbol(frame["symbol"].to_numpy(), [frame[name].to_numpy() for name in PRICES])
    hashes = ["\\x" + bytes(value).hex() for value in frame["bar_hash"]]
    filled = frame.assign(**CONSTANTS, watermark=1, source_watermark=1, bar_hash=hashes, row_hash=hashes)
    filled["state"] = "{" + ",".join("0" * STATE) + "}"
    filled[list(NAMES)] = made.T
    text = io.StringIO()
    filled.to_csv(text, index=False, header=False)
    names = ", ".join(f'"{name}"' for name in filled.columns)
    with rows.cursor().copy(f"copy bench_indicators ({names}) from stdin with (format csv)") as copy:
        copy.write(text.getvalue())
    return {"seconds": time.perf_counter() - begun, **summary()}


def summary():
    """What a check compares: how many rows, and a sum over each indicator."""
    totals = ", ".join(f"sum({name})" for name in NAMES)
    return {"sums": list(rows.execute(f"select count(*), {totals} from bench_indicators").fetchone())}


def new_bar():
    """The last 300 bars of each symbol out, indicators anew, the rows of the newest bars in."""
    table = read_by_adbc(LAST)
    made, cuts = computed(table)
    last = cuts[1:] - 1
    write_by_adbc(table.take(pyarrow.array(last)), made[:, last])


def new_bar_in_a_new_session():
    global connection
    kept, connection = connection, adbc.connect(URL)
    try:
        new_bar()
    finally:
        connection.close()
        connection = kept


rows.execute(TABLE)
serve(
    {
        "build_by_adbc": build_by_adbc,
        "build_by_read_sql": build_by_read_sql,
        "new_bar": new_bar,
        "new_bar_in_a_new_session": new_bar_in_a_new_session,
    }
)
