"""A session is named by its terms: equal terms are one session, however they are written."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from serving.trading_loop.session import SessionTerms, _identity
from trading.errors import NaiveTimeError

TERMS = SessionTerms("t", "sample", ("B", "A"), datetime(2012, 1, 3, tzinfo=UTC), datetime(2012, 2, 3, tzinfo=UTC))


def test_equal_terms_written_otherwise_are_one_session():
    cet = timezone(timedelta(hours=1))
    same = replace(
        TERMS,
        symbols=("A", "B"),
        first_timestamp=datetime(2012, 1, 3, 1, tzinfo=cet),
        starting_cash_usd=Decimal("100000.00"),
        alias=None,
        model_version="7",
    )
    assert _identity(same, "7") == _identity(TERMS, "7")
    assert _identity(TERMS, "8") != _identity(TERMS, "7")


def test_naive_times_are_refused():
    with pytest.raises(NaiveTimeError):
        replace(TERMS, first_timestamp=datetime(2012, 1, 3))  # noqa: DTZ001
