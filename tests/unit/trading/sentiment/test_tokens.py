"""Written and tokenised newswire read alike; numbers keep their scale; dates are not amounts."""

import math

import pytest

from trading.sentiment.tokens import tokens


def _values(text: str) -> list[float]:
    return [token.value for token in tokens(text) if not math.isnan(token.value)]


@pytest.mark.parametrize("text", ["EUR 8.7 mn", "EUR8.7m", "8.7 million euros", "EUR 8,7 mn", "8,700,000 euros"])
def test_one_amount_in_five_spellings(text: str) -> None:
    assert _values(text) == [pytest.approx(8.7e6)]


def test_spaces_before_marks_change_nothing() -> None:
    written = "Brask's sales rose 5% to EUR 4.1m, up from EUR 3.0m."
    tokenised = "Brask 's sales rose 5 % to EUR 4.1 m , up from EUR 3.0 m ."
    assert [token.text for token in tokens(written)] == [token.text for token in tokens(tokenised)]


def test_years_and_days_are_dates() -> None:
    assert _values("on 12 May 2008 and in 2011") == []
    assert _values("EUR 2008 and 12 ships") == [2008, 12]


def test_negative_numbers_and_percentages() -> None:
    found = [token for token in tokens("EPS of EUR -0.05 and a margin of 4.2 percent") if token.is_number]
    assert [(token.value, token.is_percent) for token in found] == [(-0.05, False), (4.2, True)]


def test_the_same_sum_in_another_currency_is_dropped() -> None:
    assert _values("3.1 mln euro ( $ 4.1 mln ) from 2.4 mln euro ( $ 3.1 mln )") == [pytest.approx(3.1e6), 2.4e6]
    assert _values("EUR 3.1 mn ( EUR 2.4 mn )") == [pytest.approx(3.1e6), 2.4e6]


def test_set_phrases_are_one_word() -> None:
    words = [token.text for token in tokens("Profit before taxes and the share capital")]
    assert words == ["profit", "and", "the", "<capital>"]
