"""The options by which a command is told which bars are meant."""

from datetime import UTC, datetime

import pytest

from orchestration.asked_bars import asked_bars
from trading.adapters.recalls import Asked
from trading.errors import InputError


def test_a_bare_date_is_its_whole_day():
    assert asked_bars(None, "IBM", "2012-09-13", "2012-09-13", "sample") == Asked(
        source="sample",
        symbol="IBM",
        first=datetime(2012, 9, 13, tzinfo=UTC),
        last=datetime(2012, 9, 13, 23, 59, 59, 999999, tzinfo=UTC),
    )
    assert asked_bars(None, "IBM", "2012-09-13T14:30:00Z", None, None).first == datetime(
        2012, 9, 13, 14, 30, tzinfo=UTC
    )
    assert asked_bars(4, None, None, None, None) == Asked(batch=4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((None, None, None, None, None), "found neither"),
        ((4, "IBM", None, None, None), "found both"),
        ((4, None, "2012-09-13", None, None), "expected --batch alone, found --from"),
        ((None, "IBM", "yesterday", None, None), "expected --from as a date such as 2012-03-01, found 'yesterday'"),
        ((None, "IBM", None, "2012-09-13T14:30:00", None), "expected --to with a zone"),
        ((None, "IBM", "2012-09-14", "2012-09-13", None), "expected --from before --to"),
    ],
)
def test_options_that_do_not_fit_are_refused_in_one_line(options, words):
    with pytest.raises(InputError, match=words):
        asked_bars(*options)
