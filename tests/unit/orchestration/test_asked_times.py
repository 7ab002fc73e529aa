"""Times, days and numbers that nothing could answer are refused in one line, before anything is asked."""

from __future__ import annotations

from datetime import UTC, date, datetime

import click
import pytest
from click.testing import CliRunner

from orchestration.asked_bars import asked_bars
from orchestration.asked_times import day_of, moment_of
from orchestration.cli import tradeloom
from trading.errors import InputError


def test_a_time_and_a_day_are_read_up_to_2200() -> None:
    assert moment_of("2200-12-31T23:59:59Z") == datetime(2200, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert day_of("1900-01-01") == date(1900, 1, 1)


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59Z", "2201-01-01T00:00:00Z", "0001-01-01T00:00:00+10:00"])
def test_a_time_far_off_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"expected a time from 1900 to 2200, found '"):
        moment_of(text)


@pytest.mark.parametrize("text", ["9999-12-31", "0024-03-28"])
def test_a_day_far_off_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected a day from 1900 to 2200"):
        day_of(text)
    with pytest.raises(InputError, match="expected --to as a date from 1900 to 2200"):
        asked_bars(None, "IBM", None, text, None)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["reconcile", "--to", "9999-12-31"], "expected a day from 1900 to 2200"),
        (["reconcile", "--as-of", "9999-12-31T23:59:59Z"], "expected a time from 1900 to 2200"),
        (["reconcile", "--from", "2024-06-04", "--to", "2024-06-03"], "expected --from before --to"),
        (["reconcile", "--symbols", ","], "expected symbols such as AAPL,MSFT, found ','"),
        (["features", "--symbols", "AAA", "--as-of", "9999-12-31T23:59:59Z"], "expected a time from 1900 to 2200"),
        (["features", "bars", "--symbols", "AAA", "--as-of", "9999-12-31T23:59:59Z"], "expected a time from 1900"),
        (["universe", "u", "--as-of", "9999-12-31T23:59:59Z"], "expected a time from 1900 to 2200"),
        (["universe", "u", "--on", "9999-12-31"], "expected a day from 1900 to 2200"),
    ],
)
def test_a_command_refuses_it(arguments: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        CliRunner().invoke(tradeloom, arguments, catch_exceptions=False, standalone_mode=False)


@pytest.mark.parametrize(
    "arguments",
    [
        ["features", "--symbols", "AAA", "--watermark", "99999999999999999999"],
        ["features", "bars", "--symbols", "AAA", "--watermark", "99999999999999999999"],
        ["universe", "u", "--watermark", "99999999999999999999"],
        ["recall", "--batch", "99999999999999999999"],
        ["blast-radius", "--batch", "99999999999999999999"],
        ["blast-radius", "--batch", "-1"],
        ["features", "compact", "--older-than", "99999999"],
    ],
)
def test_a_number_that_no_column_holds_is_refused(arguments: list[str]) -> None:
    with pytest.raises(click.BadParameter, match="is not in the range 0<=x<="):
        CliRunner().invoke(tradeloom, arguments, catch_exceptions=False, standalone_mode=False)
