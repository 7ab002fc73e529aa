"""What is expected of each kind of row, as Great Expectations suites. Every expectation names its rule.

Range expectations of Great Expectations skip missing values, so each column that must be there has its own rule. The
frame holds prices as float64: decimals of up to 15 digits keep their order in it, and the table's own constraints judge
the exact values again.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

from trading.ingestion.reader import Kind

# Rule -> what it says, for reports and for people. Rules of unreadable cells come from trading/ingestion.
RULES = {
    "missing_value": "no value is missing, null or NaN",
    "non_positive_price": "open, high, low and close are above zero",
    "ohlc_order": "low <= open, close <= high",
    "negative_volume": "volume is not negative",
    "unknown_session": "the bar lies in a session of its exchange",
    "from_the_future": "nothing was delivered before it happened",
    "conflicting_duplicate": "two rows of one key say the same",
    "adjustment_mix": "one series keeps one adjustment",
    "history_after_live": "a history batch names only what is older than the source's first live batch",
    "non_positive_ratio": "a split's ratio is above zero",
    "no_symbol": "a news item names at least one symbol",
    "unreadable_number": "a number is a number",
    "unreadable_timestamp": "a time can be read",
    "naive_timestamp": "a date-time has a zone",
    "too_many_decimals": "a decimal fits its column's scale",
    "number_too_large": "a number is finite and fits its column",
    "wrong_column_count": "a row has as many values as the header",
    "unknown_interval": "an interval is a number and one of m, h, d",
    "unknown_action": "a corporate action is of a known kind",
    "unreadable_text": "a text has no NUL byte",
}


def great_expectations() -> Any:
    """Import Great Expectations (2-5 s) with its telemetry off, which it reads from the environment at import."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it imports sre_constants
        import great_expectations as gx
        import great_expectations.expectations
    return gx


def expectations(kind: Kind) -> list[Any]:
    """Return the expectations of a kind, each with `meta={"rule": ...}`."""
    expect = great_expectations().expectations
    suites = {"prices": _prices, "actions": _actions, "news": _news}
    return [*suites[kind](expect), *_of_every_kind(expect)]


def _prices(expect: Any) -> list[Any]:
    prices = ("open", "high", "low", "close")
    return [
        *_not_null(expect, "symbol", "timestamp", *prices, "volume"),
        *(_between(expect, name, "non_positive_price", strict=True) for name in prices),
        *(_at_least(expect, "high", lower, "ohlc_order") for lower in ("open", "low", "close")),
        *(_at_least(expect, upper, "low", "ohlc_order") for upper in ("open", "close")),
        _between(expect, "volume", "negative_volume", strict=False),
        expect.ExpectColumnValuesToBeInSet(column="is_in_session", value_set=[True], meta={"rule": "unknown_session"}),
        _at_least(expect, "received_at", "ends_at", "from_the_future"),
        expect.ExpectColumnPairValuesToBeEqual(
            column_A="adjustment",
            column_B="series_adjustment",
            ignore_row_if="either_value_is_missing",
            meta={"rule": "adjustment_mix"},
        ),
        _unique(expect, "symbol", "interval", "timestamp"),
    ]


def _actions(expect: Any) -> list[Any]:
    return [
        *_not_null(expect, "symbol", "ex_date", "ratio"),
        _between(expect, "ratio", "non_positive_ratio", strict=True),
        _unique(expect, "symbol", "kind", "ex_date"),
    ]


def _news(expect: Any) -> list[Any]:
    return [
        *_not_null(expect, "news_id", "headline", "published_at"),
        _between(expect, "symbol_count", "no_symbol", strict=True),
        _at_least(expect, "received_at", "starts_at", "from_the_future"),
        expect.ExpectColumnValuesToBeUnique(column="news_id", meta={"rule": "conflicting_duplicate"}),
    ]


def _of_every_kind(expect: Any) -> list[Any]:
    older = expect.ExpectColumnPairValuesAToBeGreaterThanB(
        column_A="first_live_at",
        column_B="nominal_at",
        ignore_row_if="either_value_is_missing",
        meta={"rule": "history_after_live"},
    )
    return [older]


def _not_null(expect: Any, *columns: str) -> list[Any]:
    return [expect.ExpectColumnValuesToNotBeNull(column=name, meta={"rule": "missing_value"}) for name in columns]


def _between(expect: Any, column: str, rule: str, *, strict: bool) -> Any:
    return expect.ExpectColumnValuesToBeBetween(column=column, min_value=0, strict_min=strict, meta={"rule": rule})


def _at_least(expect: Any, greater: str, smaller: str, rule: str) -> Any:
    return expect.ExpectColumnPairValuesAToBeGreaterThanB(
        column_A=greater,
        column_B=smaller,
        or_equal=True,
        ignore_row_if="either_value_is_missing",
        meta={"rule": rule},
    )


def _unique(expect: Any, *columns: str) -> Any:
    return expect.ExpectCompoundColumnsToBeUnique(
        column_list=list(columns), ignore_row_if="any_value_is_missing", meta={"rule": "conflicting_duplicate"}
    )
