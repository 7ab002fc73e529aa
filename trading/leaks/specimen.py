"""A made-up market in which everything happens that leaks: revisions, late bars, splits, back-dated news, closings.

A user's data may hold none of these, and a mistake would show only on the day that one comes. So every Python
definition is judged here too. Same seed, same market; 5 symbols, 170 sessions.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import numpy as np
import pandas as pd
from pandas import DataFrame

from trading.leaks.world import KNOWN_AT, World

SYMBOLS = ("AAA", "BBB", "CCC", "DDD", "EEE")
TIME: Final = "datetime64[us, UTC]"
SESSIONS = 170
FIRST_DAY = "2019-01-02"
CLOSED = (58, 111)  # numbers of the weekdays on which the exchange stayed shut, unforeseen
DELISTED = ("DDD", 120)
SPLITS = (("BBB", 60, 2.0), ("CCC", 130, 3.0))
_CLOSE = pd.Timedelta(hours=21)
_LAG = pd.Timedelta(minutes=15)


def specimen(seed: int = 20190102) -> World:
    """Return the market."""
    draw = np.random.default_rng(seed)
    weekdays = pd.bdate_range(FIRST_DAY, periods=SESSIONS, tz=UTC)
    days = weekdays.delete(list(CLOSED))
    bars = _bars(days, draw)
    return World(
        bars=_revised(bars, draw),
        actions=_actions(weekdays),
        news=_news(days, draw),
        universe=_universe(weekdays),
        sessions=_sessions(weekdays),
        features=_features(bars, draw),
    )


def _bars(days: pd.DatetimeIndex, draw: np.random.Generator) -> DataFrame:
    return pd.concat([_one(symbol, days, draw) for symbol in SYMBOLS], ignore_index=True)


def _one(symbol: str, days: pd.DatetimeIndex, draw: np.random.Generator) -> DataFrame:
    count = len(days)
    close = 50.0 * np.exp(np.cumsum(draw.normal(0.0003, 0.015, count)))
    opens = close * np.exp(draw.normal(0.0, 0.005, count))
    spread = np.abs(draw.normal(0.0, 0.006, (2, count)))
    shares = np.ones(count)
    for name, number, ratio in SPLITS:
        shares[days >= _day(number)] *= ratio if name == symbol else 1.0
    prices = {
        "open": opens,
        "high": np.maximum(opens, close) * (1.0 + spread[0]),
        "low": np.minimum(opens, close) * (1.0 - spread[1]),
        "close": close,
    }
    frame = DataFrame({"symbol": symbol, "timestamp": days.astype(TIME)})
    frame = frame.assign(**{name: np.round(values / shares, 6) for name, values in prices.items()})
    frame["volume"] = np.round(draw.uniform(1e5, 9e5, count)) * shares
    frame[KNOWN_AT] = (days + _CLOSE + _LAG).astype(TIME)
    is_late = (frame["symbol"] == "EEE") & (frame.index == 70)  # one bar comes two sessions late
    frame.loc[is_late, KNOWN_AT] += pd.Timedelta(days=2)
    return frame[days < _day(DELISTED[1])] if symbol == DELISTED[0] else frame


def _revised(bars: DataFrame, draw: np.random.Generator) -> DataFrame:
    """Append later versions: some three sessions later, some a month; one is taken back again."""
    chosen = bars.iloc[np.sort(draw.choice(len(bars) - 1, 24, replace=False))]
    delays = pd.to_timedelta(np.where(np.arange(len(chosen)) % 3 == 0, 30, 3), unit="D")
    versions = chosen.assign(
        open=np.round(chosen["open"] * 1.002, 6),
        high=np.round(chosen["high"] * 1.01, 6),
        low=np.round(chosen["low"] * 0.99, 6),
        close=np.round(chosen["close"] * 1.004, 6),
        volume=chosen["volume"] + 1000.0,
    )
    versions[KNOWN_AT] = (chosen[KNOWN_AT] + delays).astype(TIME)
    back = chosen.iloc[:1].assign(**{KNOWN_AT: (versions[KNOWN_AT].iloc[:1] + pd.Timedelta(days=5)).astype(TIME)})
    return pd.concat([bars, versions, back], ignore_index=True)


def _actions(weekdays: pd.DatetimeIndex) -> DataFrame:
    rows = [(symbol, "split", weekdays[number], ratio, weekdays[number]) for symbol, number, ratio in SPLITS]
    symbol, number = DELISTED
    rows.append((symbol, "delisting", weekdays[number], 1.0, weekdays[number] - pd.Timedelta(days=4)))
    frame = DataFrame(rows, columns=["symbol", "kind", "ex_date", "ratio", KNOWN_AT])
    return frame.astype({"ex_date": TIME, KNOWN_AT: TIME})


def _news(days: pd.DatetimeIndex, draw: np.random.Generator) -> DataFrame:
    count = 120
    published = days[np.sort(draw.integers(0, len(days) - 8, count))] + pd.to_timedelta(
        draw.integers(0, 86_400, count), unit="s"
    )
    delays = pd.to_timedelta(
        np.where(np.arange(count) % 6 == 5, 5 * 24 * 60, 2), unit="min"
    )  # each sixth is back-dated
    return DataFrame(
        {
            "news_id": [f"n{number}" for number in range(count)],
            "symbol": draw.choice(SYMBOLS, count),
            "published_at": published.astype(TIME),
            "score": np.round(draw.uniform(-1.0, 1.0, count), 6),
            KNOWN_AT: (published + delays).astype(TIME),
        }
    )


def _universe(weekdays: pd.DatetimeIndex) -> DataFrame:
    rows = [(symbol, weekdays[0], symbol != "EEE", weekdays[0]) for symbol in SYMBOLS]
    rows += [("AAA", weekdays[80], False, weekdays[78]), ("EEE", weekdays[80], True, weekdays[78])]
    rows += [("DDD", weekdays[120], False, weekdays[118])]
    rows += [("CCC", weekdays[95], False, weekdays[99])]  # told four sessions after it was so
    frame = DataFrame(rows, columns=["symbol", "effective_date", "is_member", KNOWN_AT])
    return frame.astype({"effective_date": TIME, KNOWN_AT: TIME})


def _sessions(weekdays: pd.DatetimeIndex) -> DataFrame:
    planned = DataFrame(
        {"session_date": weekdays.astype(TIME), "is_open": True, "closes_at": (weekdays + _CLOSE).astype(TIME)}
    )
    planned[KNOWN_AT] = pd.Timestamp(datetime(2018, 1, 1, tzinfo=UTC))
    shut = planned.iloc[list(CLOSED)].assign(is_open=False)
    shut[KNOWN_AT] = shut["session_date"] - pd.Timedelta(hours=6)
    return pd.concat([planned, shut], ignore_index=True).astype({KNOWN_AT: TIME})


def _features(bars: DataFrame, draw: np.random.Generator) -> DataFrame:
    """Return rows in the shape of the feature store's daily view; only their form matters, not what they mean.

    A revision of a bar is one of its feature row too.
    """
    frame = bars[["symbol", "timestamp", "close", "volume", KNOWN_AT]].copy()
    frame["rsi_14"] = np.round(draw.uniform(5.0, 95.0, len(frame)), 6)
    frame["macd"] = np.round(draw.normal(0.0, 0.5, len(frame)), 6)
    frame["sentiment"] = np.round(draw.uniform(-1.0, 1.0, len(frame)), 6)
    chosen = frame.iloc[np.sort(draw.choice(len(frame) - 1, 60, replace=False))]
    delays = pd.to_timedelta(np.where(np.arange(len(chosen)) % 3 == 0, 30, 3), unit="D")
    numbers = {
        name: np.round(chosen[name] * 1.03 + 0.01, 6) for name in ("close", "volume", "rsi_14", "macd", "sentiment")
    }
    later = chosen.assign(**numbers, **{KNOWN_AT: (chosen[KNOWN_AT] + delays).astype(TIME)})
    return pd.concat([frame, later], ignore_index=True)


def _day(number: int) -> pd.Timestamp:
    return pd.bdate_range(FIRST_DAY, periods=SESSIONS, tz=UTC)[number]
